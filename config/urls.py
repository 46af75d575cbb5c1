"""Every route that Django answers; the hot ones are answered before it gets to see them."""

from django.contrib import admin
from django.urls import include, path

from config import health, pages
from config.doors import answered_later
from config.measurements import export_view
from config.schema import DocsView, SchemaView
from counters.api.urls import urlpatterns_with as counters_urls
from timeseries.api.urls import urlpatterns_with as timeseries_urls

admin.autodiscover()

urlpatterns = [
    path("", pages.home, name="home"),
    path("healthz", health.healthz_view),
    path("readyz", health.readyz_view),
    path("metrics", health.metrics_view),
    path("api/v1/", include("adserver.api.urls")),
    path("api/v1/", include("accounts.api.urls")),
    path("api/v1/schema/", SchemaView.as_view(), name="schema"),
    path("api/v1/docs/", DocsView.as_view(url_name="schema"), name="docs"),
    path("admin/", admin.site.urls),
    *counters_urls(
        increment=answered_later(b"POST", b"/increment"),
        batch=answered_later(b"POST", b"/increment/batch"),
    ),
    *timeseries_urls(ask=answered_later, export=export_view),
    path("", include("accounts.pages.urls")),
]

handler400 = "config.faults.bad_request"
handler403 = "config.faults.forbidden"
handler404 = "config.faults.not_found"
handler500 = "config.faults.server_error"
