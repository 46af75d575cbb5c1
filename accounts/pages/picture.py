"""Serves people's pictures, so that a browser can do nothing with them but show them."""

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import etag, require_safe

from accounts.images import CONTENT_TYPE
from accounts.pictures import picture_read

_HEADERS = {
    # What is behind a name never changes.
    "Cache-Control": "public, max-age=31536000, immutable",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    # Apps on other origins show people's pictures too; where a page may not, CORS still holds.
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Content-Disposition": "inline",
}


@require_safe
@etag(lambda request, name: f'"{name}"')
def picture(request: HttpRequest, name: str) -> HttpResponse:
    """The picture of that name; 404 when there is none, 503 when the store does not answer."""
    data = picture_read(name=name)
    if data is None:
        raise Http404
    return HttpResponse(data, content_type=CONTENT_TYPE, headers=_HEADERS)
