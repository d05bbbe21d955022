"""Which rows an SLO is counted from, by its kind: requests, calls, minutes of cost, drift or GPUs, counters, other SLOs.

A model has one source for each kind of SLO it declares, `slo` for those over requests and `slo-<kind>` for the others;
each comes as far as its rows are known. The measure is the same whatever the kind: `<model>/slo/<name>`.

Source: our own; ARCHITECTURE section 5, "SLO semantics".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import floor
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from observe.schema import Json, Monitor
from observe.summaries import rows
from observe.summaries.rows import SLO_S, Source

if TYPE_CHECKING:
    from observe.spec.config import Model
    from observe.spec.slos import Slo

SLO: Final = "slo"  # the source of SLOs over requests; those of other kinds are called slo-<kind>
PULLED: Final = "promql/"  # of the state that says how far a Prometheus was asked about an SLO
TOTAL: Final = "observe_sli_events"  # in table metric_sample: events of a minute that a Prometheus counted
BAD: Final = "observe_sli_bad_events"  # and the bad ones of them
_DRIFT_S: Final = 600.0  # what drift says about a minute is known that much after its rows, s
_CLUSTERS: Final = "(cluster is null or list_contains($clusters, cluster))"
_RELATIONS: Final[Mapping[str, str]] = {
    "slo-gpus": "gpu_sample", "slo-prometheus": "metric_sample",
    "slo-drift": "(select window_start as ts, made_at as ingested_at, model as judged from finding where kind = 'drift')",
    "slo-composite": "(select ts, ingested_at, measure from summary where not late)",
}  # fmt: skip
_WHERES: Final[Mapping[str, str]] = {
    "slo-drift": "judged = $model", "slo-composite": "list_contains($measures, measure)",
    "slo-prometheus": f"metric in ('{TOTAL}', '{BAD}') and list_contains($series, labels)",
}  # fmt: skip
_OF_ATTEMPTS: Final = (SLO, "slo-cost", "slo-dependency")


@dataclass(frozen=True, slots=True)
class Promises(Source):
    """What the SLOs of one kind of a model are counted from."""

    called: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # names of the models it depends on, by id
    limit: datetime | None = None  # up to when what it is made of is known

    @property
    def window_s(self) -> int:
        """Length of its windows, s."""
        return SLO_S

    @property
    def slos(self) -> tuple[Slo, ...]:
        """The SLOs it is about."""
        monitoring = self.model.monitoring
        return tuple(s for s in monitoring.slos if s.source == self.name) if monitoring else ()

    @property
    def of_predictions(self) -> bool:
        """Never."""
        return False

    @property
    def relation(self) -> str:
        """Where its rows come from, as SQL."""
        return _RELATIONS.get(self.name, "attempt")

    @property
    def where(self) -> str:
        """Which of the rows, as SQL over `params`."""
        if self.name in _WHERES:
            return _WHERES[self.name]
        ours = "true" if self.name == "slo-gpus" else "list_contains($names, model_id)"
        return f"{ours} and {_CLUSTERS}" if self._clusters else ours

    @property
    def params(self) -> dict[str, Any]:
        """Values for `where`."""
        made: Mapping[str, Callable[[], dict[str, Any]]] = {
            "slo-drift": lambda: {"model": self.model.name},
            "slo-prometheus": lambda: {"series": [self.series(s) for s in self.slos]},
            "slo-composite": lambda: {"measures": sorted({self.measure(p) for s in self.slos for p in self.parts(s)})},
        }
        if self.name in made:
            return made[self.name]()
        chosen = {"clusters": list(self._clusters)} if self._clusters else {}
        if self.name == "slo-gpus":
            return chosen
        called = [name for s in self.slos if s.dependency for name in self.names_of(s)]
        return {"names": list(dict.fromkeys((*self.own, *called))), **chosen}

    @property
    def own(self) -> tuple[str, ...]:
        """The model's names."""
        return (self.model.name, *self.model.aliases)

    @property
    def _clusters(self) -> tuple[str, ...]:
        return self.model.monitoring.selector.clusters if self.model.monitoring else ()

    @property
    def bounds(self) -> tuple[str, ...]:
        """Keys of the states up to which its rows are known; none where rows come by themselves."""
        if self.name == "slo-prometheus":
            return tuple(f"{PULLED}{self.model.name}.{s.name}" for s in self.slos)
        if self.name == "slo-composite":
            return tuple(sorted({f"summaries/{self.model.name}/{p.source}" for s in self.slos for p in self.parts(s)}))
        return ()

    def bounded(self, marks: Mapping[str, Json]) -> Promises | None:
        """The same with how far what it is made of is known, by those states; None where that is not known at all."""
        if not self.bounds:
            return self
        known = [marks.get(key, {}) for key in self.bounds]
        until = [mark.get("until", mark.get("none")) for mark in known]
        return None if None in until else replace(self, limit=min(datetime.fromisoformat(at) for at in until))

    def closed(self, now: datetime) -> datetime:
        """The end of the newest window that has closed."""
        end = now - self.wait if self.limit is None else min(now - self.wait, self.limit)
        return datetime.fromtimestamp(floor(end.timestamp()) // SLO_S * SLO_S, now.tzinfo)

    def measure(self, slo: Slo) -> str:
        """The measure of an SLO."""
        return f"{self.model.name}/slo/{slo.name}"

    def series(self, slo: Slo) -> str:
        """The labels under which a Prometheus's counts of an SLO are kept in `metric_sample`."""
        return json.dumps({"slo_id": f"{self.model.name}.{slo.name}"})

    def parts(self, slo: Slo) -> tuple[Slo, ...]:
        """The SLOs a composite is made of."""
        monitoring, of = self.model.monitoring, slo.composite.of if slo.composite else {}
        return tuple(s for s in monitoring.slos if s.name in of) if monitoring else ()

    def names_of(self, slo: Slo) -> tuple[str, ...]:
        """All names of the model that an SLO's calls go to."""
        called = slo.dependency or ""
        return self.called.get(called, (called,))


def sources(
    model: Model,
    tables: Mapping[str, str],
    lateness_s: Mapping[str, float],
    models: Mapping[str, Model] = MappingProxyType({}),
) -> tuple[Source, ...]:
    """What is summarised of a model: see `rows.sources`, with one source for each kind of its SLOs.

    Args:
        model: with what is watched about it.
        tables: of predictions, see `rows.tables`.
        lateness_s: how long a window waits for late rows, s, by what comes late.
        models: every one that is known, for the names of those it depends on.
    """
    slos = model.monitoring.slos if model.monitoring else ()
    called = {s.dependency: _called(s.dependency, models) for s in slos if s.dependency}
    others = [s for s in rows.sources(model, tables, lateness_s) if s.name != SLO]
    kinds = sorted({s.source for s in slos})
    waits = {name: timedelta(seconds=_wait_s(name, model, lateness_s)) for name in kinds}
    return (*others, *(Promises(model, name, None, waits[name], called) for name in kinds))


def of_attempts(source: Source) -> bool:
    """Whether a source's rows are attempts, which stay until they are summarised."""
    return source.name == "attempts" or source.name in _OF_ATTEMPTS


def source_of(monitor: Monitor) -> str:
    """The source whose summaries a monitor reads: `<model>/<source>`."""
    told = monitor.params.get("source") if monitor.detector == "burn" else None
    return f"{monitor.model}/{told}" if told else monitor.measure.rpartition("/")[0]


def _wait_s(name: str, model: Model, lateness_s: Mapping[str, float]) -> float:
    """How long a window of a source stays open after its end, s."""
    if name == "slo-drift":
        drift = model.monitoring.drift if model.monitoring else None
        return lateness_s[drift.source if drift else "attempts"] + _DRIFT_S
    if name in {"slo-prometheus", "slo-composite"}:  # their rows are complete when they come
        return 0.0
    return lateness_s["gpu" if name == "slo-gpus" else "attempts"]


def _called(name: str, models: Mapping[str, Model]) -> tuple[str, ...]:
    """All names of a model that another one depends on."""
    found = next((m for m in models.values() if name in (m.name, *m.aliases)), None)
    return (name,) if found is None else tuple(dict.fromkeys((name, found.name, *found.aliases)))
