"""Free ports: processes beside each other are not given the same ones."""

import random
import subprocess
import sys

import pytest

from devstack import ports as module
from devstack.ports import free_port, is_free
from devstack.programs import ROOT

TAKE = "import sys; from devstack.ports import free_port; print(free_port(), flush=True); input()"


def test_a_seed_does_not_decide_which_port_it_is():
    ports = []
    for _ in range(10):
        random.seed(1)
        ports.append(free_port())
    assert len(set(ports)) > 1
    assert all(map(is_free, ports))


def test_what_another_process_was_given_is_not_free(monkeypatch):
    command = [sys.executable, "-c", TAKE]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        monkeypatch.setattr(module, "_FIRST", port)
        monkeypatch.setattr(module, "_LAST", port)
        assert is_free(port)
        with pytest.raises(OSError, match="no free port"):
            free_port()
        other.communicate("\n", timeout=60)
    assert free_port() == port
    assert free_port(port) == port, "it is ours"
    with pytest.raises(OSError, match="no free port"):
        free_port()
