"""A call to a child that ends: by accident it is told, on purpose nothing is wrong."""

import logging
import os
from contextlib import closing
from pathlib import Path

import pytest

from observe.app.calling import Calling, Ending
from observe.app.stages import Stages
from observe.clock import RisingClock, WallClock
from observe.errors import SourceError
from observe.spec import load
from observe.store import Store
from observe.telemetry import Telemetry


def cut_off(calling: Calling, *, meant: bool = False) -> None:
    """A call whose child ends before it has answered."""
    (child,) = calling.channel()
    with calling.line() as line:
        line.say("how is it?")
        if meant:
            calling.end()
        os.close(child)
        line.hear()


def test_a_child_that_ends_during_a_call_is_told_and_one_that_is_ended_is_known() -> None:
    calling = Calling("detect", 10.0)

    with pytest.raises(SourceError, match="ended during a call: ") as fell:
        cut_off(calling)
    with pytest.raises(Ending, match="was ended during a call"):
        cut_off(calling, meant=True)
    with pytest.raises(Ending, match="detect process is ended"):
        cut_off(calling)

    assert not isinstance(fell.value, Ending)


def test_a_stage_whose_child_is_ended_on_purpose_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "observe.yaml").write_text("apiVersion: observe/v1\nkind: Site\nstore: {path: ./data}\n")
    calling, clock, telemetry = Calling("detect", 10.0), RisingClock(WallClock()), Telemetry()
    with closing(Store.open(tmp_path / "data", clock)) as store, closing(telemetry):
        stages = Stages(load(tmp_path / "observe.yaml"), store, clock, telemetry)
        with caplog.at_level(logging.INFO):
            fell = stages._attempt("detect.level", lambda: cut_off(calling))
            ended = stages._attempt("detect.level", lambda: cut_off(calling, meant=True))

    assert (fell, ended) == (False, False)
    assert [r.getMessage().split(" error=")[0] for r in caplog.records] == ["event=stage_failed stage=detect.level"]
