"""What is known of a model's performance: the newest hour of every metric that labels or an alarm speak for."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

from alarms import at, configured, finding

from observe.app import training
from observe.clock import EventClock
from observe.schema import Finding
from observe.store import Store


def hour(state: str, minute: float, labelled: int | None) -> Finding:
    """What was found of accuracy in one hour."""
    details = {"labelled": labelled} if labelled else {}
    return replace(finding("fraud/performance/accuracy", minute, state, kind="performance", details=details))


def test_hours_without_labels_do_not_hide_the_newest_that_has_some(tmp_path: Path) -> None:
    lost, silent = hour("alarm", 0, 900), hour("unknown", 60, None)
    with closing(Store.open(tmp_path / "data", EventClock(at(120)), threads=1, memory="500MB")) as store:
        with store.change() as tx:
            tx.insert([hour("ok", -60, 900), lost, silent])

        [newest] = training.performance(store, configured(tmp_path), at(120))
        assert (newest.state, newest.window_end) == ("alarm", lost.window_end)


def test_hours_without_labels_alone_tell_nothing(tmp_path: Path) -> None:
    with closing(Store.open(tmp_path / "data", EventClock(at(120)), threads=1, memory="500MB")) as store:
        with store.change() as tx:
            tx.insert([hour("unknown", 0, None), hour("ok", 60, None)])

        assert training.performance(store, configured(tmp_path), at(120)) == []
