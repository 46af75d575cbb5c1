"""Tables of the time series in PostgreSQL. Written only by `timeseries.stores`.

The measurements themselves are in `timeseries_block`, of which Django knows nothing: see
`timeseries.stores.packed` for what a block is, `timeseries.partitions` for its partitions.
"""

from django.db import models


class Tag(models.Model):
    """The dictionary: a block holds four bytes of tag, not its name."""

    id = models.AutoField(primary_key=True)
    # Compared byte by byte, as kdb+ and memory do.
    name = models.CharField(max_length=20, unique=True, db_collation="C")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class TagHour(models.Model):
    """What there is of one tag in one hour, kept with the measurements themselves."""

    pk = models.CompositePrimaryKey("tag_id", "hour_ns")
    tag = models.ForeignKey(Tag, on_delete=models.PROTECT, db_index=False, related_name="hours")
    hour_ns = models.BigIntegerField()
    first_ns = models.BigIntegerField()
    last_ns = models.BigIntegerField()
    count = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["hour_ns"], name="taghour_hour")]

    def __str__(self) -> str:
        return f"{self.tag_id} in {self.hour_ns}"


class StreamCursor(models.Model):
    """How far a stream has been drained, for people: nothing depends on it."""

    stream = models.TextField(primary_key=True)
    last_id = models.TextField()
    at_ms = models.BigIntegerField()
    updated_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.stream} at {self.last_id}"


class StreamWriter(models.Model):
    """The highest number stored of each writer into a stream: an entry counts once."""

    pk = models.CompositePrimaryKey("stream", "writer")
    stream = models.TextField()
    writer = models.BinaryField()
    seq = models.BigIntegerField()
    updated_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.stream} {bytes(self.writer).hex()} {self.seq}"
