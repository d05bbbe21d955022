"""A report is made in a process of its own, niced: intake is not held up, whatever a report reads or draws.

The child (`observe.app.making` behind `observe.lifeline`) lives for one report. It reads through the
core and writes files; what it was about comes back as one noun.

Source: our own; ARCHITECTURE section 4.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from observe.app.calling import Calling
from observe.app.children import Child
from observe.errors import ObserveError, SourceError
from observe.schema import KeptReport, Window

if TYPE_CHECKING:
    from dashboards.report import Report
    from dashboards.report_facts import Rows
    from observe.store import Store

PATIENCE_S: Final = 900.0  # the longest a child says nothing: while Evidently works
NICE: Final = 10
STEM: Final = "report"  # of its files: report.html, report.md, report.json
EVIDENTLY: Final = "evidently.html"  # beside them


@dataclass(frozen=True, slots=True)
class Asked:
    """A report to be made."""

    report_id: str
    name: str | None  # of its schedule
    model: str
    period: Window
    made_at: datetime
    formats: tuple[str, ...]
    evidently: bool = True


class Maker(Protocol):
    """Whatever makes reports: this process, or a child."""

    def __call__(self, asked: Asked, folder: Path) -> KeptReport:
        """Write the files of a report into the new folder `folder`."""
        ...


def make(rows: Rows, asked: Asked, folder: Path) -> KeptReport:
    """Read, judge, ask Evidently, write. The folder appears when all of it is written, or not at all.

    Raises:
        ObserveError: it could not be read.
        OSError: it could not be written.
    """
    from dashboards.report import assemble
    from observe.store.checksums import checksum
    from observe.store.durable import sync

    stage = folder.with_name(f"{folder.name}.making")
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    try:
        report = assemble(rows, asked.model, asked.period, asked.made_at, asked.name or "")
        if asked.evidently:
            from observe.app.second_opinion import second_opinion

            report = replace(report, attached=second_opinion(rows, report.facts, stage / EVIDENTLY))
        for name, text in written(report, asked.formats, (stage / EVIDENTLY).exists()).items():
            (stage / name).write_text(text, encoding="utf-8")
        files = tuple(sorted((p.name for p in stage.iterdir()), key=lambda n: (n == EVIDENTLY, n)))
        sums = tuple(checksum(stage / name) for name in files)
        for path in (*(stage / name for name in files), stage):
            sync(path)
        shutil.rmtree(folder, ignore_errors=True)
        stage.rename(folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    why_not = report.attached.why_not if report.attached else None
    return KeptReport(
        asked.report_id, asked.name, asked.model, asked.period.start, asked.period.end, asked.made_at,
        report.said.verdict, report.said.headline, files, f"without Evidently: {why_not}" if why_not else None, sums,
    )  # fmt: skip


def written(report: Report, formats: tuple[str, ...], beside: bool) -> Mapping[str, str]:
    """Its files by name; `beside` when Evidently's page lies with them."""
    from dashboards.report_html import as_html
    from dashboards.report_text import as_json, as_markdown

    writers: Mapping[str, Callable[[], str]] = {
        "html": lambda: as_html(report, EVIDENTLY if beside else None),
        "md": lambda: as_markdown(report), "json": lambda: as_json(report),
    }  # fmt: skip
    return {f"{STEM}.{name}": writers[name]() for name in formats}


class Making(Calling):
    """Makes each report in a child, which reads from `store` meanwhile."""

    def __init__(self, store: Store) -> None:
        super().__init__("report", PATIENCE_S)
        self._store = store
        self._child: Child | None = None

    def __call__(self, asked: Asked, folder: Path) -> KeptReport:
        """Write the files of a report into the new folder `folder`.

        Raises:
            SourceError: the child fell or could not make it.
        """
        child = self._child = Child("report", ["observe.app.making"], nice=NICE, pass_fds=self.channel)
        child.start()
        try:
            return self._heard(asked, folder)
        finally:
            child.stop(grace_s=0.5)
            self._child = None

    def stop(self) -> None:
        """Give up what is being made."""
        child = self._child
        if child is not None and child.process is not None:
            child.process.kill()

    def _heard(self, asked: Asked, folder: Path) -> KeptReport:
        with self.line() as line:
            line.say((asked, folder))
            while True:
                verb, *said = line.hear()
                if verb == "made":
                    return said[0]  # type: ignore[no-any-return]
                if verb == "failed":
                    raise SourceError(f"the report could not be made: {said[0]}")
                try:
                    line.say((True, self._store.read_ipc(*said)))
                except ObserveError as error:
                    line.say((False, error))


def serve(connection: Connection) -> None:
    """Make the one report that is asked for."""
    from observe.app.summarising import FarStore

    asked, folder = connection.recv()
    answer: tuple[str, Any]
    try:
        answer = ("made", make(FarStore(connection), asked, folder))
    except Exception as error:  # noqa: BLE001 - the boundary of a child: told to the core, never fatal
        answer = ("failed", f"{type(error).__name__}: {error}")
    connection.send(answer)


if __name__ == "__main__":
    serve(Connection(int(os.environ["OBSERVE_FD"])))
