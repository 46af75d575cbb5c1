"""A COMMIT without an answer: PostgreSQL is asked how it ended, and the writer told the truth."""

import os
import socket
from contextlib import ExitStack, closing
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError, connections, transaction

from adserver import outcome, services
from adserver.models import Ad, AdChange
from adserver.records import Actor
from adserver.samples import random_ads
from adserver.storing import LogRow
from commons import pipeline
from runtime.errors import UncertainError
from tests.adserver.support import connect
from tests.index.strategies import EPOCH

pytestmark = pytest.mark.django_db(transaction=True)
ACTOR = Actor("tests")


@pytest.fixture
def fields():
    return next(random_ads(count=1, now=EPOCH))


@pytest.fixture
def lost_commit(monkeypatch):
    """The next COMMIT reaches PostgreSQL, or does not; either way the connection ends with it. Of
    one ad it goes in the message with its row, of many Django sends it.
    """

    wrapper: Any = type(connections["default"])
    commit, say = wrapper._commit, pipeline.say
    lost: list[bool] = []
    lines = ExitStack()

    def lose(*, arrives: bool) -> None:
        def broken_commit(self: Any) -> None:
            if lost or arrives:
                commit(self)
            if not lost:
                lost.append(True)
                self.connection.close()
                raise OperationalError("the connection was lost")

        def broken_say(to: Any, message: Any) -> None:
            if lost or message[-1].text != b"COMMIT":
                say(to, message)
                return
            lost.append(True)
            if arrives:
                say(to, message)
                lines.callback(os.close, deafen(to))
            else:
                os.close(deafen(to))
                say(to, message)

        monkeypatch.setattr(wrapper, "_commit", broken_commit)
        monkeypatch.setattr(pipeline, "say", broken_say)

    with lines:
        yield lose


def deafen(to: Any) -> int:
    """Put a line that has ended in place of the one to PostgreSQL, which is given and still holds:
    nothing that is answered is heard, however soon it comes.
    """
    line = os.dup(to.pgconn.socket)
    ended, other = socket.socketpair()
    other.close()
    os.dup2(ended.fileno(), to.pgconn.socket)
    ended.close()
    return line


WRITES = {
    "one": lambda fields: services.ad_create(fields=fields, actor=ACTOR),
    "many": lambda fields: services.ads_import(rows=[fields], actor=ACTOR)[0],
}


@pytest.fixture(params=WRITES)
def write(request):
    """Creates one ad, in one way or the other."""
    return WRITES[request.param]


def test_a_commit_that_arrived_is_a_success(write, fields, lost_commit, monkeypatch):
    published: list[int] = []
    monkeypatch.setattr(services, "publish_version", published.append)
    lost_commit(arrives=True)
    ad = write(fields)
    assert Ad.objects.get().id == ad.id
    assert published == [ad.version]


def test_a_commit_that_did_not_arrive_is_a_failure(write, fields, lost_commit):
    lost_commit(arrives=False)
    with pytest.raises(OperationalError):
        write(fields)
    assert not Ad.objects.exists()
    assert not AdChange.objects.exists()


def test_nobody_claims_to_know_while_postgres_is_away(write, fields, lost_commit, monkeypatch):
    now_s = iter(range(100))
    asked = outcome.was_committed
    monkeypatch.setattr(
        services,
        "was_committed",
        lambda *its: asked(*its, clock=lambda: next(now_s), sleep=lambda _: None),
    )

    def away(xid):
        raise OperationalError("nobody listens")

    monkeypatch.setattr(outcome, "_is_over", away)
    lost_commit(arrives=True)
    with pytest.raises(UncertainError, match="not known"):
        write(fields)


ENTRY = LogRow(1, "create", uuid4(), None, None, "tests", EPOCH)


def test_a_transaction_still_under_way_is_waited_for():
    with closing(connect()) as other:
        other.execute("BEGIN")
        [[xid]] = other.execute("SELECT pg_current_xact_id()::text").fetchall()
        columns, values = ", ".join(LogRow._fields), ", ".join(["%s"] * len(ENTRY))
        insert = f"INSERT INTO adserver_adchange ({columns}) VALUES ({values})"
        other.execute(insert.encode(), ENTRY)
        pauses: list[float] = []

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 2:
                other.execute("COMMIT")

        assert outcome.was_committed(xid, ENTRY, sleep=pause)
    assert len(pauses) == 2


@pytest.mark.parametrize("xid", ["3", str(2**62)], ids=["of another", "still to be given"])
def test_the_number_of_a_transaction_says_nothing_after_a_failover(xid):
    assert not outcome.was_committed(xid, ENTRY)
    AdChange.objects.create(**ENTRY._asdict())
    assert outcome.was_committed(xid, ENTRY)
    assert not outcome.was_committed(xid, ENTRY._replace(ad_id=uuid4()))


def test_inside_an_outer_transaction_nobody_asks(fields, monkeypatch):
    def never(*its):
        raise AssertionError("there is nothing to ask for yet")

    monkeypatch.setattr(services, "was_committed", never)
    with transaction.atomic():
        services.ad_create(fields=fields, actor=ACTOR)
    assert Ad.objects.count() == 1
