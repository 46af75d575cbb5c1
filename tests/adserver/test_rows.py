"""Rows of CSV and JSON lines, without a server."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adserver.countries import COUNTRIES
from adserver.models import new_ad_id
from adserver.records import GENDERS, PLATFORMS, AdRecord, fields_of
from adserver.rows import (
    RowError,
    RowsError,
    check_rows,
    rows_from_csv,
    rows_from_json_lines,
    rows_to_csv,
)

CHARACTERS = st.characters(exclude_characters="\x00", exclude_categories=["Cs"])
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMES = st.timedeltas(timedelta(0), timedelta(days=80_000)).map(EPOCH.__add__)


def lists(values) -> st.SearchStrategy:
    return st.lists(st.sampled_from(sorted(values)), unique=True, max_size=4).map(tuple)


def shows(title: str) -> bool:
    """Whether a title has anything to see; others are refused."""
    return any(sign.isprintable() and not sign.isspace() for sign in title)


ADS = st.builds(
    AdRecord,
    id=st.builds(new_ad_id),
    title=st.text(CHARACTERS, min_size=5, max_size=100).filter(shows),
    content=st.text(CHARACTERS, max_size=50),
    start_at=TIMES,
    end_at=TIMES.map(lambda moment: moment + timedelta(days=100_000)),
    age_start=st.integers(0, 50),
    age_end=st.integers(50, 100),
    gender=lists(GENDERS),
    country=lists(COUNTRIES),
    platform=lists(PLATFORMS),
    version=st.just(1),
    created_at=TIMES,
)


@given(st.lists(ADS, max_size=4))
def test_what_is_exported_is_read_back(ads):
    fields, errors = check_rows(rows_from_csv("".join(rows_to_csv(ads))))
    assert errors == []
    assert fields == [fields_of(ad) for ad in ads]


@given(st.text())
def test_any_text_is_rows_or_an_error(text):
    for read in (rows_from_csv, rows_from_json_lines):
        try:
            rows = read(text)
        except RowsError:
            continue
        fields, errors = check_rows(rows)
        assert len(fields) + len(errors) == len(rows)


def test_json_lines_name_the_broken_one():
    rows = rows_from_json_lines('\n{"title": 1}\n{\r\n\n[]\n')
    assert check_rows(rows)[1] == [
        RowError(1, "title: must be a string; content: is required; start_at: is required; "
                    "end_at: is required"),
        RowError(2, "row: is not valid JSON"),
        RowError(3, "row: must be an object"),
    ]  # fmt: skip


@pytest.mark.parametrize("read", [rows_from_csv, rows_from_json_lines])
def test_too_many_rows(read):
    text = "title,content,start_at,end_at\n" + "1,2,3,4\n" * 3
    assert len(read(text, most=4)) >= 3
    with pytest.raises(RowsError, match="rows: at most 2 at once"):
        read(text, most=2)
