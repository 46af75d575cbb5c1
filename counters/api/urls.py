"""The counters' paths."""

from django.urls import URLPattern, path

from commons.views import Ask
from counters.api import views


def urlpatterns_with(*, increment: Ask, batch: Ask) -> list[URLPattern]:
    """The paths; `increment` and `batch` hand a request to the hot handlers."""
    return [
        path("increment", views.IncrementDoor.as_view(ask=increment)),
        path("increment/batch", views.IncrementBatchDoor.as_view(ask=batch)),
        path("counters", views.CounterTotals.as_view()),
        path("counters/<str:key>", views.CounterTotal.as_view()),
        path("counters/<str:key>/history", views.CounterHistory.as_view()),
    ]
