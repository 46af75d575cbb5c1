"""The commands: what they write, what they say, and that they write through the services."""

import io
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import time_machine
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from adserver import services, storing
from adserver.management.commands import seed_ads
from adserver.models import Ad, AdChange, record_of
from adserver.records import fields_of, parse_fields
from adserver.rows import rows_to_csv
from adserver.samples import random_ads
from config import env
from runtime.progress import progress
from tests.adserver.support import ACTOR, HOUR, NOON, fields, fresh_index

pytestmark = pytest.mark.django_db(transaction=True)


def run(*arguments: str) -> tuple[str, str]:
    """What the command writes on stdout and stderr. CommandError when it fails."""
    out, err = io.StringIO(), io.StringIO()
    call_command(*arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def refusal(*arguments: str) -> tuple[str, str]:
    """The message of the command's failure, and what it wrote on stderr before."""
    err = io.StringIO()
    with pytest.raises(CommandError) as raised:
        call_command(*arguments, stdout=io.StringIO(), stderr=err)
    return str(raised.value), err.getvalue()


def log_labels() -> list[str]:
    return list(AdChange.objects.values_list("actor_label", flat=True))


# seed_ads


def test_seed_ads_adds_live_ads_in_chunks_through_the_service(monkeypatch) -> None:
    monkeypatch.setattr(seed_ads, "IMPORT_ROWS_MAX", 4)
    out, err = run("seed_ads", "--count", "10")
    assert out == "10 ads added\n"
    assert err.splitlines() == ["ads: 4 of 10", "ads: 8 of 10", "ads: 10 of 10"]
    assert log_labels() == ["seed_ads"] * 10
    assert all(ad.state == "live" for ad in Ad.objects.all())


def test_seed_ads_makes_the_same_ads_of_the_same_seed() -> None:
    with time_machine.travel(NOON, tick=False):
        run("seed_ads", "--count", "3", "--seed", "7")
        expected = list(random_ads(count=3, now=timezone.now(), seed=7))
    assert [fields_of(record_of(ad)) for ad in Ad.objects.order_by("version")] == expected


def test_seed_ads_refuses_a_count_of_nothing() -> None:
    assert refusal("seed_ads", "--count", "0") == ("--count: must be 1 or more", "")


# import_ads

ROWS: list[dict[str, Any]] = [
    {
        "title": f"Imported {number}",
        "content": 'Words, "quoted"\nand more',
        "start_at": "2026-01-01T00:00:00Z",
        "end_at": "2026-02-01T00:00:00Z",
        "age_start": 18,
        "gender": ["F"],
        "country": ["TW", "JP"],
    }
    for number in range(5)
]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> str:
    if path.suffix == ".csv":
        ads = services.ads_import(rows=[parse_fields(row) for row in rows], actor=ACTOR)
        path.write_text("".join(rows_to_csv(ad.record for ad in ads)), newline="")
        services.ads_delete(ad_ids=[ad.id for ad in ads], actor=ACTOR)
    elif path.suffix == ".json":
        path.write_bytes(orjson.dumps(rows))
    else:
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return str(path)


@pytest.mark.parametrize("name", ["ads.csv", "ads.json", "ads.jsonl", "ads.NDJSON"])
def test_import_ads_adds_every_row_through_the_service(name: str, tmp_path, monkeypatch) -> None:
    file = write_rows(tmp_path / name, ROWS)
    before = AdChange.objects.count()
    monkeypatch.setattr(services, "IMPORT_ROWS_MAX", 2)
    monkeypatch.setattr(services, "ads_import", counted := Counted(services.ads_import))
    out, err = run("import_ads", file)
    assert out == "5 ads added\n"
    assert err.splitlines() == ["ads: 2 of 5", "ads: 4 of 5", "ads: 5 of 5"]
    assert counted.sizes == [2, 2, 1]
    assert log_labels()[before:] == ["import_ads"] * 5
    wanted = [parse_fields(row) for row in ROWS]
    assert [fields_of(record_of(ad)) for ad in Ad.objects.order_by("version")] == wanted


class Counted:
    """A service that notes how many rows it was given each time."""

    def __init__(self, service: Any) -> None:
        self._service = service
        self.sizes: list[int] = []

    def __call__(self, *, rows: Any, actor: Any) -> Any:
        self.sizes.append(len(rows))
        return self._service(rows=rows, actor=actor)


def test_import_ads_reads_json_as_windows_and_worse_write_it(tmp_path) -> None:
    file = tmp_path / "ads.json"
    file.write_text("\ufeff" + json.dumps([ROWS[0]]))
    assert run("import_ads", str(file))[0] == "1 ad added\n"
    file.write_text(r'[{"\ud800": 1}]')
    _, err = refusal("import_ads", str(file))
    assert r"\ud800: is not a field of an ad" in err
    file.write_text("[")
    assert "body: is not valid JSON" in refusal("import_ads", str(file))[0]


def test_import_ads_names_every_bad_row_and_writes_nothing(tmp_path) -> None:
    bad = [
        ROWS[0],
        ROWS[1] | {"title": "no"},
        ROWS[2] | {"gender": ["X"], "age_start": 101},
        {name: value for name, value in ROWS[3].items() if name != "end_at"},
    ]
    file = tmp_path / "ads.jsonl"
    write_rows(file, bad)
    file.write_text(file.read_text() + "{broken\n")
    for flags in ([], ["--dry-run"]):
        message, err = refusal("import_ads", str(file), *flags)
        assert message == "4 of 5 rows are bad, nothing was written"
        assert err.splitlines() == [
            "row 2: title: must have 5 to 100 characters, not 2",
            "row 3: age_start: must be from 0 to 100; gender: 'X' is not M or F",
            "row 4: end_at: is required",
            "row 5: row: is not valid JSON",
        ]
    assert not AdChange.objects.exists()


def test_import_ads_dry_run_writes_nothing(tmp_path) -> None:
    out, _ = run("import_ads", write_rows(tmp_path / "ads.jsonl", ROWS), "--dry-run")
    assert out == "5 rows are good, nothing was written\n"
    assert not AdChange.objects.exists()


def test_import_ads_that_fails_in_a_later_chunk_leaves_nothing(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(services, "IMPORT_ROWS_MAX", 2)
    real = storing.put_ads
    calls: list[int] = []

    def failing(ads: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise services.TooManyRowsError("stop here")
        real(ads)

    monkeypatch.setattr(services, "put_ads", failing)
    with pytest.raises(services.TooManyRowsError):
        run("import_ads", write_rows(tmp_path / "ads.jsonl", ROWS))
    assert (len(calls), Ad.objects.count(), AdChange.objects.count()) == (2, 0, 0)


def test_import_ads_says_what_is_wrong_with_the_file(tmp_path) -> None:
    unknown = tmp_path / "ads.txt"
    unknown.write_text("title\n")
    assert "--format" in refusal("import_ads", str(unknown))[0]
    assert "'start_at' is missing" not in refusal("import_ads", str(unknown))[0]
    assert "is missing" in refusal("import_ads", str(unknown), "--format", "csv")[0]
    latin = tmp_path / "ads.csv"
    latin.write_bytes(b"title,content\n\xe9")
    assert "is not UTF-8 text, see byte 14" in refusal("import_ads", str(latin))[0]
    assert "No such file" in refusal("import_ads", str(tmp_path / "none.csv"))[0]
    assert "Is a directory" in refusal("import_ads", str(tmp_path), "--format", "csv")[0]


# catalog_hash


def test_catalog_hash_is_that_of_a_fresh_index_and_of_the_log() -> None:
    ads = services.ads_import(rows=[fields(title=f"Number {n}") for n in range(4)], actor=ACTOR)
    services.ads_extend(ad_ids=[ads[0].id], by=timedelta(days=40_000), actor=ACTOR)
    services.ad_delete(ad_id=ads[1].id, actor=ACTOR)
    services.ads_close_ended(actor=ACTOR)
    version, digest, open_ads, live = fresh_index(lambda: 0).state()
    with time_machine.travel(0):
        for flags in ([], ["--from-log"]):
            state = json.loads(run("catalog_hash", "--json", *flags)[0])
            wanted = {"version": version, "hash": digest, "open_ads": open_ads, "live_ads": live}
            assert state == wanted
            assert run("catalog_hash", *flags)[0] == (
                f"version {version} hash {digest} open ads {open_ads} live {live}\n"
            )


def test_catalog_hash_of_nothing() -> None:
    zero = "0" * 32
    for flags in ([], ["--from-log"]):
        assert run("catalog_hash", *flags)[0] == f"version 0 hash {zero} open ads 0 live 0\n"


def test_catalog_hash_from_a_trimmed_log_says_so() -> None:
    ad = services.ad_create(fields=fields(), actor=ACTOR)
    services.ad_replace(ad_id=ad.id, fields=fields(title="Replaced"), actor=ACTOR)
    services.changelog_trim(before=timezone.now())
    message, _ = refusal("catalog_hash", "--from-log")
    assert message == "the log has been trimmed: version 1 is missing"
    assert json.loads(run("catalog_hash", "--json")[0])["version"] == 2


# changelog_trim


def history_of_three_days() -> None:
    """An ad changed once a day, and one deleted on the first day."""
    with time_machine.travel(NOON, tick=False) as traveller:
        gone = services.ad_create(fields=fields(title="Gone soon"), actor=ACTOR)
        services.ad_delete(ad_id=gone.id, actor=ACTOR)
        ad = services.ad_create(fields=fields(), actor=ACTOR)
        for day in (1, 2):
            traveller.move_to(NOON + day * 24 * HOUR)
            services.ad_replace(ad_id=ad.id, fields=fields(title=f"Day {day}"), actor=ACTOR)


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        ("0h", [2, 5]),
        ("13h", [2, 5]),
        ("1440m", [2, 4, 5]),
        ("2d", [1, 2, 3, 4, 5]),
        ("1w", [1, 2, 3, 4, 5]),
        ("2026-01-02", [2, 4, 5]),
        ("2026-01-01T12:00:00Z", [1, 2, 3, 4, 5]),
        ("2026-01-01T21:00:00.000001+08:00", [2, 4, 5]),
    ],
)
def test_changelog_trim_keeps_what_is_younger_and_the_newest_of_each_ad(
    before: str, kept: list[int]
) -> None:
    history_of_three_days()
    with time_machine.travel(NOON + 48 * HOUR, tick=False):
        count = 5 - len(kept)
        counted = run("changelog_trim", "--before", before, "--dry-run")[0]
        assert counted == f"{count} entries would be deleted\n"
        assert AdChange.objects.count() == 5
        assert run("changelog_trim", "--before", before)[0] == f"{count} entries deleted\n"
    assert list(AdChange.objects.values_list("version", flat=True)) == kept
    assert services.ad_create(fields=fields(), actor=ACTOR).version == 6


@pytest.mark.parametrize("before", ["", "90", "d", "-1d", "2026-02-30", "2026-01-01T00:00:00"])
def test_changelog_trim_refuses_what_is_no_moment(before: str) -> None:
    assert "is no age such as 90d" in refusal("changelog_trim", f"--before={before}")[0]


def test_changelog_trim_refuses_the_future() -> None:
    tomorrow = (timezone.now() + timedelta(days=1)).isoformat()
    assert refusal("changelog_trim", "--before", tomorrow)[0] == "--before: lies in the future"


# All of them


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_a_bar_on_a_terminal() -> None:
    terminal = Terminal()
    with progress("ads", total=10, file=terminal) as advance:
        advance(5)
        advance(10)
    assert "10/10" in terminal.getvalue()
    assert "━" in terminal.getvalue()


@pytest.mark.parametrize(
    "arguments",
    [
        ["seed_ads", "--count", "1"],
        ["catalog_hash"],
    ],
)
def test_a_database_that_is_away_is_said_in_a_clear_line(arguments: list[str], tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, str(env.BASE_DIR / "manage.py"), *arguments],
        env={
            "DJANGO_SETTINGS_MODULE": "config.settings.local",
            "DATABASE_URL": "postgresql://127.0.0.1:1/none",
            "REDIS_URL": "redis://127.0.0.1:1/0",
            "DATA_DIR": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("CommandError: the database cannot be used: ")


def test_that_no_stack_runs_is_said_at_once(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, str(env.BASE_DIR / "manage.py"), "seed_ads"],
        env={"DJANGO_SETTINGS_MODULE": "config.settings.local", "DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        1,
        "CommandError: nothing runs here: start `make run`, or set DATABASE_URL and REDIS_URL\n",
    )
