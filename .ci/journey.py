"""One user's journey through `make run`: first start, real requests, a crash, a stop, a restart."""

import json
import os
import signal
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psutil

from tests.support.stack import Stack, wait_until

TITLE = "An ad that outlives a restart"


def call(url: str, body: Any = None, token: str = "") -> tuple[int, str]:
    """Status and text of one request; POST when there is a body."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Token {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def expect(what: str, holds: Any) -> None:
    """Say what was seen; AssertionError when it was not."""
    assert holds, f"not so: {what}"
    print(f"  {what}", flush=True)


def serves_the_ad(url: str) -> bool:
    """Whether a pool serves our ad now."""
    status, text = call(f"{url}/api/v1/ad?limit=100")
    return status == 200 and TITLE in [ad["title"] for ad in json.loads(text)["ads"]]


def workers(stack: Stack, pool: str) -> dict[int, int]:
    """Catalog version by pid of a pool's workers."""
    entries = json.loads(call(f"{stack.url}/readyz")[1])["workers"]
    return {entry["pid"]: entry["version"] for entry in entries if entry["pool"] == pool}


def see_everything_answer(stack: Stack) -> None:
    """Every kind of page, on both ports."""
    sample = "/api/v1/ad?age=25&country=TW&gender=F&platform=ios&limit=5"
    api, edge = call(stack.url + sample), call(stack.edge_url + sample)
    expect("both ports serve the same sample ads", api == edge and json.loads(api[1])["ads"])
    for url in (stack.url, stack.edge_url):
        for path in ("/healthz", "/readyz", "/metrics"):
            expect(f"{path} of {url} answers", call(url + path)[0] == 200)
    status, page = call(f"{stack.url}/admin/login/")
    expect("the admin's login page is there", status == 200 and "csrfmiddlewaretoken" in page)
    expect("the API's documentation is there", call(f"{stack.url}/api/v1/docs/")[0] == 200)
    status, text = call(f"{stack.url}/api/v1/ad?age=0")
    expect(
        "a wrong question gets 400 and words", status == 400 and "age" in json.loads(text)["msg"]
    )


def post_an_ad(stack: Stack) -> None:
    """With the operator's token; visible everywhere."""
    now = datetime.now(UTC)
    ad = {
        "title": TITLE,
        "content": "https://example.com/ad.png",
        "start_at": (now - timedelta(minutes=1)).isoformat(),
        "end_at": (now + timedelta(hours=1)).isoformat(),
    }
    expect("without a token an ad is refused", call(f"{stack.url}/api/v1/ad", ad)[0] == 401)
    status, text = call(f"{stack.url}/api/v1/ad", ad, stack.operator["token"])
    expect("with the operator's token it is made", status == 201 and json.loads(text)["data"])
    for url in (stack.url, stack.edge_url):
        wait_until(partial(serves_the_ad, url), timeout_s=10, what=f"the ad on {url}")
    expect("the ad is served on both ports", True)


def lose_a_worker(stack: Stack) -> None:
    """A killed worker comes back, with the same catalog as the others."""
    before = workers(stack, "api")
    victim = next(iter(before))
    os.kill(victim, signal.SIGKILL)
    newest = max(before.values())

    def is_back() -> bool:
        after = workers(stack, "api")
        replaced = victim not in after and len(after) == len(before)
        # The board is a moment behind what is served, so all may have gone on since.
        return replaced and min(after.values()) == max(after.values()) >= newest

    wait_until(is_back, timeout_s=30, what="a new worker with the same catalog")
    expect("a killed worker was replaced by one with the same catalog", True)


def leave_nothing(stack: Stack) -> None:
    """Whatever ended the stack: no process, no state file."""
    left = [" ".join(process.cmdline()) for process in stack.processes()]
    expect("no process is left", not left)
    expect("stack.json is gone", not (stack.data_directory / "stack.json").exists())


def main() -> None:
    """The journey, printing what was seen."""
    with Stack(command=["make", "run"]) as stack:
        print("".join(stack.output), flush=True)
        see_everything_answer(stack)
        post_an_ad(stack)
        lose_a_worker(stack)
        stack.stop(signal.SIGTERM)
        leave_nothing(stack)
        stack.start()
        expect("after a restart the ad is still served", serves_the_ad(stack.edge_url))
        supervisor = psutil.Process(stack.pid)
        os.killpg(supervisor.pid, signal.SIGINT)  # what Ctrl-C does
        supervisor.wait(20)
        leave_nothing(stack)


if __name__ == "__main__":
    main()
