"""What an incident stands on, and the incidents near it that may be one with it: read from samples, tries and the files.

GPUs and nodes come from the pods of a model's servers and deployments, clusters and providers from its tries (only
where all of them went to one: standing on one of several explains nothing), dependencies from its ModelSpec.

Source: our own; docs/incidents.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from alerts import grouping, series, wording
from alerts.grouping import Ground, Seen, Thing
from observe.app import casework_sql as sql
from observe.app.casework import Casework
from observe.schema import Alert, Explanation, Incident, Window
from observe.schema.exchange import nouns

if TYPE_CHECKING:
    from alerts.weighing import Scene
    from observe.spec import Config
    from observe.store import Store

MOST: Final = 8  # other incidents that are looked at, the oldest first
_SPAN: Final = timedelta(hours=1)  # of tries that say where a model is served
ALERTS: Final = "select * from alert where list_contains($ids, incident_id)"

Known = tuple[Mapping[str, Incident], Mapping[str, Explanation], Mapping[str, Alert]]  # open now, explained, fresh


class Neighbours:
    """Reads the ground of incidents out of a store."""

    def __init__(self, config: Config, store: Store, casework: Casework) -> None:
        self._config, self._store, self._casework = config, store, casework
        self._stood: tuple[datetime | None, dict[str, Seen]] = (None, {})  # what was read of others at this moment

    def alerts(self, incident: Incident, fresh: Mapping[str, Alert]) -> list[Alert]:
        """The alerts of an incident, stored ones and those that are about to be."""
        stored = nouns(Alert, self._store.read(ALERTS, {"ids": [incident.incident_id]}))
        mine = [a for a in fresh.values() if a.incident_id == incident.incident_id]
        return list({a.alert_id: a for a in (*stored, *mine)}.values())

    def of(self, incident: Incident, scene: Scene, known: Known, now: datetime) -> list[Ground]:
        """The ground of the incidents that may be one with this, and of its parts."""
        open_now, explained, fresh = known
        near = [i for i in open_now.values() if i.incident_id != incident.incident_id and _is_near(i, scene)]
        made: list[Ground] = []
        for other in sorted(near, key=grouping.age)[:MOST]:
            seen, e = replace(self._stands(other, fresh, now), incident=other), explained.get(other.incident_id)
            if e is not None:
                seen = replace(seen, verdict=e.verdict, causes=e.causes, differs=e.differs)
            made.append(grouping.ground(seen))
        return made

    def _stands(self, other: Incident, fresh: Mapping[str, Alert], now: datetime) -> Seen:
        """An incident without its explanation; read once a moment, however many ask."""
        if self._stood[0] != now:
            self._stood = (now, {})
        held = self._stood[1]
        if other.incident_id not in held:
            theirs = self.alerts(other, fresh)
            place = self._casework.scene(other, theirs, now)
            on, blames = self.ground(other, place, now), self.blames(theirs)
            held[other.incident_id] = Seen(other, place.onset, on=on, blames=blames)
        return held[other.incident_id]

    def ground(self, incident: Incident, scene: Scene, now: datetime) -> frozenset[Thing]:
        """Everything an incident stands on."""
        hardware = {Thing("gpu", d) for d in scene.devices} | {Thing("node", n) for n in scene.nodes}
        if incident.model == wording.SITE:
            return frozenset(hardware)
        return frozenset({*hardware, *self._places(incident.model, scene, now), *self._dependencies(incident.model)})

    def _places(self, model: str, scene: Scene, now: datetime) -> Iterator[Thing]:
        """The one cluster and the one provider of a model, where it has no other."""
        window = Window(scene.low - _SPAN, min(now, scene.high + _SPAN))
        rows = self._store.read(sql.PLACES, {"model": model, "from": window.start, "to": window.end}, window)
        served = set(rows["cluster"].drop_nulls().to_list()) or set(scene.clusters)
        if len(served) == 1:
            yield Thing("cluster", served.pop())
        providers = rows["provider"].drop_nulls().unique().to_list()
        if len(providers) == 1 and not series.is_ours(providers[0]):
            yield Thing("provider", providers[0])

    def _dependencies(self, model: str) -> Iterator[Thing]:
        spec = wording.spec_of(model, self._config)
        for dependency in spec.dependencies if spec else ():
            yield Thing("model", dependency.id)

    def blames(self, alerts: Sequence[Alert]) -> tuple[str, ...]:
        """The dependencies that firing objectives of these alerts are about."""
        found: dict[str, None] = {}
        for a in sorted(alerts, key=lambda a: a.alert_id):
            model = self._config.models.get(a.model)
            slos = model.monitoring.slos if model and model.monitoring and a.kind == "slo" else ()
            found |= {str(s.dependency): None for s in slos if s.name == a.subject and s.dependency}
        return tuple(found)


def _is_near(other: Incident, scene: Scene) -> bool:
    return other.state == "open" and abs(other.since - scene.onset) <= 2 * grouping.NEAR
