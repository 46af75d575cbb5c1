"""The API's description and its browsable form. Whoever asks for no form, or for one that there is
not, gets JSON; `?format=yaml` asks for YAML.
"""

from typing import Any

from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView


class _AnyAccept(APIView):
    """Reads of something that has one form, or one that is meant when no other is."""

    # What OPTIONS would say is of no use to anybody, and no page could show it.
    metadata_class = None

    def perform_content_negotiation(
        self, request: Request, force: bool = False
    ) -> tuple[BaseRenderer, str]:
        """The first form when none that is offered will do."""
        return super().perform_content_negotiation(request, force=True)


class SchemaView(_AnyAccept, SpectacularAPIView):
    """`GET /api/v1/schema/`."""

    renderer_classes: Any = (OpenApiJsonRenderer, OpenApiYamlRenderer)


class DocsView(_AnyAccept, SpectacularSwaggerView):
    """`GET /api/v1/docs/`."""
