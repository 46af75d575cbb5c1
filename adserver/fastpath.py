"""`GET /api/v1/ad`: from the raw query string to the answer's bytes, without Django.

The parameters of a usual request are looked up whole (`age=25` is one dictionary key), which
validates and decodes them in one step; anything else goes through the careful parser below, which
says what is wrong.
"""

from urllib.parse import parse_qsl

from adserver.countries import COUNTRIES
from adserver.index import CatalogIndex
from adserver.records import GENDERS, PLATFORMS, VISITOR_AGE_MAX
from adserver.targeting import visitor_need
from runtime.http.answer import Answer, Headers
from runtime.http.errors import error_answer

LIMIT_DEFAULT, LIMIT_MAX = 10, 100
# Far beyond any catalog, and still an index that Python can slice with.
OFFSET_MAX = 2**62
PAIRS_MAX = 100
_PARAMETERS = ("age", "country", "gender", "platform", "offset", "limit")

_LIMIT_FLAG, _OFFSET_FLAG, _START_FLAG = 16, 32, 64
# One whole parameter -> its flag and its value: the bits it needs, or a number.
_PAIRS: dict[bytes, tuple[int, int]] = {
    **{b"age=%d" % age: (1, visitor_need(age=age)) for age in range(1, VISITOR_AGE_MAX + 1)},
    **{b"country=%b" % c.encode(): (2, visitor_need(country=c)) for c in COUNTRIES},
    **{b"gender=%b" % g.encode(): (4, visitor_need(gender=g)) for g in GENDERS},
    **{b"platform=%b" % p.encode(): (8, visitor_need(platform=p)) for p in PLATFORMS},
    **{b"limit=%d" % n: (_LIMIT_FLAG, n) for n in range(1, LIMIT_MAX + 1)},
    **{b"offset=%d" % n: (_OFFSET_FLAG, n) for n in range(1000)},
}

# Collides with every flag, from the first parameter on: the careful parser takes over.
_UNUSUAL = (-1, 0)


class InvalidQueryError(ValueError):
    """A parameter is not as it should be; the message names it."""


def parse_query(query: bytes) -> tuple[int, int, int]:
    """Need, offset and limit of a raw query string. InvalidQueryError names a bad parameter."""
    try:
        # Bytes that are no UTF-8 become U+FFFD: no value that is known, and no harm elsewhere.
        pairs = parse_qsl(
            query.decode(errors="replace"), keep_blank_values=True, max_num_fields=PAIRS_MAX
        )
    except ValueError:
        raise InvalidQueryError(f"query: has more than {PAIRS_MAX} parameters") from None
    given: dict[str, str] = {}
    for name, value in pairs:
        if name in _PARAMETERS and value:
            if name in given:
                raise InvalidQueryError(f"{name}: is given more than once")
            given[name] = value
    need = visitor_need(
        age=_number(given, "age", 1, VISITOR_AGE_MAX),
        country=_choice(given, "country", COUNTRIES, "an ISO 3166-1 alpha-2 country"),
        gender=_choice(given, "gender", GENDERS, "M or F"),
        platform=_choice(given, "platform", PLATFORMS, "android, ios or web"),
    )
    offset = _number(given, "offset", 0, OFFSET_MAX)
    limit = _number(given, "limit", 1, LIMIT_MAX)
    return need, offset or 0, LIMIT_DEFAULT if limit is None else limit


def _number(given: dict[str, str], name: str, least: int, most: int) -> int | None:
    text = given.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and least <= int(text) <= most):
        if name == "offset":
            raise InvalidQueryError("offset: must be a whole number, 0 or more")
        raise InvalidQueryError(f"{name}: must be a whole number from {least} to {most}")
    return int(text)


def _choice(
    given: dict[str, str], name: str, allowed: frozenset[str] | tuple[str, ...], what: str
) -> str | None:
    text = given.get(name)
    if text is not None and text not in allowed:
        raise InvalidQueryError(f"{name}: must be {what}")
    return text


class AdLookup:
    """The hot handler: raw query string in, Answer out. Safe to call from any thread."""

    def __init__(self, index: CatalogIndex) -> None:
        self._query = index.query
        # One headers tuple per version, so that the doors may keep its encoded form.
        self._known: tuple[int | None, Headers] = (None, ())

    def __call__(self, query: bytes) -> Answer:
        """200 with the page; 400 that names the parameter; 503 while nothing is loaded."""
        need = offset = 0
        seen = _START_FLAG
        limit = LIMIT_DEFAULT
        if query:
            for pair in query.split(b"&"):
                flag, value = _PAIRS.get(pair, _UNUSUAL)
                if seen & flag:
                    return self._careful(query)
                seen |= flag
                if flag < _LIMIT_FLAG:
                    need |= value
                elif flag == _LIMIT_FLAG:
                    limit = value
                else:
                    offset = value
        return self._answer(need, offset, limit)

    def _careful(self, query: bytes) -> Answer:
        try:
            need, offset, limit = parse_query(query)
        except InvalidQueryError as error:
            return error_answer(400, str(error))
        return self._answer(need, offset, limit)

    def _answer(self, need: int, offset: int, limit: int) -> Answer:
        version, total, page = self._query(need, offset, limit)
        if version is None:
            return error_answer(503, "the catalog is not loaded yet", retry_after_s=1)
        known = self._known
        if known[0] != version:
            known = self._known = (version, ((b"x-catalog-version", b"%d" % version),))
        return Answer(200, b'{"ads":[%b],"total":%d}' % (b",".join(page), total), known[1])
