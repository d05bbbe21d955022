"""What every detector promises, whatever it detects."""

import json
import pickle
import sys
from dataclasses import replace
from functools import cache
from types import FrameType

import polars as pl
import pytest
from asked import EVIDENCE, split

from observe.registry import names, plugin
from observe.schema import Detected, Evidence, Finding, Window

DETECTORS = names("observe.detectors")
OF_SUMMARIES = ("level", "rate", "burn", "performance")


def detect(name: str, evidence: Evidence) -> Detected:
    return plugin("observe.detectors", name).detect(evidence)


@cache
def given(name: str) -> Evidence:
    return EVIDENCE[name]()


@cache
def found(name: str) -> Detected:
    return detect(name, given(name))


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_has_evidence_here_in_which_something_happens(name: str) -> None:
    assert {f.state for f in found(name).findings} & {"alarm", "inform_only"}
    assert {f.monitor_id for f in found(name).findings} == {m.monitor_id for m in given(name).monitors}


@pytest.mark.parametrize("name", DETECTORS)
def test_the_same_evidence_gives_the_same_findings_and_is_left_as_it_was(name: str) -> None:
    before = pickle.dumps(replace(given(name), summaries=pl.DataFrame(), frames={}))
    frames = [given(name).summaries.clone(), *(f.clone() for f in given(name).frames.values())]

    assert detect(name, pickle.loads(pickle.dumps(given(name)))) == found(name)
    assert pickle.dumps(replace(given(name), summaries=pl.DataFrame(), frames={})) == before
    assert all(a.equals(b) for a, b in zip(frames, [given(name).summaries, *given(name).frames.values()], strict=True))


@pytest.mark.parametrize("name", DETECTORS)
def test_the_order_of_rows_is_no_matter_to_any_detector(name: str) -> None:
    e = given(name)
    mixed = {key: f.sample(fraction=1.0, shuffle=True, seed=5) for key, f in e.frames.items()}

    assert detect(
        name, replace(e, summaries=e.summaries.sample(fraction=1.0, shuffle=True, seed=4), frames=mixed)
    ) == found(name)


@pytest.mark.parametrize("name", DETECTORS)
def test_without_monitors_there_is_nothing(name: str) -> None:
    nothing = detect(name, replace(given(name), monitors=(), summaries=given(name).summaries.clear()))

    assert (nothing.findings, dict(nothing.state)) == ((), {})


@pytest.mark.parametrize("name", OF_SUMMARIES)
def test_a_window_is_the_same_however_its_rows_were_split_over_summaries(name: str) -> None:
    e = given(name)

    assert detect(name, replace(e, summaries=split(e.summaries, 6))) == found(name)


@pytest.mark.parametrize("name", OF_SUMMARIES)
def test_rows_are_worked_on_as_arrays_so_twice_as_many_cost_not_one_call_more(name: str) -> None:
    e = given(name)
    found(name)  # what is remembered of a reference is made now

    once, twice = (calls(name, replace(e, summaries=rows)) for rows in (e.summaries, split(e.summaries, 6)))

    assert 0 < twice <= once


def calls(name: str, evidence: Evidence) -> int:
    """How many functions of ours were called."""
    count = 0

    def called(frame: FrameType, event: str, _: object) -> None:
        nonlocal count
        count += event == "call" and frame.f_globals.get("__name__", "").startswith("detectors.")

    sys.setprofile(called)
    try:
        detect(name, evidence)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("name", DETECTORS)
def test_state_survives_as_json_and_two_calls_give_what_one_gives(name: str) -> None:
    e = given(name)
    if name == "silence":  # asks about the present: judges its whole window or nothing
        again = detect(name, replace(e, state=json.loads(json.dumps(found(name).state, allow_nan=False))))
        assert json.loads(json.dumps(again.state)) == again.state
        return
    middle = e.window.start + (e.window.end - e.window.start) // 2
    so_far = e.summaries.filter(pl.col("ts") < middle)
    first = detect(name, replace(e, window=Window(e.window.start, middle), summaries=so_far))
    state = json.loads(json.dumps(first.state, allow_nan=False))
    second = detect(name, replace(e, window=Window(middle, e.window.end), state=state))

    assert _told((*first.findings, *second.findings)) == _told(found(name).findings)
    assert json.loads(json.dumps(second.state)) == json.loads(json.dumps(found(name).state))


def _told(findings: tuple[Finding, ...]) -> list[Finding]:
    """Findings without when they were made, by monitor and time."""
    same = [replace(f, made_at=f.window_end) for f in findings]
    return sorted(same, key=lambda f: (f.monitor_id, f.window_end, f.finding_id))


@pytest.mark.parametrize("name", DETECTORS)
def test_a_monitor_judged_alone_says_what_it_says_among_others(name: str) -> None:
    for monitor in given(name).monitors[::3]:
        alone = detect(name, replace(given(name), monitors=(monitor,)))

        assert alone.findings == tuple(f for f in found(name).findings if f.monitor_id == monitor.monitor_id)
        assert alone.state[monitor.monitor_id] == found(name).state[monitor.monitor_id]
