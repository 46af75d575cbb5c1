"""The pace of a database pool that cannot connect."""

from psycopg_pool.base import AttemptWithBackoff

from config.reconnecting import PAUSE_S, PERSEVERE_S


def test_attempts_keep_their_pace_through_a_long_outage() -> None:
    attempt = AttemptWithBackoff(timeout=PERSEVERE_S)
    now_s = 1000.0
    for _ in range(1000):
        attempt.update_delay(now_s)
        assert 0.9 * PAUSE_S <= attempt.delay <= 1.1 * PAUSE_S
        assert not attempt.time_to_give_up(now_s)
        now_s += attempt.delay
