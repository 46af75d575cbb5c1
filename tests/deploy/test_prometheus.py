"""Rules and dashboard ask for metrics that exist, with labels that they have."""

import json
import re
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from config import env
from tests.deploy import compose
from tests.deploy.exposed import exposed_text

RULES = env.BASE_DIR / "deploy/prometheus/rules.yml"
SCRAPES = env.BASE_DIR / "deploy/prometheus/prometheus.yml"
DASHBOARDS = env.BASE_DIR / "deploy/grafana/dashboards"
# What Prometheus adds to every series, and what the pools' multi-process mode adds to gauges.
ADDED_LABELS = {"job", "instance", "pid"}
FROM_PROMETHEUS = {"up"}
_WORDS = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_GROUPING = re.compile(r"\b(?:by|without)\s*\(([^)]*)\)")
_SELECTOR = re.compile(r"\{([^}]*)\}")
_FUNCTIONS = set(
    "sum max min rate increase histogram_quantile absent vector by or and without".split()
)


def _exposed() -> dict[str, set[str]]:
    """Every series that a pool exposes, with its labels."""
    series: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(exposed_text()):
        for sample in family.samples:
            series.setdefault(sample.name, set()).update(sample.labels)
    return series


def _rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _panels() -> list[str]:
    dashboards = [json.loads(path.read_text()) for path in DASHBOARDS.glob("*.json")]
    panels = [panel for dashboard in dashboards for panel in dashboard["panels"]]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def _names(expression: str) -> set[str]:
    """The metrics that an expression asks for."""
    bare = re.sub(r"\[[^\]]*\]|\boffset \w+", "", _SELECTOR.sub("", _GROUPING.sub("", expression)))
    return set(_WORDS.findall(bare)) - _FUNCTIONS


def _labels(expression: str) -> set[str]:
    """The labels that an expression selects or groups by."""
    grouped = {
        label.strip() for group in _GROUPING.findall(expression) for label in group.split(",")
    }
    selected = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", " ".join(_SELECTOR.findall(expression)))
    return grouped | set(selected)


EXPRESSIONS = [rule["expr"] for rule in _rules()] + _panels()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_asks_for_what_exists(expression):
    recorded = {rule["record"] for rule in _rules() if "record" in rule}
    exposed = _exposed()
    names = _names(expression)
    assert names
    assert names <= set(exposed) | recorded | FROM_PROMETHEUS
    known = ADDED_LABELS.union(*(exposed.get(name, {"route", "method"}) for name in names))
    assert _labels(expression) <= known


def test_alerts_say_what_happened_and_how_urgent_it_is():
    for rule in _rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("page", "ticket")
            assert rule["annotations"]["summary"].endswith(".")


def test_every_metric_of_ours_is_looked_at():
    asked = set().union(*(_names(expression) for expression in _panels()))
    families = {re.sub("_(bucket|count|sum|total|created)$", "", name) for name in _exposed()}
    assert families == {re.sub("_(bucket|total)$", "", name) for name in asked}


def test_every_pool_is_scraped_where_compose_has_them():
    services = compose.load()["services"]
    scraped = {
        each["job_name"]: each["dns_sd_configs"][0]
        for each in yaml.safe_load(SCRAPES.read_text())["scrape_configs"]
    }
    assert set(scraped) == {"api", "edge", "packets", "writer"}
    variables = {
        "api": "PORT",
        "edge": "EDGE_PORT",
        "packets": "PACKETS_WATCH_PORT",
        "writer": "TIMESERIES_WATCH_PORT",
    }
    for name, variable in variables.items():
        assert scraped[name]["names"] == [name]
        assert scraped[name]["port"] == int(services[name]["environment"][variable])
        assert set(services[name]["networks"]) & set(services["prometheus"]["networks"])
