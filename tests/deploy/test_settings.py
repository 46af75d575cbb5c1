"""Production settings, in processes of their own: they are read once, at the start."""

import subprocess
import sys

import pytest

from config.env import BASE_DIR

GOOD = {
    "DJANGO_SETTINGS_MODULE": "config.settings.production",
    "SECRET_KEY": "a-secret-for-this-test-" + "q7w1e9r3" * 5,
    "DATABASE_URL": "postgresql://nobody:nothing@127.0.0.1:1/none",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "ALLOWED_HOSTS": "ads.example.com",
}


def _manage(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """`manage.py ARGUMENTS` under production settings and nothing else."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=BASE_DIR,
        env={"PATH": "/usr/bin:/bin", **GOOD, **changes},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_deployment_check_is_clean():
    result = _manage("check", "--deploy", "--fail-level", "WARNING")
    assert result.returncode == 0, result.stderr
    assert "no issues" in result.stdout


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY must be set"),
        ({"SECRET_KEY": "short"}, "SECRET_KEY must be set"),
        ({"SECRET_KEY": "ab" * 40}, "SECRET_KEY must be set"),
        ({"DEBUG": "1"}, "DEBUG must not be set"),
        ({"DEBUG": "true"}, "DEBUG must not be set"),
        ({"DATABASE_URL": ""}, "DATABASE_URL must be set"),
        ({"REDIS_URL": ""}, "REDIS_URL must be set"),
        ({"REDIS_URL": "http://redis"}, "REDIS_URL: a Redis URL cannot begin with http://"),
        ({"REDIS_URL": "redis+cluster://a:1,b:2"}, "CACHE_REDIS_URL must name one server"),
        ({"CACHE_REDIS_URL": "redis+sentinel://a/s"}, "CACHE_REDIS_URL must name one server"),
        ({"CACHE_REDIS_URL": "redis+sentinel://a"}, "CACHE_REDIS_URL: a redis+sentinel://"),
        ({"ALLOWED_HOSTS": ""}, "ALLOWED_HOSTS must be set"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL must be one of DEBUG, INFO"),
        ({"DATABASE_POOL_SIZE": "0"}, "DATABASE_POOL_SIZE must be a whole number, 1 or more"),
        ({"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS must name hosts"),
        ({"ALLOWED_HOSTS": "ads.example.com,*"}, "ALLOWED_HOSTS must name hosts"),
    ],
)
def test_refuses_to_start(changes, complaint):
    result = _manage("check", **changes)
    assert result.returncode != 0
    assert complaint in result.stderr.splitlines()[-1]


def test_cache_and_tasks_have_a_redis_of_their_own_if_one_is_named():
    code = "from django.conf import settings as s; print(s.REDIS_URL, s.CELERY_BROKER_URL)"
    cluster, cache = "redis+cluster://a:1,b:2", "redis://c:3/1"
    for urls in ({"CACHE_REDIS_URL": cache}, {"CACHE_REDIS_URL": cache, "REDIS_URL": cluster}):
        result = _manage("shell", "--verbosity", "0", "-c", code, **urls)
        assert result.stdout.split() == [{**GOOD, **urls}["REDIS_URL"], cache], result.stderr


def test_says_all_that_is_wrong_at_once():
    result = _manage("check", SECRET_KEY="", DATABASE_URL="", DEBUG="yes")
    last = result.stderr.splitlines()[-1]
    assert all(name in last for name in ("SECRET_KEY", "DATABASE_URL", "DEBUG"))


def test_says_at_once_which_values_there_cannot_be():
    result = _manage("check", CATALOG_POLL_S="0", INGEST_RATE_PER_KEY="1e9", DEBUG="maybe")
    assert result.stderr.splitlines() == [
        "DEBUG must be true or false, not maybe; "
        "CATALOG_POLL_S must be a number from 0.01 to 2, not 0; "
        "INGEST_RATE_PER_KEY must be a number from 0 to 1000000, not 1e9"
    ]


def test_a_pool_says_it_before_it_starts_workers():
    result = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn_api.py"],
        cwd=BASE_DIR,
        env={"PATH": "/usr/bin:/bin", **GOOD, "PORT": "http", "LOG_LEVEL": "loud"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode != 0
    assert "PORT must be a whole number" in result.stderr.splitlines()[-1]
    assert "LOG_LEVEL must be one of" in result.stderr.splitlines()[-1]


def test_the_deployment_check_minds_what_is_switched_off():
    result = _manage("check", "--deploy", "--fail-level", "WARNING", SECURE_HSTS_SECONDS="0")
    assert result.returncode != 0
    assert "security.W004" in result.stderr


@pytest.mark.parametrize("name", ["SESSION_COOKIE", "CSRF_COOKIE"])
def test_cookies_are_for_https_only(name):
    code = f"from django.conf import settings; print(settings.{name}_SECURE)"
    assert _manage("shell", "--verbosity", "0", "-c", code).stdout.strip() == "True"
