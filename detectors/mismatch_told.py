"""What is said about a feature and its training file: one line, one effect with its interval, every question beside it.

Source: our own; METHODS section 9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from detectors import effects, mismatch, scores
from detectors.identity import finding_id
from detectors.mismatch import MISSING, UNSEEN, Days, Gap
from detectors.series import instant
from observe.schema import Binning, Finding, Monitor, Severity

KIND: Final = "skew"
_LISTED: Final = 5  # columns named in one line


@dataclass(frozen=True, slots=True)
class Medians:
    """The median in the file and of what is served, in the unit of the feature."""

    before: float
    now: float

    @classmethod
    def of(cls, quantiles: Sequence[float] | None, binning: Binning, days: Days) -> Medians | None:
        """Of a number; the served one is read off its groups."""
        rows = days.counts.sum(axis=0) if days.counts.size else np.zeros(0)
        if quantiles is None or binning.edges is None or binning.quantiles is None or rows.sum() <= 0:
            return None
        of = mismatch.groups(len(binning.reference))
        starts = np.flatnonzero(np.diff(of)) + 1
        ends = [binning.quantiles[0], *(binning.edges[i - 1] for i in starts), binning.quantiles[-1]]
        share = np.concatenate([[0.0], np.cumsum(rows) / rows.sum()])
        return cls(float(quantiles[50]), float(np.interp(0.5, share, ends)))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one day comes to."""

    state: str  # ok | alarm | learning | too_few | unknown | inform_only
    note: str = ""
    gaps: tuple[Gap, ...] = ()  # what speaks, the largest first
    nats: float | None = None
    medians: Medians | None = None
    onset: int | None = None  # epoch s, of an alarm
    more: Mapping[str, Any] | None = None


def finding(m: Monitor, verdict: Verdict, end: int, days: Days, row: Mapping[str, Any] | None) -> Finding:
    """The finding about the day that ends at `end`."""
    gap = verdict.gaps[0] if verdict.gaps else None
    at, start = instant(end), instant(end - m.window_s)
    severity: Severity = "inform" if verdict.state == "inform_only" else m.severity
    effect, low, high = (None, None, None) if gap is None else (_few(v) for v in (gap.effect, gap.low, gap.high))
    onset = None if verdict.onset is None else instant(verdict.onset)
    return Finding(
        finding_id(m.monitor_id, at), m.monitor_id, m.detector, m.model, KIND, m.feature, start, at, verdict.state,
        severity, None if verdict.nats is None else _few(verdict.nats), m.threshold_nats, effect,
        None if gap is None else gap.unit, low, high, onset, None, None, int(days.n.sum() + days.bad.sum()),
        _note(m, verdict, days), _details(verdict, days, row), at,
    )  # fmt: skip


def of_columns(broken: Sequence[str], other: Sequence[str]) -> Verdict:
    """Columns that the training file has and no served row ever had: those that are watched, and the others."""
    more = {"never_served": list(broken), "only_in_file": list(other)}
    if broken:
        were = "it was" if len(broken) == 1 else "they were"
        return Verdict("alarm", f"the model was trained with {_names(broken)}, {were} never served", more=more)
    beside = f"; only in the file: {_names(other)} (labels, keys or features that nobody watches)" if other else ""
    return Verdict("ok", f"every watched column of the training file is served{beside}", more=more)


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _note(m: Monitor, verdict: Verdict, days: Days) -> str:
    name = "" if m.feature.startswith("(") else f"{m.feature}: "
    if not verdict.gaps:
        return f"{name}{verdict.note}"
    gap, after = verdict.gaps[0], f"; {verdict.note}" if verdict.note else ""
    if verdict.state in ("alarm", "inform_only"):
        others = f"; also {', '.join(_question(g.name) for g in verdict.gaps[1:4])}" if verdict.gaps[1:] else ""
        return f"{name}{_said(gap, verdict.medians, m)}{others}{after}"
    bound = f"{_size(gap.may_be * gap.least, gap.unit)} in {_question(gap.name)}"
    if verdict.state in ("learning", "too_few"):
        matters = f"{_size(gap.least, gap.unit)} would matter"
        return f"{name}{days.at.size} days served: a difference of {bound} cannot be excluded, {matters}{after}"
    return f"{name}as in training, to {bound}{after}"


def _said(gap: Gap, medians: Medians | None, m: Monitor) -> str:
    """The difference in words."""
    than = "in what is served than in training"
    if gap.before is not None and gap.now is not None:
        return f"{_question(gap.name)} {_percent(gap.now)} of what is served, {_percent(gap.before)} in training"
    if gap.name == "location":
        unit = f" {m.params['user_unit']}" if m.params.get("user_unit") else ""
        both = f" (median {medians.now:.3g} instead of {medians.before:.3g}{unit})" if medians else ""
        return f"{'higher' if gap.effect > 0 else 'lower'} by {_size(abs(gap.effect), gap.unit)} {than}{both}"
    if gap.name == "spread":
        return f"spread {'wider' if gap.effect > 0 else 'narrower'} by {_size(abs(gap.effect), gap.unit)} {than}"
    return f"of another shape {than} ({gap.name} score {effects.signed(gap.effect)} σ)"


def _question(name: str) -> str:
    if name.startswith(scores.SHARE):
        level = name.removeprefix(scores.SHARE)
        return f"share of {'other levels' if level == scores.OTHER else f'`{level}`'}"
    return {MISSING: "missing values", UNSEEN: "levels the file does not have"}.get(name, name)


def _size(value: float, unit: str) -> str:
    return f"{value:.2g} {unit}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def _details(verdict: Verdict, days: Days, row: Mapping[str, Any] | None) -> dict[str, Any]:
    found: dict[str, Any] = dict(verdict.more or {})
    if row is not None:
        found |= {"file": row["file"], "fingerprint": row["fingerprint"], "file_rows": row["rows"]}
    if days.at.size:
        found |= {"days": int(days.at.size), "compared_from": instant(int(days.at[0])).isoformat()}
    if verdict.medians is not None:
        found |= {"median_from": _few(verdict.medians.before), "median_to": _few(verdict.medians.now)}
    if verdict.gaps:
        found["questions"] = [_question_of(g) for g in verdict.gaps]
    return found


def _question_of(gap: Gap) -> dict[str, Any]:
    known = {"before": gap.before, "now": gap.now} if gap.before is not None else {}
    figures = {"effect": gap.effect, "low": gap.low, "high": gap.high, "p": gap.p, "least": gap.least, **known}
    return {"name": gap.name, "unit": gap.unit, **{k: _few(v) for k, v in figures.items() if v is not None}}


def _few(value: float) -> float:
    return float(f"{value:.6g}")
