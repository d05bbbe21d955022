"""Reports that are made when their time comes or somebody asks, kept with their verdicts, and let go of in time.

A slot of a schedule is made once, whenever the service comes to it: its id is its name and slot. Of the
slots that passed while the service was down only the newest is made.

Source: our own.
"""

from __future__ import annotations

import logging
import secrets
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from observe.app.making import Asked, Maker
from observe.clock import Clock
from observe.errors import ObserveError, Overloaded, SourceError, UsageError
from observe.schema import KeptReport, Window
from observe.schema.exchange import nouns
from observe.spec.nearest import did_you_mean
from observe.spec.schedule import latest
from observe.store.reportfiles import FOLDER

if TYPE_CHECKING:
    from observe.spec import Config
    from observe.spec.reporting import ReportSpec
    from observe.store import Store

SINCE: Final = "reports_since"  # setting: when each schedule was first seen
_SETTLED: Final = timedelta(minutes=10)  # after the last window took its rows: until it is judged
_CATCH_UP: Final = timedelta(minutes=30)  # the longest a late judgement is waited for
_JUDGED: Final = timedelta(hours=1)  # drift is judged once an hour
_WAIT_S: Final = 120.0  # for another report that is being made
_LOG = logging.getLogger("observe.reports")


def folder_of(store: Store) -> Path:
    """Where reports lie."""
    return store.path / FOLDER


class Reports:
    """Makes and keeps reports; one at a time."""

    def __init__(self, config: Config, store: Store, clock: Clock, maker: Maker) -> None:
        self._config, self._store, self._clock, self._maker = config, store, clock, maker
        self._one = threading.Lock()
        self._stopping = threading.Event()
        self._begun = clock.now()

    def adopt(self, config: Config) -> None:
        """Go by another configuration from now on."""
        self._config = config

    def stop(self) -> None:
        """Record nothing any more: what is being made is made again after the next start."""
        self._stopping.set()

    def tick(self) -> None:
        """Make what is due."""
        now = self._clock.now()
        for name, spec, slot in self.due(now):
            if self._stopping.is_set() or not self._caught_up(spec.model, slot, now):
                continue
            period = Window(slot - timedelta(seconds=spec.last_s), slot)
            asked = Asked(slot_id(name, slot), name, spec.model, period, now, spec.format, spec.evidently)
            with self._alone():
                kept = self._made(asked)
            if kept is not None:
                _LOG.info("event=report name=%s verdict=%s report_id=%s", name, kept.verdict, kept.report_id)

    def due(self, now: datetime) -> Iterator[tuple[str, ReportSpec, datetime]]:
        """Schedules whose newest slot has settled and was not made: name, what is asked, slot."""
        since = self._since(now)
        settled = now - timedelta(seconds=self._config.site.lateness_s["predictions"]) - _SETTLED
        for name, spec in self._config.site.reports.items():
            slot = latest(spec.cron, spec.timezone, settled)
            if slot is not None and slot >= since[name] and self.find(slot_id(name, slot)) is None:
                yield name, spec, slot

    def _since(self, now: datetime) -> Mapping[str, datetime]:
        """When each schedule was first seen; one that was written anew asks for nothing of the past."""
        kept = self._store.settings().get(SINCE, {})
        said = {name: f"{s.model} {s.cron} {s.timezone}" for name, s in self._config.site.reports.items()}
        known = {
            name: kept[name] if kept.get(name, [""])[0] == text else [text, now.isoformat()]
            for name, text in said.items()
        }
        if known != kept:
            self._store.set_setting(SINCE, known)
        return {name: datetime.fromisoformat(at) for name, (_, at) in known.items()}

    def _caught_up(self, model: str, slot: datetime, now: datetime) -> bool:
        """Whether drift of the model is judged up to the slot, or has been waited for long enough."""
        if now - max(slot, self._begun) > _CATCH_UP:
            return True
        judged = [
            at
            for key, at in self._store.judged_until().items()
            if key.startswith((f"{model}/level/", f"{model}/rate/"))
        ]
        return not judged or max(judged) >= slot - _JUDGED

    def by_hand(self, model: str, period: Window, formats: tuple[str, ...], *, evidently: bool) -> KeptReport:
        """Make and keep a report that somebody asks for.

        Raises:
            UsageError: the model is not known.
            Overloaded: another report takes too long.
            SourceError: it could not be made.
        """
        known = self.models()
        if model not in known:
            hint = did_you_mean(model, known) or f"there are: {', '.join(sorted(known)[:10]) or 'none'}"
            raise UsageError(f"no model {model!r} is declared or was ever judged; {hint}")
        report_id = f"hand-{secrets.token_hex(6)}"
        with self._alone():
            kept = self._made(Asked(report_id, None, model, period, self._clock.now(), formats, evidently))
        if kept is None or not kept.files:
            raise SourceError(kept.error or "" if kept else "the service ends, the report was given up")
        return kept

    def models(self) -> set[str]:
        """Models that are declared, or whose drift was ever judged."""
        judged = self._store.read("select distinct model from finding where kind = 'drift'")["model"].to_list()
        return {*judged, *self._config.models, *self._store.settings().get("models", {})}

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._one.acquire(timeout=_WAIT_S):
            raise Overloaded("another report is being made", 30)
        try:
            yield
        finally:
            self._one.release()

    def _made(self, asked: Asked) -> KeptReport | None:
        """Make and record; a failure is recorded too. None when the service ends meanwhile."""
        try:
            kept = self._maker(asked, folder_of(self._store) / asked.report_id)
        except (ObserveError, OSError) as error:
            if self._stopping.is_set():
                return None
            _LOG.warning("event=report_failed report_id=%s error=%s", asked.report_id, error)
            kept = KeptReport(
                asked.report_id, asked.name, asked.model, asked.period.start, asked.period.end, asked.made_at,
                "unknown", "The report could not be made", (), str(error),
            )  # fmt: skip
        with self._store.change() as tx:
            tx.insert([kept])
        return kept

    def find(self, report_id: str) -> KeptReport | None:
        """A report that was made."""
        found = self._store.read("select * from report where report_id = $id", {"id": report_id})
        return nouns(KeptReport, found)[0] if found.height else None

    def kept(self) -> list[KeptReport]:
        """Every report that was made and is still kept, newest first."""
        return nouns(KeptReport, self._store.read("select * from report order by made_at desc, report_id"))

    def file(self, report_id: str, name: str) -> Path:
        """The file of a report.

        Raises:
            UsageError: there is no such report or file.
        """
        report = self.find(report_id)
        if report is None or name not in report.files:
            raise UsageError(f"there is no file {name!r} of a report {report_id!r}")
        path = folder_of(self._store) / report.report_id / name
        if not path.is_file():
            raise UsageError(f"the files of report {report_id} are gone; its row tells its verdict: {report.summary}")
        return path

    def trim(self, now: datetime) -> int:
        """Let reports go that are kept long enough, and folders that belong to none; how many rows left."""
        before = now - timedelta(seconds=self._config.site.store.retain_s["report"])
        old = [r.report_id for r in self.kept() if r.made_at < before]
        if old:
            with self._store.change() as tx:
                tx.execute("delete from core.report where list_contains($ids, report_id)", {"ids": old})
        if self._one.acquire(blocking=False):  # nothing is being made: what has no row is a rest
            try:
                known = {r.report_id for r in self.kept()}
                for path in folder_of(self._store).glob("*"):
                    if path.name not in known:
                        shutil.rmtree(path, ignore_errors=True)
            finally:
                self._one.release()
        return len(old)


def slot_id(name: str, slot: datetime) -> str:
    """The id of a scheduled report: `weekly-20261123T0600Z`."""
    return f"{name}-{slot:%Y%m%dT%H%MZ}"


def schedules(config: Config) -> Mapping[str, Any]:
    """The schedules as settings that pages can read."""
    return {
        name: {"model": s.model, "cron": s.cron, "timezone": s.timezone, "last_s": s.last_s, "format": list(s.format)}
        for name, s in config.site.reports.items()
    }
