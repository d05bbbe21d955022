"""What a level stream's window says, as a Finding a person can read.

Source: our own; METHODS section 4, "After an alarm" and "States".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from math import sqrt
from typing import Any, Final

from detectors import baseline, budget, effects, gates
from detectors.fitting import Fit
from detectors.identity import finding_id
from detectors.memory import Alarm
from detectors.slots import DAY_S, learnt_s
from observe.schema import Binning, Finding, Json, Monitor, Severity

_Z: Final = 1.96
_FAR: Final = 3.0  # deviations of a window beyond the interval of an alarm's effect, from which on it is told beside it
_FULL: Final = 0.95  # of the windows that are learnt from: more history will not come


@dataclass(frozen=True, slots=True)
class Judged:
    """One window of one stream: mean score, rows, what was expected and its error, innovation's deviation; sigma."""

    y: float
    n: float
    expected: float
    se: float
    root: float
    left: str = ""  # why it was not judged: expected (announced) | outside (location where it never was)

    @property
    def moved(self) -> float:
        """How far the window is from what was expected, sigma."""
        return self.y - self.expected


@dataclass(frozen=True, slots=True)
class Known:
    """All that is known of one stream at the end of one window."""

    monitor: Monitor
    binning: Binning | None
    fit: Fit | None
    alarm: Alarm | None
    judged: Judged
    missed: str | None = None  # why an alarm would only be shown, None where it would be raised
    nats: float = 0.0  # evidence of the stronger direction, own penalty taken off

    @classmethod
    def of(
        cls,
        monitor: Monitor,
        binning: Binning | None,
        known: tuple[Fit | None, Alarm | None],
        judged: Judged,
        nats: float,
    ) -> Known:
        """With what its class is known to be worth."""
        fit, alarm = known
        missed = (
            gates.missed(monitor.score, monitor.window_s, gates.Kind(fit.hourly_rho, fit.rows, fit.common))
            if fit is not None
            else None
        )
        return cls(monitor, binning, fit, alarm, judged, missed, nats)

    @property
    def needed(self) -> int:
        """Windows of history without which this budget cannot be kept and met."""
        assert self.fit is not None
        return budget.history_needed(self.monitor.threshold_nats + max(self.fit.penalty), self.fit.vif)

    @property
    def identifiable(self) -> bool:
        """Whether a shift of this stream could be told at all."""
        if self.binning is not None and effects.flat(self.monitor.score, self.binning):
            return False
        fit = self.fit
        if fit is None or may_alarm(fit):
            return True
        return fit.hourly_rho <= budget.RANDOM_WALK and not _whole(fit, self.monitor)

    @property
    def state(self) -> str:
        """See `Finding.state`."""
        if self.alarm is not None:
            return "inform_only" if self.missed else "alarm"
        if self.judged.left == "expected":
            return "expected"
        if not self.identifiable:
            return "not_identifiable"
        if self.fit is None or not may_alarm(self.fit) or self.fit.used < self.needed:
            return "learning"
        if self.judged.left or self.judged.n <= 0:
            return "unknown"
        return "inform_only" if self.missed else "ok"


def may_alarm(fit: Fit) -> bool:
    """Whether a history is long enough, and its memory short enough, for an alarm."""
    return fit.effective >= budget.LEAST_EFFECTIVE and fit.hourly_rho <= budget.RANDOM_WALK


def finding(
    monitor: Monitor, binning: Binning | None, known: tuple[Fit | None, Alarm | None], end: int, nats: float,
    window: tuple[Judged, float | None],
) -> Finding:  # fmt: skip
    """The finding of one stream and window.

    Args:
        monitor: who asks.
        binning: of the feature, None before its first summary.
        known: the stream's fit and its latched alarm.
        end: of the window, epoch s.
        nats: evidence of the stronger direction, own penalty taken off.
        window: what was seen, and the stability index of its location.
    """
    (fit, alarm), (judged, psi) = known, window
    it, at = Known.of(monitor, binning, known, judged, nats), datetime.fromtimestamp(end, UTC)
    state, (effect, low, high) = it.state, _effect(it)
    onset, onset_low, onset_high = (datetime.fromtimestamp(t, UTC) if alarm else None for t in _when(alarm))
    severity: Severity = "inform" if state == "inform_only" else monitor.severity
    return Finding(
        finding_id(monitor.monitor_id, at), monitor.monitor_id, monitor.detector, monitor.model, "drift", monitor.feature,
        datetime.fromtimestamp(end - monitor.window_s, UTC), at, state, severity,
        round(nats, 4) if fit else None, monitor.threshold_nats, effect, effects.unit(monitor.score), low, high,
        onset, onset_low, onset_high, int(judged.n), _note(it, state), _details(it, psi), at,
    )  # fmt: skip


def _whole(fit: Fit, monitor: Monitor) -> bool:
    return fit.known >= _FULL * learnt_s(monitor) / monitor.window_s


def _when(alarm: Alarm | None) -> tuple[int, int, int]:
    return (alarm.onset, alarm.low, alarm.high) if alarm else (0, 0, 0)


def _effect(it: Known) -> tuple[float | None, float | None, float | None]:
    """Of the alarm, else how far this window is from what was expected; in the unit of the score."""
    fit, alarm, judged = it.fit, it.alarm, it.judged
    if alarm is not None:
        shifts = (alarm.effect, alarm.ci_low, alarm.ci_high)
    elif fit is None or judged.n <= 0 or judged.left == "outside":
        return None, None, None
    else:
        half = _Z * sqrt(fit.phi / judged.n + fit.tau2 + judged.se**2)
        shifts = (judged.moved, judged.moved - half, judged.moved + half)
    effect, low, high = (_few(effects.told(it.monitor.score, it.binning, judged.expected, shift)) for shift in shifts)
    return effect, low, high


def _note(it: Known, state: str) -> str:
    name, after = it.monitor.feature, f"; {it.missed}" if it.missed else ""
    if it.alarm is not None:
        return effects.words(it.monitor, it.binning, it.judged.expected, it.alarm.effect) + _by_now(it) + after
    unjudged = _unjudged(it, state)
    return f"{name}: {unjudged}" if unjudged else _quiet(it) + after


def _by_now(it: Known) -> str:
    """Where this window lies, once the change has gone further than its size was told, or back; empty before."""
    fit, alarm, judged = it.fit, it.alarm, it.judged
    if fit is None or alarm is None or judged.n <= 0 or judged.left:
        return ""
    far = _FAR * sqrt(fit.phi / judged.n + fit.tau2 + judged.se**2)
    if alarm.ci_low - far <= judged.moved <= alarm.ci_high + far:
        return ""
    return f"; in this window: {effects.words(it.monitor, it.binning, judged.expected, judged.moved)}"


def _unjudged(it: Known, state: str) -> str:
    """Why nothing is said about this window; empty when something is."""
    if state == "expected":
        return "a change was announced, not judged"
    if state == "not_identifiable":
        return _unclear(it)
    if state == "learning":
        return f"learning, {_lacking(it)}"
    if state == "unknown" and it.judged.n <= 0:
        return "no rows"
    if state == "unknown":
        return f"{it.monitor.score} is not judged while the location is where the history never was"
    return ""


def _quiet(it: Known) -> str:
    proven = it.nats >= it.monitor.threshold_nats
    said = effects.quiet(it.monitor, it.judged.moved, proven)
    if it.fit is not None and it.fit.suspect is not None:
        suspect = datetime.fromtimestamp(it.fit.suspect, UTC)
        said += f"; the reference may contain an incident at {suspect:%Y-%m-%dT%H:%MZ}"
    return said


def _unclear(it: Known) -> str:
    if it.binning is not None and effects.flat(it.monitor.score, it.binning):
        return f"its reference has too few distinct values for a {it.monitor.score} of its own"
    assert it.fit is not None
    return f"wanders like a random walk (memory {it.fit.hourly_rho:.2f} per hour), level shifts are not identifiable"


def _lacking(it: Known) -> str:
    fit = it.fit
    if fit is None:
        return f"fewer than {baseline.LEAST} hours of history"
    if not may_alarm(fit):
        return f"{fit.effective:.0f} of {budget.LEAST_EFFECTIVE:.0f} independent windows"
    return (
        f"this budget asks for {it.needed} windows of history, there are {fit.used}: wait, or allow more false alarms"
    )


def _details(it: Known, psi: float | None) -> Json:
    fit, alarm, judged, binning = it.fit, it.alarm, it.judged, it.binning
    found: dict[str, Any] = {}
    if judged.n > 0:
        found["score"] = _few(judged.y)
        if binning is not None and it.monitor.score == "location" and psi is not None:
            found["psi"] = _few(psi)
    if fit is None:
        return found
    if judged.n > 0:
        found["delta_sigma"] = _few(judged.moved)
    least = smallest(it.monitor, fit)
    found |= {"rho": _few(fit.rho), "tau": _few(fit.tau2**0.5), "phi": _few(fit.phi), "min_detectable_24h": _few(least)}
    units = effects.in_units(it.monitor, binning, least)
    if units is not None:
        found["min_detectable_24h_units"] = _few(units)
    if alarm is not None:
        found |= effects.details(it.monitor, binning, judged.expected, alarm.effect)
    return found


def smallest(monitor: Monitor, fit: Fit) -> float:
    """The smallest lasting shift of this stream that is found within a day with 90 %, sigma."""
    threshold = monitor.threshold_nats + max(fit.penalty)
    return budget.smallest_found(threshold, fit.vif, fit.unit, fit.se, DAY_S / monitor.window_s)


def _few(value: float) -> float:
    return float(f"{value:.6g}")
