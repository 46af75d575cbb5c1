"""`GET /api/v1/ad`, every rule of it, on both ports."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.api.bodies import ad_body
from tests.contract.conftest import PORTS, VISIBLE_TIMEOUT_S, url_of, wait_visible
from tests.support import plain_http
from tests.support.stack import wait_until

pytestmark = pytest.mark.xdist_group("contract")

HOUR = timedelta(hours=1)
FIELDS = [
    "id",
    "title",
    "content",
    "start_at",
    "end_at",
    "age_start",
    "age_end",
    "gender",
    "country",
    "platform",
    "version",
    "created_at",
]


def ask(door: httpx.Client, query: str = "") -> dict[str, Any]:
    answer = door.get(f"/api/v1/ad?{query}")
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


def titles(door: httpx.Client, query: str = "") -> list[str]:
    page = ask(door, query)
    assert page["total"] == len(page["ads"])
    return sorted(ad["title"] for ad in page["ads"])


def in_hours(hours: float) -> str:
    return (datetime.now(UTC) + hours * HOUR).isoformat()


def test_the_answer_is_as_published(door, add):
    [ad] = add(ad_body(gender=["F"], country=["TW", "JP"], platform=["ios"], age_start=18))
    answer = door.get("/api/v1/ad?age=20&country=TW&gender=F&platform=ios&offset=0&limit=10")
    page = answer.json()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-catalog-version"] == str(ad["version"])
    assert list(page) == ["ads", "total"]
    assert list(page["ads"][0]) == FIELDS
    assert page == {"ads": [{name: ad[name] for name in FIELDS}], "total": 1}


def test_both_layouts_of_time_are_served_alike(door, add):
    add(
        ad_body(start_at="2026-01-01 08:00:00 +0800 CST", end_at="2099-01-01 08:00:00 +0800 CST"),
        ad_body(start_at="2026-01-01T00:00:00Z", end_at="2099-01-01T09:00:00+09:00"),
    )
    for ad in ask(door)["ads"]:
        assert ad["start_at"] == "2026-01-01T00:00:00Z"
        assert ad["end_at"] == "2099-01-01T00:00:00Z"


# Query, and the ads that it hides.
CONDITIONS: list[tuple[str, set[str]]] = [
    ("", set()),
    ("age=25", set()),
    ("age=20", set()),
    ("age=30", set()),
    ("age=19", {"Age 20 to 30"}),
    ("age=31", {"Age 20 to 30"}),
    ("age=1", {"Age 20 to 30"}),
    # Nobody's age range goes beyond 100.
    ("age=255", {"Age 20 to 30", "For everybody", "Of TW or JP", "For women", "On phones"}),
    ("country=TW", set()),
    ("country=JP", set()),
    ("country=US", {"Of TW or JP"}),
    ("gender=F", set()),
    ("gender=M", {"For women"}),
    ("platform=android", set()),
    ("platform=ios", set()),
    ("platform=web", {"On phones"}),
    ("age=19&country=US&gender=M&platform=web", {
        "Age 20 to 30", "Of TW or JP", "For women", "On phones"}),
    ("age=25&country=JP&gender=F&platform=ios", set()),
    # Empty means absent; unknown parameters are ignored.
    ("age=&country=&gender=&platform=&offset=&limit=", set()),
    ("age=&gender=M", {"For women"}),
    ("colour=red&gender=M&Age=19", {"For women"}),
    ("&&gender=M&", {"For women"}),
    # Escapes are decoded.
    ("gende%72=%4D", {"For women"}),
    ("age=%32%35", set()),
]  # fmt: skip


def test_conditions(door, add):
    ads = add(
        ad_body(title="For everybody"),
        ad_body(title="Age 20 to 30", age_start=20, age_end=30),
        ad_body(title="Of TW or JP", country=["TW", "JP"]),
        ad_body(title="For women", gender=["F"]),
        ad_body(title="On phones", platform=["android", "ios"]),
    )
    everything = {ad["title"] for ad in ads}
    for query, hidden in CONDITIONS:
        assert set(titles(door, query)) == everything - hidden, query


@pytest.mark.parametrize(
    ("query", "msg"),
    [
        *[
            (f"age={value}", "age: must be a whole number from 1 to 255")
            for value in ("0", "256", "-1", "1.5", "abc", "1e2", "%20", "+5", "٣", "9" * 30)
        ],
        *[
            (f"limit={value}", "limit: must be a whole number from 1 to 100")
            for value in ("0", "101", "-1", "ten", "1.0", "0x1")
        ],
        *[
            (f"offset={value}", "offset: must be a whole number, 0 or more")
            for value in ("-1", "1.5", "x", "%2B1")
        ],
        *[
            (f"country={value}", "country: must be an ISO 3166-1 alpha-2 country")
            for value in ("XX", "tw", "TWN", "T", "TW,JP", "%00")
        ],
        *[(f"gender={value}", "gender: must be M or F") for value in ("f", "X", "MF", "male")],
        *[
            (f"platform={value}", "platform: must be android, ios or web")
            for value in ("iOS", "tv", "ios,web")
        ],
        ("age=25&limit=0", "limit: must be a whole number from 1 to 100"),
        ("age=25&age=26", "age: is given more than once"),
        ("limit=5&limit=5", "limit: is given more than once"),
        ("gender=%ff", "gender: must be M or F"),
    ],
)
def test_each_mistake_is_named(door, query, msg):
    answer = door.get(f"/api/v1/ad?{query}")
    assert (answer.status_code, answer.json()) == (400, {"msg": msg})
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "query",
    [
        "age=1",
        "age=255",
        "limit=1",
        "limit=100",
        "offset=0",
        f"offset={'9' * 30}",
        "&".join(f"p{number}=1" for number in range(200)),
    ],
)
def test_limits_are_inclusive(door, query):
    assert "total" in ask(door, query)


def test_order_is_end_then_id(door, add):
    ends = [in_hours(hours) for hours in (3, 1, 2, 1, 1, 2, 3)]
    ads = add(*(ad_body(title=f"Number {n}", end_at=end) for n, end in enumerate(ends)))
    expected = [ad["id"] for ad in sorted(ads, key=lambda ad: (ad["end_at"], ad["id"]))]
    assert [ad["id"] for ad in ask(door)["ads"]] == expected


def test_total_counts_all_matches_not_the_page(door, add):
    ads = add(*(ad_body(title=f"Number {n:03}", end_at=in_hours(n + 1)) for n in range(105)))
    ids = [ad["id"] for ad in ads]
    for query, wanted in [
        ("", ids[:10]),
        ("limit=1", ids[:1]),
        ("limit=100", ids[:100]),
        ("limit=100&offset=100", ids[100:]),
        ("offset=7&limit=3", ids[7:10]),
        ("offset=104", ids[104:]),
        ("offset=105", []),
        ("offset=100000", []),
    ]:
        page = ask(door, query)
        assert page["total"] == 105
        assert [ad["id"] for ad in page["ads"]] == wanted


def test_no_match_is_an_empty_list(door, add):
    add(ad_body(gender=["F"]))
    answer = door.get("/api/v1/ad?gender=M")
    assert (answer.status_code, answer.json()) == (200, {"ads": [], "total": 0})
    assert int(answer.headers["x-catalog-version"]) > 0


def test_only_live_ads_are_served(door, add):
    add(
        ad_body(title="Live now"),
        ad_body(title="Scheduled", start_at=in_hours(1)),
        ad_body(title="Ended", start_at=in_hours(-2), end_at=in_hours(-1)),
    )
    assert titles(door) == ["Live now"]


def test_the_clock_alone_starts_and_ends_ads(door, add):
    soon = datetime.now(UTC) + timedelta(seconds=2)
    add(
        ad_body(title="Ends soon", end_at=soon.isoformat()),
        ad_body(title="Starts soon", start_at=soon.isoformat()),
    )
    wait_until(
        lambda: titles(door) == ["Starts soon"],
        timeout_s=VISIBLE_TIMEOUT_S,
        what="the next ad in place of the ended one",
    )
    assert datetime.now(UTC) >= soon


def test_a_deleted_ad_is_gone(door, add, stack, operator):
    [first, second] = add(ad_body(title="Stays here"), ad_body(title="Is deleted"))
    answer = operator.delete(f"/api/v1/ads/{second['id']}/")
    wait_visible(stack, answer)
    page = door.get("/api/v1/ad")
    assert [ad["id"] for ad in page.json()["ads"]] == [first["id"]]
    assert page.headers["x-catalog-version"] == answer.headers["x-catalog-version"]


def test_head_is_get_without_the_body(door, add):
    add(ad_body())
    get, head = door.get("/api/v1/ad?age=5"), door.head("/api/v1/ad?age=5")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["x-catalog-version"] == get.headers["x-catalog-version"]


def test_credentials_and_accept_do_not_matter(door, add):
    add(ad_body())
    for headers in ({"authorization": "Token nonsense"}, {"accept": "text/html"}):
        assert door.get("/api/v1/ad", headers=headers).json()["total"] == 1


@pytest.mark.parametrize(
    "query",
    ["", "age=25&country=TW", "limit=3&offset=2&gender=F", "age=0", "limit=101", "offset=99999"],
)
def test_all_doors_give_the_same_bytes(stack, add, query):
    add(*(ad_body(title=f"Number {n}", gender=["F"] if n % 2 else []) for n in range(12)))
    hot = [plain_http.get(f"{url_of(stack, port)}/api/v1/ad?{query}") for port in PORTS]
    # An escape in the path is unusual enough for the plain framework to answer.
    plain = plain_http.get(f"{stack.url}/api/v1/%61d?{query}")
    with_body = plain_http.request("GET", f"{stack.url}/api/v1/ad?{query}", content=b"ignored")
    answers = {(answer.status_code, answer.content) for answer in (*hot, plain, with_body)}
    assert len(answers) == 1
    versions = {answer.headers.get("x-catalog-version") for answer in (*hot, plain, with_body)}
    assert len(versions) == 1


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_the_api_reads_and_creates(stack, method):
    for token in ("", "Token nope", f"Token {stack.operator['token']}"):
        headers = {"Authorization": token} if token else {}
        url = f"{stack.url}/api/v1/ad"
        answer = plain_http.request(method, url, json=ad_body(), headers=headers)
        assert answer.status_code == 405
        assert answer.json()["msg"].startswith("method: ")
        assert answer.headers["allow"] == "GET, POST, HEAD, OPTIONS"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_the_edge_only_reads(stack, method):
    answer = plain_http.request(method, f"{stack.edge_url}/api/v1/ad", json=ad_body())
    assert answer.status_code == 405
    assert answer.json()["msg"].startswith("method: ")
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize("path", ["/", "/admin/", "/api/v1/ads/", "/api/v1/ad/", "/api/v1/schema/"])
def test_the_edge_has_nothing_else(stack, path):
    answer = plain_http.get(f"{stack.edge_url}{path}")
    assert answer.status_code == 404
    assert answer.json()["msg"].startswith("path: ")
