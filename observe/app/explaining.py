"""Why did it happen? Incidents are explained when they open, and again while they are open: evidence grows.

An incident that opens is explained before its row is written, so that whoever is told hears its cause, and nobody is
told twice of one cause. After that it is looked at again at fixed ages, and a row is written when something changed.

Source: our own; docs/incidents.md.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from alerts import alike, explaining
from alerts.explaining import Case, Told
from alerts.incidents import RANK
from observe.app.casework import Casework, places_of
from observe.schema import Action, Alert, ChangeEvent, Decision, Explanation, Finding, Incident
from observe.schema.exchange import nouns

if TYPE_CHECKING:
    from observe.spec import Config
    from observe.spec.slos import Slo
    from observe.store import Store

_LOG = logging.getLogger("observe.explaining")
LOOKS: Final = tuple(timedelta(minutes=m) for m in (2, 5, 10, 20, 40, 90, 240))  # ages at which one is looked at again
EVERY: Final = timedelta(seconds=20)  # how often it is asked whether one is due
AT_ONCE: Final = 6  # explained before they are written; the others are soon after
AGAIN: Final = 2  # looked at again in one go, so that no page waits for long
PAST: Final = timedelta(days=90)  # in which similar ones are looked for
_MANY: Final = 50  # of these, at most
_SHOWN: Final = timedelta(days=1)  # of signals for a suggestion

OPEN: Final = "select * from incident where state = 'open' order by opened_at, incident_id"
EXPLAINED: Final = "select * from explanation where list_contains($ids, incident_id)"
EXPLAINED_NOW: Final = """
select incident_id from explanation where incident_id in (select incident_id from incident where state = 'open')"""
ALERTS: Final = "select * from alert where list_contains($ids, incident_id)"
OVER: Final = f"""
select * from incident where state = 'resolved' and resolved_at > $since and (model = $model or kind = $kind) and incident_id <> $id
order by opened_at desc limit {_MANY}"""
DONE: Final = "select * from action where list_contains($ids, incident_id)"
DEVICES: Final = "select * from finding where list_contains($ids, finding_id)"
SIGNALS: Final = """
select * from finding where state = 'alarm' and kind in ('gpu', 'queue', 'imbalance') and window_end > $since order by window_end"""
REMEDIES: Final = """
select * from change_event where ts > $from and ts <= $to and (model_id is null or model_id = $model) order by ts desc limit 500"""


@dataclass(frozen=True, slots=True)
class Explained:
    """Rows to write."""

    incidents: tuple[Incident, ...] = ()
    explanations: tuple[Explanation, ...] = ()


class Explaining:
    """Explains what is open; one thread at a time."""

    def __init__(self, config: Config, store: Store) -> None:
        self._config, self._store = config, store
        self._casework = Casework(config, store)
        self._looked: dict[str, datetime] = {}  # when each open incident was last explained
        self._asked: datetime | None = None

    def adopt(self, config: Config) -> None:
        """Go by another configuration from now on."""
        self._config, self._casework = config, Casework(config, self._store)

    def opening(self, decision: Decision, now: datetime) -> Explained:
        """The incidents of a decision, those that open with their causes; what cannot be explained stays as it was."""
        fresh = [i for i in decision.incidents if i.state == "open" and i.incident_id not in self._looked]
        known = self._known([i.incident_id for i in fresh])
        fresh = [i for i in fresh if i.incident_id not in known]
        if not fresh:
            return Explained(decision.incidents)
        open_now = {i.incident_id: i for i in nouns(Incident, self._store.read(OPEN))}
        open_now |= {i.incident_id: i for i in decision.incidents}
        made = self._each(fresh[:AT_ONCE], open_now, {a.alert_id: a for a in decision.alerts}, now)
        named = {i.incident_id: i for i in made.incidents}
        return Explained(tuple(named.get(i.incident_id, i) for i in decision.incidents), made.explanations)

    def again(self, now: datetime) -> Explained:
        """What is due to be looked at again, as rows that changed."""
        if self._asked is not None and now - self._asked < EVERY:
            return Explained()
        self._asked = now
        open_now = {i.incident_id: i for i in nouns(Incident, self._store.read(OPEN))}
        self._looked = {i: at for i, at in self._looked.items() if i in open_now}
        due = [i for i in open_now.values() if self._is_due(i, now)]
        if len(due) > AGAIN:
            self._asked = None  # the others in the next go
        return self._each(due[:AGAIN], open_now, {}, now) if due else Explained()

    def _is_due(self, incident: Incident, now: datetime) -> bool:
        last = self._looked.get(incident.incident_id)
        return last is None or any(last < incident.opened_at + age <= now for age in LOOKS)

    def _each(
        self, due: Sequence[Incident], open_now: Mapping[str, Incident], alerts: Mapping[str, Alert], now: datetime
    ) -> Explained:
        known = self._known(list(open_now))
        signals = nouns(Finding, self._store.read(SIGNALS, {"since": now - _SHOWN}))
        incidents, rows = [], []
        for incident in sorted(due, key=lambda i: (-RANK[i.severity], i.opened_at, i.incident_id)):
            self._looked[incident.incident_id] = now
            try:
                made = explaining.explain(self._case(incident, open_now, known, alerts, now), now)
            except Exception:  # noqa: BLE001 - what cannot be explained must still be told
                _LOG.exception("event=explain_failed incident=%s", incident.incident_id)
                continue
            if explaining.is_news(made, known.get(incident.incident_id)):
                rows.append(made)
            known[incident.incident_id] = made
            after = explaining.caused(incident, made, signals, self._config, now)
            incidents += [after] if after is not incident else []
        return Explained(tuple(incidents), tuple(rows))

    def _case(
        self, incident: Incident, open_now: Mapping[str, Incident], known: Mapping[str, Explanation],
        alerts: Mapping[str, Alert], now: datetime,
    ) -> Case:  # fmt: skip
        mine = self._alerts(incident, alerts)
        scene = self._casework.scene(incident, mine, now)
        counts, totals = self._casework.counts(self._slo(incident, mine), scene, now)
        scene = replace(scene, clusters=scene.clusters or places_of(counts))
        clues = self._casework.clues(scene, now)
        return Case(
            incident, scene, clues, counts, totals, self._past(incident, now), self._others(incident, open_now, known)
        )

    def _alerts(self, incident: Incident, fresh: Mapping[str, Alert]) -> list[Alert]:
        stored = nouns(Alert, self._store.read(ALERTS, {"ids": [incident.incident_id]}))
        return list(
            {
                a.alert_id: a for a in (*stored, *(a for a in fresh.values() if a.incident_id == incident.incident_id))
            }.values()
        )

    def _slo(self, incident: Incident, alerts: Sequence[Alert]) -> Slo | None:
        """The objective whose bad requests are compared: of the worst alert, the first of equals."""
        mine = [a for a in alerts if a.kind == "slo"]
        model = self._config.models.get(incident.model)
        if not mine or model is None or model.monitoring is None:
            return None
        worst = min(mine, key=lambda a: (-RANK[a.severity], a.starts_at, a.alert_id))
        return next((s for s in model.monitoring.slos if s.name == worst.subject), None)

    def _known(self, ids: Sequence[str]) -> dict[str, Explanation]:
        if not ids:
            return {}
        rows = nouns(Explanation, self._store.read(EXPLAINED, {"ids": sorted(ids)}))
        return {e.incident_id: e for e in rows}

    def _others(
        self, incident: Incident, open_now: Mapping[str, Incident], known: Mapping[str, Explanation]
    ) -> list[Told]:
        others = [i for i in open_now.values() if i.incident_id != incident.incident_id and i.state == "open"]
        hardware = self._devices([i.incident_id for i in others if i.kind == "gpu"])
        return [Told(i, known.get(i.incident_id), hardware.get(i.incident_id, frozenset())) for i in others]

    def _devices(self, ids: Sequence[str]) -> dict[str, frozenset[str]]:
        """The GPUs and nodes that incidents of hardware are about."""
        if not ids:
            return {}
        told = nouns(Alert, self._store.read(ALERTS, {"ids": sorted(ids)}))
        rows = nouns(Finding, self._store.read(DEVICES, {"ids": sorted({a.finding_id for a in told})}))
        names = {f.finding_id: {str(f.details[k]) for k in ("device", "node") if f.details.get(k)} for f in rows}
        made: dict[str, frozenset[str]] = {}
        for a in told:
            made[a.incident_id] = made.get(a.incident_id, frozenset()) | names.get(a.finding_id, set())
        return made

    def _past(self, incident: Incident, now: datetime) -> list[alike.Past]:
        asked = {"since": now - PAST, "model": incident.model, "kind": incident.kind, "id": incident.incident_id}
        over: list[Incident] = nouns(Incident, self._store.read(OVER, asked))
        ids = sorted(i.incident_id for i in over)
        if not ids:
            return []
        known, done = self._known(ids), nouns(Action, self._store.read(DONE, {"ids": ids}))
        past = []
        for i in over:
            e = known.get(i.incident_id)
            mine = [a for a in done if a.incident_id == i.incident_id]
            clear = e is not None and e.verdict == "cause"
            past.append(
                alike.Past(i, e.causes if e and clear else (), e.differs if e else (), mine, self._remedies(i, mine))
            )
        return past

    def _remedies(self, incident: Incident, done: Sequence[Action]) -> list[ChangeEvent]:
        if done or incident.resolved_at is None or incident.model not in self._config.models:
            return []
        span = {"from": incident.resolved_at - alike.HELPS, "to": incident.resolved_at, "model": incident.model}
        return nouns(ChangeEvent, self._store.read(REMEDIES, span))
