"""Operators with a session, ads to work on, and a way to fill this process's index."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from accounts.models import User
from adserver.catalog import process_index
from adserver.models import Ad
from adserver.records import Actor, AdFields
from adserver.replica import load_snapshot
from adserver.services import ad_create
from commons.connecting import connect

MakeAd = Callable[..., Ad]
SEED = Actor("seed")


@pytest.fixture
def operator(db: None) -> User:
    return User.objects.create_superuser("olga", password="secret-enough")


@pytest.fixture
def client_op(operator: User) -> Client:
    client = Client()
    client.force_login(operator)
    return client


@pytest.fixture
def staff_with(db: None) -> Callable[..., Client]:
    """A client of a staff member who has just the named permissions."""

    def make(*codenames: str) -> Client:
        user = User.objects.create_user("+".join(codenames) or "nobody", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client = Client()
        client.force_login(user)
        return client

    return make


@pytest.fixture
def make_ad(db: None) -> MakeAd:
    """Creates a live ad; fields may be given, `start` and `end` in days from now."""

    def make(title: str = "Bubble tea club", *, start: float = -1, end: float = 10, **given: Any):
        now = timezone.now()
        fields = AdFields(
            title=title,
            content=given.pop("content", "Every tenth cup"),
            start_at=given.pop("start_at", now + timedelta(days=start)),
            end_at=given.pop("end_at", now + timedelta(days=end)),
            **given,
        )
        return Ad.objects.get(pk=ad_create(fields=fields, actor=SEED).id)

    return make


@pytest.fixture
def fill_index(transactional_db: None) -> Iterator[Callable[[], None]]:
    """Reads the committed catalog into this process's index, as a replica would."""

    def fill() -> None:
        with connect() as connection:
            load_snapshot(connection, process_index)

    yield fill
    process_index.load([], version=0)
    process_index.version = None


def form_data(ad: Ad | None = None, **changed: Any) -> dict[str, Any]:
    """What a browser posts for the ad's form, or for a new ad."""
    now = timezone.now()
    data: dict[str, Any] = {
        "title": ad.title if ad else "Bubble tea club",
        "content": ad.content if ad else "Every tenth cup",
        "start_at": browser_time(ad.start_at if ad else now - timedelta(days=1)),
        "end_at": browser_time(ad.end_at if ad else now + timedelta(days=9)),
        "age_start": ad.age_start if ad else 0,
        "age_end": ad.age_end if ad else 100,
        "gender": ad.gender if ad else [],
        "country": ad.country if ad else [],
        "platform": ad.platform if ad else [],
        "base_version": ad.version if ad else "",
    }
    return {**data, **changed}


def browser_time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}"
