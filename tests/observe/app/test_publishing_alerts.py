"""What `/metrics` says of alerts that fire: generated rules ask it where the service pages."""

from datetime import UTC, datetime
from pathlib import Path

from observe.app.publishing import published
from observe.clock import EventClock
from observe.schema import Alert
from observe.store import Store

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


def fires(name: str, **labels: str) -> Alert:
    return Alert(
        alert_id=name, key=name, incident_id="inc-1", finding_id="fnd-1", model="chat", kind="slo", subject="ok", severity="page",
        state="firing", starts_at=NOW, ends_at=None, summary="", labels=labels, annotations={}, changed_at=NOW,
    )  # fmt: skip


def test_alerts_that_fire_are_told_with_the_one_cluster_they_name(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "data", EventClock(NOW))
    try:
        with store.change() as change:
            change.insert([fires("alr-1", cluster="eu"), fires("alr-2", cluster="eu"), fires("alr-3")])
        lines = [line for line in published(store).decode().splitlines() if line.startswith("observe_alerts_firing")]
    finally:
        store.close()

    assert sorted(lines) == [
        'observe_alerts_firing{alert_cluster="eu",kind="slo",model="chat",severity="page"} 2.0',
        'observe_alerts_firing{alert_cluster="none",kind="slo",model="chat",severity="page"} 1.0',
    ]
