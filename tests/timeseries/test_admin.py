"""The admin's pages for time series, over the PostgreSQL store."""

import time

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client

from runtime.drain import Drained
from runtime.redis_where import open_redis
from runtime.stream import Appender
from timeseries import selectors
from timeseries.opening import open_streams, open_writer
from timeseries.records import Measurement, encode

LIST = "/admin/timeseries/tag/"


@pytest.fixture(autouse=True)
def empty(request: pytest.FixtureRequest) -> None:
    """What the stores' own tests have left is not for these pages."""
    if "client" in request.fixturenames:
        request.getfixturevalue("transactional_db")
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE timeseries_tag, timeseries_taghour, timeseries_block")


@pytest.fixture
def client(transactional_db) -> Client:
    """An operator who may see everything."""
    user = get_user_model().objects.create_superuser("op", password="operator-password")
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def stored(transactional_db) -> str:
    """A tag with measurements of the last minutes, stored as the writer does it."""
    now_ns = time.time_ns()
    rows = [
        Measurement(now_ns - n * 10**9, tag, [float(n), -1.5])
        for tag in ("a & b", "other ")
        for n in range(60)
    ]
    [stream] = open_streams()
    redis = open_redis(settings.REDIS_URL)
    redis.delete(stream.key)
    Appender(redis, stream.key).append(encode(rows))
    writer = open_writer()
    assert writer.drain(stream) != Drained()
    writer.close()
    return "a & b"


def text(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def test_overview(client, stored):
    page = text(client, LIST)
    assert '<span class="ah-number">120</span> measurements kept' in page
    assert '<span class="ah-number">2</span> tags' in page
    assert '<span class="ah-number">0.0 s</span> behind' in page
    assert 'href="?tag=a%20%26%20b"' in page
    assert '<a class="ah-link" href="?tag=other%20">&#x27;other &#x27;</a>' in page
    assert "&#x27;other &#x27;" in text(client, f"{LIST}?tag=other%20")
    assert "Partitions" in page
    assert sum(each.measurements for each in selectors.partition_sizes()) == 120
    found = text(client, f"{LIST}?q=OTH")
    assert "?tag=other" in found
    assert "?tag=a%20" not in found
    assert "No tag has this in its name" in text(client, f"{LIST}?q=nothing")


def test_a_tag_and_its_chart(client, stored):
    page = text(client, f"{LIST}?tag=a%20%26%20b&span=10%20min")
    assert "a &amp; b" in page
    assert 'data-type="line"' in page
    assert "value 2" in page
    assert "-1.5" in page
    assert "Nothing was ever stored under this tag" in text(client, f"{LIST}?tag=unknown")
    assert 'aria-current="page">1 h<' in text(client, f"{LIST}?tag=other&span=%3Cscript%3E")


def test_an_empty_store(client):
    assert "Nothing was stored yet" in text(client, LIST)


def test_stores_that_are_away_are_named(client, settings, monkeypatch):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    settings.TIMESERIES_STORE = "kdb"
    settings.KDB_URL = "kdb://127.0.0.1:1"
    settings.KDB_QUERY_URL = ""
    page = text(client, LIST)
    assert "Redis does not answer" in page
    assert "The store does not answer" in page


def test_who_may_not_look(transactional_db):
    user = get_user_model().objects.create_user("guest", password="guest-password", is_staff=True)
    client = Client()
    client.force_login(user)
    assert client.get(LIST).status_code == 403
