"""Ads and visitors drawn so that they often meet: few values, many borders."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import strategies as st

from adserver.records import AdRecord
from tests.index.reference import COUNTRIES, GENDERS, PLATFORMS

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
# Steps of ten microseconds, so that starts, ends and "now" fall on the same instant often.
STEP_US = 10
STEPS_MAX = 60


def moment(step: int) -> datetime:
    return EPOCH + timedelta(microseconds=step * STEP_US)


def subsets(values: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), unique=True).map(tuple)


ids = st.integers(0, 25).map(lambda n: UUID(int=n << 64))

# What an ad may contain: PostgreSQL keeps no NUL.
writable = st.characters(codec="utf-8", exclude_characters="\x00")


@st.composite
def records(draw: st.DrawFn, ad_id: st.SearchStrategy[UUID] = ids) -> AdRecord:
    start = draw(st.integers(0, STEPS_MAX - 1))
    age_start = draw(st.sampled_from((0, 1, 18, 25, 100)))
    return AdRecord(
        id=draw(ad_id),
        title="An ad",
        content=draw(st.text(writable, max_size=3)),
        start_at=moment(start),
        end_at=moment(draw(st.integers(start + 1, STEPS_MAX))),
        age_start=age_start,
        age_end=draw(st.integers(age_start, 100)),
        gender=draw(subsets(GENDERS)),
        country=draw(subsets(COUNTRIES)),
        platform=draw(subsets(PLATFORMS)),
        version=draw(st.integers(1, 1000)),
        created_at=EPOCH,
    )


visitors = st.fixed_dictionaries(
    {},
    optional={
        "age": st.sampled_from((1, 18, 25, 26, 99, 100, 101, 255)),
        "country": st.sampled_from((*COUNTRIES, "DE")),
        "gender": st.sampled_from(GENDERS),
        "platform": st.sampled_from(PLATFORMS),
    },
)
