"""The counters in the admin: found by key, with a chart, and with how far they are behind."""

import html
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from django.conf import settings
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import User
from commons.words import number_words
from counters import selectors
from counters.admin.words import seconds_words
from counters.models import HOUR_S, Counter, DeadLetter, History
from counters.partitions import HISTORY, ensure_partitions
from counters.totals import streams, totals_cache

LIST = "/admin/counters/counter/"
LETTERS = "/admin/counters/deadletter/"
KEY = UUID("7d6b1f2e-5f0c-4c0e-9d3a-0f3f1a6f6a11")
VALUE_MAX = 2**63 - 1


@pytest.fixture(autouse=True)
def empty_redis() -> Iterator[None]:
    """Nothing cached, nothing waiting."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.flushdb()
        totals_cache.cache_clear()
        yield


@pytest.fixture
def client_op(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("olga", password="secret-enough"))
    return client


@pytest.fixture
def staff_with(db: None) -> Callable[..., Client]:
    def make(*codenames: str) -> Client:
        user = User.objects.create_user("+".join(codenames) or "nobody", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client = Client()
        client.force_login(user)
        return client

    return make


def add_counter(key: UUID, value: int = 5) -> Counter:
    return Counter.objects.create(key=key, value=value, updated_at=timezone.now())


def add_hour(key: UUID, bucket: datetime, value: int) -> None:
    with connection.cursor() as cursor:
        ensure_partitions(cursor.cursor, [(HISTORY[HOUR_S], bucket)])
    History.objects.create(width_s=HOUR_S, bucket=bucket, key=key, value=value)


def add_letter(key: UUID | None = KEY, **given: object) -> DeadLetter:
    now = timezone.now()
    fields = {"reason": "overflow", "stream": "s", "entry_id": "1-1", "value": 7, "at": now}
    return DeadLetter.objects.create(**{**fields, "key": key, "last_at": now, **given})


def test_a_counter_is_found_by_its_whole_key(client_op):
    add_counter(KEY, 1_234_567)
    add_counter(uuid4(), 1)
    for term in (str(KEY), f" {str(KEY).upper()} ", KEY.hex):
        page = client_op.get(LIST, {"q": term})
        assert [each.key for each in page.context["cl"].result_list] == [KEY]
        assert "1\u2009234\u2009567" in page.content.decode()
    for term in (str(KEY)[:8], "nonsense", str(uuid4())):
        assert not client_op.get(LIST, {"q": term}).context["cl"].result_list
    assert len(client_op.get(LIST).context["cl"].result_list) == 2


def test_the_list_costs_the_same_at_any_size(client_op, django_assert_num_queries):
    client_op.get(LIST)
    Counter.objects.bulk_create(
        Counter(key=uuid4(), value=1, updated_at=timezone.now()) for _ in range(120)
    )
    # Session, user, dead letters, count, page.
    with django_assert_num_queries(5):
        assert len(client_op.get(LIST).context["cl"].result_list) == 50


def test_the_card_says_how_far_they_are_behind(client_op):
    add_letter()
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.xadd(
            streams()[0],
            {"b": b"x"},
            id=f"{int(datetime.now(UTC).timestamp() * 1000) - 90_000}-1",
        )
    lag = client_op.get(LIST).context["lag"]
    assert lag["behind"] in [f"{seconds} s" for seconds in range(90, 110)]
    assert (lag["waiting"], lag["dead"]) == ("1", "1")
    assert lag["size"]


def test_without_redis_the_list_is_there_all_the_same(client_op, monkeypatch):
    def away() -> None:
        raise redis.ConnectionError("away")

    monkeypatch.setattr(selectors, "state", away)
    add_counter(KEY)
    page = client_op.get(LIST)
    assert str(KEY) in page.content.decode()
    assert "Redis does not answer" in page.content.decode()


def chart_of(page: str) -> Any:
    [data] = re.findall(r'data-value="([^"]*)"', page)
    return json.loads(html.unescape(data))


def test_a_counters_page_has_its_total_and_a_chart(client_op):
    add_counter(KEY, VALUE_MAX)
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    add_hour(KEY, now, 3)
    add_hour(KEY, now - timedelta(hours=5), 1_000)
    add_letter()
    response = client_op.get(f"{LIST}{KEY}/change/")
    page = response.content.decode()
    assert response.status_code == 200
    assert response.context["total"] == number_words(VALUE_MAX)
    assert "1 open dead letter" in " ".join(page.split()).replace("</span>", "").replace(
        '<span class="ah-number">', ""
    )
    data = chart_of(page)
    values = data["datasets"][0]["data"]
    assert len(values) == len(data["labels"]) == 49
    assert values[-1] == 3
    assert values[-6] == 1_000
    assert response.context["sum"] == "1\u2009003"
    assert [value for _, value in response.context["rows"]] == ["3", "1\u2009000"]


@pytest.mark.parametrize(
    ("value", "shown", "unit"),
    [
        (9_999_999, 9_999_999, ""),
        (25_000_000, 25, " million"),
        (VALUE_MAX, 9223.37, " quadrillion"),
    ],
)
def test_large_numbers_are_told_in_their_unit(client_op, value, shown, unit):
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    add_hour(KEY, now, value)
    [dataset] = chart_of(client_op.get(f"{LIST}{KEY}/change/").content.decode())["datasets"]
    assert dataset["data"][-1] == pytest.approx(shown, abs=0.01)
    assert dataset["label"] == f"Added in this hour{unit and ','}{unit}"
    assert dataset["suffixYAxis"] == unit.strip()


@pytest.mark.parametrize(("granularity", "buckets"), [("minute", 61), ("hour", 49), ("day", 31)])
def test_each_granularity_has_its_chart(client_op, granularity, buckets):
    response = client_op.get(f"{LIST}{KEY}/change/?granularity={granularity}")
    assert len(chart_of(response.content.decode())["labels"]) == buckets
    assert response.context["total"] == "0"
    assert response.context["updated"] == "—"


def test_mistakes_in_the_address(client_op):
    page = client_op.get(f"{LIST}{KEY}/change/?granularity=week")
    assert "granularity: must be minute, hour or day" in page.content.decode()
    assert client_op.get(f"{LIST}nonsense/change/").status_code == 404


def test_nothing_can_be_written(client_op):
    counter, letter = add_counter(KEY), add_letter()
    may = f"{LETTERS}?state=open"
    assert "Replay: count them now" in client_op.get(may).content.decode()
    for url in (f"{LIST}add/", f"{LIST}{KEY}/delete/", f"{LETTERS}add/"):
        assert client_op.post(url, {"value": 1}).status_code == 403
    client_op.post(f"{LIST}{KEY}/change/", {"value": 1})
    assert client_op.post(f"{LETTERS}{letter.pk}/change/", {"value": 1}).status_code == 403
    counter.refresh_from_db()
    assert counter.value == 5


def test_who_may_look(staff_with):
    add_counter(KEY)
    nobody, viewer = staff_with(), staff_with("view_counter")
    for url in (LIST, f"{LIST}{KEY}/change/", LETTERS):
        assert nobody.get(url).status_code == 403
    assert viewer.get(LIST).status_code == 200
    assert viewer.get(f"{LIST}{KEY}/change/").status_code == 200
    assert viewer.get(LETTERS).status_code == 403
    assert LETTERS not in viewer.get(LIST).content.decode()


def test_dead_letters_are_found_by_state_reason_and_counter(client_op):
    add_letter(value=10**30, times=12)
    add_letter(uuid4(), replayed_at=timezone.now(), replayed_by_label="olga")
    add_letter(None, reason="unreadable", detail="unknown version", value=None)
    assert [len(found(client_op, state=state)) for state in ("", "open", "replayed")] == [3, 2, 1]
    assert len(found(client_op, reason="unreadable")) == 1
    assert found(client_op, reason="\0") == found(client_op)
    assert len(found(client_op, q=str(KEY))) == 1
    assert not found(client_op, q="nonsense")
    page = " ".join(client_op.get(LETTERS).content.decode().split())
    for text in (
        "unknown version",
        "entry 1-1",
        "12 times",
        "by olga",
        f"../counter/{KEY}/change/",
    ):
        assert text in page, text
    assert number_words(10**30) in client_op.get(LETTERS).content.decode()


def found(client: Client, **query: str) -> list[DeadLetter]:
    return list(client.get(LETTERS, query).context["cl"].result_list)


def replay(client: Client, *letters: DeadLetter):
    data = {"action": "replay", "_selected_action": [letter.pk for letter in letters]}
    return client.post(LETTERS, data, follow=True)


def test_a_dead_letter_is_replayed_by_its_action(transactional_db, staff_with):
    key = uuid4()
    full, letter = add_letter(key), add_letter()
    add_counter(key, VALUE_MAX)
    may = staff_with("view_deadletter", "change_deadletter")
    page = replay(may, letter, full).content.decode()
    assert "1 replayed, 1 still cannot be counted." in page
    letter.refresh_from_db()
    full.refresh_from_db()
    assert letter.replayed_at is not None
    assert letter.replayed_by_label == "view_deadletter+change_deadletter"
    assert full.replayed_at is None
    assert Counter.objects.get(pk=KEY).value == 7


def test_who_may_only_look_cannot_replay(staff_with):
    letter = add_letter()
    looks = staff_with("view_deadletter")
    assert "Replay: count them now" not in looks.get(LETTERS).content.decode()
    replay(looks, letter)
    letter.refresh_from_db()
    assert letter.replayed_at is None
    assert not Counter.objects.exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (seconds_words(0.04), "0.0 s"),
        (seconds_words(-1), "0.0 s"),
        (seconds_words(11.9), "11 s"),
        (seconds_words(130), "2 min"),
        (seconds_words(7_300), "2 h"),
        (seconds_words(200_000), "2 days"),
        (seconds_words(None), "unknown"),
    ],
)
def test_words(words, expected):
    assert words == expected
