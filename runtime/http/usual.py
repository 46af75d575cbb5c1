"""Which requests with a body of JSON a hot door takes: plain ones, that the framework would neither
refuse nor redirect. Pure.
"""

from collections.abc import Callable

_JSON = frozenset([b"", b"application/json", b"application/json; charset=utf-8"])
_TAKES_JSON = frozenset([b"*/*", b"application/json"])


class UsualJson:
    """Says of each request whether it is one of them; see `Usual` in `runtime.http.routes`.

    With `authorization` a request is only taken if that accepts its header of this name, and if it
    has no cookie, which would be another way to say who asks.
    """

    def __init__(
        self,
        *,
        body_bytes_most: int,
        host_is_allowed: Callable[[bytes], bool],
        https_only: bool,
        authorization: Callable[[bytes], bool] | None = None,
    ) -> None:
        self._body_bytes_most = body_bytes_most
        self._host_is_allowed = host_is_allowed
        self._https_only = https_only
        self._authorization = authorization

    def __call__(self, query: bytes, headers: list[tuple[bytes, bytes]]) -> bool:
        """Whether this is one of them; never raises."""
        given = dict(headers)
        return (
            not query
            # Which of two equal headers counts is the framework's business.
            and len(given) == len(headers)
            and int(given.get(b"content-length", b"0")) <= self._body_bytes_most
            and given.get(b"content-type", b"").lower() in _JSON
            and not _TAKES_JSON.isdisjoint(_listed(given.get(b"accept", b"*/*")))
            and (not self._https_only or given.get(b"x-forwarded-proto") == b"https")
            and self._host_is_allowed(given.get(b"host", b""))
            and self._says_who(given)
        )

    def _says_who(self, given: dict[bytes, bytes]) -> bool:
        if self._authorization is None:
            return True
        return b"cookie" not in given and self._authorization(given.get(b"authorization", b""))


def _listed(header: bytes) -> list[bytes]:
    return [each.strip() for each in header.split(b",")]
