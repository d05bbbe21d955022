"""Hours of an SLO drawn by seed: flat, with seasons, with a share that wanders, with bursts; and when its budget really ends.

Source: our own; the streams of METHODS section 10, as requests and bad requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from detectors.errorbudget import dispersion
from detectors.outlook import Budget, Forecast, Past, Rates, expected, forecast

DAY: Final = 24
PERIOD: Final = 30 * DAY  # hours
SHARE: Final = 0.01  # allowed


@dataclass(frozen=True)
class Stream:
    """What hours are drawn from: requests an hour, season, memory and spread of the log share, bad requests at a time."""

    rate: float = 3_000.0
    swing: float = 0.0
    weekend: float = 1.0
    memory: float = 0.0
    spread: float = 0.0
    burst: int = 1
    days: float = 0.0  # spread of the log traffic of days

    def draw(self, hours: int, burn: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Requests and bad requests of so many hours that burn the budget at `burn` on average."""
        at = np.arange(hours)
        level = (
            self.rate
            * (1 + self.swing * np.sin(2 * np.pi * at / DAY))
            * np.where(at // DAY % 7 >= 5, self.weekend, 1.0)
        )
        level *= np.exp(self.days * rng.standard_normal(hours // DAY + 1) - self.days**2 / 2).repeat(DAY)[:hours]
        n = rng.poisson(level)
        log = np.empty(hours)
        value = rng.standard_normal()
        for i, step in enumerate(rng.standard_normal(hours)):
            value = self.memory * value + np.sqrt(1 - self.memory**2) * step
            log[i] = value
        share = np.clip(burn * SHARE * np.exp(self.spread * log - self.spread**2 / 2), 0, 1)
        return n, np.minimum(n, self.burst * rng.poisson(n * share / self.burst))


STREAMS: Final[Mapping[str, Stream]] = {
    "flat": Stream(),
    "season": Stream(swing=0.8, weekend=0.5),
    "little traffic": Stream(rate=40.0, swing=0.8),
    "bursts of 20": Stream(burst=20),
    "memory of hours": Stream(memory=0.9, spread=0.5),
    "all of it": Stream(rate=600.0, swing=0.8, weekend=0.5, memory=0.9, spread=0.5, burst=10, days=0.15),
    "wanders for days": Stream(memory=0.99, spread=0.5),
}


@dataclass(frozen=True)
class Case:
    """One question: what was seen, what was said, and when the budget really ended, hours ahead."""

    said: Forecast
    truth: float

    def covered(self, level: int) -> bool:
        """Whether the interval holds the truth; never is never."""
        return self.said.low[level] <= self.truth <= self.said.high[level]


def calendar(stream: Stream, burn: float, seed: int) -> Case:
    """A calendar period of 30 d, asked at a drawn hour of its days 3 to 24, after 28 d of history or fewer."""
    rng = np.random.default_rng(seed)
    known = int(rng.integers(4, 29)) * DAY  # hours of history before the period
    n, bad = stream.draw(known + PERIOD, burn, rng)
    now = known + int(rng.integers(3 * DAY, 24 * DAY))
    rates = _rates(n, bad, now)
    coming = rates.ahead(now * 60, known + PERIOD - now)[0][-1]
    seen, failed = float(n[known:now].sum()), float(bad[known:now].sum())
    asked = Budget(now * 60, seen, failed, SHARE, known + PERIOD - now, SHARE * (seen + coming))
    spent = failed + np.concatenate([[0], np.cumsum(bad[now:])]) - SHARE * n[known:].sum()
    return Case(forecast(asked, rates), _ends(spent))


def rolling(stream: Stream, burn: float, seed: int) -> Case:
    """A rolling period of 30 d, asked after 31 d; what leaves it is known."""
    rng = np.random.default_rng(seed)
    now = 31 * DAY
    n, bad = stream.draw(now + PERIOD, burn, rng)
    start = now - PERIOD
    leaves = np.stack([np.concatenate([[0], np.cumsum(x[start:now])]) for x in (n, bad)]).astype(float)
    asked = Budget(now * 60, float(n[start:now].sum()), float(bad[start:now].sum()), SHARE, PERIOD, 0.0, leaves)
    asked = replace(asked, allowed=SHARE * asked.total)
    total, failed = (np.concatenate([[0], np.cumsum(x)]) for x in (n, bad))
    at = now + np.arange(PERIOD + 1)
    debt = failed[at] - failed[at - PERIOD] - SHARE * (total[at] - total[at - PERIOD])
    return Case(forecast(asked, _rates(n, bad, now)), _ends(debt))


def _rates(n: np.ndarray, bad: np.ndarray, now: int) -> Rates:
    out = np.zeros(now, dtype=np.bool_)
    phi = float(dispersion(n[:now], bad[:now], ~out)[-1])
    found = expected(Past(now, n[:now], bad[:now], out), phi, SHARE)
    assert found is not None
    return found


def _ends(debt: np.ndarray) -> float:
    over = np.flatnonzero(debt >= 0)
    return float(over[0]) if over.size else float("inf")
