"""docs/configuration.md and docs/operations.md name every variable and metric, and no other."""

import re

import pytest
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from config import env
from tests.deploy import compose
from tests.deploy.exposed import exposed_text

CONFIGURATION = (env.BASE_DIR / "docs/configuration.md").read_text()
OPERATIONS = (env.BASE_DIR / "docs/operations.md").read_text()
# Defaults that depend on the machine, or that a stack makes for itself.
IN_WORDS = {"WEB_CONCURRENCY", "RUN_DIR", "DATABASE_URL", "REDIS_URL", "SECRET_KEY"} | {
    "CACHE_REDIS_URL",
    *("ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "SENTRY_DSN", "PICTURES_DIR", "PICTURES_BUCKET"),
    *("PICTURES_ENDPOINT", "PICTURES_REGION", "INGEST_API_KEYS", "TRUSTED_PROXIES"),
    *("KDB_URL", "KDB_QUERY_URL"),
}
_ROW = re.compile(r"^\| `([A-Z_]+)` \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)


def _documented() -> dict[str, str]:
    """Every variable that has a row, with its default."""
    return {name: default for name, default, _, _ in _ROW.findall(CONFIGURATION)}


def test_every_variable_has_one_row_and_no_row_is_unknown():
    names = [name for name, *_ in _ROW.findall(CONFIGURATION)]
    assert len(names) == len(set(names))
    known = set(env.VARIABLES) | compose.names() | {"DJANGO_SETTINGS_MODULE"}
    assert set(names) == known


@pytest.mark.parametrize("name", sorted(set(env.VARIABLES) - IN_WORDS))
def test_a_documented_default_is_the_default(name):
    assert _documented()[name] == f"`{env.VARIABLES[name].default}`"


def test_what_production_requires_is_marked():
    required = {name for name, _, meaning, _ in _ROW.findall(CONFIGURATION) if "equired" in meaning}
    refused = {"SECRET_KEY", "DATABASE_URL", "REDIS_URL", "ALLOWED_HOSTS"}
    assert required == refused | {"POSTGRES_PASSWORD", "REDIS_PASSWORD"}


def _exposed() -> set[str]:
    text = exposed_text() + generate_latest(REGISTRY).decode()
    names = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in text_string_to_metric_families(text)
        # What a process says of itself is not said by a pool, which sums its workers; and of
        # models, the library counts only those that ask for it.
        if not family.name.startswith(("process_", "python_", "django_model_"))
    }
    # A process alone also says when each series began; a pool, which sums its workers, does not.
    return {name for name in names if not name.endswith("_created")}


def test_every_metric_is_documented_and_no_other():
    section = OPERATIONS.split("\n## Metrics\n")[1].split("\n## ")[0]
    rows = set(re.findall(r"^\| `([a-z_]+)` \|", section, re.MULTILINE))
    assert rows == _exposed()


@pytest.mark.parametrize("text", [CONFIGURATION, OPERATIONS], ids=["configuration", "operations"])
def test_links_lead_somewhere(text):
    for target, anchor in re.findall(r"\]\(([\w./]+\.md)(?:#([\w-]+))?\)", text):
        page = env.BASE_DIR / "docs" / target
        assert page.exists(), target
        headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
        slugs = {re.sub(r"[^\w -]", "", line).lower().replace(" ", "-") for line in headings}
        assert not anchor or anchor in slugs, f"{target}#{anchor}"


def test_every_process_of_compose_is_in_operations():
    for name in compose.load()["services"]:
        assert f"`{name}`" in OPERATIONS, name
