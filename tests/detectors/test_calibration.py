"""False alarms are a test, not a hope: seeded nulls that are not the detectors' own model.

Each case judges 30 features for 10 days at a budget of one alarm in 30 d for 60 of them, so a sixth of
an alarm is declared; four or more would come from an honest system once in 50,000 times.
"""

import numpy as np
import polars as pl
import pytest
from streams import HISTORY_H, evidence, level_monitors, levels, raised, rate_monitor, rates, season, wander

from detectors import level, rate
from observe.schema import Monitor

pytestmark = pytest.mark.slow

DAY = 86_400
FEATURES, DAYS = 30, 10
ALLOWED = 1  # P(>= 2 | 1/6 declared) = 1.2 %


def null(kind: str) -> pl.DataFrame:
    rng = np.random.default_rng(101)
    hours = HISTORY_H + 24 * DAYS
    n = np.full((hours, FEATURES), 1000)
    means = wander(rng, hours, FEATURES, heavy=kind in {"heavy tails", "gaps"})
    if kind == "season":
        means = season(hours, 0.3, -0.1) + wander(rng, hours, FEATURES, tau=0.03)
    if kind == "gaps":
        n[rng.uniform(size=n.shape) < 0.05] = 0
        n[HISTORY_H + 40 : HISTORY_H + 52] = 0
    if kind == "low traffic":
        n = rng.poisson(6.0, n.shape)
    return levels(means, n, seed=102)


@pytest.mark.parametrize("kind", ["season", "heavy tails", "gaps", "low traffic"])
def test_level_streams_in_which_nothing_changes_keep_their_budget(kind: str) -> None:
    found = level.detect(
        evidence(level_monitors(FEATURES), null(kind), HISTORY_H * 3600, HISTORY_H * 3600 + DAYS * DAY)
    )

    assert len(raised(found)) <= ALLOWED


@pytest.mark.parametrize("kind", ["Poisson", "over-dispersed", "uneven traffic"])
def test_rate_streams_in_which_nothing_changes_keep_their_budget(kind: str) -> None:
    rng, count, windows = np.random.default_rng(103), 20, 24 * 12
    n = np.full((windows * 24, count), 800)
    if kind == "uneven traffic":
        n = rng.poisson(400 * (1 + 0.95 * np.cos(2 * np.pi * np.arange(windows * 24)[:, None] / windows)), n.shape)
    share = 0.005 * (rng.gamma(3.0, 1 / 3, n.shape) if kind == "over-dispersed" else 1.0)
    x = rng.poisson(n * share)
    monitors: list[Monitor] = [
        rate_monitor(f"s{i}", f"m/attempts/e{i}", float(np.log(30 * 288 * count))) for i in range(count)
    ]
    rows = pl.concat([rates(x[:, i], n[:, i], measure=f"m/attempts/e{i}") for i in range(count)])

    found = rate.detect(evidence(monitors, rows, 14 * DAY, 24 * DAY))

    assert len(raised(found)) <= ALLOWED
