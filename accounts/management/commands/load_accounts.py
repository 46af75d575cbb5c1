"""`manage.py load_accounts`: load on logins and session checks, and where the time goes."""

from argparse import ArgumentDefaultsHelpFormatter
from typing import Any, TextIO, cast

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from accounts.load.doors import Door, HttpDoor, LoadError, PacketsDoor
from accounts.load.figures import (
    Reading,
    checks_between,
    miss_rate,
    percentile,
    read_metrics,
    stages_between,
)
from accounts.load.running import MODES, Outcome, Plan, Timings, log_in, run_load
from accounts.seeding import seed_name
from commons.commands import count, seconds, whole
from runtime.progress import progress

_ERRORS_SHOWN = 5


class Command(BaseCommand):
    help = "Logs made-up users in and checks their sessions, over packets or HTTP, at a rate."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.formatter_class = ArgumentDefaultsHelpFormatter
        add = parser.add_argument
        add("--clients", type=count, default=64, help="threads that ask")
        add("--rate", type=float, default=1000.0, help="questions a second; 0: without a pause")
        add("--duration", type=seconds, default=10.0, help="seconds")
        add("--mode", choices=MODES, default="validate", help="what is asked")
        add("--via", choices=("packets", "http"), default="packets", help="through which door")
        add("--users", type=count, default=1000, help="of the seed_users, from seed-0 on")
        add("--password", required=True, help="of these users")
        add(
            "--sessions",
            type=whole,
            default=0,
            help="opened beforehand (default: one a user)",
        )
        add(
            "--connections",
            type=whole,
            default=0,
            help="of the pool (default: one a client)",
        )
        add("--host", default="127.0.0.1", help="where the server is")
        add("--port", type=int, default=0, help="its port (default: PACKETS_PORT or PORT)")
        add("--metrics", default="", help="URL of its metrics (default: the api's on this host)")

    def handle(self, *args: Any, **options: Any) -> None:
        plan = Plan(
            mode=options["mode"],
            clients=options["clients"],
            rate=max(0.0, options["rate"]),
            duration_s=options["duration"],
            usernames=[seed_name(number) for number in range(options["users"])],
            password=options["password"],
        )
        timings = Timings()
        door = _door(options, timings)
        try:
            self._run(door, plan, timings, options)
        except LoadError as error:
            raise CommandError(str(error)) from error
        finally:
            door.close()

    def _run(self, door: Door, plan: Plan, timings: Timings, options: dict[str, Any]) -> None:
        tokens: list[str] = []
        if plan.mode != "login":
            sessions = options["sessions"] or options["users"]
            with progress("sessions", total=sessions, file=options.get("stderr")) as advance:
                tokens = log_in(door, plan, sessions=sessions, advance=advance)
            timings.clear()
        url = options["metrics"] or f"http://{options['host']}:{settings.PORT}/metrics"
        before = _read(url)
        outcome = run_load(door, plan, tokens, timings)
        console = Console(file=cast("TextIO", self.stdout), soft_wrap=True)
        _show(console, plan, outcome, timings)
        _show_server(console, url, before, outcome)
        if outcome.errors:
            raise CommandError(_in_words(outcome))


def _door(options: dict[str, Any], timings: Timings) -> Door:
    host, port = options["host"], options["port"]
    if options["via"] == "http":
        return HttpDoor(host, port or settings.PORT, observe=timings.observe)
    size = options["connections"] or options["clients"]
    return PacketsDoor(host, port or settings.PACKETS_PORT, size=size, observe=timings.observe)


def _read(url: str) -> Reading | None:
    try:
        return read_metrics(url)
    except OSError:
        return None


def _show(console: Console, plan: Plan, outcome: Outcome, timings: Timings) -> None:
    total = outcome.answered.total()
    console.print(
        f"{total} answers in {outcome.took_s:.1f} s, {total / outcome.took_s:.0f}/s"
        f" ({plan.mode}, {plan.clients} clients), {outcome.errors.total()} errors"
    )
    table = Table("as clients see it", "count", "p50 ms", "p99 ms", title_justify="left")
    for stage, durations_s in sorted(timings.collected().items()):
        p50, p99 = (percentile(durations_s, share) * 1000 for share in (0.5, 0.99))
        table.add_row(stage, str(len(durations_s)), f"{p50:.2f}", f"{p99:.2f}")
    console.print(table)


def _show_server(console: Console, url: str, before: Reading | None, outcome: Outcome) -> None:
    after = _read(url)
    if before is None or after is None:
        console.print(f"{url} does not answer: nothing is known of the server's stages")
        return
    table = Table("as the server sees it", "count", "p50 ms ≤", "p99 ms ≤")
    for each in stages_between(before, after):
        bounds = (f"{bound_s * 1000:.2f}" for bound_s in (each.p50_s, each.p99_s))
        table.add_row(each.stage, str(each.count), *bounds)
    console.print(table)
    checked = outcome.answered["validate"]
    if checked:
        # Memory's own count is published now and then; whoever it did not answer asked on at once.
        missed = {
            by: count for by, count in checks_between(before, after).items() if by != "memory"
        }
        by = ", ".join(f"{count} by {name}" for name, count in missed.items())
        rate = miss_rate(missed, checked)
        console.print(f"{checked} checks, of these answered {by}; miss rate {rate:.4f}")


def _in_words(outcome: Outcome) -> str:
    lines = [f"{outcome.errors.total()} questions were not answered with yes:"]
    lines += [f"{count} × {text}" for text, count in outcome.errors.most_common(_ERRORS_SHOWN)]
    return "\n  ".join(lines)
