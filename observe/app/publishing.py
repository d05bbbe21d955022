"""SLOs, findings, alerts and the false-alarm budget as Prometheus metrics.

Names follow the SRE practice of one series per object with state as a label-free number, so that
rules can be written on them.

Source: Prometheus exposition format 0.0.4; our own names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily

from observe.schema.damage import STILL_TOLD

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from observe.store import Store

_SLO = {
    "objective": "Share of good requests promised", "sli": "Share of good requests in the SLO window",
    "budget_left": "Share of the error budget left", "burn_1h": "Burn rate over one hour", "burn_6h": "Burn rate over six hours",
    "burn_3d": "Burn rate over three days",
}  # fmt: skip


class _Views:
    """A collector over the store's views, read at each scrape."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        slos = self._rows("select * from slo_status")
        labels = ["slo_id", "model", "slo"]
        for column, said in _SLO.items():
            yield _family(f"observe_slo_{column}_ratio", said, labels, slos, column)
        damages = self._rows(
            "select k.kind, count(d.kind) as n from (values ('log'), ('commits'), ('file')) as k(kind) "
            f"left join core.damage as d on d.kind = k.kind and {STILL_TOLD} group by k.kind"
        )
        yield _family(
            "observe_store_damages",
            "Damage of the data that was found in the last seven days; see observe verify",
            ["kind"],
            damages,
            "n",
        )
        alerts = self._rows(
            "select model, kind, severity, count(*) as n from alert where state = 'firing' group by all"
        )
        yield _family("observe_alerts_firing", "Alerts firing now", ["model", "kind", "severity"], alerts, "n")
        levels = self._rows("""
            select model, subject, kind, arg_max(evidence_nats, window_end) as nats, arg_max(threshold_nats, window_end) as asked
            from finding where kind in ('drift', 'slo') group by all""")
        names = ["model", "subject", "kind"]
        yield _family("observe_evidence_nats", "Evidence for a change, nats", names, levels, "nats")
        yield _family("observe_evidence_threshold_nats", "Evidence an alarm needs, nats", names, levels, "asked")
        budget = self._rows("select severity, declared, notified from alarm_budget")
        yield _family(
            "observe_alarm_budget_declared", "False alarms allowed in the period", ["severity"], budget, "declared"
        )
        yield _family(
            "observe_alarm_budget_notified", "Incidents notified in the last period", ["severity"], budget, "notified"
        )

    def _rows(self, sql: str) -> list[Mapping[str, Any]]:
        return list(self._store.read(sql).iter_rows(named=True))


def _family(
    name: str, said: str, labels: list[str], rows: Iterable[Mapping[str, Any]], column: str
) -> GaugeMetricFamily:
    """One gauge; a value that is not known has no sample."""
    family = GaugeMetricFamily(name, said, labels=labels)
    for row in rows:
        if row[column] is not None:
            family.add_metric([str(row[label]) for label in labels], float(row[column]))
    return family


def published(store: Store) -> bytes:
    """All of it in the text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Views(store))
    return generate_latest(registry)
