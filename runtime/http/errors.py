"""Error answers of hot handlers, in the one shape every error has."""

import msgspec

from runtime.http.answer import Answer

_encode = msgspec.json.Encoder().encode


def error_answer(status: int, msg: str, *, retry_after_s: int | None = None) -> Answer:
    """`{"msg": msg}` with the status, and `Retry-After` in seconds where it helps."""
    headers = () if retry_after_s is None else ((b"retry-after", b"%d" % retry_after_s),)
    return Answer(status, _encode({"msg": msg}), headers)


NOTHING_HERE = error_answer(404, "path: there is nothing here")
