"""`manage.py seed_users`: whom it makes, what it says, what it refuses."""

import io

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from accounts import seeding
from accounts.models import User

pytestmark = pytest.mark.django_db(transaction=True)


def run(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("seed_users", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_users_are_added_chunk_by_chunk_and_can_log_in(monkeypatch) -> None:
    monkeypatch.setattr(seeding, "USERS_A_CHUNK", 40)
    monkeypatch.setattr(seeding, "USERS_A_HASH", 15)
    out, err = run("--count", "100", "--password", "correct horse")
    assert out == "100 users added, seed-0 to seed-99\npassword: correct horse\n"
    assert err.splitlines() == ["users: 40 of 100", "users: 80 of 100", "users: 100 of 100"]
    names = set(User.objects.values_list("username", flat=True))
    assert names == {f"seed-{number}" for number in range(100)}
    # 15 + 15 + 10, twice, then 15 + 5.
    assert len(set(User.objects.values_list("password", flat=True))) == 8
    last = User.objects.get(username_key="seed-99")
    assert last.check_password("correct horse")
    assert (last.nickname, last.image, last.is_active, last.is_staff) == (
        "seed-99",
        "",
        True,
        False,
    )


def test_more_can_be_added_later() -> None:
    run("--count", "3", "--password", "correct horse")
    assert run("--count", "2", "--first", "3")[0].startswith("2 users added, seed-3 to seed-4\n")
    assert User.objects.count() == 5


def test_a_password_is_made_and_printed() -> None:
    password = run("--count", "1")[0].splitlines()[1].removeprefix("password: ")
    assert User.objects.get().check_password(password)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--count", "0"], "--count must be 1 or more"),
        (["--first", "-1"], "--first 0 or more"),
        (["--password", "short"], "password: must have 8 to 128 characters"),
        (["--count", "4"], "some of the users seed-0 to seed-3 exist already"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(
    arguments: list[str], said: str
) -> None:
    run("--count", "1", "--first", "2")
    with pytest.raises(CommandError, match=said):
        run(*arguments)
    assert User.objects.count() == 1
