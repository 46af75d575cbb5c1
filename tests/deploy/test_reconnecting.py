"""The pace of a database pool that cannot connect, and of Celery without its broker."""

import pytest
from kombu.exceptions import OperationalError
from psycopg_pool.base import AttemptWithBackoff

from config.celery import app
from config.reconnecting import PAUSE_S, PERSEVERE_S
from tests.support.stores import Stores


def test_attempts_keep_their_pace_through_a_long_outage() -> None:
    attempt = AttemptWithBackoff(timeout=PERSEVERE_S)
    now_s = 1000.0
    for _ in range(1000):
        attempt.update_delay(now_s)
        assert 0.9 * PAUSE_S <= attempt.delay <= 1.1 * PAUSE_S
        assert not attempt.time_to_give_up(now_s)
        now_s += attempt.delay


@pytest.mark.parametrize("ask", [app.connection_for_read, app.connection_for_write])
def test_the_broker_is_tried_for_steadily_however_long_it_is_away(ask, monkeypatch) -> None:
    pauses_s: list[float] = []
    monkeypatch.setattr("kombu.utils.functional.sleep", lambda seconds: None)
    connection = ask("redis://127.0.0.1:1/0")
    with pytest.raises(OperationalError):
        connection.ensure_connection(lambda error, pause_s: pauses_s.append(pause_s), 30)
    assert len(pauses_s) == 30
    assert set(pauses_s) == {1.0}


def test_what_is_published_while_the_broker_is_away_arrives(stores: Stores) -> None:
    """As beat publishes: over a connection that has been used, and is found to have ended."""
    tries: list[float] = []

    def failed(error: Exception, pause_s: float) -> None:
        tries.append(pause_s)
        if len(tries) == 2:
            stores.start_one("redis")

    with app.connection_for_write(stores.redis_url) as connection:
        queue = connection.SimpleQueue("probes")
        queue.put("before")
        stores.kill("redis")
        policy = {**app.conf.task_publish_retry_policy, "max_retries": 30, "errback": failed}
        queue.put("after", retry=True, retry_policy=policy)
    assert len(tries) >= 2
    with app.connection_for_read(stores.redis_url) as connection:
        queue = connection.SimpleQueue("probes")
        assert [queue.get(timeout=30).payload for _ in range(2)] == ["before", "after"]
        queue.close()
