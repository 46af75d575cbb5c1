"""What is counted, and how it reaches Prometheus."""

import asyncio
import json
import subprocess
import sys

import prometheus_client
import pytest
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import ResolverMatch

from config.middleware import RequestMetrics
from runtime.http.routes import RouteTable
from runtime.http.stats import LATENCY_BOUNDS_S, RouteStats
from runtime.metrics import RoutePublisher, observe_request, render_metrics
from tests.fastpath.app import echo
from tests.fastpath.support import HOT, SLOW, fast_bench, on_bench, pass_seconds
from tests.fastpath.test_pools import parse


def samples() -> dict[tuple[str, ...], float]:
    return parse(render_metrics().decode())


def one_route(path: bytes) -> tuple[RouteTable, RouteStats]:
    routes = RouteTable()
    routes.read(b"GET", path, echo)
    [route] = routes
    return routes, route.stats


def test_stats_count_by_status_and_by_bucket():
    stats = RouteStats()
    for status, duration_s in [
        (200, 0.00005),
        (200, 0.0001),
        (200, 0.0002),
        (400, 0.00005),
        (503, 99),
    ]:
        stats.add(status, duration_s)
    statuses, buckets, total_s = stats.totals()
    assert statuses == {200: 3, 400: 1, 503: 1}
    assert buckets == [3, 1, *[0] * (len(LATENCY_BOUNDS_S) - 2), 1]
    assert total_s == pytest.approx(99.0004)
    assert stats.answered() == 5


def test_the_publisher_adds_only_what_is_new():
    routes, stats = one_route(b"/published")
    publisher = RoutePublisher(routes)
    for _ in range(3):
        stats.add(200, 0.00005)
        stats.add(404, 0.02)
        publisher.publish()
        publisher.publish()
    now = samples()
    assert now["http_requests_total", "/published", "GET", "200"] == 3
    assert now["http_requests_total", "/published", "GET", "404"] == 3
    assert now["http_request_duration_seconds_count", "/published", "GET"] == 6
    assert now["http_request_duration_seconds_sum", "/published", "GET"] == pytest.approx(0.06015)
    text = render_metrics().decode()
    assert 'le="0.0001",method="GET",route="/published"} 3.0' in text
    assert 'le="0.025",method="GET",route="/published"} 6.0' in text


def test_observing_and_publishing_fill_the_same_buckets():
    """`observe` is the library's own: what the publisher does by hand must be the same."""
    routes, stats = one_route(b"/by-hand")
    durations_s = [0.00001, 0.0001, 0.00011, 0.003, 0.25, 1.0, 7.0, 11.0]
    for duration_s in durations_s:
        stats.add(200, duration_s)
        observe_request(route="/by-library", method="GET", status=200, duration_s=duration_s)
    publisher = RoutePublisher(routes)
    publisher.publish()
    publisher.publish()
    lines = render_metrics().decode().splitlines()
    by_hand = [line.replace("by-hand", "") for line in lines if "/by-hand" in line]
    by_library = [line.replace("by-library", "") for line in lines if "/by-library" in line]
    without_created = [line for line in by_hand if "_created" not in line]
    assert without_created == [line for line in by_library if "_created" not in line] != []


@on_bench
async def test_the_sweep_publishes_hot_requests_refusals_and_uvicorns_own_count():
    routes, _ = one_route(b"/hot")
    bench = fast_bench(routes)
    before = samples()
    wire = bench.connect()
    for data in (HOT, HOT, HOT + HOT, SLOW):
        wire.receive(data)
        await bench.settle()
    bench.connect().receive(b"nonsense\r\n\r\n")
    pass_seconds(bench, 1)
    bench.door.publish()
    after = samples()

    def grown(*key: str) -> float:
        return after[key] - before.get(key, 0)

    assert grown("http_requests_total", "/hot", "GET", "200") == 4
    assert grown("http_requests_total", "(refused)", "", "400") == 1
    assert bench.server_state.total_requests == 5


class Requests:
    """The middleware around a view that the test writes."""

    def __init__(self, view) -> None:
        self.middleware = RequestMetrics(view)

    @staticmethod
    def request(route: str | None, method: str = "GET") -> HttpRequest:
        request = HttpRequest()
        request.method = method
        if route is not None:
            request.resolver_match = ResolverMatch(lambda: None, (), {}, route=route)
        return request


def test_django_requests_are_counted_by_pattern_never_by_path():
    requests = Requests(lambda request: HttpResponse(status=201))
    requests.middleware(requests.request("made/<int:id>/", "POST"))
    requests.middleware(requests.request(None, "BREW"))
    now = samples()
    assert now["http_requests_total", "/made/<int:id>/", "POST", "201"] == 1
    assert now["http_request_duration_seconds_count", "/made/<int:id>/", "POST"] == 1
    assert now["http_requests_total", "(none)", "OTHER", "201"] == 1


def test_the_middleware_serves_async_handlers_too():
    async def view(request):
        await asyncio.sleep(0)
        return HttpResponse(status=202)

    requests = Requests(view)

    async def run() -> None:
        answering = requests.middleware(requests.request("async/"))
        assert not isinstance(answering, HttpResponseBase)
        assert (await answering).status_code == 202

    asyncio.run(run())
    assert samples()["http_requests_total", "/async/", "GET", "202"] == 1


WORKER = """
import sys
from adserver.metrics import set_catalog
from runtime.http.routes import RouteTable
from runtime.metrics import RoutePublisher, observe_request, render_metrics
routes = RouteTable()
routes.read(b"GET", b"/hot", lambda query: None)
publisher = RoutePublisher(routes)
for _ in range(int(sys.argv[1])):
    routes.find(b"GET", b"/hot").stats.add(200, 0.00005)
    observe_request(route="/slow", method="GET", status=200, duration_s=0.3)
publisher.publish()
set_catalog(version=int(sys.argv[1]), lag_s=0.5, open_ads=3, live_ads=2, gaps=0)
print(render_metrics().decode())
"""


def test_several_processes_are_summed_and_gauges_are_kept_apart(tmp_path):
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": "."}
    for count in (2, 5):
        text = subprocess.run(
            [sys.executable, "-c", WORKER, str(count)],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    now = parse(text)
    assert now["http_requests_total", "/hot", "GET", "200"] == 7
    assert now["http_requests_total", "/slow", "GET", "200"] == 7
    assert now["http_request_duration_seconds_count", "/hot", "GET"] == 7
    versions = [line for line in text.splitlines() if line.startswith("catalog_version{")]
    assert sorted(float(line.split()[-1]) for line in versions) == [2, 5]
    assert "catalog_lag_seconds{" in text
    assert "catalog_live_ads{" in text


def test_the_library_still_has_the_parts_that_the_publisher_writes_to():
    histogram = prometheus_client.Histogram("parts", "", registry=None, buckets=LATENCY_BOUNDS_S)
    assert len(histogram._buckets) == len(LATENCY_BOUNDS_S) + 1
    assert json.dumps(histogram._sum.get()) == "0.0"
