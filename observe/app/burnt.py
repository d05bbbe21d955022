"""How fast the SLOs of a model burned their budget before something was done, and after: numbers, verdict and words.

The metric is the SLO that is asked about, else the one of the model that burned most before. Read from stored
summaries, judged by `detectors.outcome`, whoever it was that did it.

Source: our own; docs/actions.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from detectors import outcome
from detectors.outcome import DAY, DAYS, Effect, Events, Span
from observe.app import aftermath
from observe.schema import Json
from observe.summaries.promises import SLO

if TYPE_CHECKING:
    from observe.spec import Model, Slo
    from observe.store import Store

SETTLE: Final = timedelta(minutes=5)  # what is done needs so long until it can work: a cold start, a roll-out
LENGTH: Final = timedelta(hours=1)  # of the hours before and after
SHORTEST: Final = timedelta(minutes=10)
LATE: Final = timedelta(minutes=3)  # until the minutes of an hour are summarised
RIPE: Final = SETTLE + LENGTH + LATE  # how long after something was done it can be judged
_EVENTS: Final = """select epoch(ts)::BIGINT // 60 as minute, n, coalesce(events, 0) as bad from summary
where measure = $measure and ts >= $from and ts < $to and (epoch(ts)::BIGINT // 60 - $first) % 1440 < $length"""
_FIELDS: Final[Mapping[str, str]] = {
    "before": "before", "after": "after", "effect": "effect", "ci_low": "low", "ci_high": "high",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """An SLO as the metric of what was done."""

    slo: Slo
    model: str

    @property
    def measure(self) -> str:
        """What its summaries are called."""
        return f"{self.model}/{SLO}/{self.slo.name}"

    @property
    def metric(self) -> str:
        """What people call it."""
        return f"{self.slo.name} budget burn"

    @property
    def budget(self) -> float:
        """The share of bad events that is allowed."""
        return 1 - self.slo.objective


def asked_of(model: Model | None, name: str | None = None) -> tuple[Asked, ...]:
    """The SLO of that name, else every one of the model."""
    slos = model.monitoring.slos if model and model.monitoring else ()
    return tuple(Asked(slo, model.name) for slo in slos if model and name in (None, slo.name))


def hours(done: datetime, worked: datetime, onset: datetime | None) -> tuple[Span, Span]:
    """The minutes before something was done, from an onset on, an hour at most; and the hour after it could work."""
    start = max(done - LENGTH, min(onset or done - LENGTH, done - SHORTEST))
    first = _minute(worked + SETTLE) + 1
    return Span(_minute(start), _minute(done)), Span(first, first + int(LENGTH.total_seconds()) // 60)


def ends(spans: tuple[Span, Span]) -> tuple[datetime, datetime]:
    """From the first instant of both spans to the last."""
    return _at(spans[0].start), _at(spans[1].end)


def judged(store: Store, asked: Sequence[Asked], spans: tuple[Span, Span], notes: Sequence[str]) -> Json:
    """What became of the SLO that burned most before, as it is kept.

    Args:
        store: where summaries are.
        asked: SLOs that may tell.
        spans: the minutes before, and after.
        notes: what is said beside it.
    """
    found = [(a, outcome.effect(_events(store, a.measure, spans), *spans, a.budget)) for a in asked]
    known = [(a, e) for a, e in found if isfinite(e.before)]
    if not known:
        why = "no SLO of the model says" if not found else found[0][1].why
        return {"metric": found[0][0].metric if found else None, "verdict": "unknown", "text": f"{why}: unknown"}
    chosen, effect = max(known, key=lambda pair: pair[1].before / pair[0].budget)
    return _written(chosen, effect, spans, notes)


def _events(store: Store, measure: str, spans: tuple[Span, Span]) -> Events:
    """Events of both spans and of the same hours of earlier days."""
    first = spans[0].start - DAYS * DAY
    rows = store.read(_EVENTS, {
        "measure": measure, "from": _at(first), "to": _at(spans[1].end), "first": first,
        "length": spans[1].end - spans[0].start,
    })  # fmt: skip
    return Events(*(rows[c].cast(int).to_numpy() for c in ("minute", "n", "bad")))


def _written(asked: Asked, found: Effect, spans: tuple[Span, Span], notes: Sequence[str]) -> Json:
    """An effect as it is kept: in times of the budget, with the words people read."""
    scaled = {n: _finite(getattr(found, f) / asked.budget) for n, f in _FIELDS.items()}
    kept: dict[str, Any] = {
        "metric": asked.metric, **scaled, "unit": "x budget", "verdict": found.verdict, "days": found.days,
        "measure": asked.measure, "budget": asked.budget,
    }  # fmt: skip
    names = ("window_before", "window_after")
    windows = {n: [_at(s.start).isoformat(), _at(s.end).isoformat()] for n, s in zip(names, spans, strict=True)}
    return {**kept, **windows, "text": aftermath.words(kept, found.why, notes)}


def _minute(at: datetime) -> int:
    return int(at.timestamp()) // 60


def _at(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * 60, UTC)


def _finite(value: float) -> float | None:
    return round(value, 6) if isfinite(value) else None
