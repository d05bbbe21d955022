"""When a budget is gone: what is said is what comes, as often as it says."""

from dataclasses import replace

import numpy as np
import pytest
from budgets import STREAMS, calendar, rolling

from detectors.outlook import Budget, Past, Rates, expected, forecast

RATES = Rates(np.full(24, 1_000.0), np.full(24, 0.02), 0.1, 0.1, 2.0, 20.0)


def past(n: np.ndarray, bad: np.ndarray, out: np.ndarray | None = None) -> Past:
    return Past(n.size, n, bad, np.zeros(n.size, dtype=np.bool_) if out is None else out)


def month(bad: float, hours: int = 480, allowed: float = 7_200.0) -> Budget:
    return Budget(0, 240_000.0, bad, 0.01, hours, allowed)


def test_a_steady_burn_ends_the_budget_when_arithmetic_says() -> None:
    said = forecast(month(4_800.0), RATES)  # 2,400 left, 20 bad an hour

    assert said.best == pytest.approx(120.0)
    assert said.low[95] < said.low[80] < 120 < said.high[80] < said.high[95]


def test_a_budget_that_lasts_is_not_before_the_end() -> None:
    said = forecast(month(100.0, hours=100), replace(RATES, share=np.full(24, 0.001)))

    assert (said.best, said.low[95], said.high[95]) == (np.inf, np.inf, np.inf)


def test_a_spent_budget_is_gone_now() -> None:
    assert forecast(month(7_300.0), RATES).best == 0.0


def test_bad_requests_that_leave_a_rolling_period_give_budget_back() -> None:
    leaves = np.stack([np.arange(101) * 1_000.0, np.minimum(np.arange(101), 10) * 90.0])
    kept = Budget(0, 100_000.0, 950.0, 0.01, 100, 1_000.0, leaves)
    rates = replace(RATES, share=np.full(24, 0.008), level_cv=0.0, traffic_cv=0.0)

    assert forecast(kept, rates).best == np.inf
    assert forecast(replace(kept, leaves=np.zeros_like(leaves)), replace(rates, share=np.full(24, 0.02))).best < 10


def test_the_path_starts_at_what_is_left_and_widens() -> None:
    path = np.array(forecast(month(4_800.0), RATES).path)

    assert path[0].tolist() == pytest.approx([0.0, 1 / 3, 1 / 3, 1 / 3], abs=1e-3)
    assert (np.diff(path[:, 3] - path[:, 2]) > 0).all()


def test_requests_to_come_follow_the_hour_of_the_day_and_later_the_week() -> None:
    hours = np.arange(21 * 24)
    n = np.where(hours % 24 < 12, 100, 300) * np.where(hours // 24 % 7 >= 5, 0, 1)
    known = expected(past(n, n // 100), 1.0, 0.01)

    assert known is not None
    assert known.requests[:3].tolist() == pytest.approx([100, 100, 100])
    assert known.requests[12] == pytest.approx(300)
    assert known.requests[5 * 24 : 7 * 24].sum() == 0


def test_hours_of_an_incident_do_not_come_again() -> None:
    n, bad, out = np.full(240, 1_000), np.full(240, 5), np.zeros(240, dtype=np.bool_)
    bad[200:210], out[200:210] = 800, True
    calm, torn = expected(past(n, bad, out), 1.0, 0.01), expected(past(n, bad), 1.0, 0.01)

    assert calm is not None
    assert torn is not None
    assert calm.share.mean() == pytest.approx(0.005, rel=0.05)
    assert torn.share.mean() > 3 * calm.share.mean()


def test_without_requests_nothing_is_to_come() -> None:
    assert expected(past(np.zeros(48, dtype=np.int64), np.zeros(48, dtype=np.int64)), 1.0, 0.01) is None
    assert expected(past(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)), 1.0, 0.01) is None


def test_hours_that_late_rows_took_back_are_not_expected() -> None:
    n, bad = np.full(72, 100), np.ones(72, dtype=np.int64)
    n[70], bad[70] = -50, -3
    known = expected(past(n, bad), 1.0, 0.01)

    assert known is not None
    assert (known.requests >= 0).all()
    assert (known.share > 0).all()


def test_a_burn_goes_on_at_its_own_share() -> None:
    burning = RATES.burning(0.3, 900.0, 4.0)

    assert forecast(month(4_800.0), burning).best == pytest.approx(8.0)
    assert burning.level_cv == pytest.approx(1 / 15)


@pytest.mark.parametrize("name", ["flat", "season", "little traffic", "bursts of 20", "memory of hours", "all of it"])
def test_intervals_hold_the_end_of_the_budget_as_often_as_they_say(name: str) -> None:
    cases = [
        period(STREAMS[name], burn, seed)
        for period, burn in ((calendar, 1.3), (calendar, 2.5), (rolling, 0.9))
        for seed in range(1, 61)
    ]

    assert np.mean([c.covered(95) for c in cases]) >= 0.92
    assert np.mean([c.covered(80) for c in cases]) >= 0.77
