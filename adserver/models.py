"""Tables of the ads: the ads themselves and the ordered log of every change to them."""

import uuid
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex, GinIndex
from django.db import models
from django.utils import timezone
from msgspec.structs import asdict
from uuid_utils.compat import uuid7

from adserver.records import AdRecord, StoredAd, state_at


def new_ad_id() -> uuid.UUID:
    """A version 7 UUID: new ads land at the end of the primary key, not all over it."""
    return uuid7()


class Ad(models.Model):
    """An ad and whom it is for. Written only by `adserver.services`."""

    id = models.UUIDField(primary_key=True, default=new_ad_id, editable=False)
    title = models.CharField(max_length=100)
    content = models.TextField(blank=True)
    start_at = models.DateTimeField()
    end_at = models.DateTimeField()
    age_start = models.PositiveSmallIntegerField(default=0)
    age_end = models.PositiveSmallIntegerField(default=100)
    gender = ArrayField(models.CharField(max_length=1), default=list, blank=True)
    country = ArrayField(models.CharField(max_length=2), default=list, blank=True)
    platform = ArrayField(models.CharField(max_length=7), default=list, blank=True)
    version = models.BigIntegerField(editable=False)
    created_at = models.DateTimeField(editable=False)
    updated_at = models.DateTimeField(editable=False)
    closed_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["end_at", "id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(start_at__lt=models.F("end_at")), name="ad_starts_before_end"
            ),
            models.CheckConstraint(
                condition=models.Q(age_start__lte=models.F("age_end"), age_end__lte=100),
                name="ad_age_range",
            ),
        ]
        indexes = [
            # The snapshot and the expiry look only at what is open.
            models.Index(
                fields=["end_at", "id"],
                name="ad_open",
                condition=models.Q(closed_at__isnull=True),
            ),
            models.Index(fields=["end_at", "id"], name="ad_order"),
            models.Index(fields=["start_at"], name="ad_start"),
            models.Index(fields=["created_at"], name="ad_created"),
            GinIndex(fields=["country"], name="ad_country"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def state(self) -> str:
        """`scheduled`, `live` or `ended`, by the clock."""
        return state_at(timezone.now(), self.start_at, self.end_at)


class AdChange(models.Model):
    """One entry of the change log. Versions are gapless and in the order of the commits."""

    class Operation(models.TextChoices):
        """What was done to the ad."""

        CREATE = "create", "created"
        UPDATE = "update", "changed"
        DELETE = "delete", "deleted"
        CLOSE = "close", "closed at its end"

    version = models.BigIntegerField(primary_key=True)
    operation = models.CharField(max_length=6, choices=Operation)
    ad_id = models.UUIDField()
    # The ad after the change, as it is served; null when it was deleted.
    ad = models.JSONField(null=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    actor_label = models.CharField(max_length=150)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name = "change"
        verbose_name_plural = "changes"
        ordering = ["version"]
        indexes = [
            models.Index(fields=["ad_id", "version"], name="adchange_ad"),
            # The log grows in the order of time, which is what this kind of index is made for.
            BrinIndex(fields=["created_at"], name="adchange_created"),
        ]

    def __str__(self) -> str:
        return f"{self.version} {self.operation} {self.ad_id}"


_LIST_FIELDS = ("gender", "country", "platform")


def record_of(ad: Ad) -> AdRecord:
    """The ad as it is served."""
    values: dict[str, Any] = {name: getattr(ad, name) for name in AdRecord.__struct_fields__}
    for name in _LIST_FIELDS:
        values[name] = tuple(values[name])
    return AdRecord(**values)


def stored_of(ad: Ad) -> StoredAd:
    """The ad as the services give it."""
    return StoredAd(record_of(ad), ad.updated_at, ad.closed_at)


def model_of(ad: StoredAd) -> Ad:
    """The reverse of `stored_of`."""
    values = asdict(ad.record)
    for name in _LIST_FIELDS:
        values[name] = list(values[name])
    return Ad(**values, updated_at=ad.updated_at, closed_at=ad.closed_at)
