"""Error answers of hot handlers, in the one shape every error has."""

import json

import msgspec

from runtime.http.answer import Answer

_encode = msgspec.json.Encoder().encode


def error_answer(status: int, msg: str, *, retry_after_s: int | None = None) -> Answer:
    """`{"msg": msg}` with the status, and `Retry-After` in seconds where it helps."""
    headers = () if retry_after_s is None else ((b"retry-after", b"%d" % retry_after_s),)
    try:
        body = _encode({"msg": msg})
    except UnicodeEncodeError:
        # Half a surrogate pair, echoed of what came; the framework's renderer does the same.
        body = json.dumps({"msg": msg}).encode()
    return Answer(status, body, headers)


INTERNAL_ERROR = Answer(500, b'{"msg":"internal error"}')
READS_ONLY = error_answer(405, "method: must be GET or HEAD")._replace(
    headers=((b"allow", b"GET, HEAD"),)
)
NOTHING_HERE = error_answer(404, "path: there is nothing here")
