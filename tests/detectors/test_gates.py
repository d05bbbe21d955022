"""METHODS section 10 in short: nulls keep their budget and planted shifts are found in time, by exact bounds.

A count is held against what a system that just meets its gate would show: more alarms than Poisson allows with
99 %, or fewer shifts found in time than the binomial allows with 99 %, fail. Three budgets are read off one run,
since alarms of the smallest alone are so rare that only a gross mistake would show. The whole of it, with its
figures, is `bench/false_alarms.py` and `bench/rates.py`.
"""

from collections.abc import Iterable, Mapping
from itertools import count

import numpy as np
import polars as pl
import pytest
from scipy.special import bdtr, pdtrc
from streams import HISTORY_H, START, THRESHOLD, evidence, level_monitors, raised, rate_monitor, rates, shaped

from bench.rates import KINDS, observed
from bench.streams import STREAMS, World, counts, seen
from detectors import level, rate
from observe.schema import Detected, Finding, Monitor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SEED = 20_261_150
SURE = 0.01
DAY, HOUR = 86_400, 3_600
FEATURES, NULL_D, SHIFT_D = 60, 15, 3  # the budget is 1 alarm in 30 d for all 60
BUDGETS = (1, 4, 16)  # alarms in 30 d
WITHIN_A_DAY = 0.85
COVERED = 0.93


def most(expected: float) -> int:
    """The most alarms that a system shows with 99 % whose true rate is the budget."""
    return next(k for k in count() if pdtrc(k, expected) <= SURE)


def fewest(n: int, share: float) -> int:
    """The fewest of `n` trials that succeed with 99 % where this share of them does."""
    return next(k for k in range(n + 1) if bdtr(k, n, share) > SURE)


def rows_of(kind: str, world: World, mean: np.ndarray, rng: np.random.Generator) -> pl.DataFrame:
    """Summaries of a world; its 64 bins two by two."""

    def merged(stream: int) -> np.ndarray:
        fine = counts(world, mean[:, stream], 1.0, rng, stream)
        return fine.reshape(len(fine), -1, 2).sum(axis=2)

    return shaped(merged, *mean.shape)


def crossed(found: Detected, needed: float) -> int:
    """Streams whose evidence ever reached `needed`."""
    highest: dict[str, float] = {}
    for f in found.findings:
        highest[f.monitor_id] = max(highest.get(f.monitor_id, -np.inf), f.evidence_nats or 0.0)
    return sum(nats >= needed for nats in highest.values())


def overspent(found: Detected, threshold: float, months: float) -> list[tuple[int, int, int]]:
    """Budgets that were exceeded: alarms in 30 d, alarms seen, and how many it may be at most.

    Args:
        found: of a null at one alarm in 30 d.
        threshold: its nats.
        months: how many times 30 d were judged.
    """
    told = [(allowed, crossed(found, threshold - np.log(allowed)), most(allowed * months)) for allowed in BUDGETS]
    told.append((1, len(raised(found)), most(months)))
    return [(allowed, seen, limit) for allowed, seen, limit in told if seen > limit]


@pytest.mark.parametrize("kind", ["season", "ar.5", "t3", "sink"])
def test_level_streams_in_which_nothing_changes_keep_small_and_large_budgets(kind: str) -> None:
    rng = np.random.default_rng([SEED, list(STREAMS).index(kind)])
    world = World.of(STREAMS[kind], HOUR, HISTORY_H + 24 * NULL_D, FEATURES, rng)
    span = (HISTORY_H * HOUR, (HISTORY_H + 24 * NULL_D) * HOUR)

    found = level.detect(evidence(level_monitors(FEATURES), rows_of(kind, world, world.mean, rng), *span))

    assert overspent(found, THRESHOLD, NULL_D / 30) == []


@pytest.mark.parametrize(
    ("kind", "size", "windows"),
    [("season", 0.25, 6), ("ar.5", 0.25, 18), ("t3", 0.25, 16), ("sink", 0.25, 15), ("season", 0.5, 6), ("t3", 0.5, 6)],
)
def test_a_planted_shift_is_found_in_time_with_an_interval_that_holds_it(kind: str, size: float, windows: int) -> None:
    rng = np.random.default_rng([SEED, list(STREAMS).index(kind), int(100 * size)])
    hours = HISTORY_H + 24 * SHIFT_D
    world = World.of(STREAMS[kind], HOUR, hours, FEATURES, rng)
    at = HISTORY_H + rng.integers(1, 24, FEATURES)
    mean = world.mean + size * (np.arange(hours)[:, None] >= at)

    found = level.detect(
        evidence(level_monitors(FEATURES), rows_of(kind, world, mean, rng), HISTORY_H * HOUR, hours * HOUR)
    )

    late = delays(raised(found), {f"m/level/f{i}/location": int(at[i]) for i in range(FEATURES)})
    assert sum(d <= windows for d in late.values()) >= fewest(len(late), 0.5)
    assert sum(d <= 24 for d in late.values()) >= fewest(len(late), WITHIN_A_DAY)
    true = float(seen(STREAMS[kind], np.array([size]))[0])
    last = {f.monitor_id: f for f in found.findings if f.state == "alarm" and f.monitor_id in late}
    held = sum((f.ci_low or 0.0) <= true <= (f.ci_high or 0.0) for f in last.values())
    assert held >= fewest(len(last), COVERED)


def delays(alarms: Iterable[Finding], begun: Mapping[str, int], step_s: int = HOUR) -> dict[str, float]:
    """Windows from each change to its alarm, infinite where there is none; streams that alarmed before are left out."""
    ends = {f.monitor_id: (f.window_end - START).total_seconds() / step_s for f in reversed(list(alarms))}
    late = {i: ends.get(i, np.inf) - window for i, window in begun.items()}
    return {i: d for i, d in late.items() if d > 0}


STREAM_COUNT, RATE_D, WINDOWS = 20, 10, 288  # rate streams, judged days, windows of five minutes a day
RATE_HISTORY = 14 * WINDOWS
RATE_THRESHOLD = float(np.log(30 * WINDOWS * STREAM_COUNT))


def judged(x: np.ndarray, n: np.ndarray) -> Detected:
    """What is found in rate streams, (windows, streams), after a fortnight of history."""
    names = [f"m/attempts/e{i}" for i in range(x.shape[1])]
    monitors: list[Monitor] = [rate_monitor(f"s{i}", name, RATE_THRESHOLD) for i, name in enumerate(names)]
    x, n = x.astype(np.int64), n.astype(np.int64)
    summaries = pl.concat([rates(x[:, i], n[:, i], measure=name) for i, name in enumerate(names)])
    return rate.detect(evidence(monitors, summaries, RATE_HISTORY * 300, len(x) * 300))


def test_rate_streams_that_wander_keep_small_and_large_budgets() -> None:
    kind, rng, windows = KINDS["log-ar.7"], np.random.default_rng([SEED, 100]), RATE_HISTORY + RATE_D * WINDOWS
    share = np.exp(rng.uniform(np.log(0.0005), np.log(0.02), STREAM_COUNT)) * kind.factor(windows, STREAM_COUNT, rng)
    n = np.full(share.shape, 1000.0)

    found = judged(observed(kind, share, n, rng), n)

    assert overspent(found, RATE_THRESHOLD, RATE_D / 30) == []


def test_ten_times_as_many_errors_are_found_in_three_windows() -> None:
    rng, streams, windows = np.random.default_rng([SEED, 101]), 40, RATE_HISTORY + 36
    at = RATE_HISTORY + rng.integers(1, 12, streams)
    n = np.full((windows, streams), 1000.0)
    share = np.where(np.arange(windows)[:, None] >= at, 0.01, 0.001)

    found = judged(observed(KINDS["poisson"], share, n, rng), n)

    late = delays(raised(found), {f"m/rate/error/s{i}": int(at[i]) for i in range(streams)}, 300)
    assert sum(d <= 3 for d in late.values()) >= fewest(len(late), 0.5)
    assert sum(d <= WINDOWS for d in late.values()) >= fewest(len(late), WITHIN_A_DAY)
