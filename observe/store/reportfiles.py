"""The files of kept reports: they lie in `reports/<report_id>/` and are named by the rows of table `report`.

A report's folder appears whole and is never changed, so a backup may link to it. A row without files is a
report that could not be made.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from observe.store.checksums import checksum
from observe.store.damage import Damage, Report
from observe.store.database import Database

if TYPE_CHECKING:
    import duckdb

FOLDER: Final = "reports"
_ROWS: Final = (
    "SELECT report_id, made_at, files, sha256 FROM core.report WHERE len(files) > 0 ORDER BY made_at, report_id"
)
_TODO: Final = "restore this file from a backup, or make the report again: observe report MODEL --from … --to …"


@dataclass(frozen=True, slots=True)
class ReportFile:
    """One file of a kept report."""

    report_id: str
    path: str  # relative to the data directory
    made_at: datetime
    checksum: str | None  # sha256, 64 hex digits; None where the report was made before they were kept


def report_files(cursor: duckdb.DuckDBPyConnection) -> Iterator[ReportFile]:
    """Every file of every kept report, in order of time."""
    for report_id, made_at, names, sums in cursor.execute(_ROWS).fetchall():
        for name, said in zip(names, sums or [None] * len(names), strict=True):
            yield ReportFile(report_id, f"{FOLDER}/{report_id}/{name}", made_at, said)


def link_reports(cursor: duckdb.DuckDBPyConnection, folder: Path, stage: Path) -> None:
    """Link every file that the rows in the cursor's transaction name; one that is gone is `verify`'s to tell."""
    for file in report_files(cursor):
        target = stage / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            target.hardlink_to(folder / file.path)


def verify_reports(database: Database, folder: Path, report: Report) -> None:
    """Look at every file of every report; one that was let go of meanwhile is passed over."""
    with database.cursor() as cursor:
        files = list(report_files(cursor))
    report.checked["reports"] += len({f.report_id for f in files})
    for file in files:
        said = _wrong(folder / file.path, file)
        if said and _kept(database, file):
            report.damages.append(Damage("report", file.path, file.made_at, file.made_at, None, said, _TODO))
    unsummed = len({f.report_id for f in files if f.checksum is None})
    if unsummed:
        report.notes.append(f"{unsummed} reports were made before checksums were kept: their files are there")


def _wrong(path: Path, file: ReportFile) -> str:
    """What is wrong with a file, nothing if all is well."""
    try:
        found = checksum(path)
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    return "" if file.checksum in (found, None) else "its bytes changed since it was made (sha256)"


def _kept(database: Database, file: ReportFile) -> bool:
    with database.cursor() as cursor:
        sql = "SELECT count(*) FROM core.report WHERE report_id = ?"
        return cursor.execute(sql, [file.report_id]).fetchall() != [(0,)]
