"""Many ads in and out as CSV: the import page with its preview, and the export.

The import is the API's: the same rows module, the same service, all or nothing. Between preview
and confirmation the text travels in the page itself, so any worker can take the second step and
nothing is left over when nobody confirms.
"""

import zlib
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminFileFieldWidget

from adserver.admin.words import actor_of, targeting_words
from adserver.models import Ad, record_of
from adserver.records import AdFields
from adserver.rows import RowError, RowsError, check_rows, rows_from_csv, rows_to_csv
from adserver.services import IMPORT_ROWS_MAX, ads_import
from commons.words import moment_words

FILE_BYTES_MAX = 16 * 1024 * 1024
_ROWS_SHOWN = 100
_LINES_A_CHUNK = 500
_ROWS_A_FETCH = 2_000
_Response = TypeVar("_Response", HttpResponse, StreamingHttpResponse)
_EXAMPLE = (
    "title,content,start_at,end_at,age_start,age_end,gender,country,platform\r\n"
    "Night market,Forty stalls,2030-01-01T10:00:00Z,2030-02-01T10:00:00Z,18,35,F,TW|JP,ios\r\n"
    "For everybody,,2030-01-01 18:00:00 +0800 CST,2030-02-01 18:00:00 +0800 CST,,,,,\r\n"
)


class UploadForm(forms.Form):
    """The file to import."""

    file = forms.FileField(
        label="CSV file",
        widget=UnfoldAdminFileFieldWidget(
            attrs={"accept": ".csv,text/csv", "data-bytes-max": FILE_BYTES_MAX}
        ),
        help_text=f"UTF-8, with a header line, at most {IMPORT_ROWS_MAX:,} rows. You see what will "
        "happen before anything is written.",
    )


@dataclass(frozen=True)
class Preview:
    """What an uploaded text would do."""

    fields: list[AdFields]
    errors: list[RowError]
    packed: str

    @property
    def rows(self) -> int:
        """How many rows there are, good and bad."""
        return len(self.fields) + len(self.errors)


def import_view(request: HttpRequest, model_admin: Any) -> HttpResponse:
    """Upload (GET), preview (POST of a file), import (POST of a confirmed preview)."""
    if not model_admin.has_add_permission(request):
        raise PermissionDenied
    if request.method != "POST":
        return _page(request, model_admin)
    try:
        preview = _preview(_text(request))
    except RowsError as error:
        return _page(request, model_admin, problem=str(error))
    if "confirm" in request.POST and preview.fields and not preview.errors:
        return _import(request, preview)
    return _page(request, model_admin, preview=preview)


def _import(request: HttpRequest, preview: Preview) -> HttpResponse:
    ads = ads_import(rows=preview.fields, actor=actor_of(request))
    messages.success(request, f"{len(ads):,} ad{'' if len(ads) == 1 else 's'} imported.")
    return HttpResponseRedirect(reverse("admin:adserver_ad_changelist"))


def _text(request: HttpRequest) -> str:
    if "packed" in request.POST:
        return _unpacked(request.POST["packed"])
    file = request.FILES.get("file")
    if file is None:
        raise RowsError("file: choose a CSV file first")
    if file.size is None or file.size > FILE_BYTES_MAX:
        raise RowsError(f"file: must not be larger than {FILE_BYTES_MAX // 1024 // 1024} MiB")
    return _decoded(file.read())


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise RowsError("file: must be UTF-8 text") from None


def _packed(text: str) -> str:
    # Packed, since a browser would rewrite the line breaks inside the cells.
    return b64encode(zlib.compress(text.encode())).decode()


def _unpacked(packed: str) -> str:
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(b64decode(packed, validate=True), FILE_BYTES_MAX)
    except (ValueError, zlib.error):
        raise RowsError("file: the preview was damaged on its way, upload it again") from None
    if not unpacker.eof:
        raise RowsError("file: the preview was damaged on its way, upload it again")
    return _decoded(data)


def _preview(text: str) -> Preview:
    fields, errors = check_rows(rows_from_csv(text, most=IMPORT_ROWS_MAX))
    if not fields and not errors:
        raise RowsError("file: has no rows below its header")
    return Preview(fields, errors, _packed(text))


def _page(
    request: HttpRequest, model_admin: Any, *, preview: Preview | None = None, problem: str = ""
) -> HttpResponse:
    context = {
        **model_admin.admin_site.each_context(request),
        "title": "Import ads",
        "preview": preview,
        "problem": problem,
        "shown": [_row_shown(fields) for fields in preview.fields[:_ROWS_SHOWN]] if preview else [],
        "more": len(preview.fields) - _ROWS_SHOWN if preview else 0,
        "upload": UploadForm(),
    }
    status = 400 if problem else 200
    return TemplateResponse(request, "admin/adserver/ad/import.html", context, status=status)


def _row_shown(fields: AdFields) -> dict[str, str]:
    return {
        "title": fields.title,
        "content": fields.content,
        "start_at": moment_words(fields.start_at),
        "end_at": moment_words(fields.end_at),
        "targeting": targeting_words(fields),
    }


def example_view(request: HttpRequest, model_admin: Any) -> HttpResponse:
    """A small file to begin from."""
    return _attachment(HttpResponse(_EXAMPLE, content_type="text/csv"), "ads-example.csv")


def export(request: HttpRequest, ads: QuerySet[Ad]) -> StreamingHttpResponse:
    """The ads as a CSV file that the import reads back, sent while it is read."""
    lines = rows_to_csv(record_of(ad) for ad in ads.iterator(chunk_size=_ROWS_A_FETCH))
    body = _in_turn(lines) if isinstance(request, ASGIRequest) else _chunks(lines)
    response = StreamingHttpResponse(body, content_type="text/csv; charset=utf-8")
    return _attachment(response, f"ads-{timezone.now():%Y%m%d-%H%M%S}.csv")


def _attachment(response: _Response, name: str) -> _Response:
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _chunks(lines: Iterator[str]) -> Iterator[str]:
    while chunk := "".join(islice(lines, _LINES_A_CHUNK)):
        yield chunk


async def _in_turn(lines: Iterator[str]) -> AsyncIterator[str]:
    """The chunks, each made in Django's thread: under ASGI a plain iterator would first be
    collected whole.
    """
    chunks = _chunks(lines)
    while chunk := await sync_to_async(lambda: next(chunks, ""))():
        yield chunk
