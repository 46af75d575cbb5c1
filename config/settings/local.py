"""Settings of `make run` and of every command beside it: the embedded stores, one machine."""

from config import env
from config.local_secret import local_secret
from config.settings.base import *
from config.stack import stack_urls

_stack = stack_urls(env.data_dir())
DATABASE_URL = env.value("DATABASE_URL") or _stack.get("database_url", "")
REDIS_URL = env.value("REDIS_URL") or _stack.get("redis_url", "")
CACHE_REDIS_URL = cache_redis_url(REDIS_URL, _stack.get("cache_redis_url", ""))

DEBUG = env.value("DEBUG")
SECRET_KEY = env.value("SECRET_KEY") or local_secret(env.data_dir())
ALLOWED_HOSTS = env.value("ALLOWED_HOSTS") or ["localhost", "127.0.0.1", "[::1]", "testserver"]
CSRF_TRUSTED_ORIGINS = env.value("CSRF_TRUSTED_ORIGINS")

# Without a stack nothing listens there: commands then say that the database cannot be reached.
DATABASES = {"default": database(DATABASE_URL or "postgresql://127.0.0.1:1/none")}
CACHES = {"default": redis_cache(CACHE_REDIS_URL or "redis://127.0.0.1:1/0")}
CELERY_BROKER_URL = CACHE_REDIS_URL
