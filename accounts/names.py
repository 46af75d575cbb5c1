"""What usernames, nicknames and passwords may be. Pure.

Two usernames are the same when their keys are: NFKC makes one of the ways to write a character,
and case folding makes one of its cases. Folding may undo the normal form, so it is made twice.
Joiners, which some scripts and emoji need inside a name, make no difference.
"""

import unicodedata

from accounts.errors import InvalidFieldError

USERNAME_CHARACTERS_MAX = 30
NICKNAME_CHARACTERS_MAX = 30
PASSWORD_CHARACTERS_MIN, PASSWORD_CHARACTERS_MAX = 8, 128
# Names that operators were given elsewhere may be longer.
OPERATOR_NAME_CHARACTERS_MAX = 150
# Folding makes up to three characters of one.
USERNAME_KEY_CHARACTERS_MAX = 3 * OPERATOR_NAME_CHARACTERS_MAX

# Control and format characters, halves of surrogate pairs, line and paragraph separators: what
# cannot be seen, or turns the text around it.
_UNSEEN_IN_NAMES = frozenset(["Cc", "Cf", "Cs", "Zl", "Zp"])
_UNSEEN = "must not have control or invisible characters"
_JOINERS = {ord("\u200c"): None, ord("\u200d"): None}
# Letters and symbols that are nothing but room: Hangul fillers, a braille cell without a dot.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800")
# What is seen only together with what it stands behind.
_JOINED = frozenset(["Cf", "Mn", "Me", "Zs"])
# Format characters hold emoji together.
_UNSEEN_IN_NICKNAMES = _UNSEEN_IN_NAMES - {"Cf"}
_TURNS_TEXT = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def username_key(username: str) -> str:
    """What makes a username unique. Any text has one."""
    folded = unicodedata.normalize("NFKC", username).casefold().translate(_JOINERS)
    return unicodedata.normalize("NFKC", folded)


def clean_username(given: object) -> str:
    """The username in NFKC, case as given. InvalidFieldError says what is wrong with it."""
    username = known_username(given, most=USERNAME_CHARACTERS_MAX)
    if not _is_seen(username):
        raise InvalidFieldError("username", _UNSEEN)
    return username


def known_username(given: object, *, most: int) -> str:
    """The same for the name of somebody who may have had it before some names were refused."""
    if not isinstance(given, str):
        raise InvalidFieldError("username", "must be text")
    # Normalising makes up to 18 characters of one: what is far too long is not even tried.
    if len(given) > 20 * most:
        raise InvalidFieldError("username", f"must have 1 to {most} characters")
    username = unicodedata.normalize("NFKC", given)
    if not 1 <= len(username) <= most:
        raise InvalidFieldError("username", f"must have 1 to {most} characters")
    if _has(username.translate(_JOINERS), _UNSEEN_IN_NAMES):
        raise InvalidFieldError("username", _UNSEEN)
    if username != username.strip():
        raise InvalidFieldError("username", "must not begin or end with white space")
    return username


def clean_nickname(given: object) -> str:
    """The nickname in NFC, without white space around it; may be empty. InvalidFieldError."""
    if not isinstance(given, str):
        raise InvalidFieldError("nickname", "must be text")
    too_long = InvalidFieldError(
        "nickname", f"must have at most {NICKNAME_CHARACTERS_MAX} characters"
    )
    if len(given) > 20 * NICKNAME_CHARACTERS_MAX:
        raise too_long
    nickname = unicodedata.normalize("NFC", given).strip()
    if len(nickname) > NICKNAME_CHARACTERS_MAX:
        raise too_long
    if (
        _has(nickname, _UNSEEN_IN_NICKNAMES)
        or _TURNS_TEXT.intersection(nickname)
        or (nickname and not _is_seen(nickname))
    ):
        raise InvalidFieldError("nickname", _UNSEEN)
    return nickname


def clean_password(given: object, *, field: str = "password") -> str:
    """The new password as it is. InvalidFieldError when it is too short, too long or no text."""
    least, most = PASSWORD_CHARACTERS_MIN, PASSWORD_CHARACTERS_MAX
    if not isinstance(given, str):
        raise InvalidFieldError(field, "must be text")
    if not least <= len(given) <= most:
        raise InvalidFieldError(field, f"must have {least} to {most} characters")
    if _has(given, frozenset(["Cs"])):
        raise InvalidFieldError(field, "must be valid Unicode")
    return given


def _is_seen(name: str) -> bool:
    """Whether there is anything to see, and nothing that only makes room."""
    return not _BLANK.intersection(name) and any(
        unicodedata.category(character) not in _JOINED for character in name
    )


def _has(text: str, categories: frozenset[str]) -> bool:
    return any(unicodedata.category(character) in categories for character in text)
