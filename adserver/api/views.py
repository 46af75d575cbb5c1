"""The ads' endpoints. Each checks the form of a request, calls one service, words the answer."""

from functools import partial
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.urls import reverse
from rest_framework.exceptions import ParseError
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from adserver import selectors, services
from adserver.api import schema
from adserver.api.parsers import CSVParser
from adserver.api.permissions import IsOperator
from adserver.api.queries import ads_asked_for, flag, page_of
from adserver.api.representations import ad_json, history_json
from adserver.catalog import lookup_ads
from adserver.models import stored_of
from adserver.records import Actor, parse_fields
from adserver.rows import check_rows, rows_from_csv, rows_from_json
from commons.views import OneForm


def _actor(request: Request) -> Actor:
    return Actor(label=request.user.get_username(), user_id=request.user.pk)


def _object(request: Request) -> dict[str, object]:
    if not isinstance(request.data, dict):
        raise ParseError("body: must be an object")
    return request.data


def _rows(request: Request) -> object:
    if request.data == {} and request.content_type.startswith(CSVParser.media_type):
        # An empty body is not even given to its parser.
        return rows_from_csv("")
    return request.data


def _written(data: object, status: int, version: int, **headers: str) -> Response:
    return Response(data, status=status, headers={"X-Catalog-Version": str(version), **headers})


class AdDoor(OneForm):
    """The visitors' read and the operators' create on one path."""

    def perform_authentication(self, request: Request) -> None:
        """For a write alone: a read is public, and nothing else is there for anybody."""
        if request.method == "POST":
            super().perform_authentication(request)

    def get_permissions(self) -> list[BasePermission]:
        """Everybody may read, and hear that a method is none."""
        return [IsOperator()] if self.request.method == "POST" else [AllowAny()]

    @schema.lookup
    def get(self, request: Request) -> HttpResponse:
        """The live ads whose conditions the visitor meets, from memory.

        The earliest `end_at` comes first, then it goes by `id`. An attribute that is not given
        excludes nothing.
        """
        # ASGI's Django has decoded it as UTF-8.
        answer = lookup_ads(request.META.get("QUERY_STRING", "").encode())
        return HttpResponse(
            answer.body,
            status=answer.status,
            content_type="application/json",
            headers=answer.text_headers(),
        )

    @schema.create_public
    def post(self, request: Request) -> Response:
        """An ad, from now on or as scheduled; conditions left out mean everybody."""
        fields = parse_fields(_object(request))
        ad = services.ad_create(fields=fields, actor=_actor(request))
        return _written({"msg": "Ad created", "data": ad.id}, 201, ad.version)


class AdList(APIView):
    """All ads, for operators."""

    permission_classes = (IsOperator,)

    @schema.list_ads
    def get(self, request: Request) -> Response:
        """All ads, whatever their state, in pages."""
        ads = ads_asked_for(request)
        page, envelope = page_of(request, ads.count(), lambda start, stop: ads[start:stop])
        return Response({**envelope, "results": [ad_json(stored_of(ad)) for ad in page]})

    @schema.create
    def post(self, request: Request) -> Response:
        """As on `/api/v1/ad`; the answer is the whole ad."""
        fields = parse_fields(_object(request))
        ad = services.ad_create(fields=fields, actor=_actor(request))
        location = request.build_absolute_uri(reverse("ad-detail", args=[ad.id]))
        return _written(ad_json(ad), 201, ad.version, Location=location)


class AdDetail(APIView):
    """One ad, for operators."""

    permission_classes = (IsOperator,)

    @schema.retrieve
    def get(self, request: Request, ad_id: UUID) -> Response:
        """The ad as it is served, with its state."""
        ad = selectors.ad_by_id(ad_id)
        if ad is None:
            raise services.AdNotFoundError(ad_id)
        return Response(ad_json(stored_of(ad)))

    @schema.replace
    def put(self, request: Request, ad_id: UUID) -> Response:
        """A field left out gets its default."""
        fields = parse_fields(_object(request))
        ad = services.ad_replace(ad_id=ad_id, fields=fields, actor=_actor(request))
        return _written(ad_json(ad), 200, ad.version)

    @schema.change
    def patch(self, request: Request, ad_id: UUID) -> Response:
        """A field left out stays as it is."""
        raw = _object(request)
        ad = services.ad_change(
            ad_id=ad_id, change=lambda base: parse_fields(raw, base=base), actor=_actor(request)
        )
        return _written(ad_json(ad), 200, ad.version)

    @schema.delete
    def delete(self, request: Request, ad_id: UUID) -> Response:
        """Its history stays."""
        version = services.ad_delete(ad_id=ad_id, actor=_actor(request))
        return _written(None, 204, version)


class AdHistory(APIView):
    """Who changed an ad, when, and what."""

    permission_classes = (IsOperator,)

    @schema.history
    def get(self, request: Request, ad_id: UUID) -> Response:
        """The changes of an ad, the newest first; also of one that was deleted."""
        count = selectors.ad_history_count(ad_id)
        if not count:
            raise services.AdNotFoundError(ad_id)
        page, envelope = page_of(request, count, partial(selectors.ad_history, ad_id))
        return Response({**envelope, "results": [history_json(entry) for entry in page]})


class AdImport(APIView):
    """Many ads at once, all or none."""

    permission_classes = (IsOperator,)
    parser_classes = (*APIView.parser_classes, CSVParser)

    @schema.import_ads
    def post(self, request: Request) -> Response:
        """Up to 10 000 ads, all of them or, when a row is bad, none.

        CSV has a header line with the fields' names; lists in a cell are separated by `|`, `,` or
        spaces, and an empty cell means the default.
        """
        dry_run = flag(request, "dry_run")
        rows = rows_from_json(_rows(request), most=services.IMPORT_ROWS_MAX)
        fields, errors = check_rows(rows)
        named: list[dict[str, Any]] = [{"row": error.row, "msg": error.msg} for error in errors]
        if dry_run:
            return Response({"rows": len(rows), "errors": named})
        if errors:
            msg = f"rows: {len(errors)} of {len(rows)} are not valid, nothing was imported"
            return Response({"msg": msg, "errors": named}, status=400)
        ads = services.ads_import(rows=fields, actor=_actor(request))
        version = ads[-1].version if ads else selectors.catalog_version()
        return _written({"created": len(ads), "ids": [ad.id for ad in ads]}, 201, version)
