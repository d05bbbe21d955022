"""A rise of a share: since when, by what factor, and how it is told.

Source: METHODS section 5; the start by generalised likelihood ratio as in `localise`, the interval of a
ratio of counts by the logarithm's standard error.
Assumes: one lasting rise inside the remembered windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from detectors import counts
from detectors.counts import Normal
from detectors.memory import Alarm
from detectors.slots import DAY_S
from observe.schema import Json, Monitor

LEAST_EFFECTIVE: Final = 30.0  # independent windows before a stream may alarm
_PLAUSIBLE: Final = 3.0  # nats
_Z: Final = 1.96


def locate(alarm: Alarm, trail: Sequence[Sequence[float]], normal: Normal, end: int, window_s: int) -> None:
    """Start and ratio of a rise by the likelihood of every start among the remembered windows, written into `alarm`.

    Args:
        alarm: what is known; kept when the rise explained more at an earlier look.
        trail: bad events and all events of the last windows, oldest first.
        normal: the stream's normal state.
        end: of the newest window, epoch s.
        window_s: length of a window, s.
    """
    x, n = (np.cumsum(np.array(v)[::-1])[::-1] for v in trail)
    base = (normal.events + 1) / normal.trials
    m = n * base
    gain = np.where(x > m, x * np.log(np.maximum(x, 1e-12) / m) - x + m, 0.0) / normal.spread
    best = int(gain.argmax())
    if gain[best] < alarm.nats:  # the rise has gone: what it was is kept
        return
    alarm.nats = float(gain[best])
    plausible = np.flatnonzero(gain >= max(gain[best] - _PLAUSIBLE, 0.0))
    ratio = np.maximum(x, 0.5) / m
    half = np.exp(_Z * np.sqrt(normal.spread * (1 / np.maximum(x, 0.5) + 1 / (normal.events + 1))))
    first = end - len(trail[0]) * window_s
    alarm.onset, alarm.low, alarm.high = (first + int(j) * window_s for j in (best, plausible[0], plausible[-1]))
    alarm.effect = float(ratio[best])
    alarm.ci_low, alarm.ci_high = float((ratio / half)[plausible].min()), float((ratio * half)[plausible].max())


def state(normal: Normal | None, alarm: Alarm | None) -> str:
    """Whether a stream is alarmed, judged, or still learning."""
    if alarm is not None:
        return "alarm"
    return "ok" if normal is not None and normal.effective >= LEAST_EFFECTIVE else "learning"


def note(monitor: Monitor, normal: Normal | None, alarm: Alarm | None, seen: tuple[float, float]) -> str:
    """One line a person can read; `seen` are bad events and all events of the window."""
    what = _what(monitor)
    if normal is None:
        return f"{what}: learning"
    if alarm is not None:
        share = min(alarm.effect * (normal.events + 1) / normal.trials, 1.0)
        return f"{what} rose to {share:.2%} of events (was {normal.share:.2%})"
    if seen[1] <= 0:
        return f"{what}: no events"
    return f"{what}: {seen[0] / seen[1]:.2%} of events, {normal.share:.2%} is normal"


def _what(monitor: Monitor) -> str:
    if monitor.score == "missing":
        return f"{monitor.feature} missing, NaN or infinite"
    if monitor.score == "location":
        return f"{monitor.feature} off its constant"
    return "errors" if monitor.feature == "error" else f"{monitor.feature} {monitor.score}"


def details(monitor: Monitor, normal: Normal | None, alarm: Alarm | None, seen: tuple[float, float]) -> Json:
    """The numbers behind a finding; `seen` are bad events and all events of the window."""
    found: dict[str, Any] = {"events": seen[0]}
    if seen[1] > 0:
        found["share"] = few(seen[0] / seen[1])
    if normal is not None:
        found |= {
            "share_from": normal.share,
            "upper": normal.upper,
            "k": None if normal.k >= counts.POISSON else normal.k,
            "vif": normal.vif,
        }
    if normal is not None and alarm is not None:
        found["share_to"] = few(min(alarm.effect * (normal.events + 1) / normal.trials, 1.0))
        found["min_detectable_24h"] = counts.smallest_found(normal, monitor.threshold_nats, DAY_S / monitor.window_s)
    return found


def few(value: float) -> float:
    """Six significant digits."""
    return float(f"{value:.6g}")
