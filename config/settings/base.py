"""Settings that hold everywhere. Values come from `config.env`, never from the environment."""

from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse_lazy

from commons.patience import PatientConnection
from config import env
from config.logs import logging_config
from config.reconnecting import PERSEVERE_S, try_steadily
from config.unfold import UNFOLD as UNFOLD
from runtime.redis_where import is_plain, read_place

env.check()
BASE_DIR = env.BASE_DIR
DEBUG = False
SECRET_KEY = env.value("SECRET_KEY")
ALLOWED_HOSTS: list[str] = []
PORT: int = env.value("PORT")
PACKETS_PORT: int = env.value("PACKETS_PORT")

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    # The admin's pages are imported by config/urls.py: only who serves them needs them.
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework.authtoken",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_countries",
    "django_structlog",
    "accounts",
    "adserver",
    "counters",
    "timeseries",
    "config",
]

MIDDLEWARE = [
    "config.middleware.RequestMetrics",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "config.request_log.RequestLog",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "config.middleware.SlashMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    # Last, and synchronous: so the whole chain runs in one thread, without a hop a middleware.
    "config.bodies.settle_body",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
APPEND_SLASH = True

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]


def database(url: str) -> dict[str, Any]:
    """Django's description of the database at `url`.

    A psycopg pool per process instead of persistent connections: under ASGI each request may
    run in another thread, where a connection kept by thread would leak.
    """
    try_steadily()
    config: dict[str, Any] = environ.Env.db_url_config(url)
    # Django's own backend, which also counts connections, queries and errors for /metrics.
    config["ENGINE"] = "django_prometheus.db.backends.postgresql"
    config["CONN_MAX_AGE"] = 0
    # After PostgreSQL was restarted the pool holds dead connections: each would cost a write.
    config["CONN_HEALTH_CHECKS"] = True
    config.setdefault("OPTIONS", {}).update(
        {
            "pool": {
                "min_size": 0,
                "max_size": env.value("DATABASE_POOL_SIZE"),
                "timeout": env.value("DATABASE_CONNECT_TIMEOUT_S"),
                "max_idle": 60,
                "reconnect_timeout": PERSEVERE_S,
                "connection_class": PatientConnection,
            },
            "connect_timeout": env.value("DATABASE_CONNECT_TIMEOUT_S"),
            # A host that vanished without a word is noticed within 15 s: by the first two lines
            # while nothing is under way, and by the last one when a query is, to which probes
            # do not apply (the kernel would send it again for a quarter of an hour).
            "keepalives_idle": 5,
            "keepalives_interval": 5,
            "keepalives_count": 2,
            "tcp_user_timeout": 15_000,
            "application_name": "adhouse",
        }
    )
    return config


def cache_redis_url(redis_url: str, default: str = "") -> str:
    """Where tasks, cache and hints are, when what is taken in bulk goes to `redis_url`.

    They need one server: a Cluster has no pub/sub that all see and no transactions over many
    keys, and Celery knows neither Clusters nor our way to name Sentinels.
    """
    given: str = env.value("CACHE_REDIS_URL") or default
    for name, url in (("REDIS_URL", redis_url), ("CACHE_REDIS_URL", given)):
        try:
            read_place(url or "redis://")
        except ValueError as error:
            raise ImproperlyConfigured(f"{name}: {error}") from error
    if not is_plain(given or redis_url):
        raise ImproperlyConfigured(
            "CACHE_REDIS_URL must name one server (redis://, rediss:// or unix://)"
            " when REDIS_URL names a cluster or sentinels"
        )
    return given or redis_url


def redis_cache(url: str) -> dict[str, Any]:
    """Django's cache on the Redis at `url`."""
    return {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": url,
        "OPTIONS": {"SOCKET_CONNECT_TIMEOUT": 1, "SOCKET_TIMEOUT": 1},
    }


AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.staff_login.LockingBackend"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = [
    "accounts.hashers.Argon2idHasher",
    # For passwords that were imported: verified once, and encoded anew.
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2SHA1PasswordHasher",
    "django.contrib.auth.hashers.BCryptSHA256PasswordHasher",
    "django.contrib.auth.hashers.BCryptPasswordHasher",
    "django.contrib.auth.hashers.MD5PasswordHasher",
    "accounts.hashers.UnsaltedMD5Hasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "accounts.password_rules.LengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
WEB_CONCURRENCY = env.value("WEB_CONCURRENCY")
ACCOUNT_SESSION_IDLE_S = env.value("ACCOUNT_SESSION_IDLE_S")
ACCOUNT_SESSION_LONGEST_S = env.value("ACCOUNT_SESSION_LONGEST_S")
ACCOUNT_LOCKOUT_FAILURES = env.value("ACCOUNT_LOCKOUT_FAILURES")
ACCOUNT_LOCKOUT_ADDRESS_FAILURES = env.value("ACCOUNT_LOCKOUT_ADDRESS_FAILURES")
ACCOUNT_LOCKOUT_FIRST_S = env.value("ACCOUNT_LOCKOUT_FIRST_S")
ACCOUNT_LOCKOUT_LONGEST_S = env.value("ACCOUNT_LOCKOUT_LONGEST_S")
ACCOUNT_LOCKOUT_FORGET_S = env.value("ACCOUNT_LOCKOUT_FORGET_S")
ACCOUNT_PASSWORD_MEMORY_S = env.value("ACCOUNT_PASSWORD_MEMORY_S")
ACCOUNT_HASHING_THREADS = env.value("ACCOUNT_HASHING_THREADS")
ACCOUNT_HASHING_WAITING = env.value("ACCOUNT_HASHING_WAITING")
ACCOUNT_AUDIT_DAYS = env.value("ACCOUNT_AUDIT_DAYS")
TRUSTED_PROXIES: list[str] = env.value("TRUSTED_PROXIES")
LOGIN_URL = reverse_lazy("admin:login")
LOGIN_REDIRECT_URL = reverse_lazy("admin:index")

LANGUAGE_CODE = "en"
TIME_ZONE = env.value("TIME_ZONE")
USE_I18N = True
USE_TZ = True

STATIC_URL = "/static/"
# Production gathers them in one directory; elsewhere they are served from where they are.
STATIC_ROOT: Path | None = None
STATICFILES_DIRS = [BASE_DIR / "templates" / "static"]
WHITENOISE_USE_FINDERS = True


def picture_storage() -> dict[str, Any]:
    """Where people's pictures are kept: a bucket when one is named, else a directory."""
    if bucket := env.value("PICTURES_BUCKET"):
        from botocore.config import Config

        options = {
            "bucket_name": bucket,
            "endpoint_url": env.value("PICTURES_ENDPOINT") or None,
            "region_name": env.value("PICTURES_REGION") or None,
            # A minute each, five times, are the defaults: a visitor is gone by then.
            "client_config": Config(connect_timeout=2, read_timeout=5, retries={"max_attempts": 1}),
            # Names are random and never used twice: no need to ask whether one is taken.
            "file_overwrite": True,
        }
        return {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}
    directory = env.value("PICTURES_DIR") or env.data_dir() / "pictures"
    return {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": directory},
    }


STORAGES = {
    "pictures": picture_storage(),
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

CSRF_FAILURE_VIEW = "config.faults.csrf_failure"
SESSION_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
DATA_UPLOAD_MAX_MEMORY_SIZE = env.value("MAX_BODY_BYTES")
# A larger body waits on disk for its last byte: anybody may begin to send one, and many at once.
FILE_UPLOAD_MAX_MEMORY_SIZE = 1_048_576
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20_000

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        # Token first: its WWW-Authenticate header makes a missing login a 401, not a 403.
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["config.api.OrjsonRenderer"],
    "DEFAULT_PARSER_CLASSES": ["config.api.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "config.api.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "UNAUTHENTICATED_TOKEN": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Ads, served from memory",
    "DESCRIPTION": "Operators manage ads; visitors' pages ask which ads fit.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    # Without the second one the page would ask a server on the internet about the schema.
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},
    "ENUM_NAME_OVERRIDES": {"AdStateEnum": "adserver.api.queries.STATES"},
    "COMPONENT_SPLIT_REQUEST": True,
}

TIMESERIES_STORE: str = env.value("TIMESERIES_STORE")
TIMESERIES_SHARDS: int = env.value("TIMESERIES_SHARDS")
TIMESERIES_RETENTION_S: int = env.value("TIMESERIES_RETENTION_S")
TIMESERIES_AHEAD_S: float = env.value("TIMESERIES_AHEAD_S")
TIMESERIES_PARTITION_HOURS: int = env.value("TIMESERIES_PARTITION_HOURS")
STREAM_MAX_BYTES: int = env.value("STREAM_MAX_BYTES")
TIMESERIES_READERS: int = env.value("TIMESERIES_READERS")
TIMESERIES_READ_S: float = env.value("TIMESERIES_READ_S")
KDB_URL: str = env.value("KDB_URL")
KDB_QUERY_URL: str = env.value("KDB_QUERY_URL")
TIMESERIES_WATCH_PORT: int = env.value("TIMESERIES_WATCH_PORT")
BIND_HOST: str = env.value("BIND_HOST")

CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 10, "socket_connect_timeout": 3}
CELERY_BEAT_SCHEDULE = {
    "close-ended-ads": {
        "task": "adserver.tasks.close_ended_ads",
        "schedule": env.value("EXPIRY_INTERVAL_S"),
        # A run that waited longer than its own interval is superseded by the next one.
        "options": {"expires": env.value("EXPIRY_INTERVAL_S")},
    },
    **{
        # One entry a shard: shards are drained side by side.
        f"drain-counters-{shard}": {
            "task": "counters.tasks.drain",
            "schedule": env.value("COUNTERS_DRAIN_INTERVAL_S"),
            "args": (shard,),
            "options": {"expires": env.value("COUNTERS_DRAIN_INTERVAL_S")},
        }
        for shard in range(env.value("COUNTERS_SHARDS"))
    },
    "reconcile-counters": {
        "task": "counters.tasks.reconcile",
        "schedule": 60.0,
        "options": {"expires": 60.0},
    },
    "retain-counters": {
        "task": "counters.tasks.retain",
        "schedule": 600.0,
        "options": {"expires": 600.0},
    },
    "retain-measurements": {
        "task": "timeseries.tasks.retain",
        # Partitions are made two hours ahead, so many runs may fail before a writer makes its own.
        "schedule": 300.0,
        "options": {"expires": 300.0},
    },
    "purge-account-records": {
        "task": "accounts.tasks.purge_records",
        "schedule": 3600.0,
        "options": {"expires": 3600.0},
    },
}

COUNTERS_SHARDS: int = env.value("COUNTERS_SHARDS")
# Days that the history of counters is kept, by the width of its buckets in seconds.
COUNTERS_KEPT_DAYS: dict[int, int] = {
    60: env.value("COUNTERS_MINUTES_KEPT_DAYS"),
    3_600: env.value("COUNTERS_HOURS_KEPT_DAYS"),
    86_400: env.value("COUNTERS_DAYS_KEPT_DAYS"),
}

LOGGING = logging_config(level=env.value("LOG_LEVEL"), form=env.value("LOG_FORMAT"))
LOGGING_CONFIG = "logging.config.dictConfig"
DJANGO_STRUCTLOG_CELERY_ENABLED = False
