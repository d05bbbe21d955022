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

from alerts import alike, explaining, grouping
from alerts.explaining import Case
from alerts.incidents import RANK
from observe.app.casework import Casework, places_of
from observe.app.neighbours import Neighbours
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
OVER: Final = f"""
select * from incident where state = 'resolved' and resolved_at > $since and (model = $model or kind = $kind) and incident_id <> $id
order by opened_at desc limit {_MANY}"""
DONE: Final = "select * from action where list_contains($ids, incident_id)"
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
        self._neighbours = Neighbours(config, store, self._casework)
        self._looked: dict[str, datetime] = {}  # when each open incident was last explained
        self._asked: datetime | None = None

    def adopt(self, config: Config) -> None:
        """Go by another configuration from now on."""
        self._config, self._casework = config, Casework(config, self._store)
        self._neighbours = Neighbours(config, self._store, self._casework)

    def opening(self, decision: Decision, now: datetime) -> Explained:
        """The incidents of a decision, those that open with their causes; what cannot be explained stays as it was."""
        fresh = [i for i in decision.incidents if i.state == "open" and i.incident_id not in self._looked]
        known = self._known([i.incident_id for i in fresh])
        fresh = [i for i in fresh if i.incident_id not in known]
        if not fresh:
            return Explained(decision.incidents)
        open_now = {i.incident_id: i for i in nouns(Incident, self._store.read(OPEN))}
        open_now |= {i.incident_id: i for i in decision.incidents}
        first = sorted(fresh, key=lambda i: (-RANK[i.severity], *grouping.age(i)))[:AT_ONCE]
        made = self._each(first, open_now, {a.alert_id: a for a in decision.alerts}, now)
        rows = {i.incident_id: i for i in (*decision.incidents, *made.incidents)}
        return Explained(tuple(rows.values()), made.explanations)

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
        known, current = self._known(list(open_now)), dict(open_now)
        signals = nouns(Finding, self._store.read(SIGNALS, {"since": now - _SHOWN}))
        rows: list[Explanation] = []
        for incident in sorted(due, key=grouping.age):  # the older is told, so it is asked first
            self._looked[incident.incident_id] = now
            try:
                made = explaining.explain(self._case(incident, current, known, alerts, now), now)
            except Exception:  # noqa: BLE001 - what cannot be explained must still be told
                _LOG.exception("event=explain_failed incident=%s", incident.incident_id)
                continue
            if explaining.is_news(made, known.get(incident.incident_id)):
                rows.append(made)
            known[incident.incident_id] = made
            self._take(current, made, signals, now)
        return Explained(tuple(i for n, i in current.items() if i is not open_now[n]), tuple(rows))

    def _take(self, current: dict[str, Incident], made: Explanation, signals: Sequence[Finding], now: datetime) -> None:
        """Let an incident have its cause, and become part of the one it is told in."""
        before = current[made.incident_id]
        part = explaining.caused(before, made, signals, self._config, now)
        current[part.incident_id] = part
        head = current.get(made.inhibited_by or "")
        if head is None or part.part_of or made.about is None:
            return
        for one in (part, *(i for i in current.values() if i.part_of == part.incident_id)):
            head, after = grouping.joined(head, one, made.about, now)
            current |= {head.incident_id: head, after.incident_id: after}

    def _case(
        self, incident: Incident, open_now: Mapping[str, Incident], known: Mapping[str, Explanation],
        alerts: Mapping[str, Alert], now: datetime,
    ) -> Case:  # fmt: skip
        mine = self._neighbours.alerts(incident, alerts)
        scene = self._casework.scene(incident, mine, now)
        counts, totals = self._casework.counts(self._slo(incident, mine), scene, now)
        scene = replace(scene, clusters=scene.clusters or places_of(counts))
        clues = self._casework.clues(scene, now)
        others = self._neighbours.of(incident, scene, (open_now, known, alerts), now)
        on = self._neighbours.ground(incident, scene, now)
        return Case(
            incident, scene, clues, counts, totals, self._past(incident, now), others, on, self._neighbours.blames(mine)
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
