"""`GET /api/v1/ad`: from the raw query string to the answer's bytes, without Django.

The parameters of a usual request are looked up whole (`age=25` is one dictionary key), which
validates and decodes them in one step, 0.7 µs for six; anything else goes through the careful
parser below, which says what is wrong. Visitors of one kind and pages of one size come again, so
what stands before and after `&offset=` in a usual request is remembered: 0.2 µs. No answer is.
"""

from typing import TypeVar
from urllib.parse import parse_qsl

from adserver.countries import COUNTRIES
from adserver.index import CatalogIndex
from adserver.records import (
    COUNTRY_WORDS,
    GENDER_WORDS,
    GENDERS,
    PLATFORM_WORDS,
    PLATFORMS,
    VISITOR_AGE_MAX,
)
from adserver.targeting import VISITOR_BITS, visitor_code
from runtime.http.answer import Answer, Headers
from runtime.http.errors import error_answer

LIMIT_DEFAULT, LIMIT_MAX = 10, 100
# Far beyond any catalog, and still an index that Python can slice with: what is more means this.
OFFSET_MAX = 2**62
_OFFSET_DIGITS = 18
_PARAMETERS = ("age", "country", "gender", "platform", "offset", "limit")

# A request in one number: the visitor's code, limit, offset, and a flag for every parameter given.
# A usual query is read by joining the bits of its parts; a parameter that is repeated shows in
# that there are fewer flags than parts.
_LIMIT_SHIFT = VISITOR_BITS
_OFFSET_SHIFT = _LIMIT_SHIFT + 7
_FLAGS_SHIFT = _OFFSET_SHIFT + 10
_USUAL_OFFSETS = 1000
_VISITOR_MASK, _LIMIT_MASK, _OFFSET_MASK = (1 << VISITOR_BITS) - 1, 0x7F, 0x3FF
_VISITOR_FLAGS = 0b001111
_FLAG_COUNTS = tuple(flags.bit_count() for flags in range(1 << len(_PARAMETERS)))


def _parts() -> dict[bytes, int]:
    """Every usual parameter with its value, as it is written, and its bits."""
    values: dict[str, dict[object, int]] = {
        "age": {age: visitor_code(age=age) for age in range(1, VISITOR_AGE_MAX + 1)},
        "country": {code: visitor_code(country=code) for code in COUNTRIES},
        "gender": {code: visitor_code(gender=code) for code in GENDERS},
        "platform": {code: visitor_code(platform=code) for code in PLATFORMS},
        "offset": {number: number << _OFFSET_SHIFT for number in range(_USUAL_OFFSETS)},
        "limit": {number: number << _LIMIT_SHIFT for number in range(1, LIMIT_MAX + 1)},
    }
    return {
        f"{name}={value}".encode(): bits | 1 << _FLAGS_SHIFT + number
        for number, name in enumerate(_PARAMETERS)
        for value, bits in values[name].items()
    }


_PARTS = _parts()


# Where a query ends to say who asks, and begins to say which page.
_PAGE_BEGINS = b"&offset="
_KNOWN_MOST = 16_384

# What Answer(…) does, without the call of a Python function on the way.
_new_tuple = tuple.__new__


class InvalidQueryError(ValueError):
    """A parameter is not as it should be; the message names it."""


def parse_query(query: bytes) -> tuple[int, int, int]:
    """Visitor code, offset and limit of a raw query string. InvalidQueryError names what is bad."""
    # Bytes that are no UTF-8 become U+FFFD: no value that is known, and no harm elsewhere.
    pairs = parse_qsl(query.decode(errors="replace"), keep_blank_values=True)
    given: dict[str, str] = {}
    for name, value in pairs:
        if name in _PARAMETERS and value:
            if name in given:
                raise InvalidQueryError(f"{name}: is given more than once")
            given[name] = value
    visitor = visitor_code(
        age=_number(given, "age", 1, VISITOR_AGE_MAX),
        country=_choice(given, "country", COUNTRIES, COUNTRY_WORDS),
        gender=_choice(given, "gender", GENDERS, GENDER_WORDS),
        platform=_choice(given, "platform", PLATFORMS, PLATFORM_WORDS),
    )
    offset = _offset(given.get("offset", "0"))
    limit = _number(given, "limit", 1, LIMIT_MAX)
    return visitor, offset, LIMIT_DEFAULT if limit is None else limit


def _number(given: dict[str, str], name: str, least: int, most: int) -> int | None:
    text = given.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and least <= int(text) <= most):
        raise InvalidQueryError(f"{name}: must be a whole number from {least} to {most}")
    return int(text)


def _offset(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise InvalidQueryError("offset: must be a whole number, 0 or more")
    digits = text.lstrip("0")
    return int(digits or "0") if len(digits) <= _OFFSET_DIGITS else OFFSET_MAX


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
        self._index = index
        self._peek = index.peek
        # One headers tuple per version, so that the doors may keep its encoded form.
        self._known: tuple[int, Headers] = (-1, ())
        # What the two halves of usual queries mean: who asks, and offset and limit.
        self._visitors: dict[bytes, int] = {}
        self._pages: dict[bytes, tuple[int, int]] = {}

    def __call__(self, query: bytes) -> Answer:
        """200 with the page; 400 that names the parameter; 503 while nothing is loaded."""
        who, _, where = query.partition(_PAGE_BEGINS)
        visitor, page_asked = self._visitors.get(who), self._pages.get(where)
        if visitor is None or page_asked is None:
            return self._read(query)
        version, total, page = self._peek(visitor, *page_asked)
        known = self._known
        if known[0] == version:
            body = b'{"ads":[%b],"total":%d}' % (b",".join(page), total)
            # Whether what was joined is of this version.
            if self._index.begun == version:
                return _new_tuple(Answer, (200, body, known[1]))
        return self._answer(*self._index.query(visitor, *page_asked))

    def _read(self, query: bytes) -> Answer:
        """Answer a query of which a half is new, and remember both if they are usual ones."""
        asked = _usual(query)
        if asked is None:
            return self._careful(query)
        visitor, page_asked = asked & _VISITOR_MASK, _page_of(asked)
        who, _, where = query.partition(_PAGE_BEGINS)
        flags = asked >> _FLAGS_SHIFT
        if _usual(who) == visitor | (flags & _VISITOR_FLAGS) << _FLAGS_SHIFT:
            _remember(self._visitors, who, visitor)
            _remember(self._pages, where, page_asked)
        return self._answer(*self._index.query(visitor, *page_asked))

    def _careful(self, query: bytes) -> Answer:
        try:
            visitor, offset, limit = parse_query(query)
        except InvalidQueryError as error:
            return error_answer(400, str(error))
        return self._answer(*self._index.query(visitor, offset, limit))

    def _answer(self, version: int | None, total: int, page: list[bytes]) -> Answer:
        if version is None:
            return error_answer(503, "the catalog is not loaded yet", retry_after_s=1)
        known = self._known
        if known[0] != version:
            known = self._known = (version, ((b"x-catalog-version", b"%d" % version),))
        return Answer(200, b'{"ads":[%b],"total":%d}' % (b",".join(page), total), known[1])


def _usual(query: bytes) -> int | None:
    """The bits of a query of usual parameters, each given once at most; None for any other."""
    asked = 0
    parts = query.split(b"&") if query else []
    try:
        for part in parts:
            asked |= _PARTS[part]
    except KeyError:
        return None
    return asked if _FLAG_COUNTS[asked >> _FLAGS_SHIFT] == len(parts) else None


def _page_of(asked: int) -> tuple[int, int]:
    """Offset and limit."""
    return (
        asked >> _OFFSET_SHIFT & _OFFSET_MASK,
        asked >> _LIMIT_SHIFT & _LIMIT_MASK or LIMIT_DEFAULT,
    )


Meaning = TypeVar("Meaning")


def _remember(known: dict[bytes, Meaning], text: bytes, meaning: Meaning) -> None:
    # Crawlers may ask for anything; the usual ones are back at once.
    if len(known) >= _KNOWN_MOST:
        known.clear()
    known[text] = meaning
