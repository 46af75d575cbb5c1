"""The threads that create operators' ads: every outcome is what the view answers."""

import asyncio
import json
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission
from django.db import OperationalError
from django.test import Client
from rest_framework.authtoken.models import Token

from accounts.models import User
from adserver import services
from adserver.models import Ad, AdChange
from adserver.write_door import AdWrite, AdWriteDoor, is_token
from adserver.write_lane import BUSY, AdLane
from config.ads import permit
from config.refusals import refusal
from runtime.addresses import Addresses
from runtime.http.answer import Answer
from runtime.http.routes import HotRequest

AD = {
    "title": "Beside the loop",
    "content": "c",
    "start_at": "2026-01-01T00:00:00Z",
    "end_at": "2126-01-01T00:00:00Z",
}


def written(writes: list[AdWrite], *, threads: int = 1, waiting: int = 8) -> list[Answer]:
    """The answers, in the order of the writes."""

    async def run() -> list[Answer]:
        loop = asyncio.get_running_loop()
        lane = AdLane(threads=threads, waiting=waiting, permit=permit, refusal=refusal)
        futures = [loop.create_future() for _ in writes]
        for write, future in zip(writes, futures, strict=True):
            lane.hand_over(write, future.set_result)
        try:
            return await asyncio.wait_for(asyncio.gather(*futures), 60)
        finally:
            lane.stop()

    return asyncio.run(run())


def token_of(*codenames: str, **fields: bool) -> str:
    user = User(username="olga", **fields)
    user.save()
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return str(Token.objects.create(user=user).key)


def told_by_the_view(token: str, body: object) -> tuple[int, bytes, str | None, str | None]:
    client = Client(headers={"authorization": f"Token {token}"}, raise_request_exception=False)
    answer = client.post("/api/v1/ad", body, content_type="application/json")
    headers = answer.headers
    return (
        answer.status_code,
        answer.content,
        headers.get("www-authenticate"),
        headers.get("retry-after"),
    )


def told(answer: Answer) -> tuple[int, bytes, str | None, str | None]:
    headers = answer.text_headers()
    return answer.status, answer.body, headers.get("www-authenticate"), headers.get("retry-after")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "kind",
    [
        lambda: token_of("add_ad", is_staff=True),
        lambda: token_of(is_staff=True, is_superuser=True),
        lambda: token_of("change_ad", is_staff=True),
        lambda: token_of("add_ad"),
        lambda: token_of("add_ad", is_staff=True, is_active=False),
        lambda: "0123456789",
    ],
)
def test_who_may_create_is_what_the_view_says(kind: Callable[[], str]) -> None:
    token = kind()
    [answer] = written([AdWrite(token, json.dumps(AD).encode())])
    if answer.status == 201:
        ad = Ad.objects.get(pk=json.loads(answer.body)["data"])
        change = AdChange.objects.get(version=ad.version)
        assert change.actor_label == "olga"
        assert answer.text_headers() == {"x-catalog-version": str(ad.version)}
        assert told_by_the_view(token, AD)[0] == 201
    else:
        assert told(answer) == told_by_the_view(token, AD)
        assert not Ad.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_token_that_is_taken_away_is_refused_at_once() -> None:
    token, body = token_of(is_staff=True, is_superuser=True), json.dumps(AD).encode()
    write = AdWrite(token, body)
    assert [answer.status for answer in written([write] * 3, threads=2)] == [201] * 3
    Token.objects.all().delete()
    assert [answer.status for answer in written([write])] == [401]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "error", [services.CatalogBusyError(), OperationalError("gone"), ZeroDivisionError("a mistake")]
)
def test_an_error_is_told_as_the_view_tells_it(monkeypatch, error: Exception) -> None:
    token = token_of(is_staff=True, is_superuser=True)

    def fails(**_: object) -> Ad:
        raise error

    monkeypatch.setattr(services, "ad_create", fails)
    [answer] = written([AdWrite(token, json.dumps(AD).encode())])
    assert told(answer) == told_by_the_view(token, AD)
    assert answer.status in (503, 500)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("body", [b'{"\\ud800": 1}', b'{"title": "\\ud800"}', b"[]", b"", b"\xff"])
def test_odd_bodies_are_told_as_the_view_tells_them_and_hold_up_nobody(body: bytes) -> None:
    token = token_of(is_staff=True, is_superuser=True)
    write = AdWrite(token, body)
    good = AdWrite(token, json.dumps(AD).encode())
    *odd, last = written([write, write, write, good], threads=2)
    client = Client(headers={"authorization": f"Token {token}"})
    cold = client.post("/api/v1/ad", body, content_type="application/json")
    assert {(each.status, each.body) for each in odd} == {(400, cold.content)}
    assert last.status == 201


@pytest.mark.django_db(transaction=True)
def test_an_error_without_words_is_a_500_and_holds_up_nobody(monkeypatch) -> None:
    token = token_of(is_staff=True, is_superuser=True)

    def wordless(error: Exception) -> Answer:
        raise ZeroDivisionError("a mistake in the words")

    monkeypatch.setattr("tests.adserver.test_write_lane.refusal", wordless)
    writes = [AdWrite(token, b"{}"), AdWrite(token, json.dumps(AD).encode())]
    assert [answer.status for answer in written(writes)] == [500, 201]


@pytest.mark.django_db(transaction=True)
def test_too_many_at_once_are_refused() -> None:
    write = AdWrite("0123456789", b"{}")
    answers = written([write] * 4, waiting=1)
    assert answers[2:] == [BUSY, BUSY]
    assert [answer.status for answer in answers] == [401, 401, 503, 503]


def test_the_door_hands_over_token_and_body() -> None:
    handed: list[AdWrite] = []
    door = AdWriteDoor(lambda write, reply: handed.append(write), Addresses(["10.0.0.0/8"]))
    headers = [(b"authorization", b"Token a1"), (b"x-forwarded-for", b"203.0.113.9")]
    door(HotRequest(b"", b"{}", headers, "10.1.1.1"), lambda answer: None)
    assert handed == [AdWrite("a1", b"{}", "203.0.113.9")]


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        (b"Token 0aZ", True),
        (b"Token " + b"a" * 64, True),
        (b"Token " + b"a" * 65, False),
        (b"token 0aZ", False),
        (b"Token  0aZ", False),
        (b"Token 0aZ\n", False),
        (b"Token a-b", False),
        (b"Token", False),
        (b"", False),
    ],
)
def test_which_credentials_are_usual(header: bytes, taken: bool) -> None:
    assert is_token(header) == taken
