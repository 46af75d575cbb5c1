"""The fields of a JSON body, as every door of HTTP asks for them. Pure."""

from accounts.errors import InvalidFieldError
from runtime.strict_json import InvalidBodyError


def field_of(body: object, name: str) -> object:
    """What the field holds. InvalidBodyError when the body is no object, InvalidFieldError when
    it has no such field.
    """
    if not isinstance(body, dict):
        raise InvalidBodyError("body: must be an object")
    if name not in body:
        raise InvalidFieldError(name, "is required")
    return body[name]


def text_of(body: object, name: str) -> str:
    """The same, for a field that holds text."""
    value = field_of(body, name)
    if not isinstance(value, str):
        raise InvalidFieldError(name, "must be text")
    return value
