"""The OpenAPI schema is complete, and the documents name what it names."""

import io

import yaml
from django.conf import settings
from django.core.management import call_command
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator

GRAFANA = "/api/grafana/"


def test_the_generator_has_nothing_to_complain_about():
    GENERATOR_STATS.reset()
    out = io.StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=out)
    assert not GENERATOR_STATS
    paths = yaml.safe_load(out.getvalue())["paths"]
    assert {"/api/v1/ad", "/increment", "/increment/batch", "/counters"} <= set(paths)


def test_every_operation_says_what_can_go_wrong():
    schema = SchemaGenerator().get_schema(request=None, public=True)
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            statuses = set(operation["responses"])
            if path != GRAFANA:  # It is asked whether we are there, no more.
                assert "503" in statuses, (method, path)
            if "operators" in operation["tags"]:
                assert {"401", "403"} <= statuses, (method, path)
                assert {"tokenAuth": []} in operation["security"]
                assert {"cookieAuth": []} in operation["security"]
            elif {"visitors", "counters"} & set(operation["tags"]):
                assert not operation.get("security")
            if "{ad_id}" in path:
                assert "404" in statuses, (method, path)
            # Grafana sends what it likes, and gets rows or none.
            if "requestBody" in operation and not path.startswith(GRAFANA):
                assert {"400", "413"} <= statuses, (method, path)


def test_the_document_names_every_path_and_field():
    text = (settings.BASE_DIR / "docs" / "api.md").read_text()
    schema = SchemaGenerator().get_schema(request=None, public=True)
    for path in schema["paths"]:
        # One line for all of Grafana's.
        named = GRAFANA if path.startswith(GRAFANA) else path.replace("{ad_id}", "{id}")
        assert named in text
    for name in schema["components"]["schemas"]["OperatorAd"]["properties"]:
        assert f"`{name}`" in text
