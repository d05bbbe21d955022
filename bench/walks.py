"""Streams of `bench.streams`, judged by `detectors.level` as the product judges them, and the alarms it raised.

Source: our own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import log

import numpy as np
from numpy.typing import NDArray

from bench import streams
from bench.streams import World
from detectors import scores, series
from detectors.level import Walk
from detectors.memory import Alarm
from detectors.series import Series
from observe.schema import Binning, Evidence, Monitor, Window

Floats = NDArray[np.float64]

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
LEVELS = {"share:a": (0, 35), "share:b": (35, 51), "share:c": (51, 59), "share:d": (59, 63)}  # bins: 55, 25, 13 and 6 %
NULL_D = 30
BINNING = Binning(
    "m/s/f@1", "m", "s", "f", "numeric", 1, (), None, (1000,) * streams.BINS, tuple(float(k) for k in range(101)), None, None, START
)  # fmt: skip


@dataclass(frozen=True)
class Watch:
    """What is watched of every feature: scores by weight, windows, the smallest effect; all share one alarm in 30 d."""

    weights: Mapping[str, float]
    features: int
    window_s: int = streams.HOUR_S
    min_effect: float = 0.1

    def threshold(self, score: str) -> float:
        """Evidence an alarm needs, nats: windows in 30 d times two sides over the score's part of one alarm."""
        part = self.weights[score] / sum(self.weights.values()) / self.features
        return log(2 * NULL_D * 86_400 / self.window_s / part)


@dataclass(frozen=True)
class Raised:
    """An alarm: when, epoch s, with the effect and its interval, sigma, as first told; the alarm itself goes on."""

    at: int
    effect: float
    ci_low: float
    ci_high: float
    alarm: Alarm


class Counted(Walk):
    """Judges as the product does and only notes when alarms were raised."""

    def watch(self) -> list[list[Raised]]:
        """Alarms of each monitor, in order of time."""
        self.slots[:] = 0  # all at midnight: one batch of fits a day
        self.raised: list[list[Raised]] = [[] for _ in self.monitors]
        self.run()
        return self.raised

    def _tell(self, end: int, *judged: object) -> None:
        for own, alarm in zip(self.raised, self.memory.alarms, strict=True):
            if alarm is not None and alarm.at == end:
                own.append(Raised(end, alarm.effect, alarm.ci_low, alarm.ci_high, alarm))


def totals(
    world: World, mean: Floats, names: Sequence[str], rng: np.random.Generator, scale: Floats | None = None
) -> Floats:
    """Sums of some scores, (T, S, scores), from one draw of rows with this mean and scale (by default 1)."""
    columns = np.stack([_column(name) for name in names], axis=1)
    wide = np.ones(mean.shape) if scale is None else scale
    drawn = [streams.counts(world, mean[:, i], wide[:, i], rng, i) @ columns for i in range(mean.shape[1])]
    return np.round(np.stack(drawn, axis=1) * 2.0**20) / 2.0**20


def _column(name: str) -> Floats:
    """Score of each bin; levels are stretches of bins."""
    even = np.ones(streams.BINS) * 1000
    if name not in LEVELS:
        return scores.shapes(even)[:, scores.SHAPES.index(name)]
    low, high = LEVELS[name]
    return scores.level(even, ((np.arange(streams.BINS) >= low) & (np.arange(streams.BINS) < high)).astype(float))


def products(world: World, rng: np.random.Generator) -> Floats:
    """Sums of products of two normal scores, (T, S, 1), whose correlation follows the world's mean around .38."""
    r, n = np.tanh(0.4 + world.mean), np.maximum(world.n, 1)
    drawn = ((1 + r) * rng.chisquare(n) - (1 - r) * rng.chisquare(n)) / 2  # xy = ((x + y)^2 - (x - y)^2) / 4
    found: Floats = np.round(np.where(world.n > 0, drawn, 0.0)[:, :, None] * 2.0**20) / 2.0**20
    return found


def judge(world: World, sums: Floats, names: Sequence[str], watch: Watch, windows: int) -> list[list[Raised]]:
    """Alarms in the last `windows` windows of every feature, score by score; arguments as of `walk`."""
    return walk(world, sums, names, watch, windows).watch()


def walk(world: World, sums: Floats, names: Sequence[str], watch: Watch, windows: int) -> Counted:
    """What will judge the last `windows` windows of every feature.

    Args:
        world: rows and windows.
        sums: of scores, (T, S, scores); location among them.
        names: of the scores.
        watch: which scores are judged, and how.
        windows: that are judged; what lies before is history.
    """
    steps, count = world.n.shape
    ts = int(START.timestamp()) + world.step_s * np.arange(steps)
    found, monitors = {}, []
    for i in range(count):
        seen, measure = world.n[:, i] > 0, f"m/s/f{i}"
        tenths = np.broadcast_to(np.zeros(1), (int(seen.sum()), scores.GROUPS))
        for k, name in enumerate(names):
            found[series.key(measure, name)] = Series(
                ts[seen], sums[seen, i, k], world.n[seen, i].astype(float), tenths, BINNING
            )
        monitors += [
            Monitor(
                f"m/level/f{i}/{name}", "m", "level", measure, f"f{i}", name, watch.window_s, "ticket",
                watch.threshold(name), 1.0, watch.min_effect, "sigma",
            )
            for name in watch.weights
        ]  # fmt: skip
    end = START + timedelta(seconds=steps * world.step_s)
    window = Window(end - timedelta(seconds=windows * watch.window_s), end)
    evidence = Evidence(tuple(monitors), window, None, {}, {})  # type: ignore[arg-type]
    return Counted(monitors, evidence, found, watch.window_s, {})
