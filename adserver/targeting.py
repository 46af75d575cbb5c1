"""Targeting as bits: what an ad accepts, and what a visitor brings.

Every attribute value owns one bit. An ad's mask has the bits of all values it accepts; a
visitor's need has the bits of the values given. The ad fits when `mask & need == need`: an
attribute that is not given needs nothing, and an ad's empty list accepts every value.
"""

from functools import lru_cache

from adserver.countries import COUNTRIES
from adserver.records import AGE_MAX, AGE_MIN, GENDERS, PLATFORMS, AdFields, AdRecord, epoch_us

# Ages 0–255 own bits 0–255. No ad reaches beyond 100, so an older visitor matches none.
_AGE_BITS = 256
COUNTRY_BIT = {code: _AGE_BITS + i for i, code in enumerate(sorted(COUNTRIES))}
_GENDER_FROM = _AGE_BITS + len(COUNTRY_BIT)
GENDER_BIT = {code: _GENDER_FROM + i for i, code in enumerate(GENDERS)}
_PLATFORM_FROM = _GENDER_FROM + len(GENDER_BIT)
PLATFORM_BIT = {code: _PLATFORM_FROM + i for i, code in enumerate(PLATFORMS)}
BITS = _PLATFORM_FROM + len(PLATFORM_BIT)


def _range_mask(first: int, last: int) -> int:
    """Bits `first` to `last`, both included."""
    return ((1 << (last - first + 1)) - 1) << first


ALL_AGES = _range_mask(AGE_MIN, AGE_MAX)
ALL_COUNTRIES = _range_mask(_AGE_BITS, _GENDER_FROM - 1)
ALL_GENDERS = _range_mask(_GENDER_FROM, _PLATFORM_FROM - 1)
ALL_PLATFORMS = _range_mask(_PLATFORM_FROM, BITS - 1)
# Fields whose "everybody" is one flag in a block instead of a bit in each of its values' sets.
FIELD_MASKS = (_range_mask(0, _AGE_BITS - 1), ALL_COUNTRIES, ALL_GENDERS, ALL_PLATFORMS)
EVERYBODY = (ALL_AGES, ALL_COUNTRIES, ALL_GENDERS, ALL_PLATFORMS)


def ad_mask(ad: AdRecord | AdFields) -> int:
    """The bits of every value the ad accepts."""
    mask = _range_mask(ad.age_start, ad.age_end)
    mask |= sum(1 << COUNTRY_BIT[code] for code in ad.country) or ALL_COUNTRIES
    mask |= sum(1 << GENDER_BIT[code] for code in ad.gender) or ALL_GENDERS
    mask |= sum(1 << PLATFORM_BIT[code] for code in ad.platform) or ALL_PLATFORMS
    return mask


_TO_FLAGS = bytes.maketrans(b"01", b"\x00\x01")
# A visitor in one small number: per attribute a field of bits, 0 where it is not given.
_AGE_SHIFT, _COUNTRY_SHIFT, _GENDER_SHIFT, _PLATFORM_SHIFT, VISITOR_BITS = 0, 8, 16, 18, 20
_FIELDS = (
    (_AGE_SHIFT, 0xFF, 0),
    (_COUNTRY_SHIFT, 0xFF, _AGE_BITS - 1),
    (_GENDER_SHIFT, 0x3, _GENDER_FROM - 1),
    (_PLATFORM_SHIFT, 0x3, _PLATFORM_FROM - 1),
)


def visitor_code(
    *,
    age: int | None = None,
    country: str | None = None,
    gender: str | None = None,
    platform: str | None = None,
) -> int:
    """The attributes a visitor gives as one number; KeyError for a value that does not exist."""
    code = age or 0
    if country is not None:
        code |= COUNTRY_BIT[country] - _AGE_BITS + 1 << _COUNTRY_SHIFT
    if gender is not None:
        code |= GENDER_BIT[gender] - _GENDER_FROM + 1 << _GENDER_SHIFT
    if platform is not None:
        code |= PLATFORM_BIT[platform] - _PLATFORM_FROM + 1 << _PLATFORM_SHIFT
    return code


def need_of(visitor: int) -> int:
    """The bits of the values that a visitor (by `visitor_code`) gives."""
    need = 0
    for shift, mask, before_first in _FIELDS:
        if value := visitor >> shift & mask:
            need |= 1 << before_first + value
    return need


def bit_positions(mask: int) -> list[int]:
    """The positions of the set bits, ascending."""
    positions = []
    while mask:
        low = mask & -mask
        positions.append(low.bit_length() - 1)
        mask ^= low
    return positions


@lru_cache(maxsize=2048)
def value_positions(accepted: int) -> tuple[int, ...]:
    """As `bit_positions`, remembered: ads make few different choices of one attribute."""
    return tuple(bit_positions(accepted))


def bit_flags(mask: int) -> bytes:
    """A byte 0 or 1 for each bit, the lowest first; by way of a string, which costs least."""
    return bin(mask)[:1:-1].encode().translate(_TO_FLAGS)


def exclusions(ad: AdRecord, *, now_us: int, visitor: int) -> list[str]:
    """Why the ad is not shown to a visitor: names among `start_at`, `end_at`, `age`, `country`,
    `gender`, `platform`; empty when it is shown. `now_us` is microseconds since the epoch,
    `visitor` a `visitor_code`.
    """
    reasons = []
    if now_us < epoch_us(ad.start_at):
        reasons.append("start_at")
    if now_us >= epoch_us(ad.end_at):
        reasons.append("end_at")
    missing = need_of(visitor) & ~ad_mask(ad)
    names = ("age", "country", "gender", "platform")
    reasons += [name for name, field in zip(names, FIELD_MASKS, strict=True) if missing & field]
    return reasons
