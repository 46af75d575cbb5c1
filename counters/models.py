"""Tables of the counters: totals, their history, and what the drain needs to count exactly once.

Two tables are partitioned by time, so that what is too old goes by dropping a partition and not by
deleting and vacuuming a million rows: see `counters.partitions`. Totals and history are made for
updates within their page (no index on what changes, room left in each page).
"""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400


class Counter(models.Model):
    """One total. Written only by `counters.applying`, from the drain and from replays."""

    key = models.UUIDField(primary_key=True, editable=False)
    value = models.BigIntegerField(editable=False)
    updated_at = models.DateTimeField(editable=False)

    class Meta:
        ordering = ["key"]

    def __str__(self) -> str:
        return str(self.key)


class History(models.Model):
    """By how much a counter grew in one minute, hour or day, from `bucket` on for `width_s`.

    The bucket comes first in the key: a pass of the drain then writes to neighbouring pages. A
    bucket holds no more than the total does, so it never overflows.
    """

    pk = models.CompositePrimaryKey("width_s", "bucket", "key")
    width_s = models.IntegerField()
    bucket = models.DateTimeField()
    key = models.UUIDField()
    value = models.BigIntegerField()

    class Meta:
        db_table = "counters_history"

    def __str__(self) -> str:
        return f"{self.key} {self.bucket:%Y-%m-%d %H:%M} {self.width_s}"


class IdempotencyKey(models.Model):
    """Increments under this key counted when they were accepted `at` that moment."""

    pk = models.CompositePrimaryKey("key", "at")
    key = models.CharField(max_length=64, db_collation="C")
    at = models.DateTimeField()

    class Meta:
        db_table = "counters_idempotencykey"

    def __str__(self) -> str:
        return self.key


class DeadLetter(models.Model):
    """Accepted, but not to be counted: why, and what, until somebody replays it.

    What is over the largest total is kept as one open row a counter, which grows.
    """

    class Reason(models.TextChoices):
        """Why it could not be counted."""

        OVERFLOW = "overflow", "the total would pass 2^63-1"
        UNREADABLE = "unreadable", "the entry cannot be read"
        REFUSED = "refused", "the database refused it"

    reason = models.CharField(max_length=10, choices=Reason)
    stream = models.CharField(max_length=100)
    entry_id = models.CharField(max_length=41)
    key = models.UUIDField(null=True)
    # More than a bigint may hold: many increments may be over the largest total.
    value = models.DecimalField(max_digits=60, decimal_places=0, null=True)
    payload = models.BinaryField(null=True)
    detail = models.CharField(max_length=200, blank=True)
    times = models.BigIntegerField(default=1)
    at = models.DateTimeField()
    last_at = models.DateTimeField()
    replayed_at = models.DateTimeField(null=True)
    replayed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    replayed_by_label = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ["-last_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["key"],
                condition=models.Q(reason="overflow", replayed_at__isnull=True),
                name="deadletter_open_overflow",
            ),
        ]
        indexes = [
            models.Index(fields=["-last_at", "-id"], name="deadletter_newest"),
            models.Index(fields=["key"], name="deadletter_key"),
        ]

    def __str__(self) -> str:
        return f"{self.reason} {self.key or self.entry_id}"


class StreamCursor(models.Model):
    """How far each stream has been drained; written by `runtime.drain`."""

    stream = models.TextField(primary_key=True)
    last_id = models.TextField()
    at_ms = models.BigIntegerField()
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "counters_streamcursor"

    def __str__(self) -> str:
        return f"{self.stream} {self.last_id}"


class StreamWriter(models.Model):
    """The highest batch of each writer that was applied; written by `runtime.drain`."""

    pk = models.CompositePrimaryKey("stream", "writer")
    stream = models.TextField()
    writer = models.BinaryField()
    seq = models.BigIntegerField()
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "counters_streamwriter"

    def __str__(self) -> str:
        return f"{self.stream} {bytes(self.writer).hex()}"


class TotalsPass(models.Model):
    """How many transactions have changed totals, by stream. The cache of totals follows this
    number, and so knows when it has missed one: see `counters.totals`.
    """

    stream = models.TextField(primary_key=True)
    number = models.BigIntegerField()

    class Meta:
        db_table = "counters_totalspass"

    def __str__(self) -> str:
        return f"{self.stream} {self.number}"
