"""The time series' paths. `ask` gives the view that hands a request to a route's handler."""

from collections.abc import Callable

from django.urls import URLPattern, path

from commons.views import Ask
from timeseries.api import views


def urlpatterns_with(*, ask: Callable[[bytes, bytes], Ask], export: Ask) -> list[URLPattern]:
    """The paths, with the handlers that stand behind them."""
    hot = [
        (b"POST", "save", views.SaveDoor),
        (b"POST", "save/batch", views.SaveBatchDoor),
        (b"GET", "api", views.SampleDoor),
        (b"GET", "api/tags", views.TagsDoor),
        (b"GET", "api/grafana/rows", views.GrafanaRowsDoor),
        (b"POST", "api/grafana/metrics", views.GrafanaMetricsDoor),
        (b"POST", "api/grafana/search", views.GrafanaSearchDoor),
        (b"POST", "api/grafana/query", views.GrafanaQueryDoor),
    ]
    return [
        *(path(to, door.as_view(ask=ask(method, f"/{to}".encode()))) for method, to, door in hot),
        path("api/export", views.ExportDoor.as_view(ask=export)),
        path("api/grafana/", views.GrafanaDoor.as_view()),
    ]
