"""Did it help? For every action that was done, its target metric before and after, once the after is over.

The metric of an action is the SLO its rule waits for, else the SLO of its model that burned most; of a retraining
it is what the labels say of the model. Read from stored summaries and findings, judged by
`detectors.outcome`, written into the action's row, and never judged twice.

Source: our own; docs/actions.md.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from alerts import ledger, permits
from alerts.ledger import History
from detectors import outcome
from detectors.outcome import DAY, DAYS, Effect, Events, Span
from observe.app import actions, aftermath
from observe.schema import Action, Finding, Json
from observe.schema.exchange import nouns
from observe.summaries.promises import SLO

if TYPE_CHECKING:
    from observe.spec import Config, Slo
    from observe.store import Store
    from observe.telemetry import Telemetry

_LOG = logging.getLogger("observe.outcomes")
EVERY: Final = timedelta(seconds=60)
SETTLE: Final = timedelta(minutes=5)  # what an action needs until it can work: a cold start, a roll-out
LENGTH: Final = timedelta(hours=1)  # of the hours before and after
SHORTEST: Final = timedelta(minutes=10)
LATE: Final = timedelta(minutes=3)  # until the minutes of an hour are summarised
LEARNT: Final = timedelta(days=1)  # after a training, until labels of new predictions are in
GIVEN_UP: Final = timedelta(days=14)  # without labels
_UNJUDGED: Final = """select * from core.action where action_id in (
  select action_id from action where outcome is null and mode <> 'dry_run' and state in ('acknowledged', 'succeeded', 'expired', 'failed')
    and changed_at > $since) order by changed_at"""
_EVENTS: Final = """select epoch(ts)::BIGINT // 60 as minute, n, coalesce(events, 0) as bad from summary
where measure = $measure and ts >= $from and ts < $to and (epoch(ts)::BIGINT // 60 - $first) % 1440 < $length"""
_PERFORMANCE: Final = """select * from finding where kind = 'performance' and model = $model and state in ('ok', 'alarm')
  and effect is not null and ci_low is not null and ci_high is not null order by window_end"""


class Outcomes:
    """Judges what is ripe, at most once a minute."""

    def __init__(self, store: Store, telemetry: Telemetry) -> None:
        self._store, self._telemetry = store, telemetry
        self._next: datetime | None = None

    def judge(self, config: Config, now: datetime) -> None:
        """Write the outcome of every action whose hour after is over."""
        if self._next is not None and now < self._next:
            return
        self._next = now + EVERY
        rows = nouns(Action, self._store.read(_UNJUDGED, {"since": now - GIVEN_UP - timedelta(days=1)}))
        for history in ledger.histories(rows).values():
            found = self._outcome(history, config, now)
            row = ledger.note(history.now, now, outcome={**found, "judged_at": now.isoformat()}) if found else None
            if row is not None and actions.add(self._store, history.now, row):
                said = (row.outcome or {}).get("verdict")
                _LOG.info("event=outcome action=%s model=%s verdict=%s", row.action_id, row.model, said)
                aftermath.tell(self._store, row, now)

    def _outcome(self, history: History, config: Config, now: datetime) -> Json | None:
        action = history.now
        worked = history.first("succeeded") or history.first("acknowledged")
        if worked is None or action.state == "failed":
            return None
        if action.kind == "retrain":
            return self._learnt(action, worked, now)
        if now < worked + SETTLE + LENGTH + LATE:
            return None
        slos = [_Asked(s, action.model) for s in _slos(action, config)]
        return self._burn(history, worked, slos)

    # --- budget burn ----------------------------------------------------------------------------

    def _burn(self, history: History, worked: datetime, asked: Sequence[_Asked]) -> Json:
        before, after = self._spans(history, worked)
        judged = [(a, outcome.effect(self._events(a.measure, before, after), before, after, a.budget)) for a in asked]
        known = [(a, e) for a, e in judged if isfinite(e.before)]
        if not known:
            why = "no SLO of the model says" if not judged else judged[0][1].why
            return {"metric": judged[0][0].metric if judged else None, "verdict": "unknown", "text": f"{why}: unknown"}
        chosen, found = max(known, key=lambda pair: pair[1].before / pair[0].budget)
        notes = [*aftermath.beside(self._store, history.now, _at(before.start), _at(after.end))]
        notes += aftermath.by_itself(self._store, history.now, _at(after.end))
        return _written(chosen, found, (before, after), notes)

    def _spans(self, history: History, worked: datetime) -> tuple[Span, Span]:
        """The minutes before it was sent, from the onset on, an hour at most; and the hour after it could work."""
        sent = history.first("sent") or worked
        onset = aftermath.since(self._store, history.now)
        start = max(sent - LENGTH, min(onset or sent - LENGTH, sent - SHORTEST))
        first = _minute(worked + SETTLE) + 1
        return Span(_minute(start), _minute(sent)), Span(first, first + int(LENGTH.total_seconds()) // 60)

    def _events(self, measure: str, before: Span, after: Span) -> Events:
        first = before.start - DAYS * DAY
        rows = self._store.read(_EVENTS, {
            "measure": measure, "from": _at(first), "to": _at(after.end), "first": first, "length": after.end - before.start,
        })  # fmt: skip
        return Events(*(rows[c].cast(int).to_numpy() for c in ("minute", "n", "bad")))

    # --- labels -----------------------------------------------------------------------------------

    def _learnt(self, action: Action, worked: datetime, now: datetime) -> Json | None:
        """What the labels said last before a training, and first a day after it."""
        found = nouns(Finding, self._store.read(_PERFORMANCE, {"model": action.model}))
        before = _newest([f for f in found if f.window_end <= worked])
        after = _newest([f for f in found if f.window_start >= worked + LEARNT])
        metric = next((m for m in before if m in after), None)
        if metric is None:
            too_late = now - worked > GIVEN_UP
            why = "labels from before and after the training are needed, and there are none"
            return {"metric": "performance", "verdict": "unknown", "text": f"{why}: unknown"} if too_late else None
        return _compared(before[metric], after[metric])


@dataclass(frozen=True, slots=True)
class _Asked:
    """An SLO as the metric of an action."""

    slo: Slo
    model: str

    @property
    def measure(self) -> str:
        return f"{self.model}/{SLO}/{self.slo.name}"

    @property
    def metric(self) -> str:
        return f"{self.slo.name} budget burn"

    @property
    def budget(self) -> float:
        return 1 - self.slo.objective


def _slos(action: Action, config: Config) -> Iterator[Slo]:
    """The SLO that the rule waits for, else every one of the model."""
    model, rule = config.models.get(action.model), permits.rule_of(action, config)
    for slo in model.monitoring.slos if model and model.monitoring else ():
        if rule is None or rule.slo is None or rule.slo == slo.name:
            yield slo


def _minute(at: datetime) -> int:
    return int(at.timestamp()) // 60


def _at(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * 60, UTC)


def _written(asked: _Asked, found: Effect, spans: tuple[Span, Span], notes: Sequence[str]) -> Json:
    """An effect as it is kept: in times of the budget, with the words people read."""
    scaled = {n: _finite(getattr(found, f) / asked.budget) for n, f in _FIELDS.items()}
    kept: dict[str, Any] = {
        "metric": asked.metric,
        **scaled,
        "unit": "x budget",
        "verdict": found.verdict,
        "days": found.days,
    }
    kept |= {"measure": asked.measure, "budget": asked.budget}
    hours = {
        n: [_at(s.start).isoformat(), _at(s.end).isoformat()]
        for n, s in zip(("window_before", "window_after"), spans, strict=True)
    }
    return {**kept, **hours, "text": aftermath.words(kept, found.why, notes)}


_FIELDS: Final[Mapping[str, str]] = {
    "before": "before", "after": "after", "effect": "effect", "ci_low": "low", "ci_high": "high",
}  # fmt: skip


def _finite(value: float) -> float | None:
    return round(value, 6) if isfinite(value) else None


def _newest(findings: Sequence[Finding]) -> dict[str, Finding]:
    return {f.subject: f for f in findings}


def _compared(before: Finding, after: Finding) -> Json:
    """The loss of performance after a training against the one before it, each with its own interval."""
    was, left = float(before.effect or 0.0), float(after.effect or 0.0)
    bad = -1.0 if was < 0 else 1.0  # the direction in which it was worse
    halves = [(float(f.ci_high or 0.0) - float(f.ci_low or 0.0)) / 2 for f in (before, after)]
    half, change = (halves[0] ** 2 + halves[1] ** 2) ** 0.5, (left - was) * bad
    verdict = (
        "helped"
        if change + half < 0
        else "worse"
        if change - half > 0
        else "no change"
        if abs(was) > half
        else "unknown"
    )
    low, high = sorted(((change - half) * bad, (change + half) * bad))
    kept: dict[str, Any] = {
        "metric": f"loss of {before.subject.replace('_', ' ')}", "before": was, "after": left, "effect": change * bad,
        "ci_low": low, "ci_high": high, "unit": before.unit or "", "verdict": verdict, "days": None,
    }  # fmt: skip
    return {
        **kept,
        "text": aftermath.words(kept, "the interval holds both help and harm" if verdict == "unknown" else "", ()),
    }
