"""What must be settled before a command of `manage.py` imports anything else."""

from collections.abc import Sequence

from config.gunicorn_common import prepare_pool

# Commands that serve, by the pool whose processes share files of metrics.
POOLS = {"serve_packets": "packets"}


def prepare_command(arguments: Sequence[str]) -> None:
    """Prepare the metrics of a pool, if the command that `arguments` begin with is one: where they
    are kept is settled when prometheus-client is imported, which Django does at its start.
    """
    if arguments and arguments[0] in POOLS:
        prepare_pool(POOLS[arguments[0]])
