"""Objects that give a field twice, of which msgspec keeps the last: found by counting quotes. Pure.

Text that was decoded as objects of one kind, no field of which may be missing or unknown, has so
many quotes for each, and more when a field is given again.
"""

_QUOTE, _BACKSLASH = b'"', b"\\"


def given_twice(body: bytes, quotes: int) -> bool:
    """Whether a decoded text, which needs so many quotes, gives a field twice."""
    if body.count(_QUOTE) == quotes:
        return False
    if _BACKSLASH not in body:
        return True
    # Quotes that are part of a text have a backslash before them, which has none before it.
    rest = body.replace(2 * _BACKSLASH, b"")
    return rest.count(_QUOTE) - rest.count(_BACKSLASH + _QUOTE) != quotes
