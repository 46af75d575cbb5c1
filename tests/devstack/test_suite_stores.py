"""The suite itself runs on throw-away stores: real servers, one database per worker."""

import os
from pathlib import Path

import django_redis
import pytest
from django.conf import settings
from django.db import connection


@pytest.mark.django_db
def test_django_talks_to_a_throw_away_postgresql():
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::int, current_database()")
        version, database = cursor.fetchone()
    assert version >= 180_000
    assert database.startswith("test_adhouse")


def test_each_worker_has_a_redis_of_its_own():
    client = django_redis.get_redis_connection("default")
    directory = Path(os.environ["DATA_DIR"])
    if "PYTEST_XDIST_WORKER" not in os.environ:
        directory = directory.parent
    assert Path(client.config_get("dir")["dir"]).is_relative_to(directory / "redis")
    client.set("suite", "here")
    assert client.get("suite") == b"here"


def test_settings_name_the_throw_away_stores():
    assert os.environ["DATABASE_URL"] == settings.DATABASE_URL
    assert os.environ["REDIS_URL"] == settings.REDIS_URL
    assert "adhouse-stores-" in os.environ["DATA_DIR"]
