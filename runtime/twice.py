"""Objects that give a field twice, of which msgspec keeps the last: found by counting quotes. Pure.

Text that was decoded as objects of one kind, no field of which may be missing or unknown, has so
many quotes for each, and more when a field is given again. Where there is a backslash, quotes may
be part of a text: that is not looked at.
"""

_QUOTE, _BACKSLASH = b'"', b"\\"


def given_twice(body: bytes, quotes: int) -> bool:
    """Whether a decoded text, which needs so many quotes, gives a field twice."""
    return body.count(_QUOTE) != quotes and _BACKSLASH not in body
