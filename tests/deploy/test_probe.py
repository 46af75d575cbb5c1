"""`python -m config.probe`, the health check of the containers of every pool."""

import subprocess
import sys

import pytest

from config import env, probe
from devstack.ports import free_port
from tests.deploy.teller import teller
from tests.packets.support import Server


@pytest.mark.parametrize(
    ("pool", "variable"),
    [("api", "PORT"), ("edge", "EDGE_PORT"), ("writer", "TIMESERIES_WATCH_PORT")],
)
@pytest.mark.parametrize(("status", "code"), [(200, 0), (301, 1), (503, 1)])
def test_a_pool_is_healthy_when_it_is_ready(monkeypatch, capsys, pool, variable, status, code):
    with teller(pool, status) as port:
        monkeypatch.setenv(variable, str(port))
        assert probe.main([pool]) == code
    assert f'"pool": "{pool}"' in capsys.readouterr().out


def test_a_pool_that_is_gone_is_not_healthy(monkeypatch, capsys):
    monkeypatch.setenv("PORT", str(free_port()))
    assert probe.main(["api"]) == 1
    assert "does not answer" in capsys.readouterr().out


def test_the_packets_are_healthy_when_they_answer(monkeypatch, capsys):
    with Server() as server:
        monkeypatch.setenv("PACKETS_PORT", str(server.port))
        assert probe.main(["packets"]) == 0
    assert "Format: is required" in capsys.readouterr().out
    assert probe.main(["packets"]) == 1
    assert "packets does not answer" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["redis"], ["api", "edge"]])
def test_a_wrong_call_is_explained(capsys, arguments):
    assert probe.main(arguments) == 2
    assert capsys.readouterr().err == (
        "usage: python -m config.probe api|edge|packets|writer|worker|beat\n"
    )


@pytest.mark.parametrize(
    ("url", "said"),
    [(None, "does not answer\n"), ("redis://127.0.0.1:1/0", "the broker does not answer: ")],
)
def test_a_worker_that_is_gone_is_not_healthy(monkeypatch, capsys, url, said):
    monkeypatch.setattr(probe, "TIMEOUT_S", 0.2)
    if url is not None:
        monkeypatch.setenv("CACHE_REDIS_URL", url)
    assert probe.main(["worker"]) == 1
    assert said in capsys.readouterr().out


def test_asking_costs_no_start_of_django():
    code = "import sys, config.probe; sys.exit('django.db' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=env.BASE_DIR, check=False)
    assert result.returncode == 0
