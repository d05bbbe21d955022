"""What was found about a model's performance, in the words and the unit of its metric.

Source: our own; METHODS section 9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from detectors import effects
from detectors.series import epoch
from observe.schema import Binning, Finding, Json, Monitor

Seen = Mapping[tuple[str, int], tuple[float, float | None, int | None]]  # rows, sum of values, rows of the first bin
Interval = tuple[float | None, float | None, float | None]

KIND: Final = "performance"
_NOTHING: Final[Interval] = (None, None, None)


def told(monitor: Monitor, finding: Finding, binning: Binning | None, seen: Seen) -> Finding:
    """A finding of an engine as one about the metric: kind, unit, interval, words and numbers.

    Args:
        monitor: who asks; its feature is the metric.
        finding: of the level or rate engine.
        binning: of the loss, None before there is one.
        seen: labelled rows and sum of values by measure and start of window.
    """
    details = dict(finding.details)
    effect, unit = (finding.effect, finding.ci_low, finding.ci_high), finding.unit
    if monitor.score.startswith("share:"):
        effect, unit = _accuracy(finding), "pp"
        known = [side for side in ("from", "to") if f"share_{side}" in details]
        details |= {f"accuracy_{side}": 1 - details[f"share_{side}"] for side in known}
    elif monitor.score == "mean":
        scale = deviation(binning) * (100.0 if monitor.feature == "calibration" else 1.0)
        effect = _times(effect, scale)
        unit = "pp" if monitor.feature == "calibration" else monitor.params.get("user_unit") or "units"
        details = {name: v for name, v in details.items() if not name.startswith("correlation")}
    details |= _window(monitor, seen.get((monitor.measure, epoch(finding.window_start)), (0, None, None)))
    state = "unknown" if finding.state == "ok" and "labelled" not in details else finding.state  # no labels are no news
    made = replace(
        finding,
        kind=KIND,
        state=state,
        effect=effect[0],
        ci_low=effect[1],
        ci_high=effect[2],
        unit=unit,
        details=details,
    )
    return replace(made, note=_note(monitor, made))


def deviation(binning: Binning | None) -> float:
    """Standard deviation of the reference, read off its percentiles; 1 where it is not known."""
    if binning is None or not binning.quantiles:
        return 1.0
    q = np.asarray(binning.quantiles)
    middles = (q[1:] + q[:-1]) / 2
    return max(float(middles.std()), 1e-6)


def _accuracy(finding: Finding) -> Interval:
    """The change of accuracy in pp: that of the share of wrong answers, turned round."""
    if finding.effect is None:
        return _NOTHING
    values = (finding.effect, finding.ci_high, finding.ci_low)
    if finding.unit != "ratio":
        return _times(values, -1.0)
    before = float(finding.details.get("share_from", 0.0))
    return _times(tuple(None if v is None else v - 1 for v in values), -100.0 * before)  # type: ignore[arg-type]


def _times(values: Interval, factor: float) -> Interval:
    first, low, high = (None if v is None else float(f"{v * factor:.6g}") for v in values)
    return first, low, high


def _window(monitor: Monitor, seen: tuple[float, float | None, int | None]) -> Json:
    """What the window alone says."""
    n, total, first = seen
    if not n:
        return {}
    value = None if total is None else total / n
    if monitor.score.startswith("share:") and first is not None:  # wrong answers are the first level
        value = 1 - first / n
    return {"labelled": int(n)} | ({} if value is None else {"value": float(f"{value:.6g}")})


def _note(monitor: Monitor, finding: Finding) -> str:
    """One line a person can read."""
    name, missed = monitor.feature.replace("_", " "), _reason(finding)
    if finding.onset is None:
        return _quiet(name, finding)
    d = finding.details
    if "accuracy_from" in d:
        moved = effects.signed(100 * (d["accuracy_to"] - d["accuracy_from"]))
        return f"accuracy {d['accuracy_from']:.3f} → {d['accuracy_to']:.3f} ({moved} pp){missed}"
    if monitor.score == "mean":
        return f"{_moved(monitor, finding)}{missed}"
    user = f" {monitor.params['user_unit']}" if monitor.params.get("user_unit") else ""
    what = "absolute error" if monitor.feature == "mae" else name
    if "median_from" in d:
        return f"{name} moved {effects.signed(finding.effect or 0.0)} σ (median {what} {d['median_from']:.3g} → {d['median_to']:.3g}{user}){missed}"
    return finding.note.replace(monitor.feature, name)


def _moved(monitor: Monitor, finding: Finding) -> str:
    value = finding.effect or 0.0
    side = "low" if value > 0 else "high"
    if monitor.feature == "calibration":
        return f"predicted probabilities are {abs(value):.2g} pp too {side} beside what they were"
    return f"predictions are {abs(value):.3g} {finding.unit} too {side} beside what they were".replace(" units", "")


def _quiet(name: str, finding: Finding) -> str:
    labelled = finding.details.get("labelled")
    if finding.state == "ok" and labelled:
        value = finding.details.get("value")
        shown = f" {value:.3g}" if value is not None else ""
        return f"{name}{shown} on {labelled:,} labels, as expected"
    if finding.state in ("unknown", "learning") and not labelled and finding.evidence_nats is not None:
        return f"{name}: no labels in this hour"
    said = finding.note.partition(": ")[2]
    return f"{name}: {said or finding.note}"


def _reason(finding: Finding) -> str:
    """Why an alarm is only shown; empty where it is not."""
    return f"; {finding.note.rpartition('; ')[2]}" if finding.state == "inform_only" and "; " in finding.note else ""
