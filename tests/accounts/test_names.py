"""What names may be, and when two are the same."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.errors import InvalidFieldError
from accounts.names import (
    USERNAME_KEY_CHARACTERS_MAX,
    clean_nickname,
    clean_password,
    clean_username,
    username_key,
)


@given(st.text())
def test_a_key_is_the_same_for_every_case_and_form(name):
    key = username_key(name)
    assert username_key(key) == key
    assert username_key(unicodedata.normalize("NFD", name)) == key
    assert username_key(unicodedata.normalize("NFKC", name)) == key


@given(st.text(max_size=40))
def test_a_username_that_passes_is_normal_short_and_visible(name):
    try:
        clean = clean_username(name)
    except InvalidFieldError:
        return
    assert clean == unicodedata.normalize("NFKC", name)
    assert 1 <= len(clean) <= 30
    seen = clean.translate({0x200C: None, 0x200D: None})
    assert not any(unicodedata.category(each) in ("Cc", "Cf", "Cs") for each in seen)
    assert username_key(clean)
    assert len(username_key(clean)) <= USERNAME_KEY_CHARACTERS_MAX


@pytest.mark.parametrize(
    "name",
    [
        *("a", "a" * 30, "Zoë", "山田 太郎", "名" * 30, "x@y.z", "ﬁn"),
        *("\U0001f469\u200d\U0001f680", "می\u200cخواهم", "\u2764\ufe0f"),
    ],
)
def test_usernames_that_pass(name):
    assert clean_username(name) == unicodedata.normalize("NFKC", name)


@pytest.mark.parametrize(
    "name",
    [
        *("", "a" * 31, "a\x00b", "a\nb", "a\x7f", "a\u202eb", "a\u200b", "\ud800", " a", "a "),
        *("\u200d", "\u3164", "a\u115fb", "\u2800", "\ufe0f", None, 7),
    ],
)
def test_usernames_that_do_not_pass(name):
    with pytest.raises(InvalidFieldError, match=r"^username: "):
        clean_username(name)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Ann", "ANN"), ("Straße", "STRASSE"), ("ﬁ", "FI"), ("ann", "a\u200dn\u200cn")],
)
def test_names_that_are_the_same(one, other):
    assert username_key(one) == username_key(other)


def test_nicknames():
    assert clean_nickname("  Ann 👩‍🚀 ") == "Ann 👩‍🚀"
    assert clean_nickname("") == ""
    for bad in ("x" * 31, "a\nb", "a\u202eb", "\ud800", "\u3164", "\u200d\ufe0f", None):
        with pytest.raises(InvalidFieldError, match=r"^nickname: "):
            clean_nickname(bad)


def test_passwords():
    assert clean_password(" with spaces ") == " with spaces "
    for bad in ("1234567", "x" * 129, "abcdefg\ud800", 12345678):
        with pytest.raises(InvalidFieldError, match=r"^password: "):
            clean_password(bad)
