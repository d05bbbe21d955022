"""A canary: unchanged ones are left alone however long one looks, worse ones are found in minutes, good ones are told so."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from detectors import canary, sequential
from detectors.sequential import GRID, RATIOS, Clumps, Counts
from observe.schema import Detected, Evidence, Monitor, Window

T0 = datetime(2026, 3, 2, tzinfo=UTC)
BEFORE = 120  # minutes of the old version alone


def monitor(rollback_at: float = 2.0, **more: float) -> Monitor:
    params = {"by": "deployment", "rollback_at": rollback_at, **more}
    return Monitor(
        "chat/canary/deployment",
        "chat",
        "canary",
        "",
        "deployment",
        "canary",
        60,
        "ticket",
        4.6,
        0.0,
        None,
        "ratio",
        params,
    )


def rows(
    minutes: int, shares: dict[str, tuple[float, float]], seed: int = 1, requests: float = 60.0, version: str = "v2"
) -> pl.DataFrame:
    """A tenth of the traffic goes to the canary after two hours; shares of events by question: old version, canary."""
    rng, found = np.random.default_rng(seed), []
    for i in range(BEFORE + minutes):
        n = int(rng.poisson(requests)) if i >= BEFORE else 0
        m = int(rng.poisson(9 * requests))
        for question, (old, new) in shares.items():
            found.append(
                (
                    "chat",
                    T0 + timedelta(minutes=i),
                    version,
                    question,
                    int(rng.binomial(n, new)),
                    n,
                    int(rng.binomial(m, old)),
                    m,
                )
            )
    return pl.DataFrame(
        found, ["model", "ts", "canary", "question", "canary_x", "canary_n", "baseline_x", "baseline_n"], orient="row"
    ).with_columns(canary_sum=pl.lit(None, pl.Float64), baseline_sum=pl.lit(None, pl.Float64))


def judged(frame: pl.DataFrame, asked: Monitor | None = None, **more: Any) -> Detected:
    last = frame["ts"].max()
    assert isinstance(last, datetime)
    window = Window(T0 + timedelta(minutes=BEFORE), last + timedelta(minutes=1))
    return canary.detect(
        replace(Evidence((asked or monitor(),), window, pl.DataFrame(), {}, {}, {"canary_1m": frame}), **more)
    )


def test_a_canary_with_three_times_the_errors_is_worse_within_half_an_hour_and_says_by_how_much() -> None:
    alarms = [
        f
        for f in judged(rows(60, {"error": (0.01, 0.03), "latency:ttft_s:p99": (0.01, 0.01)})).findings
        if f.state == "alarm"
    ]

    first, last = alarms[0], alarms[-1]
    assert first.window_end <= T0 + timedelta(minutes=BEFORE + 30)
    assert first.onset == T0 + timedelta(minutes=BEFORE)
    assert last.ci_low is not None
    assert last.ci_high is not None
    assert last.ci_low <= 3.0 <= last.ci_high
    assert "v2 is worse: errors" in first.note
    assert first.details["e_value"] >= 100


def test_one_that_is_worse_by_less_than_asks_for_a_rollback_is_told_and_alarms_nobody() -> None:
    found = judged(rows(600, {"error": (0.05, 0.075)}), monitor(rollback_at=3.0)).findings

    assert {f.state for f in found if f.window_end > T0 + timedelta(hours=6)} == {"ok"}
    assert found[-1].details["decision"] == "worse"
    assert "less than the 3x that asks for a rollback" in found[-1].note


def test_one_that_is_as_good_is_told_so_and_until_then_how_many_requests_it_needs() -> None:
    found = judged(rows(600, {"error": (0.02, 0.02), "latency:ttft_s:p90": (0.1, 0.1)})).findings
    waiting = [f.details["needed"] for f in found if f.details["decision"] == "waiting"]

    assert found[-1].details["decision"] == "good"
    assert waiting[0] > waiting[-1] > 0
    assert "needs about" in found[0].note


def test_predictions_that_moved_count_in_both_directions() -> None:
    fewer = judged(rows(120, {"error": (0.01, 0.01), "prediction:10": (0.1, 0.03)})).findings

    assert fewer[-1].details["decision"] == "worse"
    assert fewer[-1].details["question"] == "prediction:10"


def test_an_alarm_ends_when_the_canary_answers_nobody_any_more() -> None:
    worse = rows(40, {"error": (0.01, 0.1)})
    alone = rows(30, {"error": (0.01, 0.01)}, requests=60.0).filter(pl.col("canary_n") == 0)
    after = alone.with_columns(pl.col("ts") + timedelta(minutes=BEFORE + 40))
    found = judged(pl.concat([worse, after])).findings

    assert "alarm" in {f.state for f in found}
    assert (found[-1].state, found[-1].window_end) == ("ok", T0 + timedelta(minutes=BEFORE + 40 + 15))
    assert "no longer answer side by side" in found[-1].note


@pytest.mark.parametrize("cut", [41, 54, 55, 56, 70])
def test_an_alarm_ends_once_even_where_no_row_comes_any_more_and_wherever_windows_are_cut(cut: int) -> None:
    worse, state, told = rows(40, {"error": (0.01, 0.1)}), {}, []
    for low, high in ((BEFORE, BEFORE + cut), (BEFORE + cut, BEFORE + 120)):
        window = Window(T0 + timedelta(minutes=low), T0 + timedelta(minutes=high))
        found = canary.detect(Evidence((monitor(),), window, pl.DataFrame(), {}, state, {"canary_1m": worse}))
        told, state = told + list(found.findings), dict(found.state)

    assert [(f.state, f.window_end) for f in told][-1] == ("ok", T0 + timedelta(minutes=BEFORE + 40 + 15))
    assert sum("no longer answer" in f.note for f in told) == 1


def paired(differing: float, minutes: int = 120) -> pl.DataFrame:
    rng = np.random.default_rng(6)
    agreement = [
        (
            "chat",
            T0 + timedelta(minutes=BEFORE + i),
            "v2",
            "agreement",
            int(rng.binomial(20, differing)),
            20,
            0,
            0,
            None,
            None,
        )
        for i in range(minutes)
    ]
    errors = rows(minutes, {"error": (0.01, 0.01)})
    return pl.concat([errors, pl.DataFrame(agreement, schema=errors.schema, orient="row")]).sort("ts")


def test_versions_that_disagree_more_than_was_declared_are_told_apart() -> None:
    found = judged(paired(0.1), monitor(disagree=0.02, within=0.0)).findings[-1]

    assert found.state == "alarm"
    assert "v2 differs: answers unlike the old version's" in found.note
    assert "2 % may be" in found.note
    assert found.ci_low is not None
    assert found.ci_high is not None
    assert found.ci_low <= 0.1 / 0.02 <= found.ci_high


def test_agreement_that_is_asked_no_more_is_forgotten() -> None:
    asked = monitor(disagree=0.02, within=0.0)
    state = judged(paired(0.1), asked).state
    later = (
        rows(30, {"error": (0.01, 0.01)}).with_columns(pl.col("ts") + timedelta(hours=4)).filter(pl.col("canary_n") > 0)
    )
    window = Window(T0 + timedelta(hours=4), T0 + timedelta(hours=8))
    found = canary.detect(Evidence((monitor(),), window, pl.DataFrame(), {}, state, {"canary_1m": later})).findings

    assert {f.state for f in found} <= {"learning", "ok"}


def test_versions_that_disagree_as_often_as_was_declared_alarm_nobody() -> None:
    assert "alarm" not in {f.state for f in judged(paired(0.02, 600), monitor(disagree=0.02, within=0.0)).findings}


def test_predictions_that_became_rare_are_worth_a_rollback_like_frequent_ones() -> None:
    rare = judged(rows(240, {"error": (0.01, 0.01), "prediction:1": (0.3, 0.01)})).findings

    assert rare[-1].state == "alarm"
    assert "v2 differs: predictions in the lowest tenth" in rare[-1].note


def test_another_version_starts_afresh() -> None:
    first = rows(60, {"error": (0.01, 0.05)})
    second = rows(60, {"error": (0.01, 0.01)}, seed=2, version="v3").with_columns(
        pl.col("ts") + timedelta(minutes=BEFORE + 60)
    )
    found = judged(pl.concat([first, second])).findings

    assert {f.subject for f in found} == {"v2", "v3"}
    assert {f.state for f in found if f.subject == "v3"} == {"learning"}


def test_without_traffic_on_both_sides_nothing_is_said() -> None:
    assert judged(rows(30, {"error": (0.01, 0.01)}, requests=0.0)).findings == ()


def test_events_that_come_in_threes_count_a_third_at_most() -> None:
    rng, clumps = np.random.default_rng(3), Clumps()
    for _ in range(600):
        clumps.add(3.0 * rng.poisson(1.5), 450.0)

    assert 3.0 < clumps.phi() < 5.0


def test_the_interval_holds_at_all_times_at_once_and_narrows() -> None:
    rng = np.random.default_rng(4)
    n, m = np.full(2000, 50.0), np.full(2000, 450.0)
    counts = Counts(rng.poisson(n * 0.02).astype(float), n, rng.poisson(m * 0.01).astype(float), m)
    sums = np.cumsum(sequential.gained(counts, np.ones(2000)), axis=0)
    intervals = [sequential.interval(sums[t]) for t in (0, 60, 600, 1999)]

    assert all(low <= 2.0 <= high for _, low, high in intervals)
    assert np.all(np.diff([high - low for _, low, high in intervals[1:]]) < 0)


@pytest.mark.slow
def test_unchanged_canaries_looked_at_every_minute_are_called_worse_in_one_of_a_hundred_at_most() -> None:
    rng, worse, weeks = np.random.default_rng(5), 0, 300
    at = [int(np.abs(GRID - r).argmin()) for r in RATIOS]
    for _ in range(weeks):
        n, m = rng.poisson(50, 2880).astype(float), rng.poisson(450, 2880).astype(float)
        share = 0.01 * (1 + 0.9 * np.sin(2 * np.pi * np.arange(2880) / 1440))
        counts = Counts(rng.poisson(n * share).astype(float), n, rng.poisson(m * share).astype(float), m)
        ll = np.cumsum(sequential.gained(counts, np.ones(2880)), axis=0)[:, at]
        worse += bool((np.exp(ll).mean(axis=1) >= 100).any())

    assert worse <= 8  # a system of exactly 1 % shows more in one run of 250
