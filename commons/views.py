"""Views of the framework that several rooms build on: one form of answer, for everybody."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase
from rest_framework.permissions import AllowAny
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

Ask = Callable[[HttpRequest], HttpResponseBase]


class OneForm(APIView):
    """Answers that have one form, or one that is meant when no other is."""

    def perform_content_negotiation(
        self, request: Request, force: bool = False
    ) -> tuple[BaseRenderer, str]:
        """Whatever is asked for: the hot doors do not read `Accept` either."""
        return super().perform_content_negotiation(request, force=True)


def _not_mounted(view: APIView, request: HttpRequest) -> HttpResponseBase:
    raise NotImplementedError("`ask` is given where the view is mounted")


class OpenDoor(OneForm):
    """An endpoint for everybody, whatever credentials come with a request.

    `ask` hands a request to the handler behind the fast path and waits for its answer; it is given
    where the view is mounted.
    """

    authentication_classes = ()
    permission_classes = (AllowAny,)
    ask = _not_mounted
