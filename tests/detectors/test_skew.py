"""Training–serving skew: what differs from the training file is told once, what only wanders is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cache

import polars as pl
import pytest

from bench.skew import CHANGES, COLUMNS, DAYS, KINDS, QUESTIONS, START, Change, alarms, evidence
from detectors import skew
from observe.schema import Detected, Evidence, Finding, Monitor, Window

WEEKS = 21


def file(e: Evidence, **changed: object) -> Evidence:
    """The same with another training file."""
    rows = e.frames["training"].with_columns(pl.lit(value).alias(name) for name, value in changed.items())
    return replace(e, frames={"training": rows.cast(dict(COLUMNS))})


def only(e: Evidence, feature: str) -> Evidence:
    return replace(e, monitors=tuple(m for m in e.monitors if m.feature == feature))


@cache
def served(change: str = "", kind: str = "season", days: int = WEEKS) -> Evidence:
    return evidence(KINDS[kind], 1, 5, days, CHANGES.get(change, Change()))


def last(found: Detected, feature: str = "f0") -> Finding:
    return [f for f in found.findings if f.subject == feature][-1]


def test_a_number_that_is_served_higher_alarms_with_its_size_and_interval() -> None:
    found = last(skew.detect(only(served("number .5 σ"), "f0")))

    assert (found.kind, found.state, found.unit) == ("skew", "alarm", "σ")
    assert found.ci_low is not None
    assert found.ci_high is not None
    assert found.ci_low < 0.5 < found.ci_high
    assert "higher by 0.4" in found.note
    assert "σ in what is served than in training (median" in found.note
    assert found.onset == START


def test_a_feature_that_is_never_filled_is_told_after_the_first_whole_day() -> None:
    found = skew.detect(only(served("all missing"), "f0"))

    assert found.findings[0].state == "alarm"
    assert found.findings[0].note == "f0: missing values 100 % of what is served, 0 % in training"


def test_a_share_that_moved_is_told_in_pp() -> None:
    found = last(skew.detect(only(served("share +5 pp"), "f10")), "f10")

    assert (found.state, found.unit) == ("alarm", "pp")
    assert found.effect == pytest.approx(5, abs=1.5)
    assert found.note.startswith("f10: share of `")


def test_what_is_served_as_it_was_trained_is_fine_only_once_a_difference_can_be_excluded() -> None:
    states = [f.state for f in skew.detect(only(served(), "f1")).findings]

    assert states[0] == "learning"
    assert states[-1] == "ok"
    assert "alarm" not in states


def test_one_file_raises_a_feature_once_and_another_file_anew() -> None:
    e, newest = only(served("number .5 σ"), "f0"), START + timedelta(days=WEEKS - 1)
    first = skew.detect(replace(e, window=Window(START, newest)))
    rest = replace(e, window=Window(newest, e.window.end), state=first.state)
    same, again = skew.detect(rest), skew.detect(file(rest, fingerprint="f2"))

    assert [len(days) for days in alarms(first).values()] == [1]
    assert same.state["m0/skew/f0"]["raised"]["at"] < again.state["m0/skew/f0"]["raised"]["at"]
    assert {f.state for f in again.findings} == {"alarm"}
    assert again.state["m0/skew/f0"]["raised"]["file"] == "f2"


def test_an_alarm_ends_when_what_is_served_is_like_the_file_again() -> None:
    e = only(served("number 1 σ"), "f0")
    mended = only(served(), "f0").summaries.filter(pl.col("ts") >= START + timedelta(days=14))
    mixed = pl.concat([e.summaries.filter(pl.col("ts") < START + timedelta(days=14)), mended])
    states = [f.state for f in skew.detect(replace(e, summaries=mixed)).findings]

    assert states[13] == "alarm"
    assert states[-1] != "alarm"
    assert states.index("alarm") < len(states) - 1 - states[::-1].index("alarm")


def test_what_a_person_accepts_is_told_and_alarms_no_more_for_this_file() -> None:
    e = only(served("number .5 σ"), "f0")
    found = skew.detect(replace(e, accepted={"m0/skew/f0": START + timedelta(days=20)}))

    assert last(found).state == "inform_only"
    assert last(found).severity == "inform"
    assert last(found).note.endswith("; accepted")


@pytest.mark.parametrize(
    ("changed", "state", "said"),
    [
        ({"error": "there is no such file", "feature": "", "counts": None}, "unknown", "cannot be read: there is no such file"),
        ({"feature": "another"}, "unknown", "has no such column, nothing to compare with"),
        ({"kind": "text", "counts": None}, "alarm", "text in the training file train.parquet, numbers in what is served"),
        ({"counts": [1] * 32}, "too_few", "fewer than 100 rows"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_compared_says_why_and_is_never_fine(
    changed: dict[str, object], state: str, said: str
) -> None:
    e = only(served(days=3), "f0")
    rows = e.frames["training"].filter(pl.col("feature") == "f0")
    found = last(skew.detect(file(replace(e, frames={"training": rows}), **changed)))

    assert found.state == state
    assert said in found.note


def test_a_level_the_file_does_not_have_is_counted_as_skew() -> None:
    e = only(served(), "f10")
    rows = e.frames["training"].filter(pl.col("feature") == "f10")
    found = last(skew.detect(file(replace(e, frames={"training": rows}), counts=[60_000, 40_000, 0, 0])), "f10")

    assert found.state == "alarm"
    assert "levels the file does not have 1" in found.note


def test_numbers_that_do_not_overlap_at_all_differ() -> None:
    e = only(served(days=8), "f0")
    rows = e.frames["training"].filter(pl.col("feature") == "f0")
    found = last(skew.detect(file(replace(e, frames={"training": rows}), counts=[100_000, *[0] * 31])))

    assert found.state == "alarm"
    assert found.effect is not None
    assert found.effect > 2.5


def test_days_of_an_announced_change_are_left_out() -> None:
    e = only(served("number 1 σ"), "f0")
    found = skew.detect(replace(e, expected={"m0": (Window(START, START + timedelta(days=WEEKS)),)}))

    assert {f.state for f in found.findings} == {"unknown"}


def test_a_listed_column_that_is_never_served_is_a_counted_fact() -> None:
    e = served(days=2)
    rows = e.frames["training"].with_columns(served=pl.col("feature").is_in(["f1", "f2"]).not_())
    asked = Monitor("m0/skew/(columns)", "m0", "skew", "", "(columns)", "columns", 86_400, "ticket", 0.0, 0.0, params={"listed": ["f1"]})  # fmt: skip
    found = skew.detect(replace(e, monitors=(asked,), frames={"training": rows}))

    assert [(f.state, f.note, f.evidence_nats) for f in found.findings] == [
        ("alarm", "the model was trained with f1, it was never served", None)
    ] * 2
    assert found.findings[0].details["only_in_file"] == ["f2"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["season", "week", "ar.9", "t3", "lowtraffic", "gaps"])
def test_worlds_in_which_nothing_differs_keep_the_budget(kind: str) -> None:
    found = skew.detect(evidence(KINDS[kind], 3, 7, DAYS))

    assert len(found.findings) == 3 * QUESTIONS * DAYS
    assert (
        sum(len(days) for days in alarms(found).values()) <= 8
    )  # 6 declared; P(> 8 | 6) = 15 %, a broken one has dozens
