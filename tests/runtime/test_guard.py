"""API keys, and what a limit goes by, before a hot write."""

from typing import Any, cast

import pytest

from runtime.addresses import Addresses, limited_as
from runtime.guard import UNAUTHORIZED, Guard
from runtime.http.answer import Answer
from runtime.http.routes import HotRequest, Reply
from runtime.limiter import Limiter, Rate

DONE = Answer(200, b"{}")
RATE = Rate(per_s=1.0, burst=1)


def save(request: HotRequest, reply: Reply) -> None:
    reply(DONE)


def request(*headers: tuple[bytes, bytes], client: str = "192.0.2.7") -> HotRequest:
    return HotRequest(b"", b"", list(headers), client)


class Noting:
    """Stands for the limiter: notes the subjects, and decides as told."""

    def __init__(self, wait_s: float = 0.0) -> None:
        self.wait_s = wait_s
        self.names: list[list[bytes]] = []

    def ask(self, subjects: Any, decide: Any) -> None:
        self.names.append([name for name, _ in subjects])
        decide(self.wait_s)


def answer(guard: Guard, asked: HotRequest, handler: Any = save) -> Answer:
    answers: list[Answer] = []
    guard.protect(handler)(asked, answers.append)
    [one] = answers
    return one


def limited(noting: Noting, **given: Any) -> Guard:
    return Guard(limiter=cast("Limiter", noting), **given)


def test_without_keys_and_limits_nothing_stands_before_the_handler():
    assert Guard().protect(save) is save
    assert limited(Noting()).protect(save) is save
    assert limited(Noting(), per_key=RATE).protect(save) is save


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ([], False),
        ([(b"x-api-key", b"one")], True),
        ([(b"x-api-key", b" two ")], True),
        ([(b"x-api-key", b"on")], False),
        ([(b"x-api-key", b"")], False),
        ([(b"x-api-key", b"\xff")], False),
        ([(b"authorization", b"Bearer one")], True),
        ([(b"authorization", b"bearer  one")], True),
        ([(b"authorization", b"Token one")], False),
        ([(b"authorization", b"one")], False),
        ([(b"authorization", b"Bearer")], False),
        # The key's own header is the one that counts.
        ([(b"authorization", b"Bearer one"), (b"x-api-key", b"no")], False),
    ],
)
@pytest.mark.parametrize("limits", [{}, {"per_address": RATE}])
def test_a_key_is_needed_where_there_are_some(headers, passes, limits):
    noting = Noting()
    guard = limited(noting, keys=["one", "two"], **limits)
    assert answer(guard, request(*headers)) == (DONE if passes else UNAUTHORIZED)
    assert len(noting.names) == (passes and bool(limits))


def test_the_refusal_says_how_to_come_in():
    assert UNAUTHORIZED.body == b'{"msg":"authorization: an API key is needed"}'
    assert UNAUTHORIZED.text_headers() == {"www-authenticate": "Bearer"}


def test_too_many_requests():
    given = answer(limited(Noting(1.2), per_address=RATE), request())
    assert given.status == 429
    assert given.text_headers() == {"retry-after": "2"}
    assert given.body == b'{"msg":"rate: too many requests"}'


def test_what_is_counted():
    noting = Noting()
    guard = limited(noting, keys=["one"], per_address=RATE, per_key=RATE)
    answer(guard, request((b"x-api-key", b"one")))
    [[address, key]] = noting.names
    assert address == b"address:192.0.2.7"
    assert key.startswith(b"key:")
    assert b"one" not in key


def test_a_handler_that_fails_later_still_answers():
    def fail(asked: HotRequest, reply: Reply) -> None:
        raise ZeroDivisionError

    given = answer(limited(Noting(), per_address=RATE), request(), fail)
    assert (given.status, given.body) == (500, b'{"msg":"internal error"}')


PROXIES = Addresses(["10.0.0.0/8", "fd00::1"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.7", None, "192.0.2.7"),
        # A stranger may claim what they like.
        ("192.0.2.7", b"198.51.100.1", "192.0.2.7"),
        ("10.0.0.1", b"198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", b"203.0.113.9, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", b"198.51.100.1, 10.1.1.1", "198.51.100.1"),
        ("::ffff:10.0.0.1", b"198.51.100.1", "198.51.100.1"),
        ("fd00::1", b"2001:db8::5", "2001:db8::5"),
        # Nobody but proxies: the farthest of them.
        ("10.0.0.1", b"10.2.2.2,10.1.1.1", "10.2.2.2"),
        ("10.0.0.1", b"", "10.0.0.1"),
        ("10.0.0.1", b"198.51.100.1, unknown", "10.0.0.1"),
        ("10.0.0.1", b"\xff\xfe", "10.0.0.1"),
        ("", b"198.51.100.1", ""),
    ],
)
def test_who_asks_behind_proxies(peer, forwarded, client):
    assert PROXIES.client(peer, forwarded) == client


def test_a_header_line_of_the_clients_own_is_not_believed():
    noting = Noting()
    guard = limited(noting, per_address=RATE, addresses=PROXIES)
    lines = [(b"x-forwarded-for", b"203.0.113.9"), (b"x-forwarded-for", b"198.51.100.1")]
    answer(guard, request(*lines, client="10.0.0.1"))
    assert noting.names == [[b"address:198.51.100.1"]]


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("nonsense:", "nonsense:"),
        ("", ""),
    ],
)
def test_what_a_limit_counts_an_address_as(address, counted):
    assert limited_as(address) == counted


def test_what_is_no_network():
    with pytest.raises(ValueError, match="proxy"):
        Addresses(["proxy"])
