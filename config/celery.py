"""The Celery application of worker and beat; its settings are Django's `CELERY_*`."""

import os
from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from kombu import Connection

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.production")
# Between two tries to reach Redis. Celery would wait two seconds longer each time, up to thirty,
# and increments that were accepted when Redis is back would wait as long for the worker. It has no
# setting for that but the class of its connections.
_EVERY_S = 1.0
_PACE = {"interval_start": _EVERY_S, "interval_step": 0, "interval_max": _EVERY_S}


class SteadyConnection(Connection):
    """A connection to the broker that is tried for at a steady pace, where whoever tries has not
    said another one, as a task that is published does.
    """

    def _ensure_connection(
        self, errback: Any = None, max_retries: Any = None, *pace: Any, **options: Any
    ) -> Any:
        if not pace:
            options = {**_PACE, **options}
        return super()._ensure_connection(errback, max_retries, *pace, **options)


class _SteadyAMQP(AMQP):
    Connection = SteadyConnection


app = Celery("adhouse", amqp=_SteadyAMQP)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
