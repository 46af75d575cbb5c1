"""The query parameters of the operator's lists. A bad value is a 400 that names the parameter."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from django.db.models import QuerySet
from rest_framework.exceptions import NotFound, ParseError
from rest_framework.request import Request
from rest_framework.utils.urls import remove_query_param, replace_query_param

from adserver.countries import COUNTRIES
from adserver.models import Ad
from adserver.records import COUNTRY_WORDS, GENDER_WORDS, GENDERS, PLATFORM_WORDS, PLATFORMS
from adserver.selectors import ads_matching

PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX = 50, 1_000
PAGE_MAX = 1_000_000_000
TEXT_CHARACTERS_MAX = 200
STATES = ("scheduled", "live", "ended")
ORDERINGS = ("end_at", "start_at", "created_at", "updated_at", "title", "version")
ORDERING_DEFAULT = "end_at"
Item = TypeVar("Item")


def parameter(request: Request, name: str) -> str:
    """The parameter's value, empty when it is absent."""
    given = [value for value in request.query_params.getlist(name) if value]
    if len(given) > 1:
        raise ParseError(f"{name}: is given more than once")
    return given[0] if given else ""


def number(request: Request, name: str, *, default: int, most: int) -> int:
    """A whole number from 1 to `most`."""
    text = parameter(request, name)
    if not text:
        return default
    usual = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    if not usual or not 1 <= int(text) <= most:
        raise ParseError(f"{name}: must be a whole number from 1 to {most}")
    return int(text)


def flag(request: Request, name: str) -> bool:
    """`true` or `false`, which is the default."""
    return choice(request, name, ("true", "false"), "true or false") == "true"


def choice(
    request: Request, name: str, allowed: Sequence[str] | frozenset[str], what: str
) -> str | None:
    """One of the allowed values, or None."""
    value = parameter(request, name)
    if value and value not in allowed:
        raise ParseError(f"{name}: must be {what}")
    return value or None


def ads_asked_for(request: Request) -> QuerySet[Ad]:
    """The ads that the filters select, in the order asked for."""
    ads = ads_matching(
        state=choice(request, "state", STATES, "scheduled, live or ended"),
        country=choice(request, "country", COUNTRIES, COUNTRY_WORDS),
        gender=choice(request, "gender", GENDERS, GENDER_WORDS),
        platform=choice(request, "platform", PLATFORMS, PLATFORM_WORDS),
        text=_search_text(request),
    )
    ordering = parameter(request, "ordering") or ORDERING_DEFAULT
    if ordering.removeprefix("-") not in ORDERINGS:
        raise ParseError(f"ordering: must be one of {', '.join(ORDERINGS)}, or - before it")
    return ads.order_by(ordering, "-id" if ordering.startswith("-") else "id")


def _search_text(request: Request) -> str | None:
    text = parameter(request, "q")
    if len(text) > TEXT_CHARACTERS_MAX or "\x00" in text:
        raise ParseError(f"q: must have at most {TEXT_CHARACTERS_MAX} characters, and no NUL")
    return text or None


def page_of(
    request: Request, count: int, read: Callable[[int, int], Iterable[Item]]
) -> tuple[list[Item], dict[str, Any]]:
    """One page of `count` items, and the envelope it goes into. `read` gives those from the first
    number to before the second.
    """
    size = number(request, "page_size", default=PAGE_SIZE_DEFAULT, most=PAGE_SIZE_MAX)
    page = number(request, "page", default=1, most=PAGE_MAX)
    last = max(1, -(-count // size))
    if page > last:
        raise NotFound(f"page: there is no page {page}, the last is {last}")
    url = request.build_absolute_uri()
    envelope: dict[str, Any] = {
        "count": count,
        "next": replace_query_param(url, "page", page + 1) if page < last else None,
        "previous": _previous(url, page),
        "results": [],
    }
    return list(read((page - 1) * size, page * size)), envelope


def _previous(url: str, page: int) -> str | None:
    if page == 1:
        return None
    return (
        remove_query_param(url, "page") if page == 2 else replace_query_param(url, "page", page - 1)
    )
