"""The Dockerfile: what it must hold, and its tree built on this machine."""

import re

import pytest

from tests.deploy import image

pytestmark = pytest.mark.xdist_group("deploy")


def test_two_stages_on_one_pinned_base():
    assert [stage[0].split()[1] for stage in image.stages()] == ["${PYTHON_IMAGE}"] * 2
    base = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", image.DOCKERFILE.read_text(), re.MULTILINE)
    assert base is not None
    assert base[1] == "python:3.11-slim-bookworm"


def test_requirements_come_by_their_hashes():
    installs = [line for line in image.stages()[0] if "pip install" in line]
    for install, names in zip(installs, (("base", "s3"), ("kdb",)), strict=True):
        assert "--no-deps --require-hashes" in install
        wanted = [f"requirements/{name}.txt" for name in names]
        assert re.findall(r"-r (\S+)", install) == wanted
    assert 'test -z "$KDB" ||' in installs[1]


def test_the_final_stage_installs_nothing_and_is_not_root():
    final = image.stages()[-1]
    assert not [line for line in final if re.search(r"apt-get|pip install|gcc", line)]
    user = image.instructions("USER")
    assert user == ["10001:10001"]
    assert not [line for line in final[final.index(f"USER {user[0]}") :] if line[:3] == "RUN"]


def test_commands_are_not_wrapped_in_a_shell():
    (command,) = image.instructions("CMD")
    assert command.startswith("[")


def test_output_is_not_held_back():
    assert image.environment()["PYTHONUNBUFFERED"] == "1"


def test_no_secret_stays():
    assert not [name for name in image.environment() if re.search("SECRET|PASSWORD|URL", name)]


def test_the_context_holds_what_is_copied_and_no_more():
    copied = {
        source
        for stage in image.stages()
        for line in stage
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }
    lines = image.IGNORE_FILE.read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied


def test_the_tree_has_the_product_and_its_static_files(tree):
    assert {path.name for path in tree.iterdir()} == {
        *(
            "manage.py",
            "runtime",
            "commons",
            "accounts",
            "adserver",
            "counters",
            "timeseries",
            "deploy",
        ),
        *("templates", "config", "staticfiles"),
    }
    manifest = tree / "staticfiles/staticfiles.json"
    assert "admin/js/core.js" in manifest.read_text()
