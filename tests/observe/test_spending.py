"""The spend log is read page by page, on from where it ended, and no call told twice is stored twice."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from observe.app.intake import Intake
from observe.app.pull_plan import pulls
from observe.app.pulling import Puller
from observe.clock import EventClock
from observe.spec import load
from observe.store import Store
from observe.telemetry import Telemetry


def call(name: str, ago: timedelta) -> dict[str, Any]:
    """One row of the log, which began that long ago and took a second."""
    start = datetime.now(UTC) - ago
    return {
        "request_id": name, "call_type": "acompletion", "model": "m", "spend": 0.1, "prompt_tokens": 1, "completion_tokens": 1, "status": "success",
        "startTime": start.isoformat(), "completionStartTime": None, "endTime": (start + timedelta(seconds=1)).isoformat(),
    }  # fmt: skip


class Proxy(ThreadingHTTPServer):
    """As much of LiteLLM as answers `/spend/logs` and `/spend/logs/v2` to the right key."""

    pages: int | None = None  # told instead of the true number

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.clock = EventClock(datetime.now(UTC))
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        allowed = self.headers.get("Authorization") == "Bearer sk-1234"
        body = json.dumps(self.answer() if allowed else {"error": "no"}).encode()
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer(self) -> Any:
        path, query = urlsplit(self.path).path, {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
        form = "%Y-%m-%d %H:%M:%S" if path.endswith("/v2") else "%Y-%m-%d"
        low, high = (datetime.strptime(query[k], form).replace(tzinfo=UTC) for k in ("start_date", "end_date"))
        found = [r for r in self.server.rows if low <= datetime.fromisoformat(r["startTime"]) <= high]
        found.sort(key=lambda r: r["startTime"], reverse=True)
        if not path.endswith("/v2"):
            return found if query.get("summarize") == "false" else [{"spend": 1}]
        page, size = int(query["page"]), int(query["page_size"])
        pages = self.server.pages or -(-len(found) // size)
        return {"data": found[(page - 1) * size : page * size], "page": page, "total_pages": pages, "total": len(found)}

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def gateway(tmp_path: Path, proxy: Proxy, request: pytest.FixtureRequest) -> Iterator[tuple[Puller, Store, Intake]]:
    (tmp_path / "key").write_text("sk-1234")
    target = f"http://127.0.0.1:{proxy.server_port}{getattr(request, 'param', '')}"
    (tmp_path / "observe.yaml").write_text(
        "apiVersion: observe/v1\nkind: Site\nstore: {path: ./data}\ncollectors:\n"
        f'  spend: {{type: spendlogs, targets: ["{target}"], auth: {{bearer: "file:{tmp_path}/key"}}}}\n'
    )
    config, clock = load(tmp_path / "observe.yaml"), proxy.clock
    store = Store.open(tmp_path / "data", clock)
    intake = Intake(store, clock, Telemetry(), config)
    puller = Puller(pulls(config.site.collectors), intake, store, clock)
    yield puller, store, intake
    puller.stop()
    store.close()


def ids(store: Store) -> list[str]:
    return store.read("select attempt_id from attempt order by 1")["attempt_id"].to_list()


def test_all_pages_are_read_once_and_the_next_reading_goes_on(
    proxy: Proxy, gateway: tuple[Puller, Store, Intake]
) -> None:
    puller, store, _ = gateway
    proxy.rows = [call(f"c{n:03}", timedelta(seconds=n + 5)) for n in range(250)]
    puller.once()
    proxy.rows.append(call("late", timedelta(minutes=5)))
    proxy.clock.set(proxy.clock.now() + timedelta(seconds=1))
    puller.once()

    assert ids(store) == [*(f"c{n:03}" for n in range(250)), "late"]
    assert len(proxy.asked) == 6
    runs = store.read("select ok, stored, rejected from collector_run order by ts")
    assert [(ok, stored, json.loads(said)) for ok, stored, said in runs.rows()] == [(True, 250, {}), (True, 1, {"duplicate": 250})]  # fmt: skip


def test_a_call_told_by_the_callback_too_is_one_attempt(proxy: Proxy, gateway: tuple[Puller, Store, Intake]) -> None:
    puller, store, intake = gateway
    proxy.rows = [call("both", timedelta(minutes=1)), call("log only", timedelta(minutes=2))]
    row = proxy.rows[0]
    told = {"id": "both", "status": "success", "startTime": row["startTime"], "endTime": row["endTime"], "model": "m"}
    intake.take("litellm", "litellm", json.dumps(told).encode(), {}, "").wait()
    puller.once()

    assert ids(store) == ["both", "log only"]
    assert store.read("select distinct source from attempt")["source"].to_list() == ["litellm"]


def test_after_a_long_pause_the_store_is_asked_what_it_has(proxy: Proxy, gateway: tuple[Puller, Store, Intake]) -> None:
    """Two hours after it came the store has forgotten a row's identity."""
    puller, store, intake = gateway
    now = proxy.clock.now()
    proxy.clock.set(now - timedelta(hours=3, minutes=50))
    proxy.rows = [call("old", timedelta(hours=4)), call("missed", timedelta(hours=3))]
    row = proxy.rows[0]
    told = {"id": "old", "status": "success", "startTime": row["startTime"], "endTime": row["endTime"], "model": "m"}
    intake.take("litellm", "litellm", json.dumps(told).encode(), {}, "").wait()
    with store.change() as tx:
        tx.set_state(f"spendlogs/spend/http://127.0.0.1:{proxy.server_port}", {"until": proxy.clock.now().isoformat()})
    proxy.clock.set(now)
    puller.once()

    assert ids(store) == ["missed", "old"]
    assert json.loads(store.read("select rejected from collector_run")["rejected"][0]) == {"duplicate": 1}


@pytest.mark.parametrize("gateway", ["/spend/logs"], indirect=True)
def test_an_older_gateway_is_asked_day_by_day(proxy: Proxy, gateway: tuple[Puller, Store, Intake]) -> None:
    puller, store, _ = gateway
    proxy.rows = [call("new", timedelta(minutes=1)), call("too long ago", timedelta(hours=5))]
    puller.once()

    assert ids(store) == ["new"]
    assert all(path.startswith("/spend/logs?start_date=") for path in proxy.asked)


def test_a_refusal_is_recorded_and_nothing_is_skipped(
    proxy: Proxy, gateway: tuple[Puller, Store, Intake], tmp_path: Path
) -> None:
    puller, store, _ = gateway
    proxy.rows = [call("waits", timedelta(minutes=1))]
    (tmp_path / "key").write_text("sk-old")
    puller.once()
    (tmp_path / "key").write_text("sk-1234")
    proxy.clock.set(proxy.clock.now() + timedelta(seconds=1))
    puller.once()

    runs = store.read("select ok, error from collector_run order by ts").rows()
    assert [ok for ok, _ in runs] == [False, True]
    assert "401" in runs[0][1]
    assert "sk-old" not in runs[0][1]
    assert ids(store) == ["waits"]


def test_files_of_the_gateways_bucket_logger_tell_the_same_calls(tmp_path: Path) -> None:
    day = tmp_path / "logs" / "2026-11-20"
    day.mkdir(parents=True)
    for row in (call("a", timedelta(hours=1)), call("b", timedelta(days=30))):
        told = {**row, "id": row["request_id"]}
        (day / f"{row['request_id']}.json").write_text(json.dumps(told))
    (tmp_path / "observe.yaml").write_text(
        "apiVersion: observe/v1\nkind: Site\nstore: {path: ./data}\ncollectors:\n"
        "  bucket: {type: litellm, path: ./logs/**/*.json}\n"
    )
    config, clock = load(tmp_path / "observe.yaml"), EventClock(datetime.now(UTC))
    store = Store.open(tmp_path / "data", clock)
    puller = Puller(pulls(config.site.collectors), Intake(store, clock, Telemetry(), config), store, clock)
    try:
        puller.once()

        assert store.read("select attempt_id, source from attempt order by 1").rows() == [
            ("a", "litellm"),
            ("b", "litellm"),
        ]
    finally:
        puller.stop()
        store.close()


def test_a_log_with_ever_more_pages_is_not_read_without_end(
    proxy: Proxy, gateway: tuple[Puller, Store, Intake], monkeypatch: pytest.MonkeyPatch
) -> None:
    puller, store, _ = gateway
    monkeypatch.setattr(Proxy, "pages", 999_999)
    proxy.rows = [call("new", timedelta(minutes=1))]
    puller.once()

    assert len(proxy.asked) < 20
    assert "999999 pages" in store.read("select error from collector_run")["error"][0]
    assert ids(store) == []
