"""Reads docker-compose.yml as `docker compose` would, with the variables of a `.env`."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from config.env import BASE_DIR

FILE = BASE_DIR / "docker-compose.yml"
OURS = ("migrate", "api", "edge", "packets", "writer", "worker", "beat")
DOT_ENV = {
    "SECRET_KEY": "compose-test-" + "k9f3v7q1x5" * 5,
    "POSTGRES_PASSWORD": "postgres0secret",
    "REDIS_PASSWORD": "redis0secret",
    "ALLOWED_HOSTS": "ads.example.com",
}
_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?:(:-|:\?)([^}]*))?\})")


class MissingVariableError(Exception):
    """Compose refuses to start: a required variable is empty."""


def load(variables: Mapping[str, str] = DOT_ENV) -> dict[str, Any]:
    """The file, every `${NAME}`, `${NAME:-default}` and `${NAME:?message}` replaced.

    Raises MissingVariableError with the message of the first required variable that is empty.
    """
    file: dict[str, Any] = _replace(yaml.safe_load(FILE.read_text()), variables)
    return file


def names() -> set[str]:
    """Every variable that the file asks `.env` for."""
    return {match[2] for match in _VARIABLE.finditer(FILE.read_text()) if match[2]}


def _replace(node: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _replace(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [_replace(value, variables) for value in node]
    if isinstance(node, str):
        return _VARIABLE.sub(lambda match: _value(match, variables), node)
    return node


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    dollar, name, operator, operand = match.groups()
    if dollar:
        return "$"
    value = variables.get(name, "")
    if not value and operator == ":?":
        raise MissingVariableError(operand)
    return value or (operand if operator == ":-" else "")
