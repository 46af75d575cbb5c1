"""What the index must answer, written the slow and obvious way."""

from collections.abc import Iterable

from adserver.records import AdRecord, epoch_us, render
from adserver.targeting import COUNTRY_BIT, GENDER_BIT, PLATFORM_BIT, visitor_code

Visitor = dict[str, object]


def fits(ad: AdRecord, visitor: Visitor) -> bool:
    age = visitor.get("age")
    if isinstance(age, int) and not ad.age_start <= age <= ad.age_end:
        return False
    return all(
        not getattr(ad, name) or visitor.get(name) is None or visitor[name] in getattr(ad, name)
        for name in ("country", "gender", "platform")
    )


def expected(
    ads: Iterable[AdRecord], *, now_ns: int, visitor: Visitor, offset: int, limit: int
) -> tuple[int, list[bytes]]:
    """Total and page by a filter over all ads."""
    now_us = now_ns // 1000
    found = [
        ad
        for ad in ads
        if epoch_us(ad.start_at) <= now_us < epoch_us(ad.end_at) and fits(ad, visitor)
    ]
    found.sort(key=lambda ad: (ad.end_at, ad.id.int))
    return len(found), [render(ad) for ad in found[offset : offset + limit]]


def code_of(visitor: Visitor) -> int:
    return visitor_code(**visitor)  # type: ignore[arg-type]


COUNTRIES = ("TW", "JP", "US")
assert all(code in COUNTRY_BIT for code in COUNTRIES)
GENDERS = tuple(GENDER_BIT)
PLATFORMS = tuple(PLATFORM_BIT)
