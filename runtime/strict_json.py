"""JSON by the letter of RFC 8259: no NaN, no key given twice.

Not with orjson or msgspec, which keep the last of two equal keys and make floats of long integers.
"""

import json
from typing import Any, NoReturn

from runtime.errors import DomainError

# Longer integers than this belong to no field, and Python takes quadratic time to read them.
_INTEGER_DIGITS_MAX = 40


class InvalidBodyError(DomainError):
    """A body that is no JSON, or not what it should be; the message begins with `body: `."""


def decode_json(body: bytes) -> Any:
    """What the body says. InvalidBodyError says what is wrong with it."""
    try:
        return json.loads(
            body.decode(),
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_constant=_no_constant,
        )
    except UnicodeDecodeError:
        raise InvalidBodyError("body: is not valid UTF-8") from None
    except RecursionError:
        raise InvalidBodyError("body: is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise InvalidBodyError(
            f"body: is not valid JSON (line {error.lineno}, column {error.colno})"
        ) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise InvalidBodyError(f"body: the key {name[:40]!r} is given twice")
            seen.add(name)
    return result


def _integer(digits: str) -> int:
    if len(digits) > _INTEGER_DIGITS_MAX:
        raise InvalidBodyError("body: holds a number that is too long")
    return int(digits)


def _no_constant(name: str) -> NoReturn:
    raise InvalidBodyError(f"body: {name} is not a JSON number")
