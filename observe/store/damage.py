"""What was found damaged and repaired as far as it could be: kept, so that it is told until somebody acts.

Source: our own; TRUST section 1, fact 3.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import duckdb

from observe.schema.damage import TOLD
from observe.store.journal import Commit, Journal, lost

_COLUMNS: Final = "kind, subject, t_min, t_max, rows, said, todo"


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is wrong: what it concerns, which rows of which time, and what to do.

    `start` and `end` are when the rows were committed, or their event time for a sealed file; `rows`
    is how many are missing or in doubt. All three are None where that is not known.
    """

    kind: str  # log | commits | spill | file | report | batch | audit | database | opening | backup
    subject: str
    start: datetime | None
    end: datetime | None
    rows: int | None
    said: str
    todo: str


@dataclass(slots=True)
class Report:
    """What was looked at, and what is wrong."""

    checked: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # what: how many
    damages: list[Damage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what could not be told


def lost_commits(cursor: duckdb.DuckDBPyConnection, journal: Journal) -> list[Damage]:
    """Acknowledged commits that the journal names and the ledger lacks, as one damage."""
    stored = frozenset(seq for (seq,) in cursor.execute("SELECT DISTINCT seq FROM core.batch").fetchall())
    gone = lost(journal.read(), stored, min(stored, default=None))
    return [_told(gone)] if gone else []


def _told(gone: Sequence[Commit]) -> Damage:
    start, end, rows = gone[0].at, gone[-1].at, sum(c.rows for c in gone)
    batches, sources = sum(c.batches for c in gone), sorted({s for c in gone for s in c.sources})
    return Damage(
        "commits", f"commits {gone[0].seq}-{gone[-1].seq}", start, end, rows,
        f"{rows} acknowledged rows of {batches} batches are gone: the write-ahead log of observe.duckdb lost the commits "
        f"made from {start.isoformat()} to {end.isoformat()}, from {', '.join(sources)}",
        "check the disk; let these sources send this time again (batches that are stored are recognised), "
        "or restore a backup beside it and import what is missing",
    )  # fmt: skip


def keep(cursor: duckdb.DuckDBPyConnection, found: Sequence[Damage], now: datetime) -> None:
    """Write what was found, each once, in the caller's transaction."""
    for d in found:
        cursor.execute(
            f"INSERT INTO core.damage (found_at, {_COLUMNS}) SELECT ?, ?, ?, ?, ?, ?, ?, ? WHERE NOT EXISTS "
            "(FROM core.damage WHERE kind = ? AND subject = ? AND t_max IS NOT DISTINCT FROM ?)",
            [now, d.kind, d.subject, d.start, d.end, d.rows, d.said, d.todo, d.kind, d.subject, d.end],
        )


def kept(cursor: duckdb.DuckDBPyConnection, now: datetime) -> list[Damage]:
    """What was found in the last seven days, oldest first."""
    sql = f"SELECT {_COLUMNS} FROM core.damage WHERE found_at >= ? ORDER BY found_at, subject"
    return [Damage(*row) for row in cursor.execute(sql, [now - TOLD]).fetchall()]
