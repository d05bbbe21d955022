"""Pulls: one bad file or one hanging target holds up nobody else."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from running import until

from collectors import pull
from observe.app.intake import Intake
from observe.app.pull_plan import pulls
from observe.app.pulling import Puller
from observe.clock import WallClock
from observe.errors import StoreError
from observe.schema import CollectorRun
from observe.spec import load
from observe.store import Store
from observe.telemetry import Telemetry

PAGE = 'DCGM_FI_DEV_GPU_UTIL{{gpu="0",UUID="GPU-1",modelName="H100",Hostname="n1"}} 50\nDCGM_FI_DEV_XID_ERRORS{{gpu="0",UUID="GPU-1",modelName="H100",Hostname="n1"}} {xid}\n'


@contextmanager
def puller(folder: Path, collectors: str) -> Iterator[tuple[Puller, Store]]:
    (folder / "observe.yaml").write_text(
        f"apiVersion: observe/v1\nkind: Site\nstore: {{path: ./data}}\ncollectors:\n{collectors}\n"
    )
    config, clock = load(folder / "observe.yaml"), WallClock()
    store = Store.open(folder / "data", clock)
    made = Puller(pulls(config.site.collectors), Intake(store, clock, Telemetry(), config), store, clock)
    try:
        yield made, store
    finally:
        made.stop()
        store.close()


@pytest.fixture
def target() -> Iterator[ThreadingHTTPServer]:
    """A server whose `/page` tells `xid`, and whose `/hang` never answers until released."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/hang":
                server.release.wait(30)  # type: ignore[attr-defined]
            if self.path == "/locked" and self.headers["Authorization"] != f"Bearer {server.token}":  # type: ignore[attr-defined]
                self.send_error(401, f"not {self.headers['Authorization']}")
                return
            told = "tgi_queue_size 3\n" if self.path == "/tgi" else PAGE.format(xid=server.xid)  # type: ignore[attr-defined]
            body = told.encode()
            self.send_response(200 if self.path != "/lost" else 302)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.xid, server.release = 0, threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.release.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


def test_a_broken_file_is_recorded_and_the_next_one_is_read(tmp_path: Path) -> None:
    watched = tmp_path / "in"
    watched.mkdir()
    (watched / "a.parquet").write_bytes(b"PAR1 not really")
    pl.DataFrame({"ts": [datetime.now(UTC)], "prediction_id": ["p"], "x": [1.0]}).write_parquet(watched / "b.parquet")
    with puller(tmp_path, "  fraud: {type: files, path: ./in/*.parquet, model: fraud}") as (made, store):
        made.once()
        made.once()

        runs = store.read("select ok, stored, target from collector_run order by target").rows()
    assert [(ok, stored, Path(path).name) for ok, stored, path in runs] == [
        (False, 0, "a.parquet"),
        (True, 1, "b.parquet"),
    ]


def test_a_file_that_is_too_large_is_told_with_what_to_do_and_the_next_one_is_read(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.ndjson", "b.parquet"):
        with (tmp_path / "in" / name).open("wb") as file:
            file.truncate(pull.MAX_FILE + 1)  # a hole: it takes no room
    (tmp_path / "in" / "c.ndjson").write_text(json.dumps({"prediction_id": "p", "ts": f"{datetime.now(UTC)}"}) + "\n")
    with puller(tmp_path, "  fraud: {type: files, path: ./in/*, model: fraud}") as (made, store):
        made.once()
        made.once()

        runs = store.read("select ok, stored, error from collector_run order by target").rows()
    assert [(ok, stored) for ok, stored, _ in runs] == [(False, 0), (False, 0), (True, 1)]
    assert "split it, or take it with observe import" in runs[0][2]


def test_files_of_one_turn_are_marked_together_and_a_stop_between_stores_none_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    for n in range(5):
        told = {"prediction_id": f"p{n}", "ts": f"{datetime.now(UTC)}"}
        (tmp_path / "in" / f"{n}.ndjson").write_text(json.dumps(told) + "\n")
    watched = "  fraud: {type: files, path: ./in/*, model: fraud}"
    with puller(tmp_path, watched) as (made, store), monkeypatch.context() as killed:
        marks: list[int] = []
        killed.setattr("observe.app.pulling._TOGETHER_S", 60.0)
        killed.setattr(
            made, "_keep", lambda _key, _seen, fresh: marks.append(len(fresh))
        )  # killed before it was marked
        made.once()
    with puller(tmp_path, watched) as (made, store):
        made.once()

        assert marks == [5]
        assert len(store.state(["files/fraud"])["files/fraud"]) == 5
        assert store.read("select count(*) as n from prediction").item() == 5


def test_pages_that_name_no_model_are_told_the_one_of_their_collector(
    tmp_path: Path, target: ThreadingHTTPServer
) -> None:
    url = f"http://127.0.0.1:{target.server_port}/tgi"
    with puller(tmp_path, f'  tgi: {{type: prometheus, targets: ["{url}"], model: chat}}') as (made, store):
        made.once()

        assert store.read("select model_id, queue_depth from serving_sample").rows() == [("chat", 3.0)]


def test_a_collector_that_was_plugged_in_reads_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = tmp_path / "lib" / "extra-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: extra\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[observe.collectors]\nextra_deploys = extra_deploys\n")
    (tmp_path / "lib" / "extra_deploys.py").write_text(
        "from collectors import events\n\n\ndef parse(payload, at, labels):\n"
        "    return events.parse(payload.replace(b'rolled out', b'deploy'), at, labels)\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "lib")
    (tmp_path / "day.ndjson").write_text('{"kind": "rolled out", "ts": "2026-11-20T09:00:00Z", "model_id": "m"}\n')
    with puller(tmp_path, "  ours: {type: extra_deploys, path: ./day.ndjson}") as (made, store):
        made.once()

        assert store.read("select kind, model_id, source from change_event").rows() == [("deploy", "m", "ours")]


def test_labels_come_from_a_watched_path_too(tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "day.ndjson").write_text('{"prediction_id": "p", "value": 1, "ts": "2026-11-20T09:00:00Z"}\n')
    with puller(tmp_path, "  truth: {type: labels, path: ./truth/*.ndjson, model: fraud}") as (made, store):
        made.once()

        assert store.read("select model_id, prediction_id, value_num from label").rows() == [("fraud", "p", 1.0)]


def test_hanging_targets_hold_up_no_healthy_one(tmp_path: Path, target: ThreadingHTTPServer) -> None:
    url = f"http://127.0.0.1:{target.server_port}"
    hanging = ", ".join(f'"{url}/hang?{i}"'.replace("?", "#") for i in range(8))
    sources = f'  bad: {{type: prometheus, targets: [{hanging}], every: 1s, timeout: 5s}}\n  good: {{type: prometheus, targets: ["{url}/page"], every: 0.5s}}'
    with puller(tmp_path, sources) as (made, store):
        made.start()
        until(
            lambda: store.read("select count(*) as n from collector_run where collector = 'good' and ok").item() >= 3,
            4.5,
        )

        assert (
            store.read("select count(*) as n from collector_run where collector = 'bad'").item() == 0
        )  # they still hang
        target.release.set()  # type: ignore[attr-defined]


def test_a_redirect_to_nowhere_is_recorded(tmp_path: Path, target: ThreadingHTTPServer) -> None:
    with puller(
        tmp_path, f'  gpus: {{type: prometheus, targets: ["http://127.0.0.1:{target.server_port}/lost"], every: 15s}}'
    ) as (made, store):
        made.once()

        assert "302" in store.read("select error from collector_run").item()


def test_a_secret_that_is_a_file_is_read_again_and_never_told(
    tmp_path: Path, target: ThreadingHTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    target.token = "tok-right"  # type: ignore[attr-defined]
    secret = tmp_path / "token"
    secret.write_text("tok-stale\n")
    url = f"http://127.0.0.1:{target.server_port}/locked"
    with puller(
        tmp_path, f'  gpus: {{type: prometheus, targets: ["{url}"], every: 15s, auth: {{bearer: "file:token"}}}}'
    ) as (made, store):
        made.once()
        secret.write_text("tok-right\n")
        made.once()
        secret.unlink()
        made.once()
        runs = store.read("select ok, error from collector_run order by ts").rows()

    assert [ok for ok, _ in runs] == [False, True, False]
    assert "401 Unauthorized" in runs[0][1]
    assert "cannot read the secret file:" in runs[2][1]
    assert "tok-" not in f"{runs} {caplog.text}"


def test_an_xid_that_appears_is_one_event_also_after_a_restart(tmp_path: Path, target: ThreadingHTTPServer) -> None:
    sources = f'  gpus: {{type: prometheus, targets: ["http://127.0.0.1:{target.server_port}/page"], every: 15s}}'
    with puller(tmp_path, sources) as (made, _):
        made.once()
    target.xid = 79  # type: ignore[attr-defined]
    for _ in range(2):
        with puller(tmp_path, sources) as (made, store):
            made.once()
            events = store.read("select kind, before, after from change_event").rows()

    assert events == [("xid", "0", "79")]


def test_a_machine_without_a_gpu_driver_is_told_in_words_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "day.ndjson").write_text('{"prediction_id": "p", "value": 1, "ts": "2026-11-20T09:00:00Z"}\n')
    sources = "  gpus: {type: nvml}\n  truth: {type: labels, path: ./truth/*.ndjson, model: fraud}"
    with puller(tmp_path, sources) as (made, store):
        made.once()
        runs = store.read("select collector, ok, error from collector_run order by collector").rows()

    assert [(name, ok) for name, ok, _ in runs] == [("gpus", False), ("truth", True)]
    assert "NVIDIA driver" in runs[0][2]


def test_few_targets_are_read_within_seconds_and_many_do_not_flood_a_start(tmp_path: Path) -> None:
    ends = {}
    for n in (30, 100):
        targets = ", ".join(f'"http://127.0.0.1:9/{i}"' for i in range(n))
        folder = tmp_path / str(n)
        folder.mkdir()
        with puller(folder, f"  gpus: {{type: prometheus, targets: [{targets}], every: 15s}}") as (made, _):
            now = WallClock().now()
            ends[n] = max(made._when(item, now) - now for item in made._plan)

    assert ends[30] <= timedelta(seconds=5)
    assert timedelta(seconds=10) < ends[100] < timedelta(seconds=100 / 8)


def test_targets_of_a_cadence_are_read_spread_over_it(tmp_path: Path) -> None:
    targets = ", ".join(f'"http://127.0.0.1:9/{i}"' for i in range(200))
    with puller(tmp_path, f"  gpus: {{type: prometheus, targets: [{targets}], every: 15s}}") as (made, _):
        now = WallClock().now()
        first = sorted(made._when(item, now) - now for item in made._plan)
        second = sorted(made._next(item, made._when(item, now)) - now for item in made._plan)

    assert first[-1] < timedelta(seconds=15)
    assert max(b - a for a, b in pairwise(first)) < timedelta(seconds=1.5)
    assert second[-1] > timedelta(seconds=14)
    assert max(b - a for a, b in pairwise(second[20:])) < timedelta(seconds=1.5)


def test_quick_cadences_and_files_are_read_at_once(tmp_path: Path) -> None:
    sources = '  gpus: {type: prometheus, targets: ["http://127.0.0.1:9/"], every: 2s}\n  fraud: {type: files, path: ./in/*.csv, model: fraud}'
    with puller(tmp_path, sources) as (made, _):
        now = WallClock().now()

        assert [made._when(item, now) - now for item in made._plan] == [timedelta(0)] * 2


def test_runs_that_cannot_be_written_wait_for_the_next_turn(
    tmp_path: Path, target: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{target.server_port}/page"
    with puller(tmp_path, f'  gpus: {{type: prometheus, targets: ["{url}"], every: 15s}}') as (made, store):
        made.once()
        made._record(CollectorRun(WallClock().now(), "gpus", url, True, 1, 1, {}, 0.0, None))
        with monkeypatch.context() as full:
            full.setattr(store, "change", Mutiny)
            made._write()
        made._write()

        assert store.read("select count(*) as n from collector_run").item() == 2


class Mutiny:
    def __enter__(self) -> None:
        raise StoreError("the disk is full")

    def __exit__(self, *_: object) -> None:
        pass


def test_a_plan_that_breaks_the_loop_ends_no_pull_for_good(
    tmp_path: Path, target: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("observe.app.pulling._RETRY_S", 0.1)
    site = f'  good: {{type: prometheus, targets: ["http://127.0.0.1:{target.server_port}/page"], every: 0.2s}}'
    with puller(tmp_path, site) as (made, store):
        (good,) = made._plan
        made.replan((replace(good, target="endless", every=timedelta.max), good))
        made.start()
        until(lambda: "puller" in {t.name for t in threading.enumerate()}, 1)
        time.sleep(0.3)
        made.replan((good,))

        until(lambda: store.read("select count(*) as n from collector_run where ok").item() >= 1, 5)
        assert store.read("select distinct target from collector_run where ok")["target"].to_list() == [good.target]
