"""A scrape target dies and comes back: the alert, the Health page and the doctor say so, each at its time."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dashboards import health
from dashboards.reader import used
from observe.app import doctor
from observe.app.declaring import declared
from observe.app.intake import Intake
from observe.app.pull_plan import pulls
from observe.app.pulling import Puller
from observe.app.stages import QUICK, Stages
from observe.app.vitals import Vitals
from observe.clock import EventClock
from observe.registry import plugin
from observe.schema import Detected, Evidence
from observe.spec import load
from observe.store import Store
from observe.telemetry import Telemetry

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
PAGE = b'DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-1",modelName="H100",Hostname="n1"} 50\n'
SITE = """\
apiVersion: observe/v1
kind: Site
store: {{path: ./data, size: 1GB}}
collectors:
  gpus: {{type: prometheus, targets: ["http://127.0.0.1:{port}/metrics"], every: 15s}}
  argo: {{type: events}}
"""


class Exporter(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *args: object) -> None:
        pass


def exporter(port: int = 0) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", port), Exporter)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def gone(server: ThreadingHTTPServer) -> None:
    server.shutdown()
    server.server_close()


class Here:
    def detect(self, name: str, evidence: Evidence) -> Detected:
        return plugin("observe.detectors", name).detect(evidence)  # type: ignore[no-any-return]


class Site:
    """The core's parts over a clock that only `minutes` moves."""

    def __init__(self, folder: Path, port: int) -> None:
        (folder / "observe.yaml").write_text(SITE.format(port=port))
        config, self.clock, telemetry = load(folder / "observe.yaml"), EventClock(START), Telemetry()
        self.store = Store.open(folder / "data", self.clock)
        for key, value in declared(config).items():
            self.store.set_setting(key, value)
        intake = Intake(self.store, self.clock, telemetry, config)
        self.puller = Puller(pulls(config.site.collectors), intake, self.store, self.clock)
        self.stages = Stages(config, self.store, self.clock, telemetry)
        self.vitals = Vitals(config, self.store, self.clock, telemetry)

    def close(self) -> None:
        self.puller.stop()
        self.store.close()

    def minutes(self, n: int) -> None:
        for _ in range(n):
            self.clock.set(self.clock.now() + timedelta(minutes=1))
            self.puller.once()
            self.stages.tick(QUICK, Here(), self.clock.now())
            self.vitals.take()

    def read(self, sql: str, params: Any = None) -> pl.DataFrame:
        return self.store.read(sql, used(sql, params))

    def page(self) -> str:
        from plotly.utils import PlotlyJSONEncoder

        shown = health.page(self.read, {"now": self.clock.now().isoformat(), "theme": "dark"})
        return json.dumps(shown, cls=PlotlyJSONEncoder, ensure_ascii=False)

    def alerts(self) -> list[tuple[Any, ...]]:
        return self.store.read("select state, labels ->> '$.alertname' as name from alert").rows()

    def told(self) -> dict[str, str]:
        return {s.subject: s.state for s in doctor.of_data(self.read, self.clock.now(), running=True)}


@pytest.fixture
def target() -> Iterator[ThreadingHTTPServer]:
    server = exporter()
    yield server
    gone(server)


@pytest.mark.slow
def test_a_target_that_dies_and_comes_back_is_told_on_every_way(tmp_path: Path, target: ThreadingHTTPServer) -> None:
    name = f"gpus http://127.0.0.1:{target.server_port}/metrics"
    site = Site(tmp_path, target.server_port)
    site.minutes(3)
    assert (site.alerts(), site.told()[name], site.told()["argo"]) == ([], "ok", "unknown")
    assert "You can trust this screen" in site.page()

    gone(target)
    site.minutes(4)
    assert site.alerts() == [("firing", "SourceSilent")]
    assert "1 of 2 sources does not speak: gpus." in site.page()
    assert (site.told()[name], "failing" in site.page()) == ("wrong", True)

    again = exporter(target.server_port)
    site.minutes(4)
    alerts, page = site.alerts(), site.page()
    site.close()
    gone(again)

    assert alerts == [("resolved", "SourceSilent")]
    assert "You can trust this screen" in page
