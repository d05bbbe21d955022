import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from streams import HISTORY_H, START, binning, evidence, level_monitors, levels, raised, season, wander

from detectors import level
from observe.schema import Evidence, Window

DAY = 86_400
HISTORY = HISTORY_H * 3600


def shifted(
    size: float, kind: str, count: int = 12, hours: int = HISTORY_H + 48, at: int = HISTORY_H + 30
) -> pl.DataFrame:
    rng = np.random.default_rng(11)
    means = (
        season(hours, 0.3, -0.1) + wander(rng, hours, count, tau=0.03)
        if kind == "season"
        else wander(rng, hours, count)
    )
    means[at:] += size
    return levels(means, 1000, seed=12)


@pytest.mark.parametrize("kind", ["season", "ar.5"])
def test_a_shift_of_half_a_sigma_is_found_within_six_windows(kind: str) -> None:
    rows, monitors = shifted(0.5, kind), level_monitors(12)

    found = raised(level.detect(evidence(monitors, rows, HISTORY, HISTORY + 2 * DAY)))

    begun = START + timedelta(hours=HISTORY_H + 30)
    assert len(found) == 12
    assert np.median([(f.window_end - begun) / timedelta(hours=1) for f in found]) <= 6


def test_an_alarm_says_what_moved_how_much_and_since_when() -> None:
    found = level.detect(evidence(level_monitors(1), shifted(0.42, "ar.5", 1), HISTORY, HISTORY + 2 * DAY)).findings[-1]

    assert found.state == "alarm"
    assert found.note.startswith("f0 moved +0.")
    assert "σ (median 31 → 4" in found.note
    assert found.ci_low is not None
    assert found.ci_low < 0.42 < (found.ci_high or 0)
    assert found.onset_low is not None
    assert found.onset_low <= START + timedelta(hours=HISTORY_H + 30) <= (found.onset_high or START)
    assert {
        "median_from",
        "median_to",
        "psi",
        "unit_effect",
        "score",
        "delta_sigma",
        "rho",
        "tau",
        "phi",
        "min_detectable_24h",
    } <= set(found.details)


def test_a_shift_down_is_an_alarm_too() -> None:
    found = level.detect(evidence(level_monitors(1), shifted(-0.6, "season", 1), HISTORY, HISTORY + 2 * DAY)).findings[
        -1
    ]

    assert (found.state, found.note[:9]) == ("alarm", "f0 moved ")
    assert (found.effect or 0) < -0.4


def test_every_window_of_every_monitor_has_one_finding() -> None:
    rows = levels(wander(np.random.default_rng(1), HISTORY_H + 5, 2), 500, seed=2)

    found = level.detect(evidence(level_monitors(2), rows, HISTORY, HISTORY + 5 * 3600)).findings

    assert len(found) == 10
    assert len({f.finding_id for f in found}) == 10
    assert [f.window_end for f in found[:5]] == [START + timedelta(hours=HISTORY_H + h) for h in range(1, 6)]


def test_windows_judged_one_at_a_time_give_what_one_call_gives() -> None:
    rows, monitors = shifted(0.5, "season", 3), (*level_monitors(3), *fast(2))
    whole = level.detect(evidence(monitors, rows, HISTORY, HISTORY + 2 * DAY))

    state, found = {}, []
    for hour in range(48):
        window = Window(START + timedelta(hours=HISTORY_H + hour), START + timedelta(hours=HISTORY_H + hour + 1))
        since = min(level.since(m, state.get(m.monitor_id, {}), window) for m in monitors)
        some = rows.filter((pl.col("ts") >= since) & (pl.col("ts") < window.end))
        given = replace(evidence(monitors, some, 0, 0, state), window=window)
        step = level.detect(given)
        state = json.loads(json.dumps(step.state))
        found += step.findings

    assert sorted(found, key=lambda f: (f.monitor_id, f.window_end)) == sorted(
        whole.findings, key=lambda f: (f.monitor_id, f.window_end)
    )
    assert state == json.loads(json.dumps(whole.state))


def fast(count: int) -> tuple:
    return tuple(
        replace(m, monitor_id=m.monitor_id + "_fast", window_s=1800) for m in level_monitors(count, min_effect=1.0)
    )


def test_the_order_of_rows_is_no_matter() -> None:
    rows, monitors = shifted(0.5, "ar.5", 2), level_monitors(2)

    one = level.detect(evidence(monitors, rows, HISTORY, HISTORY + DAY))
    other = level.detect(evidence(monitors, rows.sample(fraction=1.0, shuffle=True, seed=3), HISTORY, HISTORY + DAY))

    assert one == other


def test_a_window_is_never_judged_twice() -> None:
    rows, monitors = shifted(0.5, "ar.5", 1), level_monitors(1)
    first = level.detect(evidence(monitors, rows, HISTORY, HISTORY + DAY))

    again = level.detect(evidence(monitors, rows, HISTORY, HISTORY + DAY, first.state))

    assert again.findings == ()
    assert again.state == first.state


def test_without_monitors_nothing_is_found() -> None:
    found = level.detect(evidence((), levels(np.zeros((3, 1)), 10, seed=1), 0, 3 * 3600))

    assert (found.findings, found.state) == ((), {})


def test_a_feature_without_summaries_is_learning() -> None:
    found = level.detect(evidence(level_monitors(1), levels(np.zeros((3, 1)), 10, seed=1).clear(), 0, 3 * 3600))

    assert [f.state for f in found.findings] == ["learning"] * 3


def test_the_first_day_is_learning_and_later_windows_are_judged() -> None:
    rows = levels(np.zeros((72, 1)), 500, seed=4)

    states = [f.state for f in level.detect(evidence(level_monitors(1), rows, 0, 3 * DAY)).findings]

    assert set(states[:24]) == {"learning"}
    assert states[-1] == "ok"


def test_what_is_normal_is_learnt_from_the_last_so_long() -> None:
    means = wander(np.random.default_rng(5), HISTORY_H + 24, 1)
    means[: 24 * 14] += 0.5  # 28 d of history, lower in its second half
    rows, [monitor] = levels(means, 1000, seed=6), level_monitors(1)
    short = replace(monitor, params={**monitor.params, "reference": {"kind": "last", "last_s": 10 * DAY}})
    learnt = {}
    for asked in (monitor, short):
        state = level.detect(evidence([asked], rows, HISTORY, HISTORY + DAY)).state[asked.monitor_id]["fit"]
        learnt[asked is short] = state["known"]

    assert learnt[True] <= 24 * (10 + 2) < 24 * 25 <= learnt[False]  # the newest two days are known, and not learnt


def test_a_random_walk_is_said_to_be_not_identifiable() -> None:
    walk = np.cumsum(np.random.default_rng(5).standard_normal((HISTORY_H + 24, 1)) * 0.05, axis=0)

    found = level.detect(evidence(level_monitors(1), levels(walk, 1000, seed=6), HISTORY, HISTORY + DAY)).findings

    assert {f.state for f in found} == {"not_identifiable"}
    assert "not identifiable" in found[0].note


def test_an_alarm_stays_on_until_a_day_has_been_calm() -> None:
    means = wander(np.random.default_rng(7), HISTORY_H + 144, 1)
    means[HISTORY_H + 10 : HISTORY_H + 30] += 0.8
    rows = levels(means, 1000, seed=8)

    found = level.detect(evidence(level_monitors(1), rows, HISTORY, HISTORY + 6 * DAY)).findings

    alarmed = [i for i, f in enumerate(found) if f.state == "alarm"]
    assert alarmed == list(range(alarmed[0], alarmed[-1] + 1))
    assert 54 <= alarmed[-1] < 143
    assert found[-1].state == "ok"


@pytest.mark.parametrize("shares", [(1.0, 0.0), (0.5, 0.5), (0.98, 0.02)])
def test_histories_of_one_or_two_values_are_judged_without_a_crash(shares: tuple[float, float]) -> None:
    rng = np.random.default_rng(9)
    counts = rng.multinomial(100, shares, HISTORY_H + 24)
    rows = levels(np.zeros((HISTORY_H + 24, 1)), 100, seed=1).with_columns(
        counts=pl.Series(counts.tolist(), dtype=pl.List(pl.Int64))
    )
    reference = replace(
        binning("m/predictions/f0"), edges=(0.5,), reference=tuple(int(10_000 * s) for s in shares), quantiles=None
    )

    given = replace(
        evidence(level_monitors(1), rows, HISTORY, HISTORY + DAY), binnings={reference.binning_id: reference}
    )

    assert [f.state for f in level.detect(given).findings if f.state == "alarm"] == []


def test_a_constant_that_changes_is_found_by_its_extremes() -> None:
    rows = levels(np.zeros((HISTORY_H + 24, 1)), 100, seed=1)
    values = np.where(np.arange(rows.height) >= HISTORY_H + 10, 3.0, 2.0)
    rows = rows.with_columns(low=pl.Series(values), high=pl.Series(values), counts=pl.Series([[100]] * rows.height))
    constant = replace(binning("m/predictions/f0"), edges=(), reference=(10_000,), quantiles=(2.0,) * 101)

    given = replace(evidence(level_monitors(1), rows, HISTORY, HISTORY + DAY), binnings={constant.binning_id: constant})
    found = raised(level.detect(given))

    assert len(found) == 1
    assert found[0].window_end <= START + timedelta(hours=HISTORY_H + 12)
    assert "off its constant" in found[0].note


def test_windows_without_rows_are_told_and_are_not_fine() -> None:
    rows = levels(wander(np.random.default_rng(3), HISTORY_H, 1), 500, seed=2)

    found = level.detect(evidence(level_monitors(1), rows, HISTORY, HISTORY + 6 * 3600)).findings

    assert [f.n for f in found] == [0] * 6
    assert {(f.state, f.note) for f in found} == {("unknown", "f0: no rows")}
    assert found[0].effect is None


def test_an_alarm_of_a_slow_leak_says_where_the_newest_window_is() -> None:
    hours = HISTORY_H + 24 * 12
    means = wander(np.random.default_rng(1), hours, 1)
    means[HISTORY_H:, 0] += np.linspace(0.0, 1.0, 24 * 12)

    found = level.detect(evidence(level_monitors(1), levels(means, 1000, seed=2), HISTORY, hours * 3600))

    assert "in this window" not in raised(found)[0].note
    assert (found.findings[-1].effect or 0) < 0.5
    assert found.findings[-1].note.partition("; in this window: f0 moved +")[2][:3] in ("0.9", "1.0", "1.1")


def test_windows_without_rows_do_not_end_an_alarm() -> None:
    rows = shifted(0.5, "ar.5", 1).filter(pl.col("ts") < START + timedelta(hours=HISTORY_H + 40))

    found = level.detect(evidence(level_monitors(1), rows, HISTORY, HISTORY + 2 * DAY)).findings

    assert {f.state for f in found if f.n == 0} == {"alarm"}


def test_history_is_wanted_only_when_a_fit_is_due() -> None:
    monitor = level_monitors(1)[0]
    rows = levels(wander(np.random.default_rng(3), HISTORY_H + 2, 1), 500, seed=2)
    start = START + timedelta(hours=HISTORY_H)
    state = level.detect(evidence((monitor,), rows, HISTORY, HISTORY + 3600)).state[monitor.monitor_id]

    asked = [level.since(monitor, {}, Window(start, start + timedelta(hours=1)))]
    asked += [
        level.since(
            monitor,
            {**state, "until": int((start + timedelta(hours=h)).timestamp())},
            Window(start + timedelta(hours=h), start + timedelta(hours=h + 1)),
        )
        for h in range(1, 24)
    ]

    late = [a < start - timedelta(days=28) for a in asked]
    assert late[0]
    assert sum(late[1:]) < 23


def test_a_quick_stream_finds_a_shift_of_two_sigma_in_five_minute_windows() -> None:
    hours = HISTORY_H // 2
    means = np.repeat(wander(np.random.default_rng(1), hours + 4, 1), 12, axis=0)
    means[hours * 12 + 6 :] += 2.0
    rows = levels(means, 60, seed=2, window_s=300)

    found = raised(
        level.detect(evidence(level_monitors(1, 300, 1.0, 14.5), rows, hours * 3600, hours * 3600 + 4 * 3600))
    )

    assert len(found) == 1
    assert found[0].window_end <= START + timedelta(hours=hours, minutes=30 + 12 * 5)


def test_a_quick_stream_finds_a_shift_where_five_minutes_wander_too() -> None:
    steps = 12 * (HISTORY_H // 2 + 8)
    means = wander(np.random.default_rng(1), steps, 2, rho=0.5 ** (1 / 12))
    means[-12 * 6 :, 0] += 1.5
    rows = levels(means, 83, seed=2, window_s=300)

    found = raised(level.detect(evidence(level_monitors(2, 300, 1.0, 14.5), rows, HISTORY // 2, steps * 300)))

    assert [f.subject for f in found] == ["f0"]
    assert found[0].window_end <= START + timedelta(minutes=5 * (steps - 12 * 6) + 120)


def test_a_sure_shift_that_is_smaller_than_what_matters_is_no_alarm() -> None:
    hours = HISTORY_H // 2
    means = np.repeat(wander(np.random.default_rng(1), hours + 8, 1), 12, axis=0)
    means[hours * 12 + 6 :] += 0.4
    rows = levels(means, 60, seed=2, window_s=300)
    span = (hours * 3600, hours * 3600 + 8 * 3600)

    assert raised(level.detect(evidence(level_monitors(1, 300, 1.0, 14.5), rows, *span))) == []
    assert len(raised(level.detect(evidence(level_monitors(1, 300, 0.1, 14.5), rows, *span)))) == 1


def test_late_deltas_are_added_before_a_window_is_judged() -> None:
    rows = levels(wander(np.random.default_rng(1), HISTORY_H + 1, 1), 500, seed=2)
    half = rows.with_columns(counts=pl.col("counts").list.eval(pl.element() // 2))
    rest = rows.with_columns(counts=pl.col("counts").list.eval(pl.element() - pl.element() // 2), late=pl.lit(True))

    one: Evidence = evidence(level_monitors(1), rows, HISTORY, HISTORY + 3600)

    assert level.detect(one) == level.detect(replace(one, summaries=pl.concat([half, rest])))
