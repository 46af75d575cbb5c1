"""Measurements as they arrive, and the one place that decides which are accepted.

Pure: HTTP and commands come through here, so that the same mistake gets the same words
everywhere. What a measurement is, and how it travels to the writer, is in `timeseries.records`.
"""

import re
from collections.abc import Callable, Sequence

import msgspec

from runtime.twice import given_twice
from timeseries.records import STORED_MAX_NS, TAG_CHARACTERS_MAX, VALUES_MAX, Measurement

BATCH_MAX = 10_000
_WORDS = {
    "time": "must be an integer, nanoseconds since 1970",
    "tag": f"must be a text of 1 to {TAG_CHARACTERS_MAX} characters",
    "values": f"must be an array of 1 to {VALUES_MAX} finite numbers",
}
_OBJECT_WORDS = "must be an object with time, tag and values"
# The place of the mistake at the end of msgspec's message.
_PLACE = re.compile(r" - at `\$\.(time|tag|values)\b.*`$")
_FIELD = re.compile(r"^Object (contains unknown|missing required) field `(.*?)`", re.DOTALL)
_BLANK = b" \t\r\n"
# Around three names and a tag.
_QUOTES = 8
_NS_PER_S = 1_000_000_000

_decode_one = msgspec.json.Decoder(Measurement).decode
_decode_array = msgspec.json.Decoder(list[Measurement]).decode
_decode_lines = msgspec.json.Decoder(Measurement).decode_lines
_split_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
# What msgspec raises for bytes that are not what they should be.
_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class InvalidMessageError(ValueError):
    """What was sent is not accepted; the message names the field, and in a batch the index."""


class TooManyMessagesError(InvalidMessageError):
    """A batch holds more than `BATCH_MAX` messages."""


class Acceptance:
    """Decodes messages, and accepts those whose time lies in the window that is open now.

    `retention_s` is how far back it reaches, `ahead_s` how far a clock may be ahead of ours,
    `now_ns` our clock: nanoseconds since 1970.
    """

    def __init__(self, *, retention_s: float, ahead_s: float, now_ns: Callable[[], int]) -> None:
        self._past_ns = int(retention_s * _NS_PER_S)
        self._ahead_ns = int(ahead_s * _NS_PER_S)
        self._now_ns = now_ns

    def _newest_ns(self, now_ns: int) -> int:
        return min(now_ns + self._ahead_ns, STORED_MAX_NS)

    def message(self, body: bytes | msgspec.Raw) -> Measurement:
        """The measurement in a JSON body; InvalidMessageError names what is wrong."""
        try:
            measurement = _decode_one(body)
        except _BAD as error:
            raise InvalidMessageError(_explain(error)) from None
        if given_twice(bytes(body), _QUOTES):
            raise InvalidMessageError("body: gives a field twice")
        now_ns = self._now_ns()
        if (
            not now_ns - self._past_ns <= measurement.time <= self._newest_ns(now_ns)
            or "\x00" in measurement.tag
        ):
            raise InvalidMessageError(self._refusal(measurement, now_ns))
        return measurement

    def batch(self, body: bytes) -> list[Measurement]:
        """The measurements of a JSON array, which may be empty, or of one JSON object a line.

        All are good, or InvalidMessageError names the first bad one by its index from 0, blank
        lines not counted, and its field: `[3].tag: …`.
        """
        begin = body.lstrip(_BLANK)[:1]
        if not begin:
            raise InvalidMessageError("body: is empty")
        is_array = begin == b"["
        try:
            batch = (_decode_array if is_array else _decode_lines)(body)
        except _BAD as error:
            found = self._first_bad(body, is_array=is_array) or _explain(error)
            raise InvalidMessageError(found) from None
        if len(batch) > BATCH_MAX:
            raise TooManyMessagesError(
                f"body: has {len(batch)} messages, {BATCH_MAX} are the most in one batch"
            )
        odd = given_twice(body, _QUOTES * len(batch))
        if (odd or not (is_array or _are_lines(body, len(batch)))) and (
            found := self._first_bad(body, is_array=is_array)
        ):
            raise InvalidMessageError(found)
        now_ns = self._now_ns()
        oldest_ns, newest_ns = now_ns - self._past_ns, self._newest_ns(now_ns)
        for index, measurement in enumerate(batch):
            if not oldest_ns <= measurement.time <= newest_ns or "\x00" in measurement.tag:
                raise InvalidMessageError(f"[{index}].{self._refusal(measurement, now_ns)}")
        return batch

    def _first_bad(self, body: bytes, *, is_array: bool) -> str:
        """What is wrong with the first bad message, looked for once something is; empty when each
        by itself is good.
        """
        try:
            messages = _split_array(body) if is_array else _split_lines(body)
        except _BAD:
            return "body: is not valid JSON"
        for index, message in enumerate(messages):
            try:
                self.message(message)
            except InvalidMessageError as refusal:
                text = str(refusal)
                own = text.removeprefix("body")
                return f"[{index}]{own}" if own != text else f"[{index}].{text}"
        return ""

    def _refusal(self, measurement: Measurement, now_ns: int) -> str:
        if "\x00" in measurement.tag:
            return "tag: must not hold the character NUL"
        if measurement.time < now_ns:
            return f"time: is more than {_span(self._past_ns)} back, which is no longer kept"
        return f"time: is more than {_span(self._ahead_ns)} ahead of the server's clock"


def _span(span_ns: int) -> str:
    """A span of time in words, as `24 h` or `60 s`."""
    span_s = span_ns / _NS_PER_S
    return f"{span_s / 3600:g} h" if span_s >= 3600 else f"{span_s:g} s"


def _are_lines(body: bytes, messages: int) -> bool:
    """Whether so many messages are likely one a line: there are as many ends of lines."""
    return body.count(b"\n") + (not body.endswith(b"\n")) == messages


def _split_lines(body: bytes) -> Sequence[bytes | msgspec.Raw]:
    return [line for line in body.split(b"\n") if line.strip(_BLANK)]


def _explain(error: Exception) -> str:
    """msgspec's message about one message, in the product's words: `field: what it must be`."""
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return "body: is not valid JSON"
    if match := _FIELD.match(text):
        words = "is required" if match[1].startswith("missing") else "is not a field"
        return f"{match[2][:40]}: {words}"
    place = _PLACE.search(text)
    return f"{place[1]}: {_WORDS[place[1]]}" if place else f"body: {_OBJECT_WORDS}"
