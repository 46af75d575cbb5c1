"""Pictures are kept under names that nobody guesses, and served so that they can only be seen."""

import os
import time
from pathlib import Path
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import OperationalError
from django.test import Client

from accounts import services
from accounts.images import InvalidImageError
from accounts.models import User
from accounts.pictures import (
    PictureStoreError,
    picture_copy,
    picture_name,
    picture_read,
    picture_remove,
    picture_store,
    picture_url,
)
from accounts.selectors import person_of
from tests.accounts_pages.samples import opened, picture


def kept(directory: Path) -> list[str]:
    return sorted(file.name for file in directory.rglob("*") if file.is_file())


def test_keeps_reads_and_removes(directory):
    name = picture_store(data=picture())
    assert kept(directory) == [name]
    assert opened(picture_read(name=name)).size == (64, 48)
    picture_remove(name=name)
    assert kept(directory) == []
    assert picture_read(name=name) is None
    picture_remove(name=name)


def test_the_same_picture_twice_is_two_files(directory):
    first, second = picture_store(data=picture()), picture_store(data=picture())
    assert first != second
    picture_remove(name=first)
    assert picture_read(name=second)


def test_what_is_refused_leaves_nothing(directory):
    with pytest.raises(InvalidImageError):
        picture_store(data=b"<svg/>")
    assert kept(directory) == []


def test_a_copy_has_a_life_of_its_own(directory):
    name = picture_store(data=picture())
    copy = picture_copy(url=f"https://ads.example.com{picture_url(name)}")
    picture_remove(name=name)
    assert picture_read(name=copy)
    with pytest.raises(InvalidImageError):
        picture_copy(url=picture_url(name))


@pytest.mark.parametrize(
    "name", ["", "..", "../../etc/passwd", "a" * 32, "a" * 32 + ".webp\n", "A" * 32 + ".webp"]
)
def test_no_other_name_reaches_the_store(directory, name):
    directory.mkdir()
    (directory / "keep").write_text("me")
    assert picture_read(name=name) is None
    picture_remove(name=name)
    assert kept(directory) == ["keep"]
    assert picture_name(f"/pictures/{name}") == ""
    with pytest.raises(InvalidImageError):
        picture_copy(url=f"/pictures/{name}")


def test_a_store_that_cannot_be_written_says_so(directory):
    directory.parent.mkdir(exist_ok=True)
    directory.write_text("a file where the directory should be")
    with pytest.raises(PictureStoreError):
        picture_store(data=picture())
    with pytest.raises(PictureStoreError):
        picture_read(name="a" * 32 + ".webp")
    # What it was for is committed by then.
    picture_remove(name="a" * 32 + ".webp")


def test_is_served_to_be_seen_and_nothing_else(directory):
    name = picture_store(data=picture())
    answer = Client().get(picture_url(name))
    assert answer.status_code == 200
    assert opened(answer.content).format == "WEBP"
    assert answer["Content-Type"] == "image/webp"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert "immutable" in answer["Cache-Control"]
    assert "Set-Cookie" not in answer
    again = Client().get(picture_url(name), headers={"if-none-match": answer["ETag"]})
    assert again.status_code == 304
    head = Client().head(picture_url(name))
    assert head.status_code == 200
    assert Client().post(picture_url(name)).status_code == 405


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("error", "left"), [(OperationalError("lost at the commit"), 1), (ZeroDivisionError(), 0)]
)
def test_a_picture_goes_only_when_it_is_certainly_nobodys(directory, monkeypatch, error, left):
    user = User.objects.create_user("mia")

    def fail(user_id: int) -> None:
        raise error

    monkeypatch.setattr(services, "touch_sessions", fail)
    with pytest.raises(type(error)):
        services.image_upload(person=person_of(user, UUID(int=1)), data=picture())
    assert len(kept(directory)) == left


def test_what_is_not_there_is_not_found(directory):
    for path in (f"/pictures/{'0' * 32}.webp", "/pictures/", "/pictures/..%2f..%2fetc%2fpasswd"):
        assert Client().get(path).status_code == 404, path


def age(directory: Path, name: str, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(directory / name[:2] / name, (then, then))


@pytest.mark.django_db
def test_sweeps_away_what_is_nobodys(directory, capsys):
    hers, young, old = (picture_store(data=picture()) for _ in range(3))
    User.objects.create_user("mia", image=hers)
    for name in (hers, old):
        age(directory, name, 3700)
    (directory / "ab").mkdir(exist_ok=True)
    (directory / "ab" / "README").write_text("not ours")
    call_command("sweep_pictures")
    assert capsys.readouterr().out == "3 pictures, 1 removed\n"
    assert set(kept(directory)) == {hers, young, "README"}


@pytest.mark.django_db
def test_a_sweep_of_an_empty_store_is_nothing(directory, capsys):
    call_command("sweep_pictures")
    assert capsys.readouterr().out == "0 pictures, 0 removed\n"
