"""SLOs, findings, alerts and the false-alarm budget as Prometheus metrics.

Names follow the SRE practice of one series per object with state as a label-free number, so that
rules can be written on them. What a scrape costs hangs on the findings of the last seven days, not on all of them.

Source: Prometheus exposition format 0.0.4; our own names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily

from observe.schema.damage import STILL_TOLD
from observe.spec.burn import usable
from observe.store.views import derived

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from observe.store import Store

_SLO = {
    "objective": "Share of good events promised", "sli": "Share of good events in the SLO window",
    "budget_left": "Share of the error budget left", "burn_1h": "Burn rate over one hour", "burn_6h": "Burn rate over six hours",
    "burn_3d": "Burn rate over three days",
}  # fmt: skip


_BURN = {
    "burn": "Burn rate since the onset of an alarm, else over the last hour", "burn_low": "Its lower 95 % bound",
    "burn_high": "Its upper 95 % bound",
}  # fmt: skip
_TOLD: Final = timedelta(days=7)  # a monitor that made no finding for so long is not asked any more, and not told
# findings come in the order of `made_at`: older ones lie in row groups that are not looked into
_RECENT: Final = "with finding as not materialized (select * from core.finding where made_at > $since)"
_STATUS: Final = f"{_RECENT} select * from ({{}})"
# the key of a burn monitor's state is <model>/burn/<slo>; its lanes say which tier fires
_JUDGED: Final = f"""
    {_RECENT}, newest as (
      select model, subject, effect as burn, ci_low as burn_low, ci_high as burn_high, details ->> '$.pages' as pages
      from finding where kind = 'slo'
      qualify row_number() over (partition by model, subject order by window_end desc) = 1
    )
    select newest.model || '.' || newest.subject as slo_id, epoch_us(s.updated_at) / 1e6 as evaluated,
      s.value ->> '$.lanes.page.firing.tier' as page, s.value ->> '$.lanes.ticket.firing.tier' as ticket,
      burn, burn_low, burn_high, pages is distinct from 'false' as pages
    from newest join core.state as s on s.key = newest.model || '/burn/' || newest.subject"""
_EVIDENCE: Final = f"""
    {_RECENT}
    select model, subject, kind, arg_max(evidence_nats, window_end) as nats, arg_max(threshold_nats, window_end) as asked
    from finding where kind in ('drift', 'slo') group by all"""


class _Views:
    """A collector over the store's views, read at each scrape."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        slos = self._recent(_STATUS.format(derived()["slo_status"]))
        labels = ["slo_id", "model", "slo"]
        for column, said in _SLO.items():
            yield _family(f"observe_slo_{column}_ratio", said, labels, slos, column)
        yield from self._judgements(slos)
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
            "select model, kind, severity, coalesce(labels ->> '$.cluster', 'none') as alert_cluster, count(*) as n"
            " from alert where state = 'firing' group by all"
        )
        fires = ["model", "kind", "severity", "alert_cluster"]
        yield _family("observe_alerts_firing", "Alerts firing now", fires, alerts, "n")
        levels = self._recent(_EVIDENCE)
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

        letters = self._rows(
            "select channel, count(*) filter (state <> 'waiting') as dead, count(*) filter (state = 'waiting') as waiting"
            " from undelivered group by channel"
        )
        told = "Messages of the last seven days that were refused, or given up after a day"
        yield _family("observe_dead_letters", told, ["channel"], letters, "dead")
        yield _family(
            "observe_deliveries_waiting", "Messages that nobody has taken yet", ["channel"], letters, "waiting"
        )
        muted = self._rows("select count(*) as n from mute where until > now()")
        yield _family("observe_muted", "Objects that people have muted", [], muted, "n")

    def _judgements(self, slos: Iterable[Mapping[str, Any]]) -> Iterator[Metric]:
        """What generated rules go by: when each SLO was judged, which tier fires, and how fast its budget burns."""
        judged = {row["slo_id"]: row for row in self._recent(_JUDGED)}
        known = [{**slo, **judged[slo["slo_id"]]} for slo in slos if slo["slo_id"] in judged]
        said = "When the SLO was last judged, seconds since the epoch"
        yield _family("observe_slo_evaluated_timestamp_seconds", said, ["slo_id"], known, "evaluated")
        firing = [
            {
                "slo_id": slo["slo_id"],
                "severity": t.severity if slo["pages"] else "ticket",
                "burn_tier": t.name,
                "fires": slo[t.severity] == t.name,
            }
            for slo in known
            for t in usable(slo["objective"], slo["window_s"])
        ]
        names = ["slo_id", "severity", "burn_tier"]
        yield _family("observe_slo_firing", "Whether a burn tier fires", names, firing, "fires")
        for name, said in _BURN.items():
            yield _family(f"observe_slo_{name}_ratio", said, ["slo_id"], known, name)

    def _rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[Mapping[str, Any]]:
        return list(self._store.read(sql, params).iter_rows(named=True))

    def _recent(self, sql: str) -> list[Mapping[str, Any]]:
        """Rows of `sql` over the findings that still matter."""
        now = self._store.watermark()
        return self._rows(sql, {"since": now - _TOLD}) if now is not None else []


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
