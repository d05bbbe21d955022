"""A rise of a share: since when, by what factor, and how it is told.

Source: METHODS section 5; the start by generalised likelihood ratio as in `localise`, the interval of a
ratio of counts by the logarithm's standard error.
Assumes: one lasting rise inside the remembered windows.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors import counts, scatter
from detectors.counts import Normal
from detectors.identity import finding_id
from detectors.memory import Alarm
from detectors.series import instant
from detectors.slots import DAY_S
from observe.schema import Finding, Json, Monitor

Floats = NDArray[np.float64]

_PLAUSIBLE: Final = 3.0  # nats
_Z: Final = 1.96


class Seen(NamedTuple):
    """One window: bad events, all events, its end (epoch s), whether a change was announced for it, factor of its share."""

    x: float
    n: float
    end: int
    told: bool = False
    factor: float = 1.0


def locate(alarm: Alarm, trail: Floats, normal: Normal, end: int, window_s: int) -> None:
    """Start and ratio of a rise by the likelihood of every start among the remembered windows, written into `alarm`.

    Args:
        alarm: what is known; kept when the rise explained more at an earlier look.
        trail: bad events and all events of the last windows, oldest first, (2, K).
        normal: the stream's normal state.
        end: of the newest window, epoch s.
        window_s: length of a window, s.
    """
    first = end - trail.shape[1] * window_s
    if first > alarm.low and alarm.nats > 0:  # its beginning is no longer remembered
        return
    base = (normal.share + 1 / normal.trials) * normal.factors(first + window_s * np.arange(trail.shape[1]), window_s)
    x, m, windows = (np.cumsum(v[::-1])[::-1] for v in (trail[0], trail[1] * base, trail[1] > 0))
    m, seen = np.maximum(m, 1e-12), np.maximum(x, 0.5)
    wobble = normal.wobble / np.maximum(windows, 1)
    gain = np.where(x > m, x * np.log(seen / m) - x + m, 0.0)
    best = int(gain.argmax())
    gain /= 1 + wobble[best] * seen[best]
    if gain[best] < alarm.nats - _PLAUSIBLE:  # the rise has gone: what it was is kept
        return
    alarm.nats = max(float(gain[best]), alarm.nats)
    plausible = np.flatnonzero(gain >= max(gain[best] - _PLAUSIBLE, 0.0))
    ratio = seen / m
    half = np.exp(_Z * np.sqrt(1 / seen + wobble + 1 / (normal.events + 1) + normal.wobble / normal.used))
    alarm.onset, alarm.low, alarm.high = (first + int(j) * window_s for j in (best, plausible[0], plausible[-1]))
    alarm.effect = float(ratio[best])
    low, high = float((ratio / half)[plausible].min()), float((ratio * half)[plausible].max())
    most = 1 / (normal.share + 1 / normal.trials)  # a share is 1 at most, and a rise raises it
    alarm.ci_low, alarm.ci_high = min(max(low, 1.0), alarm.effect), max(min(high, most), alarm.effect)


def finding(monitor: Monitor, known: tuple[Normal | None, Alarm | None], seen: Seen, nats: float) -> Finding:
    """The finding of one stream and window.

    Args:
        monitor: who asks.
        known: what the stream has learnt and its latched alarm.
        seen: the window.
        nats: what its evidence is worth.
    """
    normal, alarm = known
    at = instant(seen.end)
    when = [instant(s) if alarm else None for s in ((alarm.onset, alarm.low, alarm.high) if alarm else (0, 0, 0))]
    effect = [few(v) for v in (alarm.effect, alarm.ci_low, alarm.ci_high)] if alarm else [None, None, None]
    return Finding(
        finding_id(monitor.monitor_id, at), monitor.monitor_id, monitor.detector, monitor.model, "drift", monitor.feature,
        instant(seen.end - monitor.window_s), at, state(normal, alarm, seen),
        "inform" if normal is not None and normal.missed else monitor.severity,
        round(nats, 4) if normal else None, monitor.threshold_nats, effect[0], "ratio", effect[1], effect[2],
        when[0], when[1], when[2], int(seen.n), note(monitor, normal, alarm, seen), details(monitor, normal, alarm, seen), at,
    )  # fmt: skip


def state(normal: Normal | None, alarm: Alarm | None, seen: Seen) -> str:
    """Whether a stream is alarmed, judged, still learning, had nothing to judge, or a change was announced.

    An alarm lasts through windows in which nothing is judged: that is no recovery.
    """
    shown = normal is not None and normal.missed is not None
    if alarm is not None:
        return "inform_only" if shown else "alarm"
    if seen.told:
        return "expected"
    if normal is None or normal.effective < counts.LEAST_EFFECTIVE:
        return "learning"
    if seen.n <= 0:
        return "unknown"
    return "inform_only" if shown else "ok"


def note(monitor: Monitor, normal: Normal | None, alarm: Alarm | None, seen: Seen) -> str:
    """One line a person can read."""
    what, after = _what(monitor), f"; {normal.missed}" if normal is not None and normal.missed else ""
    if normal is not None and alarm is not None:
        share = min(alarm.effect * (normal.share + 1 / normal.trials), 1.0)
        return f"{what} rose to {share:.2%} of events (was {normal.share:.2%}){after}"
    if seen.told:
        return f"{what}: a change was announced, not judged"
    if normal is None:
        return f"{what}: learning"
    if seen.n <= 0:
        return f"{what}: no events"
    told = f"{what}: {seen.x / seen.n:.2%} of events, {normal.share * seen.factor:.2%} is normal"
    if normal.suspect is not None:
        told += f"; the history may contain an incident at {instant(normal.suspect):%Y-%m-%dT%H:%MZ}"
    return told + after


def _what(monitor: Monitor) -> str:
    if monitor.score == "missing":
        return f"{monitor.feature} missing, NaN or infinite"
    if monitor.score == "location":
        return f"{monitor.feature} off its constant"
    if monitor.score == "unseen":
        return f"values of {monitor.feature} that are no known level"
    if monitor.score.startswith("share:"):
        return f"`{monitor.score.removeprefix('share:')}` in {monitor.feature}"
    if monitor.score == "exceedance":
        return f"{monitor.feature} above its usual p99"
    return "errors" if monitor.feature == "error" else f"{monitor.feature} {monitor.score}"


def details(monitor: Monitor, normal: Normal | None, alarm: Alarm | None, seen: Seen) -> Json:
    """The numbers behind a finding."""
    found: dict[str, Any] = {"events": seen.x}
    if seen.n > 0:
        found["share"] = few(seen.x / seen.n)
    if normal is not None:
        found |= {
            "share_from": normal.share,
            "share_expected": few(normal.share * seen.factor),
            "upper": normal.upper,
            "k": None if normal.k >= scatter.POISSON else normal.k,
            "vif": normal.vif,
            "class": _class(normal),
            "needed": few(normal.worth.needed(monitor.threshold_nats)),
            "min_detectable_24h": counts.smallest_found(normal, monitor.threshold_nats, DAY_S / monitor.window_s),
        }
    if normal is not None and alarm is not None:
        found["share_to"] = few(min(alarm.effect * (normal.share + 1 / normal.trials), 1.0))
    return found


def _class(normal: Normal) -> str:
    """What kind of stream it is, in words."""
    kinds = {
        "seasonal": bool(normal.hours) or normal.weekend != 1.0, "over-dispersed": normal.k < scatter.POISSON,
        "dependent": normal.vif > 1, "bursty": normal.width > 1, "wandering": normal.missed is not None,
    }  # fmt: skip
    return ", ".join(name for name, is_so in kinds.items() if is_so) or "plain"


def few(value: float) -> float:
    """Six significant digits."""
    return float(f"{value:.6g}")
