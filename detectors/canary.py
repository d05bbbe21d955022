"""Is the new version worse than the old one beside it? Asked every minute, answered as soon as it is known.

Errors, slow requests (past the p50, p90 and p99 that the old version had before) and the tenths of the
predictions are counted on both sides. Each is one question with its own e-process (`sequential`); their
weighted mean is one, too: at 100 the canary is proven worse, with at most 1 % chance of a false answer
however long it runs. Where both answered the same requests, how often they disagree is one more question, against
the share that was declared. It is as good when every question about errors and latency has an e-value of 20
against "1.25 times as many". Until then the finding says how many requests are still needed.

Source: METHODS section 8.
Assumes: both sides get like traffic at the same time. Events that come in clumps count less, by the old side's own past.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import exp, inf, log
from typing import Any, Final

import polars as pl

from detectors import question as asking
from detectors import sequential
from detectors.averages import Average
from detectors.identity import finding_id
from detectors.question import AGREEMENT, Question
from observe.schema import Detected, Evidence, Finding, Json, Monitor, Window

VERSION: Final = 2
MISSED: Final = 0.05  # share of canaries 1.25 times worse that may be called as good
_EVERY: Final = 5  # minutes between findings of an unchanged state
_GONE: Final = 15  # minutes without both sides after which the comparison has ended
_COUNTS: Final = ("canary_x", "canary_n", "baseline_x", "baseline_n", "canary_sum", "baseline_sum")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known now: worse | good | waiting, the question that says so, and the e-value of "worse"."""

    decision: str
    question: str
    e_value: float
    needed: float  # further requests of both sides


def since(monitor: Monitor, state: Json, window: Window) -> datetime:
    """The window itself: the frame brings along what the old version did before a canary began in it."""
    return window.start


def detect(evidence: Evidence) -> Detected:
    """Judge every minute of every canary.

    Args:
        evidence: frame `canary_1m`, one row per `model`, `ts`, `canary` (the new version) and `question`
            (`error`, `latency:<column>:<quantile>`, `prediction:<tenth>`): `canary_x` of `canary_n` and `baseline_x` of
            `baseline_n`; `agreement`: `canary_x` of `canary_n` pairs differ; `mean:<column>`: `canary_sum` over `canary_n`
            values, and the baseline's. Minutes before a canary began come with it, once. Monitor params hold
            `rollback_at` and, where agreement is asked for, `disagree`, the share of pairs that may differ.

    Returns:
        A finding when a decision changes and every five minutes while both versions answer; state by monitor.
    """
    rows = evidence.frames["canary_1m"].with_columns(pl.col("ts").dt.epoch("s").floordiv(60).alias("minute"))
    parts = rows.partition_by("model", as_dict=True)
    findings: list[Finding] = []
    state: dict[str, Json] = {}
    for monitor in evidence.monitors:
        watch = Watch(monitor, evidence.state.get(monitor.monitor_id, {}))
        findings += watch.run(parts.get((monitor.model,), rows.clear()), evidence.window)
        state[monitor.monitor_id] = watch.dumped()
    return Detected(tuple(findings), state)


class Watch:
    """One model's canary, minute by minute."""

    def __init__(self, monitor: Monitor, state: Json) -> None:
        known = state if state.get("v") == VERSION else {}
        self._monitor = monitor
        self.canary: str | None = known.get("canary")
        self.began: int | None = known.get("began")
        self.until: int = known.get("until", 0)  # the minute after the last one taken in
        self.decision: str = known.get("decision", "waiting")
        self.decided: int | None = known.get("decided")
        self.proven: str | None = known.get("proven")  # the question that said "worse"
        self.spoke: int = known.get("spoke", 0)  # the last minute in which both answered
        self.questions = {name: Question.loaded(q) for name, q in known.get("questions", {}).items()}
        self.averages = {name: Average(*sums) for name, sums in known.get("averages", {}).items()}
        if "disagree" not in monitor.params and AGREEMENT in self.questions:  # it is asked no more
            del self.questions[AGREEMENT]
            if self.proven == AGREEMENT:
                self.decision, self.decided, self.proven = "waiting", None, None

    def dumped(self) -> Json:
        """As plain JSON."""
        return {
            "v": VERSION, "canary": self.canary, "began": self.began, "until": self.until, "decision": self.decision, "decided": self.decided,
            "proven": self.proven, "spoke": self.spoke,
            "questions": {name: q.dumped() for name, q in sorted(self.questions.items())},
            "averages": {name: a.dumped() for name, a in sorted(self.averages.items())},
        }  # fmt: skip

    def run(self, rows: pl.DataFrame, window: Window) -> list[Finding]:
        """Take in minutes in order; findings about those inside `window`."""
        told: list[Finding] = []
        first, end = (int(t.timestamp()) // 60 for t in (window.start, window.end))
        for minute, part in sorted(rows.filter(pl.col("minute") < end).partition_by("minute", as_dict=True).items()):
            at = int(minute[0])
            told += self._ended(at)
            if self._take(at, part.sort("question")) and at >= first:
                changed = self._decide(at)
                if changed or at % _EVERY == 0:
                    told.append(self._finding(at, changed))
        return told + self._ended(end)

    def _ended(self, now: int) -> list[Finding]:
        """That one side fell silent a while before minute `now`: what was raised ends, said once."""
        over = self.spoke + _GONE
        if not self.spoke or over >= now:
            return []
        self.spoke = 0
        note = f"{self.canary} and the old version no longer answer side by side: the comparison has ended"
        made = self._finding(over, True)
        return [replace(made, state="ok", onset=None, onset_low=None, onset_high=None, note=note)]

    def _take(self, minute: int, part: pl.DataFrame) -> bool:
        """Whether both sides answered in this minute."""
        canary = str(part["canary"].max())
        if canary != self.canary:
            self.canary, self.began, self.until = canary, None, 0
            self.decision, self.decided, self.proven, self.spoke = "waiting", None, None, 0
            self.questions, self.averages = {}, {}
        if minute < self.until:
            return False
        self.until, both = minute + 1, False
        for name, *counts in part.select("question", *_COUNTS).iter_rows():
            row = [float(c or 0) for c in counts]
            self._add(name, row)
            both = both or (row[1] > 0 and row[3] > 0)
        if both and self.began is None:
            self.began = minute
        self.spoke = minute if both else self.spoke
        return both

    def _add(self, name: str, row: list[float]) -> None:
        x, n, y, m, canary_sum, baseline_sum = row
        kind, _, column = name.partition(":")
        if kind == "mean":
            self.averages.setdefault(column, Average()).add(n, canary_sum, m, baseline_sum)
        elif kind == AGREEMENT:
            self.questions.setdefault(name, Question()).add_declared(x, n, float(self._monitor.params["disagree"]))
        else:
            self.questions.setdefault(name, Question()).add((x, n, y, m))

    def verdict(self) -> Verdict:
        """What the evidence so far says."""
        weights = asking.weighted(list(self.questions))
        nats = {name: asking.evidence(name, q) for name, q in self.questions.items()}
        top = max(nats.values(), default=0.0)
        total = top + log(sum(weights[n] * exp(v - top) for n, v in nats.items())) if nats else 0.0
        leader = max(nats, key=lambda n: nats[n] + log(weights[n]), default="error")
        if total >= self._monitor.threshold_nats:
            return Verdict("worse", leader, asking.e_value(total), 0.0)
        guards, wanted = asking.guards(self.questions), -log(MISSED)
        slowest = min(guards, key=lambda n: sequential.harmless(guards[n].ll), default=leader)
        if guards and sequential.harmless(guards[slowest].ll) >= wanted:
            return Verdict("good", slowest, asking.e_value(total), 0.0)
        needed = max((q.needed(wanted) for q in guards.values()), default=inf)
        return Verdict("waiting", slowest, asking.e_value(total), needed)

    def _decide(self, minute: int) -> bool:
        """Whether the decision changed; what is proven worse stays so for this version."""
        found = self.verdict()
        if self.decision == "worse" or found.decision in (self.decision, "waiting"):
            return False
        self.decision, self.decided = found.decision, minute
        self.proven = found.question if found.decision == "worse" else None
        return True

    def _finding(self, minute: int, changed: bool) -> Finding:
        monitor, verdict, end = self._monitor, self.verdict(), _at(minute + 1)
        verdict = replace(verdict, question=self.proven or verdict.question)
        shown = self.questions[verdict.question]
        ratio, low, high = sequential.interval(shown.ll)
        limit = float(monitor.params["rollback_at"])
        alarm = self.decision == "worse" and asking.times(verdict.question, ratio) >= limit
        began = _at(self.began) if self.began is not None else None
        n = int(shown.sums[1] + shown.sums[3])
        return Finding(
            finding_id=finding_id(monitor.monitor_id, end), monitor_id=monitor.monitor_id, detector="canary", model=monitor.model,
            kind="canary", subject=self.canary or monitor.feature, window_start=_at(minute), window_end=end,
            state="alarm" if alarm else "ok" if self.decision != "waiting" else "learning", severity=monitor.severity,
            evidence_nats=log(max(verdict.e_value, 1e-9)), threshold_nats=monitor.threshold_nats, effect=ratio, unit="ratio", ci_low=low,
            ci_high=None if high == inf else high, onset=began if alarm else None, onset_low=began if alarm else None,
            onset_high=_at(self.decided) if alarm and self.decided is not None else None, n=n,
            note=self._note(verdict, ratio, limit, shown), details=self._details(verdict, changed), made_at=end,
        )  # fmt: skip

    def _note(self, verdict: Verdict, ratio: float, limit: float, shown: Question) -> str:
        x, n, y, m = shown.sums.tolist()
        asked, about = asking.words(verdict.question), asking.family(verdict.question)
        shares = f"{_percent(x, n)} of its requests, {_percent(y, m)} of the old version's"
        if about == AGREEMENT:
            allowed = float(self._monitor.params["disagree"])
            shares = f"{_percent(x, n)} of {n:,.0f} pairs, {_percent(allowed, 1.0)} may be"
        if self.decision == "worse":
            little = (
                ""
                if asking.times(verdict.question, ratio) >= limit
                else f"; less than the {limit:g}x that asks for a rollback"
            )
            said = "differs" if about in ("prediction", AGREEMENT) else "is worse"
            return f"{self.canary} {said}: {asked} {ratio:.3g} times as often ({shares}){little}"
        if self.decision == "good":
            return f"{self.canary} is as good as the old version: less than {sequential.HARMLESS:g} times as many errors and slow requests"
        more = "traffic of both versions" if verdict.needed == inf else f"about {verdict.needed:,.0f} more requests"
        return f"{self.canary}: not known yet, needs {more} ({asked}: {shares})"

    def _details(self, verdict: Verdict, changed: bool) -> dict[str, Any]:
        asked: dict[str, Any] = {}
        for name, q in sorted(self.questions.items()):
            ratio, low, high = sequential.interval(q.ll)
            x, n, y, m = q.sums.tolist()
            asked[name] = {
                "words": asking.words(name), "canary": [x, n], "baseline": [y, m], "ratio": ratio, "ci": [low, _known(high)],
                "e_value": asking.e_value(asking.evidence(name, q)), "e_harmless": asking.e_value(sequential.harmless(q.ll)),
                "phi": q.clumps.phi(),
            }  # fmt: skip
        return {
            "decision": self.decision, "e_value": verdict.e_value, "question": verdict.question, "changed": changed,
            "needed": None if verdict.needed == inf else round(verdict.needed), "questions": asked,
            "disagree": self._monitor.params.get("disagree"),
            "averages": {name: told for name, a in sorted(self.averages.items()) if (told := _average(a))},
        }  # fmt: skip


def _average(average: Average) -> Json | None:
    """Averages of both sides, their difference and its interval; None before anything was seen."""
    found = average.estimate()
    if found is None:
        return None
    canary, baseline = average.averages()
    difference, low, high = found
    return {"canary": canary, "baseline": baseline, "difference": difference, "ci": [_known(low), _known(high)]}


def _known(bound: float) -> float | None:
    return None if abs(bound) == inf else bound


def _percent(x: float, n: float) -> str:
    return f"{100 * x / n:.3g} %" if n else "–"


def _at(minute: int) -> datetime:
    return datetime.fromtimestamp(60 * minute, UTC)
