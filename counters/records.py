"""The increment as it arrives, and the one place that decides what a valid one is.

Pure: HTTP, commands and replays validate through here, so that the same mistake gets the same
words everywhere. How increments travel to the drain is in `counters.payload`.
"""

import re
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Annotated, Self
from uuid import UUID

import msgspec

from runtime.twice import given_twice

# What PostgreSQL's bigint holds: the largest increment, and the largest total.
VALUE_MAX = 2**63 - 1
BATCH_MAX = 10_000
IDEMPOTENCY_KEY_CHARACTERS_MAX = 64

_KEY_WORDS = "must be a UUID"
_VALUE_WORDS = f"must be an integer from 1 to {VALUE_MAX}"
_OBJECT_WORDS = "must be an object with key and value"
_WORDS = {"key": _KEY_WORDS, "value": _VALUE_WORDS}
# The place of the mistake at the end of msgspec's message: `$`, an index, a field.
_PLACE = re.compile(r" - at `\$(\[\d+\])?(?:\.(\w+))?.*`$")
_FIELD = re.compile(r"^Object (contains unknown|missing required) field `(.*?)`", re.DOTALL)


class InvalidIncrementError(ValueError):
    """What was sent is no increment; the message names the field, and in a batch the index."""


class TooManyIncrementsError(InvalidIncrementError):
    """A batch holds more than `BATCH_MAX` increments."""


_Value = Annotated[int, msgspec.Meta(ge=1, le=VALUE_MAX)]


class Increment(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Add `value` to the counter `key`."""

    key: UUID
    value: _Value


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Increments as two columns: counter keys, 16 bytes each, and what each adds."""

    keys: list[bytes]
    values: list[int]

    @classmethod
    def of(cls, increments: Iterable[Increment]) -> Self:
        """The increments, in their order."""
        pairs = [(increment.key.bytes, increment.value) for increment in increments]
        return cls([key for key, _ in pairs], [value for _, value in pairs])

    def __len__(self) -> int:
        return len(self.keys)


class Keyed(msgspec.Struct, frozen=True, gc=False):
    """Increments that count once under their idempotency key, all or none."""

    idempotency_key: str
    increments: Batch


# What a door hands to the group commit: one increment, a batch, or either under a key.
Item = Increment | Batch | Keyed


class _Row(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An increment whose key is not looked at yet."""

    key: str
    value: _Value


class _KnownKeys:
    """Keys as they are written, and what they are. Most come again, and finding one takes a tenth
    of the time of reading it. Those that are read are remembered as long as there is room; when
    there has been none for long, all are forgotten, since by then others may be frequent.
    """

    MOST = 2**16
    _MISSES_MOST = 16 * MOST

    def __init__(self) -> None:
        self._known: dict[str, bytes] = {}
        self._misses = 0

    def __len__(self) -> int:
        return len(self._known)

    def of(self, texts: list[str]) -> list[bytes]:
        """The keys, in their order. msgspec.ValidationError if one is none."""
        keys = list(map(self._known.get, texts))
        if None in keys:
            unknown = list({text for text, key in zip(texts, keys, strict=True) if key is None})
            read = [key.bytes for key in msgspec.convert(unknown, list[UUID])]
            news = dict(zip(unknown, read, strict=True))
            self._remember(news)
            return [key or news[text] for text, key in zip(texts, keys, strict=True)]
        return keys  # type: ignore[return-value] # all are there

    def _remember(self, news: dict[str, bytes]) -> None:
        if len(self._known) + len(news) <= self.MOST:
            self._known |= news
            return
        self._misses += len(news)
        if self._misses > self._MISSES_MOST:
            self._known, self._misses = {}, 0


_known_keys = _KnownKeys()
_key_of, _value_of = attrgetter("key"), attrgetter("value")
_decode_increment = msgspec.json.Decoder(Increment).decode
_decode_increments = msgspec.json.Decoder(list[Increment]).decode
_decode_rows = msgspec.json.Decoder(list[_Row]).decode
_split = msgspec.json.Decoder(list[msgspec.Raw]).decode
# Around two names and a key.
_QUOTES = 6
_MISTAKES = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decode_increment(body: bytes) -> Increment:
    """The increment in a JSON body; InvalidIncrementError names what is wrong."""
    try:
        increment = _decode_increment(body)
    except _MISTAKES as error:
        raise InvalidIncrementError(_explain(error, "body")) from None
    if given_twice(body, _QUOTES):
        raise InvalidIncrementError("body: gives a field twice")
    return increment


def decode_batch(body: bytes) -> Batch:
    """The increments of a JSON array, none if it is empty; all good or InvalidIncrementError,
    which names the first bad one's index from 0 and its field: `[3].value: …`.
    """
    try:
        rows = _decode_rows(body)
        keys = _known_keys.of(list(map(_key_of, rows)))
        batch = Batch(keys, list(map(_value_of, rows)))
    except _MISTAKES:
        batch = _decode_carefully(body)
    if len(batch) > BATCH_MAX:
        raise TooManyIncrementsError(
            f"body: has {len(batch)} increments, {BATCH_MAX} are the most in one batch"
        )
    if given_twice(body, _QUOTES * len(batch)):
        raise InvalidIncrementError(_first_twice(body))
    return batch


def _first_twice(body: bytes) -> str:
    for index, raw in enumerate(_split(body)):
        if given_twice(bytes(raw), _QUOTES):
            return f"[{index}]: gives a field twice"
    return "body: gives a field twice"


def _decode_carefully(body: bytes) -> Batch:
    """The same, one increment after the other: the first mistake is the first."""
    try:
        return Batch.of(_decode_increments(body))
    except _MISTAKES as error:
        raise InvalidIncrementError(_explain(error, "body")) from None


def decode_idempotency_key(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    """The value of the header, None without one; InvalidIncrementError unless it is 1 to 64
    printable characters, once.
    """
    found = [value for name, value in headers if name == b"idempotency-key"]
    if not found:
        return None
    if len(found) > 1:
        raise InvalidIncrementError("Idempotency-Key: must not be given twice")
    [header] = found
    try:
        text = header.decode()
    except UnicodeDecodeError:
        text = ""
    if not 0 < len(text) <= IDEMPOTENCY_KEY_CHARACTERS_MAX or not text.isprintable():
        raise InvalidIncrementError(
            f"Idempotency-Key: must have 1 to {IDEMPOTENCY_KEY_CHARACTERS_MAX} printable characters"
        )
    return text


def _explain(error: Exception, whole: str) -> str:
    """msgspec's message in the product's words: `[index].field: what it must be`."""
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return f"{whole}: is not valid JSON"
    place = _PLACE.search(text)
    index, field = (place[1] or "", place[2]) if place else ("", None)
    if match := _FIELD.match(text):
        words = "is required" if match[1].startswith("missing") else "is not a field"
        return f"{_path(index, match[2][:40])}: {words}"
    if field in _WORDS:
        return f"{_path(index, field)}: {_WORDS[field]}"
    if index or text.startswith("Expected `object`"):
        return f"{index or whole}: {_OBJECT_WORDS}"
    return f"{whole}: must be an array of increments"


def _path(index: str, field: str) -> str:
    return f"{index}.{field}" if index else field
