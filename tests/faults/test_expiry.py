"""Ended ads leave the answers by the clock, whoever is down, and are closed by the expiry."""

from typing import Any

import pytest

from tests.faults.support import create, database, paused, request, wait_agreed
from tests.support.stack import Stack, wait_until

pytestmark = pytest.mark.xdist_group("faults")

CLOSED_WITHIN_S = 10.0


def served(port: int, ad_id: str) -> bool:
    """Whether the ad is in the answers: it ends first, so it is first in the order."""
    reply = request(port, "GET", "/api/v1/ad?limit=100")
    assert reply.status == 200
    return ad_id in {ad["id"] for ad in reply.body["ads"]}


def closings(stack: Stack, ad_id: str) -> list[tuple[Any, ...]]:
    with database(stack) as connection:
        return connection.execute(
            """
            SELECT log.operation, log.actor_label, ad.closed_at = log.created_at
              FROM adserver_adchange log JOIN adserver_ad ad ON ad.id = log.ad_id
             WHERE ad.id = %s AND log.operation <> 'create'
            """,
            [ad_id],
        ).fetchall()


def wait_left(stack: Stack, ad_id: str) -> None:
    for port in (stack.port, stack.edge_port):
        wait_until(lambda: served(port, ad_id), timeout_s=60, what="the ad is served")  # noqa: B023
    for port in (stack.port, stack.edge_port):
        wait_until(
            lambda: not served(port, ad_id),  # noqa: B023
            timeout_s=60,
            what="the ad has left the answers",
        )


def test_an_ended_ad_is_closed_in_table_and_log(victim: Stack) -> None:
    ad_id = create(victim, "Ends soon", lives_s=3).body["data"]
    wait_left(victim, ad_id)
    closing = wait_until(
        lambda: closings(victim, ad_id), timeout_s=CLOSED_WITHIN_S, what="the ad is closed"
    )
    assert closing == [("close", "expiry", True)]
    wait_agreed(victim)


def test_a_stopped_beat_changes_nothing_of_what_is_served(victim: Stack) -> None:
    with paused(victim.pids["beat"]):
        ad_id = create(victim, "Ends while nobody closes", lives_s=3).body["data"]
        wait_left(victim, ad_id)
        assert closings(victim, ad_id) == []
    closing = wait_until(
        lambda: closings(victim, ad_id), timeout_s=CLOSED_WITHIN_S, what="the ad is closed"
    )
    assert closing == [("close", "expiry", True)]
