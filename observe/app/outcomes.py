"""Did it help? For every action that was done, its target metric before and after, once the after is over.

The metric of an action is the SLO its rule waits for, else the SLO of its model that burned most; of a retraining
it is what the labels say of the model. Read from stored summaries and findings, judged by
`detectors.outcome`, written into the action's row, and never judged twice. What others did is judged beside it
(`observe.app.changed`).

Source: our own; docs/actions.md.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from alerts import ledger, permits
from alerts.ledger import History
from detectors import outcome
from observe.app import actions, aftermath, burnt
from observe.app.changed import Changed
from observe.schema import Action, Finding, Json
from observe.schema.exchange import nouns

if TYPE_CHECKING:
    from observe.spec import Config
    from observe.store import Store
    from observe.telemetry import Telemetry

_LOG = logging.getLogger("observe.outcomes")
EVERY: Final = timedelta(seconds=60)
LEARNT: Final = timedelta(days=1)  # after a training, until labels of new predictions are in
GIVEN_UP: Final = timedelta(days=14)  # without labels
_UNJUDGED: Final = """select * from core.action where action_id in (
  select action_id from action where outcome is null and mode <> 'dry_run' and state in ('acknowledged', 'succeeded', 'expired', 'failed')
    and changed_at > $since) order by changed_at"""
_PERFORMANCE: Final = """select * from finding where kind = 'performance' and model = $model and state in ('ok', 'alarm')
  and effect is not null and ci_low is not null and ci_high is not null order by window_end"""


class Outcomes:
    """Judges what is ripe, at most once a minute."""

    def __init__(self, store: Store, telemetry: Telemetry) -> None:
        self._store, self._telemetry = store, telemetry
        self._changed = Changed(store)
        self._next: datetime | None = None

    def judge(self, config: Config, now: datetime) -> None:
        """Write the outcome of every action, and of every change by others, whose hour after is over."""
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
        self._changed.judge(config, now)

    def _outcome(self, history: History, config: Config, now: datetime) -> Json | None:
        action = history.now
        worked = history.first("succeeded") or history.first("acknowledged")
        if worked is None or action.state == "failed":
            return None
        if action.kind == "retrain":
            return self._learnt(action, worked, now)
        if now < worked + burnt.RIPE:
            return None
        rule = permits.rule_of(action, config)
        asked = burnt.asked_of(config.models.get(action.model), rule.slo if rule else None)
        return self._burn(history, worked, asked)

    def _burn(self, history: History, worked: datetime, asked: Sequence[burnt.Asked]) -> Json:
        """What became of the budget, from the onset of the incident on."""
        action = history.now
        onset = aftermath.since(self._store, action.incident_id)
        spans = burnt.hours(history.first("sent") or worked, worked, onset)
        start, end = burnt.ends(spans)
        notes = aftermath.beside(self._store, aftermath.Own(action.model, action.kind, action.action_id), start, end)
        notes += aftermath.by_itself(self._store, action.incident_id, end)
        return burnt.judged(self._store, asked, spans, notes)

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


def _newest(findings: Sequence[Finding]) -> dict[str, Finding]:
    return {f.subject: f for f in findings}


def _compared(before: Finding, after: Finding) -> Json:
    """The loss of performance after a training against the one before it, each with its own interval."""
    was, left = float(before.effect or 0.0), float(after.effect or 0.0)
    bad = -1.0 if was < 0 else 1.0  # the direction in which it was worse
    halves = [(float(f.ci_high or 0.0) - float(f.ci_low or 0.0)) / 2 for f in (before, after)]
    half, change = (halves[0] ** 2 + halves[1] ** 2) ** 0.5, (left - was) * bad
    verdict = outcome.verdict(change - half, change + half, outcome.MATERIAL * abs(was))
    low, high = sorted(((change - half) * bad, (change + half) * bad))
    kept: dict[str, Any] = {
        "metric": f"loss of {before.subject.replace('_', ' ')}", "before": was, "after": left, "effect": change * bad,
        "ci_low": low, "ci_high": high, "unit": before.unit or "", "verdict": verdict, "days": None,
    }  # fmt: skip
    why = "the interval holds both help and harm" if verdict == "unknown" else ""
    return {**kept, "text": aftermath.words(kept, why, ())}
