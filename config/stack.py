"""Finds the embedded stores of a running `make run`, for commands started beside it."""

import json
from pathlib import Path

STACK_FILE = "stack.json"


def stack_urls(data_dir: Path) -> dict[str, str]:
    """The stores' URLs of the stack that runs on `data_dir`; empty if none runs."""
    try:
        stack = json.loads((data_dir / STACK_FILE).read_text())
    except (FileNotFoundError, PermissionError, ValueError):
        return {}
    return {
        key: stack[key] for key in ("database_url", "redis_url", "cache_redis_url") if key in stack
    }
