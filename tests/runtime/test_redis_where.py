"""URLs of Redis: what each means, and what is said of one that means nothing."""

import pytest
import redis
from django.conf import settings

from runtime.redis_where import Address, is_plain, open_redis, read_place


@pytest.mark.parametrize(
    ("url", "kind", "nodes", "service", "options"),
    [
        ("redis://", "plain", [("localhost", 6379)], "", {}),
        ("redis://u:p%40@h:1/3", "plain", [("h", 1)], "", {"username": "u", "password": "p@"}),
        ("redis+sentinel://:p@a:1,b/s/2", "sentinel", [("a", 1), ("b", 26379)], "s", {"db": 2}),
        ("redis+sentinel://a/s", "sentinel", [("a", 26379)], "s", {"db": 0}),
        (
            "redis+cluster://:p@a:1,[::1]:2",
            "cluster",
            [("a", 1), ("::1", 2)],
            "",
            {"password": "p"},
        ),
        ("redis+cluster://a", "cluster", [("a", 6379)], "", {}),
    ],
)
def test_what_a_url_names(url, kind, nodes, service, options):
    place = read_place(url)
    assert (place.kind, place.service, place.tls) == (kind, service, False)
    assert [(node.host, node.port) for node in place.nodes] == nodes
    assert {name: place.options[name] for name in options} == options
    assert is_plain(url) == (kind == "plain")


def test_tls_and_its_options():
    for url in ("rediss://a?ssl_cert_reqs=none", "rediss+cluster://a?ssl_cert_reqs=none"):
        place = read_place(url)
        assert place.tls
        assert place.options["ssl_cert_reqs"] == "none"


def test_a_path():
    assert read_place("unix:///run/redis.sock?db=2").nodes == (Address(path="/run/redis.sock"),)


def test_sentinels_may_have_a_password_of_their_own():
    place = read_place("redis+sentinel://:secret@a/s?sentinel_password=other")
    assert place.options["password"] == "secret"
    assert place.sentinel_options == {"password": "other"}
    assert "secret" not in repr(place)
    assert "other" not in repr(place)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://a", "cannot begin with http://"),
        ("unix+cluster:///a", "cannot begin with unix"),
        ("redis+sentinel://a:1", "ends with /service"),
        ("redis+sentinel://a:1/s/x", "number of a database"),
        ("redis+cluster://a/1", "only database 0"),
        ("redis+cluster://a,,b", "host:port"),
    ],
)
def test_what_is_wrong_with_a_url(url, words):
    with pytest.raises(ValueError, match=words):
        read_place(url)


def test_a_server_that_is_away():
    client = open_redis("redis://127.0.0.1:1/0")
    with pytest.raises(redis.ConnectionError):
        client.ping()
    for url in ("redis+sentinel://127.0.0.1:1/s", "redis+cluster://127.0.0.1:1"):
        with pytest.raises(redis.RedisError):
            read_place(url).locate("key")


def test_one_server_is_where_its_url_says():
    place = read_place(settings.REDIS_URL)
    assert place.locate("any") == place.nodes[0]
