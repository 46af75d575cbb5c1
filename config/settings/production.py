"""Settings of a real deployment. Refuses to start on anything unsafe rather than guessing."""

from django.core.exceptions import ImproperlyConfigured

from config import env
from config.settings.base import *

SECRET_KEY = env.value("SECRET_KEY")
if len(SECRET_KEY) < 50 or len(set(SECRET_KEY)) < 5:
    raise ImproperlyConfigured("SECRET_KEY must be set to at least 50 random characters")
if env.value("DEBUG"):
    raise ImproperlyConfigured("DEBUG must not be set in production")
for _name in ("DATABASE_URL", "REDIS_URL", "ALLOWED_HOSTS"):
    if not env.value(_name):
        raise ImproperlyConfigured(f"{_name} must be set in production")

DEBUG = False
ALLOWED_HOSTS = env.value("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = env.value("CSRF_TRUSTED_ORIGINS")
DATABASE_URL = env.value("DATABASE_URL")
REDIS_URL = env.value("REDIS_URL")
DATABASES = {"default": database(DATABASE_URL)}
CACHES = {"default": redis_cache(REDIS_URL)}
CELERY_BROKER_URL = REDIS_URL

SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = env.value("SECURE_SSL_REDIRECT")
# Probes and scrapes come from inside the network, without the proxy's TLS.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = env.value("SECURE_HSTS_SECONDS")
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = False

if env.value("SENTRY_DSN"):
    import sentry_sdk

    sentry_sdk.init(dsn=env.value("SENTRY_DSN"), send_default_pii=False)
