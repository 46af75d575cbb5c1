"""The Celery application of worker and beat; its settings are Django's `CELERY_*`."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.production")
app = Celery("adhouse")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
