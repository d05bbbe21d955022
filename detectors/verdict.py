"""What a level stream's window says, as a Finding a person can read.

Source: our own; METHODS section 4, "After an alarm" and "States".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors import baseline, budget, scores
from detectors.fitting import Fit
from detectors.identity import finding_id
from detectors.memory import Alarm
from detectors.slots import DAY_S, HISTORY_S, HOUR_S
from observe.schema import Binning, Finding, Json, Monitor

Floats = NDArray[np.float64]

UNIT: Final = "σ"
_Z: Final = 1.96
_FULL: Final = 0.95  # of 28 d of windows: more history will not come


@dataclass(frozen=True, slots=True)
class Judged:
    """One window of one stream: mean score, rows, what was expected and its error, innovation's deviation; sigma."""

    y: float
    n: float
    expected: float
    se: float
    root: float

    @property
    def moved(self) -> float:
        """How far the window is from what was expected, sigma."""
        return self.y - self.expected


def finding(
    monitor: Monitor, binning: Binning | None, known: tuple[Fit | None, Alarm | None], end: int, nats: float,
    window: tuple[Judged, Floats],
) -> Finding:  # fmt: skip
    """The finding of one stream and window.

    Args:
        monitor: who asks.
        binning: of the feature, None before its first summary.
        known: the stream's fit and its latched alarm.
        end: of the window, epoch s.
        nats: evidence of the stronger direction, own penalty taken off.
        window: what was seen, and its rows by tenth of the reference.
    """
    (fit, alarm), (judged, _) = known, window
    at = datetime.fromtimestamp(end, UTC)
    state = _state(fit, alarm)
    effect, low, high = _effect(fit, alarm, judged)
    onset, onset_low, onset_high = (datetime.fromtimestamp(t, UTC) if alarm else None for t in _when(alarm))
    return Finding(
        finding_id(monitor.monitor_id, at), monitor.monitor_id, monitor.detector, monitor.model, "drift", monitor.feature,
        datetime.fromtimestamp(end - monitor.window_s, UTC), at, state, monitor.severity,
        round(nats, 4) if fit else None, monitor.threshold_nats, effect, UNIT, low, high, onset, onset_low, onset_high,
        int(judged.n), _note(monitor, binning, (fit, alarm), judged), _details(monitor, binning, (fit, alarm), window), at,
    )  # fmt: skip


def _state(fit: Fit | None, alarm: Alarm | None) -> str:
    if alarm is not None:
        return "alarm"
    if fit is None:
        return "learning"
    if fit.effective >= budget.LEAST_EFFECTIVE and fit.hourly_rho <= budget.RANDOM_WALK:
        return "ok"
    return "not_identifiable" if fit.hourly_rho > budget.RANDOM_WALK or _whole(fit) else "learning"


def _whole(fit: Fit) -> bool:
    return fit.known >= _FULL * HISTORY_S / HOUR_S


def _when(alarm: Alarm | None) -> tuple[int, int, int]:
    return (alarm.onset, alarm.low, alarm.high) if alarm else (0, 0, 0)


def _effect(fit: Fit | None, alarm: Alarm | None, judged: Judged) -> tuple[float | None, float | None, float | None]:
    """Of the alarm, else how far this window is from what was expected."""
    if alarm is not None:
        return _few(alarm.effect), _few(alarm.ci_low), _few(alarm.ci_high)
    if fit is None or judged.n <= 0:
        return None, None, None
    half = _Z * float(np.hypot(np.sqrt(fit.phi / judged.n + fit.tau2), judged.se))
    return _few(judged.moved), _few(judged.moved - half), _few(judged.moved + half)


def _note(monitor: Monitor, binning: Binning | None, known: tuple[Fit | None, Alarm | None], judged: Judged) -> str:
    fit, alarm = known
    if alarm is not None:
        return f"{monitor.feature} moved {_signed(alarm.effect)} σ{_medians(monitor, binning, alarm)}"
    if fit is None:
        return f"{monitor.feature}: learning, fewer than {baseline.LEAST} hours of history"
    state = _state(fit, alarm)
    if state == "learning":
        return f"{monitor.feature}: learning, {fit.effective:.0f} of {budget.LEAST_EFFECTIVE:.0f} independent windows"
    if state == "not_identifiable":
        return f"{monitor.feature}: wanders like a random walk (memory {fit.hourly_rho:.2f} per hour), level shifts are not identifiable"
    if judged.n <= 0:
        return f"{monitor.feature}: no rows"
    told = f"{monitor.feature}: as expected ({_signed(judged.moved)} σ)"
    if fit.suspect is not None:
        told += f"; the reference may contain an incident at {datetime.fromtimestamp(fit.suspect, UTC):%Y-%m-%dT%H:%MZ}"
    return told


def _medians(monitor: Monitor, binning: Binning | None, alarm: Alarm) -> str:
    if binning is None or binning.quantiles is None:
        return ""
    unit = monitor.params.get("user_unit") or ""
    before, after = scores.at_sigma(binning.quantiles, 0.0), scores.at_sigma(binning.quantiles, alarm.effect)
    return f" (median {before:.3g} → {after:.3g}{' ' + unit if unit else ''})"


def _details(
    monitor: Monitor, binning: Binning | None, known: tuple[Fit | None, Alarm | None], window: tuple[Judged, Floats]
) -> Json:
    (fit, alarm), (judged, tenths) = known, window
    found: dict[str, Any] = {}
    if judged.n > 0:
        found["score"] = _few(judged.y)
        if binning is not None:
            found["psi"] = _few(float(scores.psi(tenths, _reference(binning.reference))))
    if fit is None:
        return found
    if judged.n > 0:
        found["delta_sigma"] = _few(judged.moved)
    found |= {
        "rho": _few(fit.rho),
        "tau": _few(fit.tau2**0.5),
        "phi": _few(fit.phi),
        "min_detectable_24h": _few(smallest(monitor, fit)),
    }
    if alarm is not None and binning is not None and binning.quantiles is not None:
        before, after = scores.at_sigma(binning.quantiles, 0.0), scores.at_sigma(binning.quantiles, alarm.effect)
        found |= {"median_from": _few(before), "median_to": _few(after), "unit_effect": _few(after - before)}
    return found


def smallest(monitor: Monitor, fit: Fit) -> float:
    """The smallest lasting shift of this stream that is found within a day with 90 %, sigma."""
    threshold = monitor.threshold_nats + max(fit.penalty)
    return budget.smallest_found(threshold, fit.vif, fit.unit, fit.se, DAY_S / monitor.window_s)


@lru_cache(maxsize=16_384)
def _reference(reference: tuple[int, ...]) -> Floats:
    counts = np.asarray(reference, dtype=np.float64)
    found: Floats = counts @ scores.tenths(counts)
    return found


def _few(value: float) -> float:
    return float(f"{value:.6g}")


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
