"""Events of an SLO by closed hour: what its budget, its burst factor, its gaps and its outlook are made from.

Minutes are kept for three days, hours for the objective's period. A minute is a gap when nothing was
told of it while requests usually come: a run of minutes without a summary in which the same hours of
the days before had at least 20 requests. A gap is neither good nor bad.

Source: our own; METHODS section 6.
Assumes: traffic repeats by the day; a run of silence that long is no chance (e**-20 for independent requests).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.errorbudget import HOUR, Floats, Ints, Minutes, dispersion
from observe.schema import Json

Bools = NDArray[np.bool_]
LOST: Final = 20.0  # requests usually seen in a run of silent minutes from which on it is a gap
_DAYS: Final = 28  # days before that say what is usual
_LEAST_DAYS: Final = 3  # of them, before anything is called missing


@dataclass(slots=True)
class Hours:
    """Events by closed hour; hours of an incident are `out`, `gap` counts the minutes nothing is known of."""

    first: int
    total: Ints
    bad: Ints
    gap: Ints
    out: Bools  # one more: the hour that is still open
    _held: Bools | None = None

    @classmethod
    def of(cls, minutes: Minutes, start: int, state: Json) -> Hours:
        """Past hours from `state`, later ones from `minutes`; `start` is the first minute ever judged."""
        first, past = state.get("first", start // HOUR), state.get("n", [])
        edges = np.arange(first + len(past), (minutes.first + minutes.size) // HOUR + 1) * HOUR - minutes.first
        total = np.concatenate([np.array(past, dtype=np.int64), np.diff(minutes.total[edges])])
        bad = np.concatenate([np.array(state.get("bad", []), dtype=np.int64), np.diff(minutes.bad[edges])])
        hours = cls(first, total, bad, np.zeros(total.size, dtype=np.int64), np.zeros(total.size + 1, dtype=np.bool_))
        hours.out[[h - first for h in state.get("out", ())]] = True
        for hour, lost in state.get("gap", ()):
            hours.gap[hour - first] = lost
        for i in range(len(past), total.size):
            opened = (first + i) * HOUR - minutes.first
            hours.gap[i] = hours.lost(minutes, opened, opened + HOUR)
        return hours

    def lost(self, minutes: Minutes, start: int, end: int) -> int:
        """Minutes of [start, end), positions within one hour, that are gaps, as far as was known at `end`."""
        silent = minutes.silent[start:end]
        after = np.append(silent[1:], 0)[: silent.size]
        last = np.flatnonzero((silent > 0) & (after == 0))
        usual = self._usual((minutes.first + start) // HOUR) if last.size else 0.0
        long = last[silent[last] * usual >= LOST] if usual > 0 else last[:0]
        return int(np.minimum(silent[long], long + 1).sum())

    def _usual(self, hour: int) -> float:
        """Requests a minute in this hour of the day: the median of the days before, 0 while these are few."""
        before = self.total[max(0, hour - self.first - 24 * _DAYS) : max(0, hour - self.first)][::-1][23::24]
        return float(np.median(before)) / HOUR if before.size >= _LEAST_DAYS else 0.0

    def leave_out(self, start: int, end: int) -> None:
        """The hours of minutes [start, end) belong to an incident."""
        mine = slice(max(0, start // HOUR - self.first), (end - 1) // HOUR - self.first + 1)
        if not self.out[mine].all():
            self.out[mine] = True
            self._held = None

    def left_out(self) -> Bools:
        """Which hours are out by now; what it gives never changes."""
        if self._held is None:
            self._held = self.out.copy()
        return self._held

    def phi(self) -> Floats:
        """Burst factor by hour, `phi[h - first]` from the hours before h."""
        return dispersion(self.total, self.bad, ~self.out[:-1])

    def normal(self, hour: int, budget: float) -> float:
        """Bad share of ordinary hours before `hour`, between a twentieth of the budget and the budget."""
        use = ~self.out[: max(0, hour - self.first)]
        n, bad = int(self.total[: use.size][use].sum()), int(self.bad[: use.size][use].sum())
        return float(np.clip((bad + 0.5) / (n + 0.5 / budget), budget / 20, budget))

    def state(self, keep: int) -> dict[str, Any]:
        """The newest `keep` hours as JSON."""
        drop = max(0, self.total.size - keep)
        out = [self.first + int(i) for i in np.flatnonzero(self.out) if i >= drop]
        return {
            "first": self.first + drop,
            "n": self.total[drop:].tolist(),
            "bad": self.bad[drop:].tolist(),
            "out": out,
            "gap": [[self.first + int(i), int(self.gap[i])] for i in np.flatnonzero(self.gap) if i >= drop],
        }
