"""One variable of the environment: how its text is read, and which values it can have."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

from runtime.addresses import Addresses

_WHOLE_NUMBER = re.compile(r"\s*[+-]?[0-9]+\s*", re.ASCII)
_NUMBER = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*", re.ASCII)


class VariableError(ValueError):
    """A variable holds what it cannot; the message names it."""


@dataclass(frozen=True)
class Variable:
    """One environment variable: name, type, default and what it means to an engineer; for numbers
    `least` and `most`. `is_valid` looks at what else a value has to be, `words`.
    """

    name: str
    cast: type
    default: Any
    meaning: str
    least: float = 0
    most: float = math.inf
    words: str = ""
    is_valid: Callable[[Any], bool] | None = None

    def read(self, text: str) -> Any:
        """The value that is written so. VariableError when this variable cannot have it."""
        try:
            found = _CASTS[self.cast](text)
        except ValueError:
            self._refuse(text)
        if not self.can_be(found):
            self._refuse(text)
        return found

    def can_be(self, value: Any) -> bool:
        """Whether it is a value that this variable can have."""
        if self.cast in (int, float) and not self.least <= value <= self.most:
            return False
        return self.is_valid is None or self.is_valid(value)

    def _refuse(self, given: str) -> NoReturn:
        words = self.words or self._number_words()
        raise VariableError(f"{self.name} must be {words}, not {given}")

    def _number_words(self) -> str:
        if self.cast is bool:
            return "true or false"
        kind = "a number" if self.cast is float else "a whole number"
        if self.most == math.inf:
            return f"{kind}, {self.least:g} or more"
        return f"{kind} from {self.least:g} to {self.most:.0f}"


def is_zone(name: str) -> bool:
    """Whether there is a time zone of that name."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return False
    return True


def are_networks(given: list[str]) -> bool:
    """Whether all are addresses or networks."""
    try:
        Addresses(given)
    except ValueError:
        return False
    return True


def _whole_number(text: str) -> int:
    # Python's own also takes 1_000, and digits of any script.
    if not _WHOLE_NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is no whole number")
    return int(text)


def _number(text: str) -> float:
    # Nor 5 minutes, 1,000, nan and 1e999.
    if not _NUMBER.fullmatch(text) or math.isinf(number := float(text)):
        raise ValueError(f"{text!r} is not a number")
    return number


def _items(text: str) -> list[str]:
    return [item for each in text.split(",") if (item := each.strip())]


def _truth(text: str) -> bool:
    # Any word that is not known would count as no.
    known = {**dict.fromkeys(_YES, True), **dict.fromkeys(_NO, False)}
    try:
        return known[text.strip().lower()]
    except KeyError:
        raise ValueError(f"{text!r} is neither yes nor no") from None


_YES, _NO = ("true", "1", "yes", "on", "y", "t", "ok"), ("false", "0", "no", "off", "n", "f")
_CASTS: dict[type, Callable[[str], Any]] = {
    str: str,
    int: _whole_number,
    float: _number,
    bool: _truth,
    list: _items,
}
