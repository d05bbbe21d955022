"""How an SLO stands at every mark of its walk: burn by window, budget, outlook, and what cannot be seen.

Everything is computed from what was known at the mark, so it is the same however the minutes were replayed.

Source: METHODS section 6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from detectors.allowance import Account, Span, left, span
from detectors.errorbudget import DISPERSION_HOURS, HOUR, MEMORY, Floats, Ints, counted
from detectors.lanes import Firing, Mark, Walk
from detectors.outlook import Budget, Past, Rates, expected, forecast
from detectors.sensitivity import Traffic, smallest
from observe.schema import Json

WINDOWS: Final[Mapping[str, int]] = {
    "5m": 5,
    "30m": 30,
    "1h": 60,
    "2h": 120,
    "6h": 360,
    "1d": 1440,
    "3d": 4320,
}  # minutes
_DAY: Final = 1440  # minutes: windows from here on hold more than the bursts of one hour


@dataclass(frozen=True, slots=True)
class Stand:
    """One mark: events of the period, the budget, its 95 % interval, and all of it as JSON."""

    total: int
    bad: int
    left: float
    details: dict[str, Any]


class Standing:
    """Numbers at every mark of a walk; what can be is computed for all marks at once."""

    def __init__(self, walk: Walk) -> None:
        """Burn and power at every mark."""
        self._walk, self._account = walk, Account(walk)
        self._rates: dict[tuple[int, int], Rates | None] = {}
        self._told: dict[tuple[int, int, int], Json | None] = {}
        self.minute: Ints = np.array([m.minute for m in walk.marks], dtype=np.int64)
        self.ends = self.minute - walk.minutes.first
        self.phi: Floats = np.array([m.phi for m in walk.marks])
        self._burn = {name: self._burned(size) for name, size in WINDOWS.items()}
        self._power = {name: self._found(minutes) for name, minutes in (("burn_24h", _DAY), ("burn_1h", HOUR))}

    def _burned(self, minutes: int) -> tuple[Floats, Floats, Floats]:
        """Burn rate of a window and its 95 % interval at every mark; NaN where it had no requests."""
        total, bad = (x.astype(np.float64) for x in self._walk.minutes.within(self.ends, minutes))
        phi = self._long_run() if minutes >= _DAY else self.phi
        low, high = counted(bad, phi)
        allowed = np.where(total > 0, total * self._walk.budget, np.nan)
        return bad / allowed, low / allowed, np.minimum(high / allowed, 1 / self._walk.budget)

    def _long_run(self) -> Floats:
        rates = [self._expected(m) for m in self._walk.marks]
        return np.array([r.phi if r else m.phi for r, m in zip(rates, self._walk.marks, strict=True)])

    def _found(self, minutes: int) -> Floats:
        """The smallest burn that would be found within `minutes` of the traffic before the mark's hour."""
        tiers = tuple(t for lane in self._walk.lanes for t in lane.tiers)
        known = [(m.minute // HOUR, m.phi, self._ordinary(m), self._usual(m)) for m in self._walk.marks]
        asked = {key: i for i, key in enumerate(dict.fromkeys(known))}  # marks of one hour mostly ask the same
        hour, phi, hours, usual = (
            (np.array(x, dtype=np.float64) for x in zip(*asked, strict=True)) if asked else [np.zeros(0)] * 4
        )
        ends = hour.astype(np.int64) * HOUR - self._walk.minutes.first
        requests = np.maximum(self._walk.minutes.within(ends, minutes)[0], 0)
        seen = Traffic(requests / np.clip(ends, 1, minutes), usual, phi, hours, self._walk.budget)
        return smallest(tiers, seen, minutes)[[asked[key] for key in known]] if known else hour

    def _ordinary(self, mark: Mark) -> int:
        """Closed hours that the burst factor was read off."""
        known = max(0, mark.minute // HOUR - self._walk.hours.first)
        return min(DISPERSION_HOURS, known - int(mark.out[:known].sum()))

    def _usual(self, mark: Mark) -> float:
        """Bad share of ordinary hours, as long as it is known; what is allowed at most."""
        rates = self._expected(mark)
        return float(min(rates.share.mean(), self._walk.budget) if rates else self._walk.budget / 2)

    def _expected(self, mark: Mark) -> Rates | None:
        """What is to come, as known at the mark's hour."""
        hour, hours = mark.minute // HOUR, self._walk.hours
        key = hour, id(mark.out)
        if key not in self._rates:
            known = max(0, hour - hours.first)
            past = Past(hour, hours.total[:known], hours.bad[:known], mark.out[:known])
            self._rates[key] = expected(past, mark.phi, self._walk.budget)
        return self._rates[key]

    def at(self, i: int, firing: Firing | None) -> Stand:
        """How things stand at mark `i`, at which `firing` is on."""
        mark = self._walk.marks[i]
        asked, rates = span(self._walk.params, mark.minute), self._expected(mark)
        budget = self._account.budget(mark, asked, rates)
        share, low, high = left(budget, rates.phi if rates else mark.phi)
        details = {
            "total": int(budget.total), "bad": int(budget.bad), "sli": 1 - budget.bad / budget.total if budget.total else None,
            "budget_left": share, "budget_low": low, "budget_high": high, "budget_events": budget.allowed,
            "burn": {name: _number(burn[0][i], 0.0) for name, burn in self._burn.items()},
            "burn_low": {name: _number(burn[1][i]) for name, burn in self._burn.items()},
            "burn_high": {name: _number(burn[2][i]) for name, burn in self._burn.items()},
            "window": {"kind": asked.kind, "from": _iso(asked.start), "to": _iso(asked.end)},
            "forecast": self._forecast(asked, rates, i, firing), "gaps_s": self._account.gaps(mark, asked),
            "power": {name: _number(burn[i]) for name, burn in self._power.items()},
        }  # fmt: skip
        return Stand(int(budget.total), int(budget.bad), share, details)

    def _forecast(self, asked: Span, rates: Rates | None, i: int, firing: Firing | None) -> Json | None:
        """When the budget is gone, as of the last whole hour or, during an alarm, of the mark; None where nothing says what is to come."""
        mark = self._walk.marks[i]
        if rates is None:
            return None
        if firing is None:
            key = mark.minute // HOUR, id(mark.out), asked.start if asked.end else 0
            if key not in self._told:
                whole = replace(mark, minute=max(mark.minute // HOUR * HOUR, asked.start if asked.end else 0))
                self._told[key] = _said(
                    self._account.budget(whole, _moved(asked, whole.minute - mark.minute), rates),
                    rates,
                    "the last days",
                )
            return self._told[key]
        since = max(0, firing.onset.best - self._walk.minutes.first)
        total, bad = (int(x[0]) for x in self._walk.minutes.within(self.ends[i : i + 1], MEMORY, since))
        burning = rates.burning(min(1.0, bad / total), bad, mark.phi) if total > 0 and bad > 0 else rates
        return _said(self._account.budget(mark, asked, rates), burning, "since the onset")


def _moved(asked: Span, minutes: int) -> Span:
    """A rolling period as of some minutes later; a calendar's stays."""
    return asked if asked.end is not None else replace(asked, start=asked.start + minutes)


def _said(budget: Budget, rates: Rates, basis: str) -> Json | None:
    """A forecast as JSON; None where nothing is allowed or the period is over."""
    if budget.allowed <= 0 or budget.hours <= 0:
        return None
    found = forecast(budget, rates)
    ends = {"low": found.low[95], "high": found.high[95], "low_80": found.low[80], "high_80": found.high[80]}
    instants = {name: _ahead(budget.minute, hours) for name, hours in {"exhausted_at": found.best, **ends}.items()}
    times = {"from": _iso(budget.minute), "until": _iso(budget.minute + budget.hours * HOUR)}
    return {**instants, **times, "basis": basis, "path": found.path}


def _number(value: float, missing: float | None = None) -> float | None:
    return float(value) if np.isfinite(value) else missing


def _ahead(minute: int, hours: float) -> str | None:
    return _iso(minute + int(hours * HOUR)) if np.isfinite(hours) else None


def _iso(minute: int | None) -> str | None:
    return None if minute is None else datetime.fromtimestamp(minute * 60, UTC).isoformat()
