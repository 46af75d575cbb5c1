"""Free ports: processes beside each other are not given the same ones."""

import random

from devstack.ports import free_port, is_free


def test_a_seed_does_not_decide_which_port_it_is():
    ports = []
    for _ in range(10):
        random.seed(1)
        ports.append(free_port())
    assert len(set(ports)) > 1
    assert all(map(is_free, ports))
