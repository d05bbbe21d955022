"""Windows without rows, calls after a standstill, and alarms that pass: however windows are cut into calls, the same is found."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from streams import (
    HISTORY_H,
    START,
    binning,
    evidence,
    level_monitors,
    levelled,
    levels,
    raised,
    rate_monitor,
    rates,
    shaped,
    wander,
)  # fmt: skip

from bench.answers import START as LABELLED
from bench.answers import summed
from bench.performance import HISTORY_H as LABELLED_H
from bench.performance import monitors
from detectors import level, performance, rate
from observe.schema import Evidence, Finding, Window

HOUR, DAY, H = 3600, 86_400, 28 * 288


def read(asked: Evidence, detector=level) -> Evidence:
    """What the service reads for this call: rows since they are wanted, and all bins."""
    since = min(detector.since(m, asked.state.get(m.monitor_id, {}), asked.window) for m in asked.monitors)
    rows = asked.summaries.filter((pl.col("ts") >= since) & (pl.col("ts") < asked.window.end))
    return replace(asked, summaries=rows)


def called(asked: Evidence, hours: Sequence[int], detector=level) -> list[Finding]:
    """Findings of one call after the other, between the hours given since the history's end."""
    found, state = [], asked.state
    for low, high in pairwise(hours):
        at = [START + timedelta(hours=HISTORY_H + h) for h in (low, high)]
        said = detector.detect(read(replace(asked, window=Window(*at), state=state), detector))
        found, state = found + list(said.findings), said.state
    return found


@pytest.mark.parametrize(("effect", "unit"), [(0.12, "sigma"), (10.0, "%")])
def test_hours_without_rows_cost_no_evidence_whatever_the_unit_of_what_matters(effect: float, unit: str) -> None:
    means = wander(np.random.default_rng(3), HISTORY_H + 40, 1)
    means[HISTORY_H + 6 :] += 0.5
    rows = np.full(means.shape, 1000)
    rows[HISTORY_H + 7 :: 4] = 0
    asked = [replace(m, min_effect=effect, unit=unit) for m in level_monitors(1)]
    given = evidence(asked, levels(means, rows, seed=4), HISTORY_H * HOUR, (HISTORY_H + 40) * HOUR)

    hourly = called(given, range(41))

    assert hourly == list(level.detect(given).findings)
    assert "alarm" in {f.state for f in hourly}


def test_an_alarm_keeps_its_unit_in_an_hour_without_rows() -> None:
    share = np.where(np.arange(HISTORY_H + 32) < HISTORY_H + 6, 0.2, 0.26)
    own = np.random.default_rng(5).binomial(2000, share)
    counts = np.stack([own, 2000 - own, np.zeros_like(own)], axis=1)
    counts[HISTORY_H + 30] = 0
    asked = [replace(m, score="share:a", min_effect=2.0, unit="pp") for m in level_monitors(1)]
    rows, bins = shaped(lambda i: counts, len(share), 1), lambda m: levelled(m, (0.2, 0.8))
    given = evidence(asked, rows, HISTORY_H * HOUR, (HISTORY_H + 32) * HOUR, bins=bins)

    silent = called(given, range(33))[30]

    assert (silent.state, silent.n, silent.unit) == ("alarm", 0, "pp")
    assert 4.0 < silent.effect < 8.0


def test_a_feature_that_never_varied_is_still_one_in_an_hour_without_rows() -> None:
    rows = np.full((HISTORY_H + 12, 1), 500)
    rows[HISTORY_H + 5 : HISTORY_H + 8] = 0
    frame = levels(np.zeros(rows.shape), rows, seed=1)
    frame = frame.with_columns(
        low=pl.lit(2.0), high=pl.lit(2.0), counts=pl.concat_list("n").cast(frame.schema["counts"])
    )
    bins = lambda m: replace(binning(m), edges=(), reference=(10_000,), quantiles=(2.0,) * 101)  # noqa: E731
    given = evidence(level_monitors(1), frame, HISTORY_H * HOUR, (HISTORY_H + 12) * HOUR, bins=bins)

    states = [f.state for f in called(given, range(13))]

    assert states == ["ok"] * 5 + ["unknown"] * 3 + ["ok"] * 4


def test_a_state_of_the_other_kind_begins_anew() -> None:
    """A feature that never varied is judged as a rate; with other bins it is a level."""
    x = np.random.default_rng(1).binomial(1000, 0.01, H + 12)
    as_rate = evidence([rate_monitor()], rates(x, np.full(x.size, 1000)), 28 * DAY, 28 * DAY + HOUR)
    as_level = evidence(level_monitors(1), levels(np.zeros((HISTORY_H + 2, 1)), 500, 1), 28 * DAY, 28 * DAY + HOUR)
    [of_rate], [of_level] = (d.detect(e).state.values() for d, e in ((rate, as_rate), (level, as_level)))

    for detector, given, state in ((rate, as_rate, of_level), (level, as_level, of_rate)):
        other = replace(given, state={given.monitors[0].monitor_id: state})
        assert detector.detect(other).findings == detector.detect(given).findings


def test_hours_without_labels_end_no_alarm_about_a_models_performance() -> None:
    hours = LABELLED_H + 48
    hour = np.repeat(np.arange(hours), 200)
    wrong = np.random.default_rng(15).uniform(size=hour.size) < np.where(hour < LABELLED_H + 12, 0.01, 0.08)
    kept = (hour < LABELLED_H + 30) | (hour >= LABELLED_H + 32)
    frame, bins = summed("m0", "accuracy", hour[kept], wrong[kept].astype(float), hours)
    asked, states = tuple(m for m in monitors("m0") if m.feature == "accuracy"), [{}]
    for k in range(LABELLED_H, hours):
        span = Window(LABELLED + timedelta(hours=k), LABELLED + timedelta(hours=k + 1))
        given = Evidence(asked, span, frame.filter(pl.col("n") > 0), {bins.binning_id: bins}, states[-1])
        states.append(performance.detect(read(given, performance)).state)

    [before], [after] = states[30].values(), states[-1].values()
    assert before["engine"] == after["engine"] == "rate"
    assert before["of"]["alarm"]["at"] == after["of"]["alarm"]["at"]


def test_after_a_standstill_the_whole_history_is_learnt_from() -> None:
    means = wander(np.random.default_rng(3), HISTORY_H + 144, 1)
    means[HISTORY_H + 6 : HISTORY_H + 40] += 0.6
    given = evidence(level_monitors(1), levels(means, 1000, seed=4), HISTORY_H * HOUR, HISTORY_H * HOUR)

    stood = called(given, [*range(37), 144])

    assert stood == called(given, range(145))
    assert {f.state for f in stood[100:]} == {"ok"}


@pytest.mark.parametrize(("n", "before", "after"), [(2000, 0.002, 0.01), (200, 0.01, 0.05)])
def test_a_rate_that_is_back_to_normal_ends_its_alarm_within_days(n: int, before: float, after: float) -> None:
    share = np.full(H + 288 * 6, before)
    share[H + 60 : H + 132] = after
    x = np.random.default_rng(3).binomial(n, share)
    given = evidence([rate_monitor()], rates(x, np.full(x.size, n)), 28 * DAY, 34 * DAY)

    states = [f.state for f in rate.detect(given).findings]

    assert states[131] == "alarm"
    assert "alarm" not in states[131 + 4 * 288 :]


def test_a_quick_alarm_ends_within_days_too() -> None:
    means = wander(np.random.default_rng(3), H + 288 * 5, 2, rho=0.5 ** (1 / 12), tau=0.1)
    means[H + 60 : H + 132] += 2.5
    asked = level_monitors(2, window_s=300, min_effect=1.0)

    found = level.detect(evidence(asked, levels(means, 88, seed=4, window_s=300), 28 * DAY, 33 * DAY)).findings

    assert "alarm" in {f.state for f in found}
    assert "alarm" not in {f.state for f in found if f.window_end > START + timedelta(days=31)}


def test_events_of_an_announced_change_are_no_part_of_a_later_rise() -> None:
    share = np.full(H + 120, 0.002)
    share[H + 24 : H + 36], share[H + 60 :] = 0.3, 0.006
    x = np.random.default_rng(0).binomial(2000, share)
    given = evidence([rate_monitor()], rates(x, np.full(x.size, 2000)), 28 * DAY, 28 * DAY + 120 * 300)
    told = Window(*(START + timedelta(seconds=300 * (H + k)) for k in (24, 36)))

    [alarm] = raised(rate.detect(replace(given, expected={"m": (told,)})))

    assert alarm.onset == START + timedelta(seconds=300 * (H + 60))
    assert alarm.effect < 5


def test_a_quick_question_waits_for_its_history_as_long_as_the_hourly_one() -> None:
    means = wander(np.random.default_rng(1), 24 * 6 * 12, 1, rho=0.9 ** (1 / 12), tau=0.2)
    rows = levels(means, 200, seed=2, window_s=300)
    quick = level_monitors(1, window_s=300, min_effect=0.5)

    notes = [
        level.detect(evidence(m, rows, 5 * DAY, 5 * DAY + 2 * HOUR)).findings[-1].note
        for m in (quick, level_monitors(1))
    ]

    assert notes == ["f0: learning, 4 of 30 independent windows"] * 2


@pytest.mark.parametrize("hours", [[30, 60], list(range(30, 61))])
def test_what_is_accepted_from_before_the_onset_ends_the_alarm_too(hours: list[int]) -> None:
    means = wander(np.random.default_rng(3), HISTORY_H + 60, 1)
    means[HISTORY_H + 6 :] += 0.3
    given = evidence(level_monitors(1), levels(means, 1000, seed=4), HISTORY_H * HOUR, HISTORY_H * HOUR)
    before = level.detect(replace(given, window=Window(given.window.start, START + timedelta(hours=HISTORY_H + 30))))
    told = before.findings[-1]
    accepted = {told.monitor_id: told.onset_low - timedelta(hours=1)}

    states = [f.state for f in called(replace(given, accepted=accepted, state=before.state), hours)]

    assert told.state == "alarm"
    assert "alarm" not in states
    assert states[-1] == "ok"
