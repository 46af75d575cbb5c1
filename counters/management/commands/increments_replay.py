"""`manage.py increments_replay`: counts dead letters, or a journal of increments, after all."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from commons.commands import clear_errors
from counters.payload import encode_payload
from counters.records import Batch, Increment, InvalidIncrementError, Keyed, decode_increment
from counters.selectors import open_dead_letters
from counters.services import dead_letters_replay
from counters.totals import streams
from runtime.progress import Advance, progress
from runtime.redis_where import open_redis
from runtime.stream import Appender, AppendError, Stream

CHUNK = 1_000
# How long to wait for a full stream to be drained.
FULL_S = 60.0
_LOOK_S = 0.2
_AGAIN = "run it again within 24 hours, and nothing counts twice"
_ACTOR = "increments_replay"


class Command(BaseCommand):
    help = (
        "Sends the increments of a file, one JSON object a line as `POST /increment` takes it. "
        "A run that was interrupted may be repeated within 24 hours: each part of a file counts "
        "once. With --dead-letters instead: counts open dead letters, as far as there is room now."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, nargs="?", help="a journal, UTF-8")
        parser.add_argument("--dead-letters", action="store_true", help="all open dead letters")
        parser.add_argument("--dry-run", action="store_true", help="check, count nothing")

    def handle(self, *args: Any, file: Path | None, **options: Any) -> None:
        if (file is None) != options["dead_letters"]:
            raise CommandError("name a file, or say --dead-letters")
        with clear_errors():
            if file is None:
                self._replay_dead_letters(options["dry_run"], options.get("stderr"))
            else:
                self._replay_file(file, options["dry_run"], options.get("stderr"))

    def _replay_dead_letters(self, dry_run: bool, stderr: Any) -> None:
        ids = open_dead_letters()
        if dry_run:
            self.stdout.write(f"{len(ids)} dead letters are open")
            return
        counted = left = 0
        with progress("dead letters", total=len(ids), file=stderr) as advance:
            for start in range(0, len(ids), CHUNK):
                done = dead_letters_replay(ids=ids[start : start + CHUNK], actor=_ACTOR)
                counted, left = counted + done.counted, left + done.left
                advance(min(start + CHUNK, len(ids)))
        self.stdout.write(f"{counted} dead letters counted, {left} left")

    def _replay_file(self, file: Path, dry_run: bool, stderr: Any) -> None:
        """Check the whole file first: a bad line must not leave half of it counted."""
        total, digest = _check(file)
        if dry_run:
            self.stdout.write(f"{total} increments are good, nothing was counted")
            return
        with progress("increments", total=total, file=stderr) as advance:
            _send(file, digest, advance)
        self.stdout.write(f"{total} increments sent")


def _send(file: Path, digest: str, advance: Advance) -> None:
    """Append the file's increments, each part under a key of its own."""
    with closing(open_redis(settings.REDIS_URL)) as client:
        stream, appender = Stream(client, streams()[0]), Appender(client, streams()[0])
        lines, done, number = _increments(file), 0, 0
        while chunk := list(islice(lines, CHUNK)):
            _wait_for_room(stream)
            keyed = Keyed(f"replay:{digest}:{number}", Batch.of(chunk))
            try:
                appender.append(encode_payload([keyed]))
            except AppendError as error:
                raise CommandError(f"redis cannot be used: {error}; {_AGAIN}") from error
            done, number = done + len(chunk), number + 1
            advance(done)


def _wait_for_room(stream: Stream) -> None:
    """Wait until the stream takes more, as requests must; CommandError when nobody drains it."""
    give_up_s = time.monotonic() + FULL_S
    while stream.size_bytes() >= settings.STREAM_MAX_BYTES:
        if time.monotonic() > give_up_s:
            raise CommandError(
                f"{stream.key}: holds STREAM_MAX_BYTES and is not drained, is the worker running?"
                f" {_AGAIN}"
            )
        time.sleep(_LOOK_S)


def _check(file: Path) -> tuple[int, str]:
    """How many increments the file has, and a digest of its content."""
    total = sum(1 for _ in _increments(file))
    with file.open("rb") as opened:
        return total, hashlib.file_digest(opened, "sha256").hexdigest()[:32]


def _increments(file: Path) -> Iterator[Increment]:
    """The file's increments; CommandError names the first bad line."""
    try:
        with file.open("rb") as opened:
            for number, line in enumerate(opened, start=1):
                if line.strip():
                    yield _increment(file, number, line)
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from None


def _increment(file: Path, number: int, line: bytes) -> Increment:
    try:
        return decode_increment(line)
    except InvalidIncrementError as error:
        raise CommandError(f"{file}: line {number}: {error}") from None
