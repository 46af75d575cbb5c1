"""The OpenAPI schema is true: what it promises is what both ports do."""

import json

import pytest
import schemathesis
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.contract.conftest import PORTS, url_of
from tests.support import plain_http

pytestmark = pytest.mark.xdist_group("contract")

# Whether valid input is accepted is left out: the schema cannot say that a start is before an end.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
DOCUMENT = json.loads(
    OpenApiJsonRenderer().render(
        SchemaGenerator().get_schema(request=None, public=True), renderer_context={}
    )
)
schema = schemathesis.openapi.from_dict(DOCUMENT)
# The thousands of cases that cover each line of the schema: see test_schema_at_length.py.
schema.config.phases.update(phases=["examples", "fuzzing"])
schemathesis.serializer.alias("application/x-ndjson", "text/plain")
FEW = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))


def test_the_served_schema_is_the_tested_one(stack):
    url = f"{stack.url}/api/v1/schema/"
    for accept in ("*/*", "application/json", "text/html"):
        assert plain_http.get(url, headers={"accept": accept}).json() == DOCUMENT
    assert plain_http.get(f"{url}?format=json").json() == DOCUMENT
    for query, accept in (("?format=yaml", "*/*"), ("", "application/vnd.oai.openapi")):
        as_yaml = plain_http.get(f"{url}{query}", headers={"accept": accept})
        assert as_yaml.headers["content-type"].startswith("application/vnd.oai.openapi")
        assert as_yaml.text.startswith("openapi: 3")


@schema.include(operation_id="ads_for_visitor").parametrize()
@pytest.mark.parametrize("port", PORTS)
@settings(FEW, max_examples=50)
def test_the_visitors_read(case, port, stack):
    leave_framing(case)
    case.call_and_validate(base_url=url_of(stack, port), checks=CHECKS)


# With a parameter of ours the endpoint is in the test's name; without one all have the same, and
# workers of the suite take them for one.
@schema.exclude(operation_id="ads_for_visitor").parametrize()
@pytest.mark.parametrize("port", ["api"])
@FEW
def test_every_other_endpoint(case, port, stack):
    ask(case, stack)


def leave_framing(case):
    """Take what says where a message ends out of the made-up headers: what is wrong with that is
    answered before anybody knows whose request it is.
    """
    for name in ("content-length", "transfer-encoding", "connection", "upgrade", "expect"):
        if case.headers:
            case.headers.pop(name, None)


def ask(case, stack):
    leave_framing(case)
    headers = {"authorization": f"Token {stack.operator['token']}"}
    case.call_and_validate(
        base_url=stack.url, headers=headers, checks=CHECKS, excluded_checks=[ignored_auth]
    )


def test_the_docs_page_needs_no_internet(stack):
    page = plain_http.get(f"{stack.url}/api/v1/docs/")
    assert page.status_code == 200
    assert "https://" not in page.text
    assert "http://" not in page.text
    sources = [part.split('"')[0] for part in page.text.replace("href=", "src=").split('src="')[1:]]
    assert len(sources) == 4
    for source in sources:
        assert plain_http.get(f"{stack.url}{source}").status_code == 200
