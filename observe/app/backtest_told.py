"""What a backtest found, as plain JSON and as lines for people.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from detectors.scores import OTHER, SHARE
from observe.app.backtest import Backtest, Found, interval95, upper95
from observe.app.backtest_features import Smallest
from observe.app.backtest_inject import Planted
from observe.app.backtest_rules import Rule, tried
from observe.spec.quantity import write_duration

_MUCH: Final = 0.05  # share of the judged part without rows that is told
_NAMED: Final = 5  # levels
_ROWS: Final[Mapping[str, str]] = {
    "missing": "without a value", "unseen": "with a level never seen before", "location": "off the constant",
    "error": "with an error", "exceedance": "above the usual p99",
}  # fmt: skip


def as_json(result: Backtest, planted: Sequence[Planted] = (), rules: Sequence[Rule] = ()) -> dict[str, Any]:
    """The result as plain JSON: the same table gives the same text, in whatever order its rows came."""
    count = len(result.alarms)
    found: dict[str, Any] = {
        "days": round(result.days, 4), "days_without_rows": round(result.plan.empty_days, 4), "windows": result.plan.windows, "windows_with_rows": result.plan.filled, "streams": result.one_sided,
        "budget_per_30d": result.budget_per_30d, "alarms_per_30d": round(count * 30 / result.days, 4),
        "upper95_per_30d": round(upper95(count, result.days), 4), "alarms": [alarm(a) for a in result.alarms],
        "states": dict(result.states), "min_detectable_24h": dict(result.min_detectable_24h),
        "alarms_per_week": round(count * 7 / result.days, 4), "ci95_per_week": [round(rate, 4) for rate in interval95(count, result.days)],
        "budget_per_week": round(result.budget_per_30d * 7 / 30, 4), "incidents": result.incidents, "window_s": result.plan.window_s, "rows_or_series": result.plan.cadence,
        "fit": [iso(result.plan.real(at)) for at in (result.plan.fit.start, result.plan.fit.end)],
        "judged": [iso(result.plan.real(at)) for at in (result.plan.judged.start, result.plan.judged.end)],
        "min_detectable_24h_units": {f: {"value": s.in_units, "unit": s.unit, "of": s.of} for f, s in result.smallest.items() if s and result.plan.stretch == 1},
        "windows_by_state": {f: dict(v) for f, v in result.judged.items()},
        "states_by_stream": {f: dict(v) for f, v in result.by_stream.items()},
        "rejected": dict(result.rejected), "not_watched": dict(result.left_out), "missed_gate": result.missed_gate,
    }  # fmt: skip
    if result.plan.stretch > 1:
        found["min_detectable_24_windows"] = {f: s.value if s else None for f, s in result.smallest.items()}
    if planted:
        found["injected"] = [injected(p) for p in planted]
    if rules:
        trial = tried(planted)
        found |= {"rules": [rule(r) for r in rules], "rules_tried_at": str(trial.change) if trial else None}
    return found


def alarm(a: Found) -> dict[str, Any]:
    """One alarm."""
    return {
        "feature": a.feature, "kind": a.kind, "at": iso(a.at), "onset": iso(a.onset), "onset_interval": [iso(t) for t in a.onset_interval],
        "effect": a.effect, "effect_ci": list(a.effect_ci), "unit": a.unit, "evidence_nats": a.evidence_nats,
        "until": iso(a.until) if a.until else None, "level": a.levels.what, "before": a.levels.before, "after": a.levels.after,
        "unit_effect": a.in_units.by if a.in_units else None, "unit_effect_ci": [a.in_units.low, a.in_units.high] if a.in_units else None,
        "unit_effect_of": a.in_units.of if a.in_units else None,
        "note": a.note,
    }  # fmt: skip


def injected(p: Planted) -> dict[str, Any]:
    """One planted change."""
    middle, low, high = p.median()
    return {
        "change": str(p.change), "trials": len(p.delays), "found": p.found, "median_delay_s": _seconds(middle),
        "median_delay_ci_s": [_seconds(low), _seconds(high)], "delays_s": [_seconds(d) for d in p.delays],
        "at": [iso(t) for t in p.at], "found_by": {k: p.kinds.count(k) for k in sorted(set(p.kinds))}, "horizon_s": p.horizon.total_seconds(),
    }  # fmt: skip


def rule(r: Rule) -> dict[str, Any]:
    """One plain rule."""
    return {
        "rule": r.name, "alarms": r.alarms, "alarms_per_30d": round(r.per_30d, 4), "windows_flagged": round(r.windows, 4),
        "found": r.found, "median_delay_s": _seconds(r.delay),
    }  # fmt: skip


def iso(at: datetime) -> str:
    """An instant as text, UTC."""
    return at.isoformat().replace("+00:00", "Z")


def _seconds(delay: timedelta | None) -> float | None:
    return None if delay is None else delay.total_seconds()


def cells(a: Found) -> tuple[str, str, str, str, str, str]:
    """An alarm as a row: when, what, since, effect, level, until."""
    low, high = a.effect_ci
    unit = "×" if a.unit == "ratio" else f" {a.unit}"
    since = f"{a.onset:%Y-%m-%d %H:%M}" + (
        f" (−{_short(a.onset - a.onset_interval[0])}/+{_short(a.onset_interval[1] - a.onset)})"
    )
    level = (
        ""
        if a.levels.before is None or a.levels.after is None
        else f"{'mean ' if a.levels.what == 'mean' else ''}{_level(a.levels.before, a)} → {_level(a.levels.after, a)}{_percent(a)}"
    )
    return (
        f"{a.at:%Y-%m-%d %H:%M}", f"{a.feature} {a.kind}", since, f"{a.effect:+.2g}{unit} [{low:+.2g}, {high:+.2g}]" if unit != "×" else f"{a.effect:.2g}× [{low:.2g}, {high:.2g}]",
        level, f"{a.until:%Y-%m-%d %H:%M}" if a.until else "lasts",
    )  # fmt: skip


def _level(value: float, a: Found) -> str:
    return f"{value:.2%}" if a.levels.what == "share" else f"{value:.4g}"


def _percent(a: Found) -> str:
    return (
        f" ({a.levels.percent:+.1f} %)" if a.levels.what in {"median", "mean"} and a.levels.percent is not None else ""
    )


def _short(length: timedelta) -> str:
    return write_duration(round(length.total_seconds())) if length else "0"


def delay(length: timedelta | None, horizon: timedelta) -> str:
    """A delay for people; None is longer than the horizon."""
    return (
        f"> {write_duration(horizon.total_seconds())}"
        if length is None
        else write_duration(round(length.total_seconds()))
    )


def headline(result: Backtest) -> str:
    """How many alarms, against which budget, by week and by month."""
    count, (low, high) = len(result.alarms), interval95(len(result.alarms), result.days)
    seen = (
        f"{_many(count, 'alarm')} ({_many(result.incidents, 'incident')}) in {result.days:,.4g} judged days{_empty(result)} of "
        f"{_many(len(result.states), 'feature')}: {count * 7 / result.days:.3g} per week (95 %: {low:.2g} to {high:.2g}), "
    )
    month = f"{count * 30 / result.days:.3g} per 30 d, at most {upper95(count, result.days):.3g} with 95 %"
    budget = f"{result.budget_per_30d * 7 / 30:.3g} per week, {result.budget_per_30d:.3g} per 30 d"
    return f"{seen}{month}; the budget is {budget}"


def _empty(result: Backtest) -> str:
    """How many days more had no rows, where that is much."""
    empty = result.plan.empty_days
    return f" ({empty:,.4g} d more have no rows)" if empty > _MUCH * (empty + result.days) else ""


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def states(result: Backtest) -> list[tuple[str, str, str]]:
    """Feature, state, and what a day finds, or why it is not watched."""
    found = ((f, state, result.smallest.get(f)) for f, state in result.states.items())
    finds = "a day finds" if result.plan.stretch == 1 else "24 windows find"
    told = ((f, state, [f"{finds} {_smallest(least)}"] if least else []) for f, state, least in found)
    return [
        (f, state, result.left_out.get(f) or "; ".join(parts + _apart(state, result.by_stream.get(f, {}))))
        for f, state, parts in told
    ]


def _apart(state: str, streams: Mapping[str, str]) -> list[str]:
    """The levels that are worse off than others, where a category's are not all alike."""
    worse = [score.removeprefix(SHARE) for score, its in streams.items() if its == state]
    if state in {"ok", "alarm"} or len(worse) in {0, len(streams)}:
        return []
    named = ", ".join(worse[:_NAMED]) + (" …" if len(worse) > _NAMED else "")
    return [f"{state} are {len(worse)} of {len(streams)} shares: {named}"]


def _smallest(least: Smallest) -> str:
    if least.unit == "% of rows":
        return f"{least.in_units:.2g} % of the rows {_rows_of(least.of)}, {least.value:.2g} times as many as may be"
    if least.in_units is None:
        return f"{least.value:.2g} σ{'' if least.of == 'location' else f' of {_score_of(least.of)}'}"
    if least.unit == "pp":
        return f"{least.in_units:.2g} pp of {_score_of(least.of)}"
    if least.unit == "correlation":
        return f"{least.in_units:.2g} of the correlation"
    return f"{least.value:.2g} σ, the {least.unit} {least.in_units:+.3g}"


def _score_of(score: str) -> str:
    if score == f"{SHARE}{OTHER}":
        return "the share of the rarer levels together"
    return f"the share of {score.removeprefix(SHARE)}" if score.startswith(SHARE) else f"the {score}"


def _rows_of(score: str) -> str:
    if score == f"{SHARE}{OTHER}":
        return "with a rarer level"
    if score.startswith(SHARE):
        return f"with {score.removeprefix(SHARE)}"
    return _ROWS.get(score, f"({score})")


def trials(p: Planted) -> str:
    """One line about a planted change."""
    if p.found is None:
        return f"planted {p.change}: no trial, the feature was always alarmed"
    middle, low, high = (delay(d, p.horizon) for d in p.median())
    return (
        f"planted {p.change}: found in {p.found:.0%} of {len(p.delays)} trials, median after {middle} ({low} to {high})"
    )


def left_out(result: Backtest) -> list[str]:
    """Lines about rows and columns that were not used, and about a cadence that keeps no promise."""
    rows = [f"note: {result.missed_gate}"] if result.missed_gate else []
    rows += [f"left out: {count:,} {reason}" for reason, count in result.rejected.items()]
    return rows + [f"not watched: {n}: {why}" for n, why in result.left_out.items() if n not in result.states]
