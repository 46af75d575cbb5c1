"""How long a refusal takes tells nothing of whether the name exists."""

import time
from bisect import bisect_left, bisect_right

import pytest
from django.contrib.auth.hashers import make_password

from accounts import passwords, services
from accounts.errors import BadCredentialsError
from accounts.models import User
from tests.accounts.test_logins import REAL_HASHERS

pytestmark = [pytest.mark.django_db, pytest.mark.drill]
TRIES = 1_000


def refused_after_s(username: str) -> float:
    started_s = time.perf_counter()
    with pytest.raises(BadCredentialsError):
        services.session_open(username=username, password="wrong horse")
    return time.perf_counter() - started_s


def chance_of_longer(one: list[float], other: list[float]) -> float:
    """How probable it is that one of the first took longer than one of the second: 0.5 when they
    cannot be told apart (Mann and Whitney's U, divided by its largest value).
    """
    ordered = sorted(other)
    below = sum(bisect_left(ordered, each) + bisect_right(ordered, each) for each in one)
    return below / (2 * len(one) * len(other))


@pytest.mark.parametrize("algorithm", ["argon2", "md5"])
def test_an_unknown_user_takes_as_long_as_a_wrong_password(ann, settings, algorithm):
    settings.PASSWORD_HASHERS = REAL_HASHERS
    settings.ACCOUNT_LOCKOUT_FAILURES = 10 * TRIES
    passwords._nobodys_password.cache_clear()
    User.objects.update(password=make_password("correct horse", hasher=algorithm))
    for name in ("ann", "nobody"):
        refused_after_s(name)
    # Alternating, so that the machine's moods hit both alike.
    times_s = [(refused_after_s("ann"), refused_after_s("nobody")) for _ in range(TRIES)]
    known, unknown = ([each[number] for each in times_s] for number in (0, 1))
    # Three standard deviations of what chance alone gives.
    noise = 3 * ((2 * TRIES + 1) / (12 * TRIES * TRIES)) ** 0.5
    assert abs(chance_of_longer(known, unknown) - 0.5) < noise
