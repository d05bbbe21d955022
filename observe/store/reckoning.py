"""The rows a commit left in a table, against what its ledger lines say: as many, and the same sum of hashes.

Source: our own; the sum of 64-bit hashes does not depend on order, as in M. Bellare and D. Micciancio,
"A New Paradigm for Collision-Free Hashing" (EUROCRYPT 1997), here against accidents only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import duckdb
import numpy as np
import polars as pl

from observe.schema import Table
from observe.store.damage import Damage
from observe.store.ddl import quoted
from observe.store.rows import identity
from observe.store.seen import row_hashes

_AT_ONCE: Final = 500_000  # rows held in memory
_NAMED: Final = 3  # batches named as examples
_AGAIN: Final = "let these sources send this time again, or restore a backup; batches that are stored are recognised"


@dataclass(slots=True)
class Due:
    """What one commit should have left in one table."""

    rows: int = 0
    summed: int | None = 0  # None when a line has no checksum
    batches: list[str] = field(default_factory=list)

    def add(self, rows: int, checksum: str, batch: str) -> None:
        """One more ledger line of the commit."""
        self.rows += rows
        known = self.summed is not None and checksum
        self.summed = ((self.summed or 0) + int(checksum, 16)) % 2**64 if known else None
        self.batches.append(batch)


@dataclass(slots=True)
class Found:
    """What is stored of one commit in one table."""

    rows: int = 0
    summed: int = 0


def hashed(table: Table) -> tuple[str, ...]:
    """Columns that the checksum of a batch is over: those that identify a row, or its time."""
    return identity(table) or (table.time,)


def found_rows(
    cursor: duckdb.DuckDBPyConnection, sources: Sequence[str], columns: Sequence[str], since: datetime
) -> Mapping[datetime, Found]:
    """What is stored of each commit made since `since`, over relations that together are one table."""
    found: dict[datetime, Found] = defaultdict(Found)
    names = ", ".join(quoted(c) for c in columns)
    for source in sources:
        sql = f"SELECT ingested_at AS committed_at, {names} FROM {source} WHERE ingested_at >= $since"
        for batch in cursor.sql(sql, params={"since": since}).to_arrow_reader(_AT_ONCE):
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)
            summed = frame.select("committed_at", pl.Series("hash", row_hashes(frame, columns), dtype=pl.UInt64))
            groups = summed.group_by("committed_at").agg(pl.len(), pl.col("hash"))
            for at, rows, hashes in groups.iter_rows():
                one = found[at.astimezone(UTC)]
                one.rows += rows
                one.summed = (one.summed + int(np.add.reduce(np.array(hashes, dtype=np.uint64)))) % 2**64
    return found


def reckon(
    key: str, due: Mapping[datetime, Due], found: Mapping[datetime, Found], gone: Sequence[tuple[datetime, int]]
) -> list[Damage]:
    """What is wrong with the rows of one table, at most one damage of each sort.

    Args:
        key: the table's key in batches.
        due: what each commit should have left, by its time.
        found: what is stored.
        gone: rows that left as they should: the newest time of a commit they may be of, and how many.
    """
    missing: dict[datetime, int] = {}
    others: dict[datetime, int] = {}
    for at, asked in due.items():
        there, left = found.get(at.astimezone(UTC), Found()), sum(n for to, n in gone if to >= at)
        if asked.rows - there.rows > left:
            missing[at] = asked.rows - there.rows
        elif there.rows > asked.rows or (not left and asked.summed not in (None, there.summed)):
            others[at] = there.rows
    return [
        *_damage(key, missing, due, f"{sum(missing.values())} acknowledged rows are not stored"),
        *_damage(key, others, due, f"{sum(others.values())} stored rows are not those that were acknowledged"),
    ]


def _damage(key: str, wrong: Mapping[datetime, int], due: Mapping[datetime, Due], said: str) -> list[Damage]:
    if not wrong:
        return []
    batches = [b for at in sorted(wrong) for b in due[at].batches]
    more = f" and {len(batches) - _NAMED} more" if len(batches) > _NAMED else ""
    text = f"{said}, in {len(wrong)} commits: batches {', '.join(batches[:_NAMED])}{more}"
    return [Damage("batch", key, min(wrong), max(wrong), sum(wrong.values()), text, _AGAIN)]
