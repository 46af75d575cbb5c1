"""Settings of a real deployment. Refuses to start on anything unsafe rather than guessing."""

from django.core.exceptions import ImproperlyConfigured

from config import env
from config.settings.base import *

# The bounds of Django's own deployment check: shorter ones can be guessed.
_SECRET_CHARACTERS = 50
_SECRET_DISTINCT = 5


def _problems() -> list[str]:
    """Everything that is wrong with the environment, so that it is mended in one go."""
    problems = [
        f"{name} must be set in production"
        for name in ("DATABASE_URL", "REDIS_URL", "ALLOWED_HOSTS")
        if not env.value(name)
    ]
    secret = env.value("SECRET_KEY")
    if len(secret) < _SECRET_CHARACTERS or len(set(secret)) < _SECRET_DISTINCT:
        problems.append(f"SECRET_KEY must be set to {_SECRET_CHARACTERS} random characters or more")
    if env.value("DEBUG"):
        problems.append("DEBUG must not be set in production")
    if "*" in env.value("ALLOWED_HOSTS"):
        problems.append("ALLOWED_HOSTS must name hosts, not *")
    return problems


if _found := _problems():
    raise ImproperlyConfigured("; ".join(_found))

DEBUG = False
SECRET_KEY = env.value("SECRET_KEY")
ALLOWED_HOSTS = env.value("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = env.value("CSRF_TRUSTED_ORIGINS")
DATABASE_URL = env.value("DATABASE_URL")
REDIS_URL = env.value("REDIS_URL")
CACHE_REDIS_URL = cache_redis_url(REDIS_URL)
DATABASES = {"default": database(DATABASE_URL)}
CACHES = {"default": redis_cache(CACHE_REDIS_URL)}
CELERY_BROKER_URL = CACHE_REDIS_URL

MIDDLEWARE = ["config.inside.InsidePages", *MIDDLEWARE]

# TLS ends at the proxy, which sets this header itself whatever the visitor sent.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = env.value("SECURE_SSL_REDIRECT")
SECURE_HSTS_SECONDS = env.value("SECURE_HSTS_SECONDS")
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True

STORAGES = {
    **STORAGES,
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
STATIC_ROOT = env.BASE_DIR / "staticfiles"
# Only what `collectstatic` gathered is served.
WHITENOISE_USE_FINDERS = False

if env.value("SENTRY_DSN"):
    import sentry_sdk

    sentry_sdk.init(dsn=env.value("SENTRY_DSN"), send_default_pii=False)
