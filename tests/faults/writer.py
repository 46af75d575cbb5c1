"""Writers that die by `kill -9` at a named point of a write. Not a test: a program for one.

Reads lines `POINT SEED` from stdin. For each, a forked child does one random write and kills
itself there (`random`: it writes on and on, until this process kills it at a random moment), and
a line `POINT SEED STATUS` is written, the status as `waitpid` gives it.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import django

django.setup()

from django.db import connection  # noqa: E402
from django.utils import timezone  # noqa: E402

from adserver import services  # noqa: E402
from adserver.hints import publish_version  # noqa: E402
from adserver.models import Ad  # noqa: E402
from adserver.records import Actor, AdFields  # noqa: E402
from adserver.samples import random_ads  # noqa: E402
from adserver.storing import put_log  # noqa: E402
from commons import pipeline  # noqa: E402
from commons.pipeline import Command  # noqa: E402

ACTOR = Actor("doomed writer")
RANDOM_MOST_S = 0.05


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def then_die(real: Callable[..., Any]) -> Callable[..., None]:
    def call(*args: Any, **kwargs: Any) -> None:
        real(*args, **kwargs)
        die()

    return call


def at_the_log(put_one: Callable[..., None], put_many: Callable[..., None]) -> Any:
    return patch.multiple(services, put_change=put_one, put_log=put_many)


def commit_unheard(*_: object) -> None:
    """Send the COMMIT, and be gone before PostgreSQL has answered."""
    connection.connection.pgconn.send_query(b"COMMIT")
    die()


def say_unheard(to: Any, message: Sequence[Command]) -> None:
    """The same for a message that ends with the COMMIT."""
    SAY(to, message)
    if message[-1].text == b"COMMIT":
        die()


def say_no_commit(to: Any, message: Sequence[Command]) -> None:
    if message[-1].text == b"COMMIT":
        die()
    SAY(to, message)


@contextmanager
def at_the_commit(
    commit: Callable[..., None], say: Callable[[Any, Sequence[Command]], None]
) -> Iterator[None]:
    """Many ads are committed by Django, one by the message with its row."""
    with patch.object(connection, "commit", commit), patch.object(pipeline, "say", say):
        yield


SAY = pipeline.say
# Where the seams of a write are: what is put in the place of what.
POINTS: dict[str, Callable[[], Any]] = {
    "before the log": lambda: at_the_log(die, die),
    # One ad's entry is sent with the COMMIT: there is nothing between them.
    "after the log": lambda: at_the_log(die, then_die(put_log)),
    "before the commit": lambda: at_the_commit(die, say_no_commit),
    "with the commit": lambda: at_the_commit(commit_unheard, say_unheard),
    "after the commit": lambda: patch.object(services, "publish_version", die),
    "after the hint": lambda: patch.object(services, "publish_version", then_die(publish_version)),
}


def some_fields(seed: int) -> AdFields:
    return next(random_ads(count=1, now=timezone.now(), seed=seed))


def write(rng: random.Random) -> None:
    """One write of any kind."""
    ids = list(Ad.objects.order_by("?").values_list("pk", flat=True)[:3])
    fields = some_fields(rng.randrange(1_000_000))
    writes: list[Callable[[], object]] = [
        lambda: services.ad_create(fields=fields, actor=ACTOR),
        lambda: services.ad_replace(ad_id=ids[0], fields=fields, actor=ACTOR),
        lambda: services.ads_extend(ad_ids=ids, by=timedelta(days=1), actor=ACTOR),
        lambda: services.ads_duplicate(ad_ids=ids, actor=ACTOR),
        lambda: services.ads_import(rows=[fields, fields], actor=ACTOR),
        lambda: services.ads_end_now(
            ad_ids=[services.ad_create(fields=fields, actor=ACTOR).id], actor=ACTOR
        ),
        lambda: services.ad_delete(ad_id=ids[0], actor=ACTOR),
    ]
    rng.choice(writes)()


def child(point: str, seed: int) -> None:
    """Write, and die at the point. Returns only if the point was never reached."""
    rng = random.Random(seed)
    if point == "random":
        while True:
            write(rng)
    with POINTS[point]():
        write(rng)


def spawn(point: str, seed: int) -> int:
    pid = os.fork()
    if pid == 0:
        child(point, seed)
        os._exit(3)
    if point == "random":
        time.sleep(random.Random(seed).uniform(0, RANDOM_MOST_S))
        os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


for line in sys.stdin:
    point, _, seed = line.strip().rpartition(" ")
    sys.stdout.write(f"{point} {seed} {spawn(point, int(seed))}\n")
    sys.stdout.flush()
