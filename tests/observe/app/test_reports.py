"""Reports are made once a slot, kept with their verdicts, and let go of in time."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Event

import drifted
import pytest

from observe.app.making import Asked, Making, make
from observe.app.reports import Reports
from observe.clock import EventClock
from observe.errors import SourceError, UsageError
from observe.schema import KeptReport
from observe.spec import Config, load
from observe.store import Store

SITE = """apiVersion: observe/v1
kind: Site
store: {{path: ./data, retain: {{report: 30d}}}}
reports:
  weekly: {{model: fraud, cron: "{cron}", timezone: Europe/Berlin, last: 7d, format: [html, md], evidently: false}}
"""
SETTLED = drifted.END + timedelta(minutes=15)


def configured(folder: Path, cron: str = "0 7 * * 1") -> Config:
    (folder / "observe.yaml").write_text(SITE.format(cron=cron))
    return load(folder / "observe.yaml")


def reports(
    store: Store, config: Config, at: datetime, maker: Callable[[Asked, Path], KeptReport] | None = None
) -> Reports:
    """As a service makes them that starts at `at`."""
    return Reports(config, store, EventClock(at), maker or partial(make, store))


def seen(store: Store, config: Config, at: datetime) -> None:
    """The schedule is known since `at`."""
    list(reports(store, config, at).due(at))


def test_a_slot_is_made_once_whoever_comes_to_it(tmp_path: Path) -> None:
    config = configured(tmp_path)
    with drifted.drifted(tmp_path / "data") as store:
        seen(store, config, drifted.WEEK.start + timedelta(days=2))
        first = reports(store, config, SETTLED)
        first.tick()
        first.tick()
        reports(store, config, SETTLED + timedelta(hours=5)).tick()
    with drifted.drifted(tmp_path / "data") as store:  # after a restart
        again = reports(store, config, SETTLED + timedelta(days=2))
        again.tick()

        [kept] = again.kept()
        assert (kept.report_id, kept.verdict, kept.files) == (
            "weekly-20261123T0600Z",
            "drift",
            ("report.html", "report.md"),
        )
        assert (kept.period_from, kept.period_to) == (drifted.WEEK.start, drifted.WEEK.end)
        assert "amount" in again.file(kept.report_id, "report.md").read_text()


def test_a_slot_waits_until_its_last_windows_are_closed(tmp_path: Path) -> None:
    config = configured(tmp_path)
    with drifted.drifted(tmp_path / "data") as store:
        seen(store, config, drifted.WEEK.start)
        early = reports(store, config, SETTLED - timedelta(minutes=1))

        assert [slot for _, _, slot in early.due(SETTLED - timedelta(minutes=1))] == [drifted.WEEK.start]
        assert [slot for _, _, slot in early.due(SETTLED)] == [drifted.END]


def test_of_slots_missed_while_it_was_down_only_the_newest_is_made(tmp_path: Path) -> None:
    config = configured(tmp_path)
    with drifted.drifted(tmp_path / "data") as store:
        seen(store, config, drifted.WEEK.start - timedelta(days=30))
        late = reports(store, config, drifted.END + timedelta(days=3))
        late.tick()

        assert [r.report_id for r in late.kept()] == ["weekly-20261123T0600Z"]


def test_a_schedule_that_is_new_or_changed_asks_for_nothing_of_the_past(tmp_path: Path) -> None:
    with drifted.drifted(tmp_path / "data") as store:
        reports(store, configured(tmp_path), SETTLED).tick()
        other = reports(store, configured(tmp_path, "0 5 * * 1"), SETTLED + timedelta(hours=1))
        other.tick()

        assert other.kept() == []
        assert not list(other.due(SETTLED + timedelta(days=6)))


def test_a_report_waits_for_judgements_that_are_late_but_not_for_ever(tmp_path: Path) -> None:
    config = configured(tmp_path)
    with drifted.drifted(tmp_path / "data") as store:
        seen(store, config, drifted.WEEK.start + timedelta(days=1))
        with store.change() as tx:
            tx.set_state("fraud/level/amount/location", {}, drifted.END - timedelta(hours=5))
        clock = EventClock(SETTLED)
        waiting = Reports(config, store, clock, partial(make, store))
        waiting.tick()
        assert waiting.kept() == []

        clock.set(SETTLED + timedelta(minutes=31))
        waiting.tick()
        assert len(waiting.kept()) == 1


def test_a_report_that_cannot_be_made_is_told_as_failed_and_not_tried_for_ever(tmp_path: Path) -> None:
    def broken(asked: Asked, folder: Path) -> KeptReport:
        raise SourceError("the report process ended")

    config = configured(tmp_path)
    with drifted.drifted(tmp_path / "data") as store:
        seen(store, config, drifted.WEEK.start + timedelta(days=1))
        made = reports(store, config, SETTLED, broken)
        made.tick()
        made.tick()

        [kept] = made.kept()
        assert (kept.verdict, kept.files, kept.error) == ("unknown", (), "the report process ended")


def test_a_report_that_is_cut_off_by_the_end_of_the_service_is_made_after_the_next_start(tmp_path: Path) -> None:
    config, stopping = configured(tmp_path), Event()

    def killed(asked: Asked, folder: Path) -> KeptReport:
        cut.stop()
        stopping.set()
        raise SourceError("the report process ended during a call")

    with drifted.drifted(tmp_path / "data") as store:
        seen(store, config, drifted.WEEK.start + timedelta(days=1))
        cut = reports(store, config, SETTLED, killed)
        cut.tick()
        assert (stopping.is_set(), cut.kept()) == (True, [])

        after = reports(store, config, SETTLED + timedelta(minutes=2))
        after.tick()
        assert [r.verdict for r in after.kept()] == ["drift"]


@pytest.mark.slow
def test_a_child_makes_the_report_and_is_gone(tmp_path: Path) -> None:
    config = configured(tmp_path)
    with drifted.drifted(tmp_path / "data") as store:
        making = Making(store)
        kept = reports(store, config, SETTLED, making).by_hand("fraud", drifted.WEEK, ("json",), evidently=False)

        assert (kept.verdict, kept.files) == ("drift", ("report.json",))
        assert making._child is None
        assert not [p for p in (tmp_path / "data" / "reports").iterdir() if p.name != kept.report_id]
        assert os.listdir(tmp_path / "data" / "reports" / kept.report_id) == ["report.json"]


def test_a_model_that_nobody_knows_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with (
        drifted.drifted(tmp_path / "data") as store,
        pytest.raises(UsageError, match="did you mean 'fraud'"),
    ):
        reports(store, configured(tmp_path), SETTLED).by_hand("frud", drifted.WEEK, ("md",), evidently=False)


def test_reports_leave_with_their_files_when_they_were_kept_long_enough(tmp_path: Path) -> None:
    config = configured(tmp_path)
    with drifted.drifted(tmp_path / "data") as store:
        made = reports(store, config, SETTLED)
        kept = made.by_hand("fraud", drifted.WEEK, ("md",), evidently=False)
        (tmp_path / "data" / "reports" / "hand-dead.making").mkdir()

        assert made.trim(SETTLED + timedelta(days=29)) == 0
        assert [p.name for p in (tmp_path / "data" / "reports").iterdir()] == [kept.report_id]
        assert made.trim(SETTLED + timedelta(days=31)) == 1
        assert list((tmp_path / "data" / "reports").iterdir()) == []
        assert made.kept() == []


def test_only_files_of_a_kept_report_are_given_out(tmp_path: Path) -> None:
    with drifted.drifted(tmp_path / "data") as store:
        made = reports(store, configured(tmp_path), SETTLED)
        kept = made.by_hand("fraud", drifted.WEEK, ("md",), evidently=False)

        for report_id, name in ((kept.report_id, "../../LOCK"), ("..", "LOCK"), (kept.report_id, "report.html")):
            with pytest.raises(UsageError, match="there is no file"):
                made.file(report_id, name)
