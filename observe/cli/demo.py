"""`observe demo`: the whole loop on an offline platform with two planted incidents.

Source: our own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

import httpx

from observe.app.importing import import_tables
from observe.clock import WallClock
from observe.demo import history, site
from observe.demo.world import Plan
from observe.errors import SourceError, UsageError
from observe.store import Store

_INTERRUPTED: Final = "Query interrupted"  # what DuckDB makes of a signal while a query runs
_PLANTED: Final = ("drift", "slo")
_COUNTED: Final = ("gpu_sample", "attempt", "prediction", "serving_sample", "summary", "finding", "change_event")


@dataclass(slots=True)
class Demo:
    """The running parts of one demo: a folder, the platform, the service."""

    folder: Path
    ports: site.Ports
    plan: Plan
    quiet: bool
    parts: list[subprocess.Popen[bytes]] = field(default_factory=list)
    token: str = ""

    def say(self, text: str) -> None:
        """Talk on stderr."""
        if not self.quiet:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    @property
    def api(self) -> str:
        """Where the API is."""
        return f"http://127.0.0.1:{self.ports.api}"

    def prepare(self) -> Path:
        """Write the configuration, import the past; returns the site file."""
        config = site.lay_out(self.folder, self.plan, self.ports)
        store = Store.open(self.folder / "data", WallClock())
        try:
            rows = import_tables(store, history.tables(self.plan), "demo", self.plan.now)
        finally:
            store.close()
        self.say(f"imported {sum(rows.values()):,} rows of history")
        return config

    def start(self, config: Path) -> None:
        """Start the service, wait until it is ready, then start the platform."""
        log = (self.folder / "service.log").open("wb")
        self._run(["observe", "up", "-c", str(config)], log)
        self._until_ready()
        self.token = (self.folder / "data" / "admin.token").read_text().strip()
        argv = [
            "--now",
            self.plan.now.isoformat(),
            "--pages",
            str(self.ports.pages),
            "--api",
            self.api,
            "--otlp",
            f"http://127.0.0.1:{self.ports.otlp}",
        ]
        self._run(["observe.demo.platform", *argv], log)

    def _run(self, argv: Sequence[str], log: Any) -> None:
        """Start a module of ours that ends when we do, however we end."""
        environment = {**os.environ, "OBSERVE_TOKEN": self.token}
        self.parts.append(
            subprocess.Popen(  # noqa: S603 - our own interpreter and modules
                [sys.executable, "-m", "observe.lifeline", *argv],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        )

    def _until_ready(self) -> None:
        self._until(f"{self.api}/readyz")

    def until_pages(self) -> None:
        """Wait until the dashboards answer, so that a link that is printed works."""
        self._until(f"http://127.0.0.1:{self.ports.ui}/login")

    def _until(self, url: str) -> None:
        for _ in range(600):
            if self.parts[0].poll() is not None:
                raise SourceError(f"the service ended at start:\n{(self.folder / 'service.log').read_text()[-2000:]}")
            try:
                if httpx.get(url, timeout=2, trust_env=False).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            sleep(0.1)
        raise SourceError(f"{url} did not answer within 60 s")

    def get(self, path: str) -> Any:
        """A JSON answer of the API."""
        answer = httpx.get(
            f"{self.api}{path}", headers={"Authorization": f"Bearer {self.token}"}, timeout=10, trust_env=False
        )
        answer.raise_for_status()
        return answer.json()

    def incidents(self, known: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """What was found so far; what is known where the service, on a busy machine, does not answer in time."""
        try:
            return list(self.get("/api/v1/incidents"))
        except httpx.TransportError:
            return list(known)

    def once_link(self) -> str:
        """A link that logs a browser in, once."""
        answer = httpx.post(
            f"{self.api}/api/v1/codes", headers={"Authorization": f"Bearer {self.token}"}, timeout=10, trust_env=False
        )
        answer.raise_for_status()
        return f"http://127.0.0.1:{self.ports.ui}/login?once={answer.json()['once']}"

    def stop(self) -> None:
        """End the platform, then the service; kill what stays after ten seconds."""
        for part in reversed(self.parts):
            if part.poll() is None:
                part.send_signal(signal.SIGTERM if part is self.parts[0] else signal.SIGKILL)
        for part in self.parts:
            try:
                part.wait(10)
            except subprocess.TimeoutExpired:
                part.kill()
                part.wait()


def run(*, once: bool, as_json: bool, quiet: bool, seconds: float) -> int:
    """Run the demo; with `once`, 0 when both planted incidents were found and 1 otherwise."""
    began = monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started us with it ignored
    ports = site.free_ports() if once else site.known_ports()
    with tempfile.TemporaryDirectory(prefix="observe-demo-") as folder:
        demo = Demo(Path(folder), ports, Plan(WallClock().now()), quiet or as_json)
        try:
            demo.start(demo.prepare())
            return _once(demo, began, seconds, as_json) if once else _stay(demo, began)
        except (KeyboardInterrupt, RuntimeError) as error:
            if isinstance(error, RuntimeError) and str(error) != _INTERRUPTED:
                raise
            demo.say("\nended")
            return 130 if once else 0
        finally:
            demo.stop()


def _once(demo: Demo, began: float, seconds: float, as_json: bool) -> int:
    incidents = _wait(demo, began + seconds)
    rows = _rows(demo)
    result = {"seconds": round(monotonic() - began, 1), "incidents": [_public(i) for i in incidents], "rows": rows}
    if as_json:
        sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")
    else:
        for incident in incidents:
            sys.stdout.write(f"{incident['severity']:7} {incident['model']}: {incident['summary']}\n")
    return 0 if _found(incidents) else 1


def _found(incidents: Sequence[Mapping[str, Any]]) -> bool:
    return set(_PLANTED) <= {i["kind"] for i in incidents}


def _wait(demo: Demo, until: float) -> list[dict[str, Any]]:
    incidents: list[dict[str, Any]] = []
    while monotonic() < until:
        incidents = demo.incidents(incidents)
        if _found(incidents):
            break
        if demo.parts[0].poll() is not None:
            raise SourceError(f"the service ended:\n{(demo.folder / 'service.log').read_text()[-2000:]}")
        sleep(0.5)
    return sorted(incidents, key=lambda i: str(i["opened_at"]))


def _public(incident: Mapping[str, Any]) -> dict[str, Any]:
    effect = {"value": incident["effect"], "unit": incident["unit"], "ci": [incident["ci_low"], incident["ci_high"]]}
    return {
        "id": incident["incident_id"], "kind": incident["kind"], "model": incident["model"], "severity": incident["severity"],
        "since": incident["since"], "summary": incident["summary"], "cause": incident["cause"], "effect": effect,
        "evidence_nats": incident["evidence_nats"],
    }  # fmt: skip


def _rows(demo: Demo) -> dict[str, int]:
    import io

    import polars as pl

    counts = " union all ".join(f"select '{t}' as t, count(*) as n from {t}" for t in _COUNTED)
    answer = httpx.post(
        f"{demo.api}/api/v1/sql",
        json={"sql": counts},
        headers={"Authorization": f"Bearer {demo.token}"},
        timeout=60,
        trust_env=False,
    )
    if answer.status_code != 200:
        raise UsageError(f"counting rows failed: {answer.text[:500]}")
    return dict(pl.read_ipc_stream(io.BytesIO(answer.content)).iter_rows())


def _stay(demo: Demo, began: float) -> int:
    demo.until_pages()
    demo.say(f"ready after {monotonic() - began:.1f} s")
    demo.say(f"  dashboards  {demo.once_link()}   (this link logs you in, once)")
    demo.say(f"  API         {demo.api}   token: {demo.folder / 'data' / 'admin.token'}")
    demo.say(f"  SQL         observe sql -d {demo.folder / 'data'} 'select * from incident'")
    demo.say("two incidents are planted; they show within a minute. Ctrl-C ends the demo.")
    shown: set[str] = set()
    while demo.parts[0].poll() is None:
        for incident in demo.incidents(()):
            if incident["incident_id"] not in shown:
                shown.add(incident["incident_id"])
                demo.say(
                    f"  {_clock(incident['opened_at'])} {incident['severity']:7} {incident['model']}: {incident['summary']}, since {_clock(incident['since'])}"
                )
        sleep(1.0)
    return 4


def _clock(at: str) -> str:
    return datetime.fromisoformat(at).strftime("%H:%M")
