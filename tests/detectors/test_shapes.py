"""Spread, shape, shares and pairs: what is found, what it is called, and what is not mistaken for it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from scipy.special import ndtr
from streams import (
    HISTORY_H,
    START,
    binning,
    drawn,
    evidence,
    level_monitors,
    levelled,
    levels,
    pair_binning,
    paired,
    raised,
    scored,
    shaped,
    wander,
)

from detectors import gates, level, verdict
from detectors.verdict import Judged, Known
from observe.schema import Detected, Finding, Monitor, Window

DAY, HISTORY = 86_400, HISTORY_H * 3600
HOURS, AT = HISTORY_H + 48, HISTORY_H + 10
AFTER = (np.arange(HOURS) >= AT)[:, None]
ONE = level_monitors(1)
ALL = scored(ONE, "location", "spread", "third", "fourth")


def judged(cdf: Callable[[np.ndarray], np.ndarray], monitors: tuple[Monitor, ...] = ALL, days: int = 2) -> Detected:
    rng = np.random.default_rng(31)
    rows = shaped(lambda _: drawn(rng, cdf, 1000), HOURS, 1)
    return level.detect(evidence(monitors, rows, HISTORY, HISTORY + days * DAY))


def scores_of(found: Detected) -> set[str]:
    return {f.monitor_id.rsplit("/", 1)[1] for f in raised(found)}


def last(found: Detected, score: str) -> Finding:
    return [f for f in found.findings if f.monitor_id.endswith(score)][-1]


MU = wander(np.random.default_rng(30), HOURS, 1, tau=0.05)


def test_a_wider_distribution_is_told_as_a_ratio_with_its_middle_half() -> None:
    found = judged(lambda e: ndtr((e - MU) / (1 + 0.3 * AFTER)))
    told = last(found, "spread")

    assert "location" not in scores_of(found)
    assert (told.state, told.unit) == ("alarm", "ratio")
    assert told.effect == pytest.approx(1.3, abs=0.04)
    assert "times as wide (middle half" in told.note
    assert told.details["iqr_to"] > 1.15 * told.details["iqr_from"]


def test_two_humps_with_the_same_mean_and_variance_are_found_by_the_shape_alone() -> None:
    k = 0.8 * AFTER
    s = np.sqrt(1 - k**2)
    found = judged(lambda e: (ndtr((e - MU - k) / s) + ndtr((e - MU + k) / s)) / 2)

    assert "fourth" in scores_of(found)
    assert "location" not in scores_of(found)
    assert "two humps" in last(found, "fourth").note


@pytest.mark.parametrize("size", [0.15, 0.8])
def test_a_moving_location_raises_neither_spread_nor_shape(size: float) -> None:
    found = judged(lambda e: ndtr(e - MU - size * AFTER))

    assert scores_of(found) <= {"location"}
    if size == 0.8:
        assert last(found, "spread").state == "unknown"
        assert "not judged while the location" in last(found, "spread").note


def test_the_share_of_a_level_is_told_in_percent_and_percentage_points() -> None:
    rng = np.random.default_rng(33)
    rows = shaped(lambda _: rng.multinomial(1000, np.where(AFTER, (0.44, 0.51, 0.05), (0.31, 0.64, 0.05))), HOURS, 1)
    asked = evidence(scored(ONE, "share:a"), rows, HISTORY, HISTORY + 2 * DAY, bins=lambda m: levelled(m, (0.31, 0.64)))
    told = level.detect(asked).findings[-1]

    assert (told.state, told.unit) == ("alarm", "pp")
    assert told.effect == pytest.approx(13.0, abs=1.0)
    assert told.note == "share of `a` in f0 31 % → 44 %"


def test_features_that_come_apart_are_found_by_their_correlation() -> None:
    rng = np.random.default_rng(34)
    rows = paired(0.52 - 0.21 * AFTER[:, 0] + rng.normal(0, 0.05, HOURS), 1000)
    pair = replace(ONE[0], measure="m/predictions/f0*f1", feature="f0 × f1", score="pair")
    told = level.detect(evidence((pair,), rows, HISTORY, HISTORY + 2 * DAY, bins=pair_binning)).findings[-1]

    assert (told.state, told.unit) == ("alarm", "correlation")
    assert told.note.startswith("correlation of f0 × f1 0.5")
    assert told.effect == pytest.approx(-0.21, abs=0.04)


def test_a_pair_whose_windows_hold_rows_that_are_alike_is_only_shown() -> None:
    rng = np.random.default_rng(38)
    shared = wander(rng, HOURS, 2, tau=1.0).prod(axis=1)  # one product an hour, whatever the rows
    apart = 0.4 + rng.normal(0, 0.14, HOURS)
    pair = replace(ONE[0], measure="m/predictions/f0*f1", feature="f0 × f1", score="pair")
    asked = [
        evidence((pair,), paired(means, 60), HISTORY, HISTORY + DAY, bins=pair_binning) for means in (shared, apart)
    ]
    alike, usual = (level.detect(each).findings[-1] for each in asked)

    assert (alike.state, alike.severity, usual.state) == ("inform_only", "inform", "ok")
    assert "where the rows of a window are alike missed their gate" in alike.note


def test_a_score_that_two_values_cannot_have_is_not_identifiable() -> None:
    rng = np.random.default_rng(35)
    rows = shaped(lambda _: rng.multinomial(500, (0.3, 0.7), HOURS), HOURS, 1)
    two = lambda m: replace(binning(m), edges=(1.0,), reference=(30, 70))  # noqa: E731

    found = level.detect(evidence(scored(ONE, "location", "spread"), rows, HISTORY, HISTORY + DAY, bins=two))

    assert last(found, "location").state == "ok"
    assert last(found, "spread").state == "not_identifiable"
    assert "too few distinct values" in last(found, "spread").note


def shift(size: float = 0.6):
    means = wander(np.random.default_rng(36), HISTORY_H + 96, 1, tau=0.05)
    means[AT:] += size
    return levels(means, 1000, seed=37)


def test_an_accepted_level_ends_the_alarm_and_is_learnt_anew() -> None:
    asked = evidence(ONE, shift(), HISTORY, HISTORY + 4 * DAY)
    accepted = {ONE[0].monitor_id: START + timedelta(hours=HISTORY_H + 30)}

    states = [f.state for f in level.detect(replace(asked, accepted=accepted)).findings]

    assert states[29] == "alarm"
    assert states[30:54] == ["learning"] * 24
    assert "alarm" not in states[30:]
    assert states[-1] == "ok"


def test_an_alarm_ends_when_its_level_is_accepted_from_where_the_change_was_over() -> None:
    """That instant lies before the alarm: it takes hours to be sure."""
    asked = evidence(ONE, shift(), HISTORY, HISTORY + 4 * DAY)
    seen_at = START + timedelta(hours=HISTORY_H + 30)
    before = level.detect(replace(asked, window=Window(asked.window.start, seen_at)))
    told = before.findings[-1]
    raised = next(f.window_end for f in before.findings if f.state == "alarm")
    assert told.state == "alarm"
    assert told.onset_high is not None
    assert told.onset_high < raised

    rest = replace(
        asked,
        window=Window(seen_at, asked.window.end),
        state=before.state,
        accepted={ONE[0].monitor_id: told.onset_high},
    )
    states = [f.state for f in level.detect(rest).findings]

    assert "alarm" not in states
    assert states[0] == "learning"
    assert "ok" in states


def test_an_announced_change_is_neither_judged_nor_learnt_from() -> None:
    means = wander(np.random.default_rng(38), HISTORY_H + 48, 1, tau=0.05)
    means[AT : AT + 20] += 1.5
    asked = evidence(ONE, levels(means, 1000, seed=39), HISTORY, HISTORY + 2 * DAY)
    span = Window(START + timedelta(hours=AT), START + timedelta(hours=AT + 20))

    quiet = level.detect(replace(asked, expected={"m": (span,)})).findings

    assert [f.state for f in quiet[10:30]] == ["expected"] * 20
    assert {f.state for f in (*quiet[:10], *quiet[30:])} == {"ok"}
    assert "alarm" in {f.state for f in level.detect(asked).findings}


def test_a_class_that_missed_its_gate_is_shown_and_disturbs_nobody() -> None:
    missed = tuple(replace(row, met=False) for row in gates.TABLE)

    assert gates.missed("location", 3600, gates.Kind(0.5, 1000.0, 1.0)) is None
    assert "missed their gate" in str(gates.missed("location", 3600, gates.Kind(0.5, 1000.0, 1.0), missed))
    assert "not been measured" in str(gates.missed("location", 3600, gates.Kind(0.99, 1000.0, 1.0)))


def test_the_shape_of_windows_whose_rows_are_alike_is_only_shown() -> None:
    weather, requests = gates.Kind(0.8, 60.0, 0.9), gates.Kind(0.8, 60.0, 0.02)

    assert "where the rows of a window are alike missed their gate" in str(gates.missed("third", 3600, weather))
    assert gates.missed("third", 3600, requests) is None
    assert gates.missed("location", 3600, weather) is None


def test_shares_and_pairs_that_remember_for_hours_are_only_shown() -> None:
    short, long = gates.Kind(0.6, 1000.0, 0.02), gates.Kind(0.85, 1000.0, 0.02)

    assert [gates.missed(score, 3600, short) for score in ("share:visa", "pair", "spread")] == [None] * 3
    assert all(
        "remember for hours missed their gate" in str(gates.missed(s, 3600, long)) for s in ("share:visa", "pair")
    )
    assert gates.missed("spread", 3600, long) is None


def test_an_alarm_that_is_only_shown_says_why() -> None:
    found = level.detect(evidence(ONE, shift(), HISTORY, HISTORY + DAY))
    state = found.state[ONE[0].monitor_id]
    from detectors.fitting import Fit
    from detectors.memory import Alarm

    wandering = replace(Fit.loaded(state["fit"]), hourly_rho=0.99)
    known = Known.of(ONE[0], None, (wandering, Alarm(**state["alarm"])), Judged(0.6, 1000.0, 0.0, 0.01, 0.1), 20.0)

    assert known.state == "inform_only"


@pytest.mark.parametrize(("nats", "said"), [(2.0, "as expected"), (55.0, "moved, but by less than what is to be told")])
def test_evidence_that_suffices_for_a_change_too_small_to_tell_is_not_called_as_expected(
    nats: float, said: str
) -> None:
    from detectors.fitting import Fit

    state = level.detect(evidence(ONE, shift(0.0), HISTORY, HISTORY + 7200)).state[ONE[0].monitor_id]
    window = (Judged(0.1, 1000.0, 0.0, 0.01, 0.1), np.zeros(10))
    found = verdict.finding(ONE[0], None, (Fit.loaded(state["fit"]), None), HISTORY, nats, window)

    assert found.state == "ok"
    assert said in found.note


def test_a_budget_that_the_history_cannot_vouch_for_says_how_much_would_do() -> None:
    asked = tuple(replace(m, threshold_nats=900.0) for m in ONE)
    told = level.detect(evidence(asked, shift(0.0), HISTORY, HISTORY + 7200)).findings[-1]

    assert told.state == "ok"  # 28 days are enough for most
    few = level.detect(evidence(asked, shift(0.0), 100 * 3600, 102 * 3600)).findings[-1]
    assert few.state == "learning"
    assert "windows of history, there are 10" in few.note


def test_the_smallest_change_found_in_a_day_is_told_in_the_users_unit() -> None:
    found = judged(lambda e: ndtr(e - MU), days=1)
    by_score = {s: last(found, s).details for s in ("location", "spread")}

    assert by_score["location"]["min_detectable_24h_units"] > 1.0  # of a median of 31
    assert 1.0 < by_score["spread"]["min_detectable_24h_units"] < 1.6  # a ratio
