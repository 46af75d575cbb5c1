"""Tables of the time series in PostgreSQL. Written only by `timeseries.stores` and `services`.

`Measurement` is partitioned by time, so that what is past the retention goes by dropping a table.
Its partitions are made by `timeseries.partitions`; Django only reads it.
"""

from django.db import models


class Tag(models.Model):
    """The dictionary: a measurement holds four bytes of tag, not its name."""

    id = models.AutoField(primary_key=True)
    # Compared byte by byte, as kdb+ and memory do.
    name = models.CharField(max_length=20, unique=True, db_collation="C")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Measurement(models.Model):
    """One measurement. `values` are its floats, 8 bytes each, big-endian; `time_ns` since 1970."""

    pk = models.CompositePrimaryKey("tag_id", "time_ns")
    time_ns = models.BigIntegerField()
    # No reference in the database: it would be checked for every row of every batch. `TagHour`
    # has one, and there is a row of it for every measurement.
    tag = models.ForeignKey(
        Tag, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    values = models.BinaryField()

    class Meta:
        managed = False
        db_table = "timeseries_measurement"

    def __str__(self) -> str:
        return f"{self.tag_id} at {self.time_ns}"


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
