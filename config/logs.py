"""Logs: structlog everywhere, one JSON object a line, with the request's id."""

import logging
from typing import Any

import structlog

SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]
_EVERY_TASK = ("celery.beat", "celery.worker.strategy", "celery.app.trace")


def logging_config(*, level: str, form: str) -> dict[str, Any]:
    """A `dictConfig` that sends everything to stderr: `form` is `json` or `console`.

    structlog and Python's warnings are told at once to go the same way.
    """
    _join_structlog_and_warnings()
    render: list[Any] = [structlog.dev.ConsoleRenderer()]
    if form == "json":
        render = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    quiet = "WARNING" if level == "INFO" else level
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": SHARED,
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"structured": formatter},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # uvicorn brings handlers of its own; its lines go the common way.
            "uvicorn": {"handlers": [], "propagate": True},
            "uvicorn.error": {"handlers": [], "propagate": True, "level": level},
            # Every request is logged once, by django-structlog, with its id. uvicorn looks
            # whether a handler can be reached: not even a hot answer then asks for a line.
            "uvicorn.access": {"handlers": [], "propagate": False},
            # Any stranger can send a wrong Host: the request's own line says 400, that is enough.
            "django.security.DisallowedHost": {"level": "CRITICAL"},
            # A list's address with a made-up filter.
            "django.security.DisallowedModelAdminLookup": {"level": "CRITICAL"},
            "django.server": {"handlers": [], "propagate": True},
            # Tasks run every second: three lines for each that only did its work would be 250 000
            # a day. One that fails is an error of `celery.app.trace`.
            **{name: {"level": quiet} for name in _EVERY_TASK},
        },
    }


def _join_structlog_and_warnings() -> None:
    # Python's own warnings become lines like any other, of the logger `py.warnings`.
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
