"""Numbers, times and sizes in words."""

from datetime import UTC, datetime

import pytest
from django.utils import timezone

from commons.words import bytes_words, moment_words, number_words

NOON = datetime(2026, 11, 1, 12, 0, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("size_bytes", "words"),
    [
        (None, "unknown"),
        (0, "0 B"),
        (812, "812 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (3_355_443, "3.2 MiB"),
        (3 * 2**20, "3.0 MiB"),
        (2**41, "2048 GiB"),
        (2**50, "1048576 GiB"),
    ],
)
def test_sizes(size_bytes, words):
    assert bytes_words(size_bytes) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (None, "—"),
        (0, "0"),
        (0.25, "0.2"),
        (1_000, "1\u2009000"),
        (9999.6, "10\u2009000"),
        (10**18 + 1, "1" + "\u2009000" * 5 + "\u2009001"),
    ],
)
def test_numbers(number, words):
    assert number_words(number) == words


def test_moments():
    assert moment_words(None) == "—"
    assert moment_words(None, none="never") == "never"
    with timezone.override("UTC"):
        assert moment_words(NOON) == "1 Nov 2026 12:00"
        assert moment_words(NOON, seconds=True) == "1 Nov 2026 12:00:07"
    with timezone.override("Asia/Taipei"):
        assert moment_words(NOON) == "1 Nov 2026 20:00"
        assert moment_words(datetime.max.replace(tzinfo=UTC)) == "31 Dec 9999 23:59"
