"""Settings of the test suite: real PostgreSQL and Redis, whose URLs the suite's start-up sets."""

from config import env
from config.settings.base import *

SECRET_KEY = "test-" + "x1y2z3" * 10
ALLOWED_HOSTS = ["*"]
# `manage.py lintmigrations`, for `make lint`.
INSTALLED_APPS = [*INSTALLED_APPS, "django_migration_linter"]
# `0002_blocks` moves a table under a lock; meanwhile measurements wait in their stream.
MIGRATION_LINTER_OPTIONS = {"ignore_name": ["0003_username_key_unique", "0002_blocks"]}
DATABASE_URL = env.value("DATABASE_URL") or "postgresql://127.0.0.1:1/none"
REDIS_URL = env.value("REDIS_URL") or "redis://127.0.0.1:1/0"
CACHE_REDIS_URL = cache_redis_url(REDIS_URL)
DATABASES = {"default": database(DATABASE_URL)}
# Each test database is dropped at the end: a pool would hold connections to it.
del DATABASES["default"]["OPTIONS"]["pool"]
CACHES = {"default": redis_cache(CACHE_REDIS_URL)}
CELERY_BROKER_URL = CACHE_REDIS_URL
CELERY_TASK_ALWAYS_EAGER = True
CELERY_TASK_EAGER_PROPAGATES = True
# Hashing strength is not under test, and one real hash costs as much as a whole test.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Nothing is collected for the suite: each static file is looked up when it is asked for.
WHITENOISE_AUTOREFRESH = True
