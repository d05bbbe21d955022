"""What is learnt ahead for later weeks is what would have been learnt on its day."""

import numpy as np
import pytest
from streams import HISTORY_H, evidence, level_monitors, levels, scored, season, wander

from detectors import ahead, level
from detectors.evidence import deltas
from detectors.fitting import Asked, History, fit

DAY, HOUR = 86_400, 3_600
T0 = 1_767_571_200  # a Monday


def history(week: int, rng: np.random.Generator, streams: int = 3) -> tuple[History, Asked]:
    """30 d that end so many weeks later, with a season, a weekend, gaps and a location beside the score."""
    windows = 30 * 24
    at = T0 + 7 * DAY * week + HOUR * np.arange(windows)
    y = season(windows, 0.3, -0.2) + wander(rng, windows, streams)
    n = np.where(rng.random(y.shape) < 0.05, 0.0, rng.integers(200, 2000, y.shape))
    asked = Asked(
        np.stack([deltas(0.1)] * streams), int(at[-1]) + HOUR,
        np.full(streams, int(at[-1]) + HOUR) - np.array([0, 5, 0])[:streams] * DAY, ["location", "location", "spread"][:streams],
    )  # fmt: skip
    return History(y, n, at + HOUR // 2, HOUR, 0.1 * wander(rng, windows, streams)), asked


def test_histories_side_by_side_give_what_each_gives_alone() -> None:
    rng = np.random.default_rng(1)
    given = [history(week, rng) for week in range(3)]
    hours, asked = [h for h, _ in given], [a for _, a in given]

    together = ahead.fit_together(hours, hours, asked)

    for found, h, a in zip(together, hours, asked, strict=True):
        alone = fit(h, h, a)
        assert [f.at if f else None for f in found] == [a.at] * 3
        assert [f.dumped() if f else None for f in found] == [f.dumped() if f else None for f in alone]


@pytest.mark.slow
def test_a_long_past_judged_at_once_says_what_its_days_say_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, days = np.random.default_rng(2), 20
    hours = HISTORY_H + 72 + 24 * days
    means = season(hours, 0.3) + wander(rng, hours, 3)
    means[-10 * 24 :, 0] += 0.4  # an alarm
    means[-13 * 24 : -11 * 24, 1] += 0.4  # one that ends, and is left out of what is learnt from then on
    monitors = scored(level_monitors(3), "location", "spread")
    rows, start = levels(means, 800, seed=3), HISTORY_H + 72
    fits: list[int] = []
    whole = ahead.fit_together
    monkeypatch.setattr(ahead, "fit_together", lambda h, *rest: fits.append(len(h)) or whole(h, *rest))

    at_once = level.detect(evidence(monitors, rows, start * HOUR, hours * HOUR))
    found, state = [], {}
    for day in range(start, hours, 24):
        one = level.detect(evidence(monitors, rows, day * HOUR, (day + 24) * HOUR, state))
        found, state = found + list(one.findings), dict(one.state)

    assert max(fits) >= 3
    assert {f.state for f in at_once.findings} >= {"ok", "alarm"}
    assert sorted(map(repr, found)) == sorted(map(repr, at_once.findings))
    assert state == at_once.state
