"""Every route that Django answers; the hot ones are answered before it gets to see them."""

from django.contrib import admin
from django.urls import include, path

from config import health

urlpatterns = [
    path("healthz", health.healthz_view),
    path("readyz", health.readyz_view),
    path("metrics", health.metrics_view),
    path("api/v1/", include("config.api_urls")),
    path("admin/", admin.site.urls),
]
