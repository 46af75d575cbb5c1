"""The log lines of a request that Django answers, made without a query of their own."""

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject, empty
from django_structlog.middlewares import RequestMiddleware


class RequestLog(RequestMiddleware):
    """django-structlog's middleware, which names the user only where somebody had to know.

    It would ask the database about every session cookie: a visitor's read would then wait for
    PostgreSQL, and fail with it, because the visitor is also logged in to the admin.
    """

    @staticmethod
    def bind_user_id(request: HttpRequest) -> None:
        """Bind `user_id` to the log's context, if the user was looked up already."""
        user = getattr(request, "user", None)
        if isinstance(user, SimpleLazyObject) and user._wrapped is empty:
            return
        RequestMiddleware.bind_user_id(request)
