"""A store with incidents, and a delivery over it whose clock a test moves."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from observe.access import Principal
from observe.app.delivering import Delivering
from observe.app.people import written
from observe.clock import EventClock
from observe.schema import Alert, Delivery, Incident
from observe.schema.exchange import nouns
from observe.spec import Config, load
from observe.store import Store
from observe.telemetry import Telemetry

T0 = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def alert(name: str = "1", **more) -> Alert:  # type: ignore[no-untyped-def]
    labels = {"alertname": "SloBurn", "model": "chat", "severity": "page", "slo_id": f"chat.ttft{name}"}
    made = Alert(
        alert_id=f"alr-{name}", key=f"chat/burn/ttft{name}", incident_id=f"inc-{name}", finding_id="fnd-1", model="chat", kind="slo",
        subject="ttft", severity="page", state="firing", starts_at=T0, ends_at=None, summary="burns", labels=labels, annotations={},
        changed_at=T0,
    )  # fmt: skip
    return replace(made, **more)


def incident(name: str = "1", **more) -> Incident:  # type: ignore[no-untyped-def]
    made = Incident(
        incident_id=f"inc-{name}", kind="slo", model="chat", severity="page", state="open", since=T0, opened_at=T0, resolved_at=None,
        summary="ttft burns its budget 18x too fast", effect=18.0, unit="x budget", ci_low=None, ci_high=None, evidence_nats=20.0,
        cause=None, alerts=(f"alr-{name}",), suggestion=None, changed_at=T0,
    )  # fmt: skip
    return replace(made, **more)


def resolved(name: str, at: datetime) -> tuple[Alert, Incident]:
    return (
        alert(name, state="resolved", ends_at=at, changed_at=at),
        incident(name, state="resolved", resolved_at=at, changed_at=at),
    )


class World:
    """The store, the clock and whoever delivers; `again` is what happens after kill -9."""

    def __init__(self, folder: Path, alerts: str) -> None:
        self.folder = folder
        self.config = site(folder, alerts)
        self.clock = EventClock(T0 - timedelta(seconds=1))
        self.store = Store.open(folder / "data", self.clock)
        self.telemetry = Telemetry()
        self.again()
        self.delivering.once()  # the receivers are known from now on
        self.clock.set(T0)

    def again(self) -> None:
        self.delivering = Delivering(self.config, self.store, self.clock, self.telemetry)
        self.delivering.recall()

    def write(self, *rows: object) -> None:
        with self.store.change() as tx:
            for row in rows:
                tx.insert([row])

    def command(self, verb: str, what: str, **parameters: object) -> None:
        said = {"verb": verb, "object": what, "reason": "because", "parameters": parameters}
        with self.store.change() as tx:
            written(tx, self.clock.now(), Principal("ada", "operator"), said)

    def until(self, seconds: float, step: float = 1.0) -> None:
        """Let the delivery look every `step` seconds up to an instant."""
        end = after(seconds)
        while self.clock.now() < end:
            self.clock.set(min(end, self.clock.now() + timedelta(seconds=step)))
            self.delivering.once()

    def states(self) -> list[tuple[str, str]]:
        rows = nouns(Delivery, self.store.read("select * from delivery order by tried_at, message_id"))
        return [(d.notice or "", d.state) for d in rows]

    def close(self) -> None:
        self.delivering.stop()
        self.store.close()


def site(folder: Path, alerts: str) -> Config:
    (folder / "models").mkdir(exist_ok=True)
    (folder / "models" / "chat.yaml").write_text(
        "apiVersion: observe/v1\nkind: Monitoring\nmetadata: {name: chat}\n"
        "slos: [{name: ttft, latency: ttft_s, below: 800ms, objective: 99%}]\n"
    )
    (folder / "secret").write_text("s3cret-of-the-hook\n")
    (folder / "observe.yaml").write_text(
        f"apiVersion: observe/v1\nkind: Site\nstore: {{path: ./data}}\nalerts:\n{alerts}"
    )
    return load(folder / "observe.yaml")
