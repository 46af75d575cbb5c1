"""The API's description and its browsable form. Whoever asks for no form, or for one that there is
not, gets JSON; `?format=yaml` asks for YAML.
"""

from typing import Any

from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from commons.views import OneForm


class _Described(OneForm):
    """What OPTIONS would say of it is of no use to anybody, and no page could show it."""

    metadata_class = None


class SchemaView(_Described, SpectacularAPIView):
    """`GET /api/v1/schema/`."""

    renderer_classes: Any = (OpenApiJsonRenderer, OpenApiYamlRenderer)


class DocsView(_Described, SpectacularSwaggerView):
    """`GET /api/v1/docs/`."""
