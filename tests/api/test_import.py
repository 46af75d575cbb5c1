"""Import: all rows or none, every bad row by its number, from JSON and from CSV."""

import json
import uuid

import pytest

from adserver.models import Ad, AdChange, record_of
from adserver.rows import rows_to_csv
from tests.api.bodies import ad_body

PATH = "/api/v1/ads/import/"
TIMES = "2026-01-01T00:00:00Z,2099-01-01T00:00:00Z"
HEADER = "title,content,start_at,end_at,age_start,age_end,gender,country,platform"


def post_rows(client, rows, query: str = ""):
    return client.post(PATH + query, rows, content_type="application/json")


def post_csv(client, text: str | bytes, query: str = "", kind: str = "text/csv"):
    data = text.encode() if isinstance(text, str) else text
    return client.generic("POST", PATH + query, data, content_type=kind)


def test_json_rows_become_ads_in_their_order(client_op):
    answer = post_rows(client_op, [ad_body(title=f"Number {n}") for n in range(3)])
    ads = {str(ad.pk): ad for ad in Ad.objects.all()}
    assert answer.status_code == 201
    assert answer.json() == {"created": 3, "ids": list(ads.fromkeys(answer.json()["ids"]))}
    assert [ads[ad_id].title for ad_id in answer.json()["ids"]] == [
        "Number 0",
        "Number 1",
        "Number 2",
    ]
    assert answer["X-Catalog-Version"] == str(AdChange.objects.latest("version").version)
    assert sorted(ad.version for ad in ads.values()) == [
        change.version for change in AdChange.objects.all()
    ]


def test_csv_with_everything_spreadsheets_do(client_op):
    text = (
        f"\ufeff{HEADER.upper()}\r\n"
        f'"Quoted, ""title""","two\r\nlines",{TIMES},18,35,F,TW|JP,"ios, web"\r\n'
        "\r\n"
        f"Nothing chosen,,{TIMES},,,,,\r\n"
        "Go's layout,x,2026-01-01 08:00:00 +0800 CST,2099-01-01T08:00:00+08:00,0,100,M F,,web\r\n"
    )
    answer = post_csv(client_op, text, kind="text/csv; charset=utf-8; header=present")
    assert answer.status_code == 201
    first, second, third = [Ad.objects.get(pk=ad_id) for ad_id in answer.json()["ids"]]
    assert (first.title, first.content) == ('Quoted, "title"', "two\r\nlines")
    assert (first.age_start, first.age_end, first.gender) == (18, 35, ["F"])
    assert (first.country, first.platform) == (["TW", "JP"], ["ios", "web"])
    assert (second.content, second.age_start, second.age_end) == ("", 0, 100)
    assert second.gender == second.country == second.platform == []
    assert third.gender == ["M", "F"]
    assert (third.start_at, third.end_at) == (first.start_at, first.end_at)


def test_exported_rows_are_imported_again(client_op):
    body = ad_body(content='"|,\n é', gender=["F"], country=["TW", "JP"], age_end=50)
    post_rows(client_op, [body, ad_body()])
    text = "".join(rows_to_csv(record_of(ad) for ad in Ad.objects.order_by("version")))
    answer = post_csv(client_op, text)
    assert answer.status_code == 201
    copies = [Ad.objects.get(pk=ad_id) for ad_id in answer.json()["ids"]]
    again = "".join(rows_to_csv(record_of(ad) for ad in copies))
    for copy, source in zip(copies, Ad.objects.order_by("version")[:2], strict=True):
        again = again.replace(str(copy.pk), str(source.pk))
    assert again == text


@pytest.mark.parametrize("dry_run", [False, True])
def test_every_bad_row_is_named_and_nothing_written(client_op, dry_run):
    rows = [
        ad_body(),
        ad_body(title="x"),
        "no object",
        ad_body(),
        ad_body(age_start=9, age_end=8),
        {},
    ]
    answer = post_rows(client_op, rows, "?dry_run=true" if dry_run else "")
    errors = [
        {"row": 2, "msg": "title: must have 5 to 100 characters, not 1"},
        {"row": 3, "msg": "row: must be an object"},
        {"row": 5, "msg": "age_end: must not be less than age_start"},
        {
            "row": 6,
            "msg": "title: is required; content: is required; "
            "start_at: is required; end_at: is required",
        },
    ]
    if dry_run:
        assert (answer.status_code, answer.json()) == (200, {"rows": 6, "errors": errors})
    else:
        msg = "rows: 4 of 6 are not valid, nothing was imported"
        assert (answer.status_code, answer.json()) == (400, {"msg": msg, "errors": errors})
    assert not AdChange.objects.exists()
    assert "X-Catalog-Version" not in answer


def test_rows_of_a_csv_are_counted_after_the_header(client_op):
    text = f"{HEADER}\ntitle,,{TIMES},,,,,\nshort row\n\nbad,,{TIMES},x,,,,\ntitle,,,,,,,,\n"
    answer = post_csv(client_op, text)
    assert answer.json()["errors"] == [
        {"row": 2, "msg": "row: has 1 cells, the header has 9"},
        {
            "row": 3,
            "msg": "title: must have 5 to 100 characters, not 3; age_start: must be a whole number",
        },
        {"row": 4, "msg": "start_at: is required; end_at: is required"},
    ]


@pytest.mark.parametrize(
    ("text", "msg"),
    [
        ("", "body: must be an array of ads"),
        ("\n\n", "csv: has no header line"),
        ("title,content,start_at\n", "csv: the column 'end_at' is missing"),
        (f"{HEADER},colour\n", "csv: the column 'colour' is not a field of an ad"),
        (f"{HEADER},Title\n", "csv: the column 'title' is there twice"),
        (f'{HEADER}\n"a"b,,,,,,,,\n', "csv: line 2: "),
        (f'{HEADER}\n"never closed,,,,,,,,\n', "csv: line 2: "),
        (b"\xff\xfe", "body: is not valid UTF-8"),
        (f"{HEADER}\n" + f"title,,{TIMES},,,,,\n" * 10_001, "rows: at most 10000 at once"),
    ],
)
@pytest.mark.parametrize("query", ["", "?dry_run=true"])
def test_a_csv_that_cannot_be_read(client_op, text, msg, query):
    answer = post_csv(client_op, text, query)
    assert answer.status_code == 400
    assert answer.json()["msg"].startswith(msg)
    assert not AdChange.objects.exists()


def test_a_cell_that_is_too_long_is_a_mistake_of_its_row(client_op):
    long = f"title,{'x' * 200_000},{TIMES},,,,,\n"
    answer = post_csv(client_op, f"{HEADER}\n{long}title,,{TIMES},,,,,\n")
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert error["row"] == 1
    assert error["msg"].startswith("content: must have 0 to 65536 characters")


@pytest.mark.parametrize("data", [{}, ad_body(), "title", None, 1])
def test_a_body_that_is_no_array(client_op, data):
    answer = client_op.generic("POST", PATH, json.dumps(data), content_type="application/json")
    assert (answer.status_code, answer.json()) == (400, {"msg": "body: must be an array of ads"})


def test_ten_thousand_rows_are_taken_and_one_more_is_not(client_op, django_assert_max_num_queries):
    rows = [ad_body(title=f"Row {n:05}") for n in range(10_001)]
    refused = post_rows(client_op, rows)
    assert (refused.status_code, refused.json()) == (400, {"msg": "rows: at most 10000 at once"})
    assert not AdChange.objects.exists()
    with django_assert_max_num_queries(20):
        taken = post_rows(client_op, rows[1:])
    assert (taken.status_code, taken.json()["created"]) == (201, 10_000)
    assert Ad.objects.count() == len(set(taken.json()["ids"])) == 10_000
    assert taken["X-Catalog-Version"] == "10000"


def test_nothing_to_import(client_op):
    post_rows(client_op, [ad_body()])
    for answer in (post_rows(client_op, []), post_csv(client_op, HEADER)):
        assert (answer.status_code, answer.json()) == (201, {"created": 0, "ids": []})
        assert answer["X-Catalog-Version"] == "1"


@pytest.mark.parametrize("value", ["yes", "TRUE", "1"])
def test_dry_run_is_true_or_false(client_op, value):
    answer = post_rows(client_op, [ad_body()], f"?dry_run={value}")
    assert (answer.status_code, answer.json()) == (400, {"msg": "dry_run: must be true or false"})
    assert not AdChange.objects.exists()


def test_dry_run_of_good_rows(client_op):
    answer = post_rows(client_op, [ad_body(), ad_body()], "?dry_run=true")
    assert (answer.status_code, answer.json()) == (200, {"rows": 2, "errors": []})
    assert not AdChange.objects.exists()
    assert post_rows(client_op, [ad_body()], "?dry_run=false").status_code == 201


def test_what_the_server_decides_is_not_taken_from_rows(client_op):
    claimed = str(uuid.uuid4())
    answer = post_rows(client_op, [ad_body(id=claimed, version=99, created_at="x", state="x")])
    assert answer.json()["ids"] != [claimed]
    assert Ad.objects.get().version == 1


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "nonsense"])
def test_another_type(client_op, kind):
    answer = client_op.generic("POST", PATH, "x", content_type=kind)
    assert (answer.status_code, answer.json()) == (
        415,
        {"msg": "content-type: must be application/json or text/csv"},
    )
