"""Many ads in and out: a preview that writes nothing, all or nothing, and files that come back."""

import csv
import io
from base64 import b64encode
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import AsyncClient

from adserver.models import Ad, AdChange

IMPORT = "/admin/adserver/ad/import/"
EXPORT = "/admin/adserver/ad/export/"
HEADER = "title,content,start_at,end_at,age_start,age_end,gender,country,platform\r\n"
GOOD = "Night market,Forty stalls,2030-01-01T10:00:00Z,2030-02-01T10:00:00Z,18,35,F,TW|JP,ios\r\n"
BAD = "abc,,2030-01-01T10:00:00Z,2029-02-01T10:00:00Z,,,X,,\r\n"


def upload(client, text: str | bytes):
    data = text if isinstance(text, bytes) else text.encode()
    return client.post(IMPORT, {"file": SimpleUploadedFile("ads.csv", data, "text/csv")})


def confirm(client, preview):
    packed = preview.context["preview"].packed
    return client.post(IMPORT, {"packed": packed, "confirm": "yes"})


def body(response) -> str:
    return b"".join(response.streaming_content).decode()


def test_previews_then_imports(client_op, operator):
    preview = upload(client_op, HEADER + GOOD * 3)
    page = preview.content.decode()
    assert "3 ads will be created" in page
    assert "18–35 · F · TW, JP · ios" in page
    assert not Ad.objects.exists()
    response = confirm(client_op, preview)
    assert response.headers["Location"] == "/admin/adserver/ad/"
    assert Ad.objects.filter(title="Night market", country=["TW", "JP"]).count() == 3
    entries = AdChange.objects.filter(operation="create", actor_id=operator.pk)
    assert sorted(entries.values_list("version", flat=True)) == [1, 2, 3]


def test_names_every_bad_row_and_imports_none(client_op):
    preview = upload(client_op, HEADER + GOOD + BAD + GOOD + "too,short\r\n")
    page = preview.content.decode()
    assert "2 of 4 rows cannot be imported" in page
    assert [error.row for error in preview.context["preview"].errors] == [2, 4]
    assert "title: must have 5 to 100 characters, not 3" in page
    assert "gender: &#x27;X&#x27; is not M or F" in page
    assert 'name="confirm"' not in page
    assert confirm(client_op, preview).status_code == 200
    assert not Ad.objects.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "csv: has no header line"),
        (HEADER, "file: has no rows below its header"),
        ("title,colour\r\nx,y\r\n", "csv: the column &#x27;colour&#x27; is not a field of an ad"),
        (b"\xff\xfe\x00", "file: must be UTF-8 text"),
        (HEADER + '"unfinished', "csv: line 2"),
    ],
)
def test_says_what_is_wrong_with_a_file(client_op, text, message):
    response = upload(client_op, text)
    assert response.status_code == 400
    assert message in response.content.decode()


def test_says_that_a_file_is_missing_or_too_large(client_op, monkeypatch):
    assert "choose a CSV file first" in client_op.post(IMPORT, {}).content.decode()
    monkeypatch.setattr("adserver.admin.transfer.FILE_BYTES_MAX", 10)
    assert "must not be larger" in upload(client_op, HEADER + GOOD).content.decode()


def test_refuses_more_rows_than_one_transaction_takes(client_op, monkeypatch):
    monkeypatch.setattr("adserver.admin.transfer.IMPORT_ROWS_MAX", 2)
    response = upload(client_op, HEADER + GOOD * 3)
    assert "rows: at most 2 at once" in response.content.decode()


@pytest.mark.parametrize("packed", ["", "!!", b64encode(b"no zlib").decode(), "eJw="])
def test_a_damaged_preview_is_refused(client_op, packed):
    response = client_op.post(IMPORT, {"packed": packed, "confirm": "yes"})
    assert response.status_code == 400
    assert "upload it again" in response.content.decode()


def test_line_breaks_inside_cells_survive_the_preview(client_op):
    row = GOOD.replace("Forty stalls", '"one\ntwo\r\nthree"')
    confirm(client_op, upload(client_op, HEADER + row))
    assert Ad.objects.get().content == "one\ntwo\r\nthree"


def test_exports_what_the_import_reads_back(client_op, make_ad):
    make_ad('Quotes, "and" commas', content="line\nbreak", country=("TW", "JP"), age_start=20)
    make_ad("For everybody", content="")
    text = body(client_op.get(EXPORT))
    before = set(Ad.objects.values_list("title", "content", "start_at", "end_at", "age_start"))
    countries = {tuple(ad.country) for ad in Ad.objects.all()}
    Ad.objects.all().delete()
    confirm(client_op, upload(client_op, text))
    after = Ad.objects.all()
    assert set(after.values_list("title", "content", "start_at", "end_at", "age_start")) == before
    assert {tuple(ad.country) for ad in after} == countries


def test_exports_the_current_filter_and_search(client_op, make_ad):
    make_ad("In Japan", country=("JP",))
    make_ad("In Taiwan", country=("TW",))
    make_ad("Taiwan, ended", country=("TW",), start=-3, end=-1)
    response = client_op.get(f"{EXPORT}?country=TW&state=live&q=taiwan")
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"].startswith('attachment; filename="ads-')
    rows = list(csv.DictReader(io.StringIO(body(response))))
    assert [row["title"] for row in rows] == ["In Taiwan"]


def test_the_export_button_keeps_filter_and_search(client_op):
    page = client_op.get("/admin/adserver/ad/?country=TW&q=tea+%26+more").content.decode()
    assert f'href="{EXPORT}?country=TW&amp;q=tea+%26+more"' in page
    assert f'href="{EXPORT}"' in client_op.get("/admin/adserver/ad/").content.decode()


def test_exports_the_chosen(client_op, make_ad):
    chosen = make_ad("Chosen one")
    make_ad("Not chosen")
    data = {"action": "export_chosen", "_selected_action": [str(chosen.pk)]}
    text = body(client_op.post("/admin/adserver/ad/", data))
    assert "Chosen one" in text
    assert "Not chosen" not in text


@pytest.mark.django_db(transaction=True)
def test_exports_under_asgi_as_well(operator, make_ad):
    make_ad("Streamed one")

    async def download() -> bytes:
        client = AsyncClient()
        await client.aforce_login(operator)
        response: Any = await client.get(EXPORT)
        return b"".join([chunk async for chunk in response.streaming_content])

    assert b"Streamed one" in async_to_sync(download)()


def test_the_example_can_be_imported(client_op):
    example = client_op.get("/admin/adserver/ad/import/example/").content
    preview = upload(client_op, example)
    assert (preview.context["preview"].rows, preview.context["preview"].errors) == (2, [])


def test_permissions(staff_with, make_ad):
    make_ad()
    assert staff_with("view_ad").get(IMPORT).status_code == 403
    assert staff_with("view_ad", "change_ad").post(IMPORT, {}).status_code == 403
    assert staff_with("add_ad").get(EXPORT).status_code == 403
    assert staff_with("view_ad", "delete_ad").get(EXPORT).status_code == 200
