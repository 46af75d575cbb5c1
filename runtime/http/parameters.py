"""The parameters of a query string, each at most once. Pure."""

from urllib.parse import parse_qsl


def parameters_of(query: bytes, names: tuple[str, ...], refusal: type[Exception]) -> dict[str, str]:
    """Those of these names that have a value; others are ignored. Raises `refusal` with words for
    the client when one is repeated.
    """
    # Bytes that are no UTF-8 become U+FFFD, which is in no number, time or name.
    given: dict[str, str] = {}
    for name, value in parse_qsl(query.decode(errors="replace"), keep_blank_values=True):
        if name in names and value:
            if name in given:
                raise refusal(f"{name}: is given more than once")
            given[name] = value
    return given
