"""Is the new version worse than the old one beside it? Asked every minute, answered as soon as it is known.

Errors, slow requests (past the p50, p90 and p99 that the old version had before) and the tenths of the
predictions are counted on both sides. Each is one question with its own e-process (`sequential`); their
weighted mean is one, too: at 100 the canary is proven worse, with at most 1 % chance of a false answer
however long it runs. It is as good when every question about errors and latency has an e-value of 20
against "1.25 times as many". Until then the finding says how many requests are still needed.

Source: METHODS section 8.
Assumes: both sides get like traffic at the same time. Events that come in clumps count less, by the old side's own past.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from math import exp, inf, log
from typing import Any, Final

import numpy as np
import polars as pl

from detectors import sequential
from detectors.identity import finding_id
from detectors.sequential import GRID, Clumps, Counts, Floats
from observe.schema import Detected, Evidence, Finding, Json, Monitor, Window

VERSION: Final = 1
FALSE: Final = 0.01  # share of unchanged canaries that may be called worse, ever
MISSED: Final = 0.05  # share of canaries 1.25 times worse that may be called as good
WEIGHTS: Final[Mapping[str, float]] = {"error": 0.4, "latency": 0.3, "prediction": 0.3}  # of the families of questions
_EVERY: Final = 5  # minutes between findings of an unchanged state
_GONE: Final = 15  # minutes without both sides after which the comparison has ended


@dataclass(slots=True)
class Question:
    """What is known of one question: evidence, clumps, and the counts of both sides."""

    ll: Floats = field(default_factory=lambda: np.zeros(GRID.size))
    clumps: Clumps = field(default_factory=Clumps)
    sums: Floats = field(default_factory=lambda: np.zeros(4))  # canary's events and all, the baseline's

    def add(self, row: Sequence[float]) -> None:
        """Take in one minute: events and all of the canary, then of the baseline."""
        x, n, y, m = row
        if n > 0 and m > 0:
            counts = Counts(*(np.array([v]) for v in (x, n, y, m)))
            self.ll = self.ll + sequential.gained(counts, np.array([self.clumps.phi()]))[0]
            self.sums += np.asarray(row)
        self.clumps.add(y, m)

    def dumped(self) -> Json:
        """As plain JSON."""
        c = self.clumps
        return {
            "ll": self.ll.tolist(),
            "clumps": [c.events, c.n, c.squares, c.minutes],
            "sums": self.sums.tolist(),
        }

    @classmethod
    def loaded(cls, state: Json) -> Question:
        """The inverse of `dumped`."""
        return cls(np.array(state["ll"]), Clumps(*state["clumps"]), np.array(state["sums"]))


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
            `baseline_n`; minutes before a canary began come with it, once. Monitor params hold `rollback_at`.

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

    def dumped(self) -> Json:
        """As plain JSON."""
        return {
            "v": VERSION, "canary": self.canary, "began": self.began, "until": self.until, "decision": self.decision, "decided": self.decided,
            "proven": self.proven, "spoke": self.spoke,
            "questions": {name: q.dumped() for name, q in sorted(self.questions.items())},
        }  # fmt: skip

    def run(self, rows: pl.DataFrame, window: Window) -> list[Finding]:
        """Take in minutes in order; findings about those inside `window`."""
        told: list[Finding] = []
        first, end = (int(t.timestamp()) // 60 for t in (window.start, window.end))
        for minute, part in sorted(rows.filter(pl.col("minute") < end).partition_by("minute", as_dict=True).items()):
            at = int(minute[0])
            both = self._take(at, part.sort("question"))
            if at >= first and both:
                changed = self._decide(at)
                if changed or at % _EVERY == 0:
                    told.append(self._finding(at, changed))
            elif at >= first and self.spoke and at - self.spoke == _GONE:
                told.append(self._over(at))
        return told

    def _take(self, minute: int, part: pl.DataFrame) -> bool:
        """Whether both sides answered in this minute."""
        canary = str(part["canary"].max())
        if canary != self.canary:
            self.canary, self.began, self.until = canary, None, 0
            self.decision, self.decided, self.questions, self.proven, self.spoke = "waiting", None, {}, None, 0
        if minute < self.until:
            return False
        self.until, both = minute + 1, False
        columns = ("canary_x", "canary_n", "baseline_x", "baseline_n")
        for name, *counts in part.select("question", *columns).iter_rows():
            row = [float(c or 0) for c in counts]
            self.questions.setdefault(name, Question()).add(row)
            both = both or (row[1] > 0 and row[3] > 0)
        if both and self.began is None:
            self.began = minute
        self.spoke = minute if both else self.spoke
        return both

    def verdict(self) -> Verdict:
        """What the evidence so far says."""
        weights = weighted(list(self.questions))
        nats = {name: evidence(name, q) for name, q in self.questions.items()}
        top = max(nats.values(), default=0.0)
        total = top + log(sum(weights[n] * exp(v - top) for n, v in nats.items())) if nats else 0.0
        leader = max(nats, key=lambda n: nats[n] + log(weights[n]), default="error")
        if total >= -log(FALSE):
            return Verdict("worse", leader, _e(total), 0.0)
        guards = {n: q for n, q in self.questions.items() if family(n) != "prediction" and q.sums[0] + q.sums[2] > 0}
        wanted = -log(MISSED)
        slowest = min(guards, key=lambda n: sequential.harmless(guards[n].ll), default=leader)
        if guards and sequential.harmless(guards[slowest].ll) >= wanted:
            return Verdict("good", slowest, _e(total), 0.0)
        return Verdict("waiting", slowest, _e(total), max((_needed(q, wanted) for q in guards.values()), default=inf))

    def _decide(self, minute: int) -> bool:
        found = self.verdict()
        if (
            found.decision in (self.decision, "waiting") or self.decision == "worse"
        ):  # what is proven stays so for this version
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
        alarm = self.decision == "worse" and _times(verdict.question, ratio) >= limit
        began = _at(self.began) if self.began is not None else None
        n = int(shown.sums[1] + shown.sums[3])
        return Finding(
            finding_id=finding_id(monitor.monitor_id, end), monitor_id=monitor.monitor_id, detector="canary", model=monitor.model,
            kind="canary", subject=self.canary or monitor.feature, window_start=_at(minute), window_end=end,
            state="alarm" if alarm else "ok" if self.decision != "waiting" else "learning", severity=monitor.severity,
            evidence_nats=log(max(verdict.e_value, 1e-9)), threshold_nats=-log(FALSE), effect=ratio, unit="ratio", ci_low=low,
            ci_high=None if high == inf else high, onset=began if alarm else None, onset_low=began if alarm else None,
            onset_high=_at(self.decided) if alarm and self.decided is not None else None, n=n,
            note=self._note(verdict, ratio, limit, shown), details=self._details(verdict, changed), made_at=end,
        )  # fmt: skip

    def _over(self, minute: int) -> Finding:
        """That one side has fallen silent: what was raised ends."""
        made = self._finding(minute, True)
        note = f"{self.canary} and the old version no longer answer side by side: the comparison has ended"
        return replace(made, state="ok", onset=None, onset_low=None, onset_high=None, note=note)

    def _note(self, verdict: Verdict, ratio: float, limit: float, shown: Question) -> str:
        x, n, y, m = shown.sums.tolist()
        shares = f"{_percent(x, n)} of its requests, {_percent(y, m)} of the old version's"
        if self.decision == "worse":
            little = (
                ""
                if _times(verdict.question, ratio) >= limit
                else f"; less than the {limit:g}x that asks for a rollback"
            )
            said = "differs" if family(verdict.question) == "prediction" else "is worse"
            return f"{self.canary} {said}: {words(verdict.question)} {ratio:.3g} times as often ({shares}){little}"
        if self.decision == "good":
            return f"{self.canary} is as good as the old version: less than {sequential.HARMLESS:g} times as many errors and slow requests"
        more = "traffic of both versions" if verdict.needed == inf else f"about {verdict.needed:,.0f} more requests"
        return f"{self.canary}: not known yet, needs {more} ({words(verdict.question)}: {shares})"

    def _details(self, verdict: Verdict, changed: bool) -> dict[str, Any]:
        asked: dict[str, Any] = {}
        for name, q in sorted(self.questions.items()):
            ratio, low, high = sequential.interval(q.ll)
            x, n, y, m = q.sums.tolist()
            asked[name] = {
                "canary": [x, n], "baseline": [y, m], "ratio": ratio, "ci": [low, None if high == inf else high],
                "e_value": _e(evidence(name, q)), "e_harmless": _e(sequential.harmless(q.ll)), "phi": q.clumps.phi(),
            }  # fmt: skip
        return {
            "decision": self.decision, "e_value": verdict.e_value, "question": verdict.question, "changed": changed,
            "needed": None if verdict.needed == inf else round(verdict.needed), "questions": asked,
        }  # fmt: skip


def family(question: str) -> str:
    """What a question is about: error, latency or prediction."""
    return question.partition(":")[0]


def weighted(questions: Sequence[str]) -> dict[str, float]:
    """Each question's part of the mean e-value; a family's part is shared by its questions, and parts sum to 1.

    >>> weighted(["error", "latency:ttft_s:p50", "latency:ttft_s:p99"])["error"].__round__(3)
    0.571
    """
    size = {f: sum(family(q) == f for q in questions) for f in {family(q) for q in questions}}
    parts = {q: WEIGHTS[family(q)] / size[family(q)] for q in questions}
    whole = sum(parts.values())
    return {q: part / whole for q, part in parts.items()}


def evidence(question: str, known: Question) -> float:
    """Nats against "the canary is like the baseline": worse, or for predictions different."""
    return sequential.differs(known.ll) if family(question) == "prediction" else sequential.worse(known.ll)


def words(question: str) -> str:
    """A question as people say it.

    >>> words("latency:ttft_s:p99"), words("prediction:10")
    ('ttft_s beyond the old p99', 'predictions in the highest tenth')
    """
    kind, _, rest = question.partition(":")
    if kind == "latency":
        column, _, quantile = rest.partition(":")
        return f"{column} beyond the old {quantile}"
    if kind == "prediction":
        return f"predictions in the {'highest' if rest == '10' else 'lowest' if rest == '1' else rest + 'th'} tenth"
    return "errors"


def _times(question: str, ratio: float) -> float:
    """By how much a question stands out: rarer predictions count as much as more frequent ones."""
    return max(ratio, 1.0 / ratio) if family(question) == "prediction" else ratio


def _needed(q: Question, wanted: float) -> float:
    x, n, y, m = q.sums.tolist()
    return sequential.needed(q.ll, (x + y) / max(n + m, 1.0), n / max(n + m, 1.0), wanted) * q.clumps.phi()


def _e(nats: float) -> float:
    return exp(min(nats, 700.0))


def _percent(x: float, n: float) -> str:
    return f"{100 * x / n:.3g} %" if n else "–"


def _at(minute: int) -> datetime:
    return datetime.fromtimestamp(60 * minute, UTC)
