"""gunicorn's own lines, in the form of all others: one JSON object a line."""

import logging.config
from typing import Any

from gunicorn.glogging import Logger

from config import env
from config.logs import logging_config


class StructuredLogger(Logger):  # type: ignore[misc]
    """gunicorn's logger, its handler replaced by the product's on the root logger."""

    def setup(self, cfg: Any) -> None:
        """Called by gunicorn before its first line."""
        super().setup(cfg)
        logging.config.dictConfig(
            logging_config(level=env.value("LOG_LEVEL"), form=env.value("LOG_FORMAT"))
        )
        self.error_log.handlers.clear()
        self.error_log.propagate = True
