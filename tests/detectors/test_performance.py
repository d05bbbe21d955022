"""Performance by labels: losses are found in the unit of the metric, a budget is kept, and no labels are no news."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from streams import raised

from bench.answers import KINDS, START, Kind, answered, losses, many, summed
from bench.performance import HISTORY_H, alarms, judged, monitors
from detectors import performance
from observe.schema import Detected, Evidence, Finding, Window

pytestmark = pytest.mark.slow


def newest(found: Detected, metric: str) -> Finding:
    return [f for f in found.findings if f.subject == metric][-1]


@pytest.fixture(scope="module")
def lost() -> Detected:
    """One model that loses 5 pp of accuracy a day after its history."""
    return judged(KINDS["iid"], 1, 11, 72, turned=0.05 / 0.7)


def test_a_loss_of_accuracy_is_found_in_pp_with_its_interval(lost: Detected) -> None:
    found = newest(lost, "accuracy")

    assert (found.kind, found.state, found.unit) == ("performance", "alarm", "pp")
    assert found.effect == pytest.approx(-5, abs=1.5)
    assert found.ci_low is not None
    assert found.ci_high is not None
    assert found.ci_low < found.effect < found.ci_high < 0
    assert found.note.startswith("accuracy 0.8")


def test_what_a_window_says_alone_stands_beside_it(lost: Detected) -> None:
    found = next(f for f in lost.findings if f.subject == "accuracy")

    assert found.details["labelled"] == found.n
    assert found.details["value"] == pytest.approx(0.85, abs=0.06)


def test_a_model_that_is_as_good_as_ever_alarms_nobody() -> None:
    found = judged(KINDS["season"], 2, 12, 5 * 24)

    assert raised(found) == []  # a third of an alarm is declared


def test_better_answers_are_no_alarm_of_accuracy() -> None:
    rng, hours = np.random.default_rng(13), HISTORY_H + 72
    rows = answered(Kind(), np.zeros(hours), 400, rng, turned=np.where(np.arange(hours) < HISTORY_H, 0.1, 0.0))
    frame, binning = summed("m0", "accuracy", rows.hour, losses(rows)["accuracy"], hours)
    asked = tuple(m for m in monitors("m0") if m.feature == "accuracy")
    window = Window(START + timedelta(hours=HISTORY_H), START + timedelta(hours=hours))
    found = performance.detect(Evidence(asked, window, frame, {binning.binning_id: binning}, {}))

    assert {f.state for f in found.findings} == {"ok"}


def test_other_questions_move_accuracy_and_not_calibration() -> None:
    found = judged(KINDS["iid"], 1, 14, 72, moved=-0.5)

    assert "m0/performance/calibration" not in alarms(found)


def test_few_wrong_answers_are_judged_as_a_rate_and_told_as_accuracy() -> None:
    rng, hours = np.random.default_rng(15), HISTORY_H + 72
    n = 200
    hour = np.repeat(np.arange(hours), n)
    wrong = (rng.uniform(size=hour.size) < np.where(hour < HISTORY_H + 24, 0.01, 0.06)).astype(float)
    frame, binning = summed("m0", "accuracy", hour, wrong, hours)
    asked = tuple(m for m in monitors("m0") if m.feature == "accuracy")
    evidence = Evidence(
        asked,
        Window(START + timedelta(hours=HISTORY_H), START + timedelta(hours=hours)),
        frame,
        {binning.binning_id: binning},
        {},
    )
    found = performance.detect(evidence)
    last = newest(found, "accuracy")

    assert next(iter(found.state.values()))["engine"] == "rate"
    assert (last.state, last.unit) == ("alarm", "pp")
    assert last.effect == pytest.approx(-5, abs=2)


def test_an_hour_without_labels_is_unknown() -> None:
    rng, hours = np.random.default_rng(16), HISTORY_H + 5
    rows = answered(Kind(), np.zeros(HISTORY_H), 300, rng)
    frame, binning = summed("m0", "accuracy", rows.hour, losses(rows)["accuracy"], hours)
    asked = tuple(m for m in monitors("m0") if m.feature == "accuracy")
    window = Window(START + timedelta(hours=HISTORY_H), START + timedelta(hours=hours))
    found = performance.detect(Evidence(asked, window, frame, {binning.binning_id: binning}, {}))

    assert [(f.state, f.note) for f in found.findings] == [("unknown", "accuracy: no labels in this hour")] * 5


def test_windows_in_two_calls_are_judged_as_in_one() -> None:
    names = ["m0"]
    rng, hours = np.random.default_rng(17), HISTORY_H + 48

    def one(name: str) -> list:
        rows = answered(Kind(), np.zeros(hours), 300, rng)
        return [summed(name, metric, rows.hour, values, hours) for metric, values in losses(rows).items()]

    frame, binnings = many(names, one)
    start, middle, end = (START + timedelta(hours=h) for h in (HISTORY_H, HISTORY_H + 20, hours))
    whole = Evidence(tuple(monitors("m0")), Window(start, end), frame, binnings, {})
    once = performance.detect(whole)
    first = performance.detect(replace(whole, window=Window(start, middle)))
    second = performance.detect(replace(whole, window=Window(middle, end), state=first.state))

    twice = sorted((*first.findings, *second.findings), key=lambda f: (f.monitor_id, f.window_end))
    assert [(f.state, f.evidence_nats) for f in twice] == [
        (f.state, f.evidence_nats) for f in sorted(once.findings, key=lambda f: (f.monitor_id, f.window_end))
    ]
