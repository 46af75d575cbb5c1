"""The threads that write operators' ads: every outcome is what the view answers."""

import asyncio
import json
from collections.abc import Callable
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission
from django.db import OperationalError
from django.test import Client
from rest_framework.authtoken.models import Token

from accounts.models import User
from adserver import services
from adserver.models import Ad, AdChange
from adserver.records import Actor, StoredAd, parse_fields
from adserver.write_door import AD_ID as AD_ID_PATTERN
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


AD_ID = "0190a1b2-c3d4-7e5f-8a6b-0123456789ab"


def creating(token: str, body: bytes) -> AdWrite:
    return AdWrite("POST", token, body)


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


def told_by_the_view(
    token: str, body: object, method: str = "POST", path: str = "/api/v1/ad"
) -> tuple[int, bytes, str | None, str | None]:
    client = Client(headers={"authorization": f"Token {token}"}, raise_request_exception=False)
    ask = getattr(client, method.lower())
    answer = ask(path, body, content_type="application/json")
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
    [answer] = written([creating(token, json.dumps(AD).encode())])
    if answer.status == 201:
        ad = Ad.objects.get(pk=json.loads(answer.body)["data"])
        change = AdChange.objects.get(version=ad.version)
        assert change.actor_label == "olga"
        assert answer.text_headers() == {"x-catalog-version": str(ad.version)}
        assert told_by_the_view(token, AD)[0] == 201
    else:
        assert told(answer) == told_by_the_view(token, AD)
        assert not Ad.objects.exists()


METHODS = {"PUT": AD, "PATCH": {"title": "Another title", "gender": ["F"]}, "DELETE": None}


@pytest.fixture
def ad() -> StoredAd:
    return services.ad_create(fields=parse_fields(AD), actor=Actor("somebody"))


def writing(method: str, token: str, ad_id: UUID, body: object) -> AdWrite:
    content = b"" if method == "DELETE" else json.dumps(body).encode()
    return AdWrite(method, token, content, ad_id)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("method", METHODS)
def test_a_write_of_one_is_told_and_logged_as_the_view_does(ad: StoredAd, method: str) -> None:
    token = token_of(is_staff=True, is_superuser=True)
    twin = services.ad_create(fields=parse_fields(AD), actor=Actor("somebody"))
    [hot] = written([writing(method, token, ad.id, METHODS[method])])
    cold = told_by_the_view(token, METHODS[method], method, f"/api/v1/ads/{twin.id}/")
    assert hot.status == cold[0]
    changes = list(AdChange.objects.order_by("-version")[:2])
    assert {(change.operation, change.actor_label) for change in changes} == {
        ("delete" if method == "DELETE" else "update", "olga")
    }
    assert hot.text_headers() == {"x-catalog-version": str(changes[1].version)}
    if method == "DELETE":
        assert hot.body == b""
        assert not Ad.objects.exists()
        return
    shown, expected = json.loads(hot.body), json.loads(cold[1])
    assert list(shown) == list(expected)
    for own in ("id", "version", "created_at", "updated_at"):
        assert shown.pop(own) != expected.pop(own)
    assert shown == expected


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("codename", ["add_ad", "change_ad", "delete_ad", "view_ad"])
def test_who_may_write_one_is_what_the_view_says(ad: StoredAd, method: str, codename: str) -> None:
    token = token_of(codename, is_staff=True)
    [hot] = written([writing(method, token, ad.id, {"title": ""})])
    assert told(hot) == told_by_the_view(token, {"title": ""}, method, f"/api/v1/ads/{ad.id}/") or (
        # The view has nothing left to delete.
        (hot.status, codename) == (204, "delete_ad")
    )
    assert (hot.status == 403) == (codename != f"{'delete' if method == 'DELETE' else 'change'}_ad")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "body",
    [
        AD,
        {},
        [],
        {"title": "\ud800"},
        {"start_at": "2126-01-01T00:00:00Z", "end_at": "2026-01-01T00:00:00Z"},
        {"colour": "red"},
    ],
)
def test_an_ad_that_is_not_there_is_told_as_the_view_tells_it(method: str, body: object) -> None:
    token = token_of(is_staff=True, is_superuser=True)
    [hot] = written([writing(method, token, UUID(AD_ID), body)])
    assert told(hot) == told_by_the_view(token, body, method, f"/api/v1/ads/{AD_ID}/")
    assert hot.status in (400, 404)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(
    "body", [{"title": 5}, {"end_at": "2025-01-01T00:00:00Z"}, {"age_start": 101}, [], None, "", 7]
)
def test_a_mistake_is_told_as_the_view_tells_it(ad: StoredAd, method: str, body: object) -> None:
    token = token_of(is_staff=True, is_superuser=True)
    [hot] = written([writing(method, token, ad.id, body)])
    assert told(hot) == told_by_the_view(token, json.dumps(body), method, f"/api/v1/ads/{ad.id}/")
    assert hot.status == 400
    assert AdChange.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_token_that_is_taken_away_is_refused_at_once() -> None:
    token, body = token_of(is_staff=True, is_superuser=True), json.dumps(AD).encode()
    write = creating(token, body)
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
    [answer] = written([creating(token, json.dumps(AD).encode())])
    assert told(answer) == told_by_the_view(token, AD)
    assert answer.status in (503, 500)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("body", [b'{"\\ud800": 1}', b'{"title": "\\ud800"}', b"[]", b"", b"\xff"])
def test_odd_bodies_are_told_as_the_view_tells_them_and_hold_up_nobody(body: bytes) -> None:
    token = token_of(is_staff=True, is_superuser=True)
    write = creating(token, body)
    good = creating(token, json.dumps(AD).encode())
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
    writes = [creating(token, b"{}"), creating(token, json.dumps(AD).encode())]
    assert [answer.status for answer in written(writes)] == [500, 201]


@pytest.mark.django_db(transaction=True)
def test_too_many_at_once_are_refused() -> None:
    write = creating("0123456789", b"{}")
    answers = written([write] * 4, waiting=1)
    assert answers[2:] == [BUSY, BUSY]
    assert [answer.status for answer in answers] == [401, 401, 503, 503]


@pytest.mark.parametrize(
    ("of_one", "item", "ad_id"), [(False, b"ad", None), (True, AD_ID.encode(), UUID(AD_ID))]
)
def test_the_door_hands_over_who_wants_what(of_one, item, ad_id) -> None:
    handed: list[AdWrite] = []
    door = AdWriteDoor(
        "PUT",
        lambda write, reply: handed.append(write),
        Addresses(["10.0.0.0/8"]),
        of_one=of_one,
    )
    headers = [(b"authorization", b"Token a1"), (b"x-forwarded-for", b"203.0.113.9")]
    door(HotRequest(b"", b"{}", headers, "10.1.1.1", item), lambda answer: None)
    assert handed == [AdWrite("PUT", "a1", b"{}", ad_id, "203.0.113.9")]


@pytest.mark.parametrize("item", [AD_ID.upper(), AD_ID.replace("-", ""), AD_ID[:-1], "import", ""])
def test_what_is_no_id_is_left_to_the_framework(item: str) -> None:
    assert AD_ID_PATTERN.fullmatch(AD_ID.encode())
    assert not AD_ID_PATTERN.fullmatch(item.encode())


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
