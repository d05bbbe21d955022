"""A Prometheus counts, the service asks it: with Debian's Prometheus over blocks that promtool made."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from running import free_port, until

from observe import summaries
from observe.app import reaching
from observe.app.hearing import last_seen
from observe.app.intake import Intake
from observe.app.pull_plan import pulls
from observe.app.pulling import Puller
from observe.clock import EventClock
from observe.errors import PayloadError
from observe.registry import plugin
from observe.schema import Evidence, Window
from observe.spec import Config, load
from observe.spec.monitors import derive
from observe.store import Store
from observe.telemetry import Telemetry

T0 = datetime(2026, 3, 2, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MODEL = """\
apiVersion: observe/v1
kind: Monitoring
metadata: {name: shop}
slos:
  - {name: errors, objective: 99%, prometheus: {from: main, total: shop_total, errors: 'shop_total{code=~"5.."}'}}
  - {name: good, objective: 99%, prometheus: {from: main, total: shop_total, good: 'shop_total{code="200"}'}}
"""


def written(folder: Path, *targets: str) -> Config:
    listed = ", ".join(f'"{t}"' for t in targets)
    (folder / "observe.yaml").write_text(
        f"apiVersion: observe/v1\nkind: Site\nstore: {{path: ./data}}\ncollectors:\n  main: {{type: promql, targets: [{listed}]}}\n"
    )
    (folder / "models").mkdir(exist_ok=True)
    (folder / "models/shop.yaml").write_text(MODEL)
    return load(folder / "observe.yaml")


def blocks(folder: Path) -> None:
    """Two hours of a counter scraped every 15 s: 4 a second, half of them fail in the second hour; 20 min without scrapes."""
    lines = ["# TYPE shop counter"]
    for code, per_scrape in (("200", (60, 30)), ("500", (0, 30))):
        n = 0
        for i in range(480):
            n += per_scrape[i >= 240]
            if code == "500" and i < 240:
                continue  # the series is not there before the first error
            if not 80 <= i < 160:
                lines.append(f'shop_total{{code="{code}"}} {n} {T0.timestamp() + 15 * i:.0f}')
    (folder / "history.txt").write_text("\n".join([*lines, "# EOF", ""]))
    made = subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(folder / "history.txt"), str(folder / "tsdb")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr


@contextmanager
def prometheus(folder: Path) -> Iterator[str]:
    """A Prometheus that scrapes nothing and knows what the blocks hold."""
    blocks(folder)
    (folder / "prometheus.yml").write_text("scrape_configs: []\n")
    port = free_port()
    argv = [
        shutil.which("prometheus") or "prometheus", f"--config.file={folder / 'prometheus.yml'}", "--log.level=warn",
        f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=50y",
    ]  # fmt: skip
    with (folder / "prometheus.log").open("ab") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    until(lambda: _ready(address), 30)
    try:
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/-/ready", timeout=1).status_code == 200
    except httpx.HTTPError:
        return False


class Site:
    """A store, its puller, and the clock of both."""

    def __init__(self, folder: Path, config: Config) -> None:
        self.config, self.clock = config, EventClock(T0 + timedelta(minutes=121))
        self.store = Store.open(folder / "data", self.clock, threads=1, memory="500MB")
        intake = Intake(self.store, self.clock, Telemetry(), config)
        self.puller = Puller(pulls(config.site.collectors, config.models), intake, self.store, self.clock)

    def close(self) -> None:
        self.puller.stop()
        self.store.close()

    def counted(self, slo: str) -> dict[int, tuple[int, int]]:
        """All and bad events by minute after `T0`."""
        assert summaries.close(self.store, self.config, self.clock.now()).failures == {}
        rows = self.store.read(
            "select ts, n, events from summary where measure = $m order by ts", {"m": f"shop/slo/{slo}"}
        )
        return {int((ts - T0) / MINUTE): (n, bad) for ts, n, bad in rows.iter_rows()}


@pytest.mark.servers
@pytest.mark.slow
def test_a_real_prometheus_counts_an_slo_with_its_gap_and_the_burn_is_found(tmp_path: Path) -> None:
    config = written(tmp_path, "http://127.0.0.1:9", "http://127.0.0.1:9")
    with prometheus(tmp_path) as address:
        config = written(tmp_path, "http://127.0.0.1:9", address)  # the first replica is down
        site = Site(tmp_path, config)
        site.puller.once()
        site.clock.set(site.clock.now() + timedelta(hours=1))
        site.puller.once()  # the same hour is not counted twice, and of the next one nothing is known
        errors, good = site.counted("errors"), site.counted("good")
        burning = _burns(site)
        looks = {look.target: (look.ok, look.detail) for look in reaching.looks(config, T0 + timedelta(minutes=119))}
        site.close()

    assert set(range(61, 120)) <= errors.keys() <= set(range(60, 122))  # asked from an hour back
    assert sum(n for n, _ in errors.values()) == pytest.approx(14_400, rel=0.02)
    assert sum(bad for _, bad in errors.values()) == pytest.approx(7_200, rel=0.02)
    assert sum(bad for _, bad in good.values()) == pytest.approx(7_200, rel=0.02)
    assert looks[address] == (
        True,
        "answers queries; shop.errors: 60 of the last 60 minutes have counts; shop.good: 60 of the last 60 minutes have counts",
    )
    assert looks["http://127.0.0.1:9"][0] is False
    assert burning == {"errors": "alarm", "good": "alarm"}


def _burns(site: Site) -> dict[str, str]:
    """State of the newest finding of each SLO, by the detector that pages."""
    monitors = tuple(m for m in derive(site.config, {}) if m.detector == "burn")
    window = Window(T0 + timedelta(minutes=60), T0 + timedelta(minutes=120))
    rows = site.store.read("select * exclude (ingested_at) from summary order by measure, ts")
    found = plugin("observe.detectors", "burn").detect(Evidence(monitors, window, rows, {}, {}))
    return {f.subject: f.state for f in found.findings}


@pytest.mark.servers
@pytest.mark.slow
def test_minutes_that_no_scrape_saw_are_gaps_and_not_zeros(tmp_path: Path) -> None:
    with prometheus(tmp_path) as address:
        site = Site(tmp_path, written(tmp_path, address))
        site.clock.set(T0 + timedelta(minutes=59))
        site.puller.once()
        counted = site.counted("errors")
        site.close()

    assert not counted.keys() & set(range(22, 39))  # scrapes ended at 19:45 and went on at 40:00
    assert all(bad == 0 for _, bad in counted.values())  # a counter of errors that is not there has counted none
    assert {n for minute, (n, _) in counted.items() if 3 <= minute < 19} == {240}


def test_of_two_replicas_the_silent_one_is_told_and_a_collector_that_asks_nothing_is_not_watched(
    tmp_path: Path,
) -> None:
    config = written(tmp_path, f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}")
    site = Site(tmp_path, config)
    site.puller.once()
    failed = site.store.read("select distinct target from collector_run where not ok")["target"].to_list()
    seen = last_seen(config, site.store, site.clock.now(), T0)
    site.close()

    assert sorted(failed) == sorted(config.site.collectors["main"].targets)
    assert seen.select("collector", "target", "last_ts").rows() == [("main", "", None)]  # replicas are one source
    idle = Config(config.site, {})
    assert {m.monitor_id for m in derive(config, {})} - {m.monitor_id for m in derive(idle, {})} >= {
        "site/silence/main"
    }


def test_while_nobody_answers_the_failure_is_recorded_and_nothing_is_counted(tmp_path: Path) -> None:
    site = Site(tmp_path, written(tmp_path, f"http://127.0.0.1:{free_port()}"))
    site.puller.once()
    runs = site.store.read("select ok, error from collector_run")
    counted = site.counted("errors")
    site.close()

    assert runs["ok"].to_list() == [False, False]
    assert "ConnectError" in runs["error"][0]
    assert counted == {}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('{"status": "error", "error": "parse error at char 3"}', "parse error at char 3"),
        ('{"status": "success", "data": {"resultType": "matrix", "result": [{}, {}]}}', "2 series"),
        ('{"status": "success", "data": {"resultType": "vector", "result": []}}', "range queries"),
        ("<html>", "no JSON"),
    ],
)
def test_an_answer_that_is_none_is_refused_with_its_reason(answer: str, said: str) -> None:
    with pytest.raises(PayloadError, match=said):
        plugin("observe.collectors", "promql").parse(answer.encode(), T0, {})


def test_points_that_are_no_numbers_are_counted_as_such_and_are_gaps() -> None:
    points = [[T0.timestamp() + 60, "4"], [T0.timestamp() + 120, "NaN"], [T0.timestamp() + 180, "-1"], ["x", "1"]]
    result = [{"metric": {}, "values": points}]
    answer = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}})

    parsed = plugin("observe.collectors", "promql").parse(answer.encode(), T0, {"over_s": "120"})

    assert parsed.tables["metric_sample"].select("ts", "value").rows() == [(T0, 2.0)]  # half of two minutes
    assert (parsed.offered, parsed.rejected) == (4, {"not_a_number": 3})
