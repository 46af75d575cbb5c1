"""Both pools under gunicorn: replacing and stopping the workers fails no request."""

import os
import signal

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fastpath.pools import Load, Pool, wait_until

TARGETS = {
    "api": ["/hot?a=1", "/slow", "/hot?a=2", "/save?laterlater", "/save"],
    "edge": ["/hot?a=1", "/healthz"],
}


@pytest.mark.parametrize("kind", ["api", "edge"])
def test_sighup_under_load_fails_no_request(tmp_path, kind):
    with Pool(tmp_path, kind) as pool:
        load = Load(pool.port, TARGETS[kind])
        for _ in range(2):
            load.more(200)
            pool.hang_up()
        load.more(200)
        load.stop()
        assert load.failures == []
        assert pool.stop() == 0


@pytest.mark.parametrize("kind", ["api", "edge"])
def test_old_workers_serve_until_the_new_ones_do(tmp_path, kind):
    with Pool(tmp_path, kind) as pool:
        old = pool.serving()
        load = Load(pool.port, TARGETS[kind])
        pool.gate.unlink()
        pool.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(pool.at_gate()) == 4, "new workers at the gate")
        load.more(250)
        for pid in old:
            # As gunicorn itself does when replacing takes it longer than it likes.
            os.kill(pid, signal.SIGTERM)
        load.more(250)
        assert pool.serving() == old
        pool.gate.touch()
        wait_until(lambda: not old & pool.serving(), "the old workers' end")
        load.more(200)
        load.stop()
        assert load.failures == []
        assert pool.stop() == 0


@pytest.mark.parametrize("kind", ["api", "edge"])
def test_a_stop_does_not_wait_for_new_workers(tmp_path, kind):
    with Pool(tmp_path, kind) as pool:
        pool.gate.unlink()
        pool.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(pool.at_gate()) == 4, "new workers at the gate")
        assert pool.stop() == 0


@pytest.mark.parametrize("kind", ["api", "edge"])
def test_sigterm_under_load_answers_what_it_has_accepted(tmp_path, kind):
    with Pool(tmp_path, kind) as pool:
        load = Load(pool.port, TARGETS[kind])
        load.more(200)
        assert pool.stop() == 0
        load.join()
        assert load.refused
        # A connection that the kernel took, and no worker, ends when the port does.
        assert [each for each in load.failures if "reset" not in each.lower()] == []
        assert len(load.failures) <= len(load._threads)


@pytest.mark.parametrize("kind", ["api", "edge"])
def test_a_killed_worker_is_replaced_and_its_gauges_go(tmp_path, kind):
    with Pool(tmp_path, kind) as pool:
        victim = min(pool.serving())
        gauges = pool.run_dir / f"metrics-{kind}" / f"gauge_liveall_{victim}.db"
        gauges.write_bytes(b"")
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(pool.serving() - {victim}) == 2, "a worker in its place")
        wait_until(lambda: not gauges.exists(), "the end of the dead worker's gauges")
        assert pool.get("/hot?a=1")[0] == 200


@pytest.mark.parametrize("kind", ["api", "edge"])
def test_workers_end_when_their_master_is_killed(tmp_path, kind):
    with Pool(tmp_path, kind) as pool:
        pool.process.kill()
        wait_until(lambda: not pool.serving(), "the workers' end")


@pytest.mark.parametrize("kind", ["api", "edge"])
def test_a_pool_that_starts_forgets_the_counts_of_the_last_one(tmp_path, kind):
    old = tmp_path / "run" / f"metrics-{kind}" / "counter_1.db"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"old")
    with Pool(tmp_path, kind) as pool:
        assert not old.exists()
        assert pool.stop() == 0


@pytest.mark.parametrize("kind", ["api", "edge"])
def test_metrics_sum_all_workers_and_outlive_them(tmp_path, kind):
    def counted() -> float:
        samples = parse(pool.get("/metrics")[1].decode())
        return samples.get(("http_requests_total", "/hot", "GET", "200"), 0)

    with Pool(tmp_path, kind) as pool:
        load = Load(pool.port, ["/hot?a=1"])
        load.more(300)
        pool.hang_up()
        load.more(300)
        load.stop()
        wait_until(lambda: counted() == load.answered, "every answer in the metrics")
        samples = parse(pool.get("/metrics")[1].decode())
        assert samples["http_request_duration_seconds_count", "/hot", "GET"] == load.answered
        assert pool.stop() == 0


def parse(text: str) -> dict[tuple[str, ...], float]:
    """Samples by name and by the values of route, method and status."""
    return {
        (
            sample.name,
            *(sample.labels[k] for k in ("route", "method", "status") if k in sample.labels),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "le" not in sample.labels
    }
