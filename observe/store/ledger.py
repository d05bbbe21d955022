"""Every batch that was stored, written in the same transaction as its rows.

A batch id seen before is acknowledged and not stored again, also after a restart; after a failed
commit the ledger says what became of a batch.

Source: our own; TRUST section 1, facts 2 and 3.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import duckdb
import polars as pl

from observe.schema import Receipt
from observe.store.seen import Hashes, Seen, row_hashes

REMEMBERED: Final = timedelta(hours=24)  # how long a batch id is known
WHOLE: Final = ""  # table_name of the row that holds what a parser left out of the body
_COLUMNS: Final = {
    "source": "VARCHAR", "batch_id": "VARCHAR", "seq": "BIGINT", "table_name": "VARCHAR", "rows": "BIGINT",
    "checksum": "VARCHAR", "rejected": "VARCHAR", "committed_at": "TIMESTAMPTZ",
}  # fmt: skip

BatchKey = tuple[str, str]  # source, batch id


@dataclass(frozen=True, slots=True)
class Line:
    """What one batch left in one table."""

    batch: BatchKey
    table: str
    rows: int
    checksum: str
    rejected: Mapping[str, int]


class Ledger:
    """The batches of the last 24 h, by hash in memory and in full in `core.batch` (see trimming)."""

    def __init__(self) -> None:
        self._seen = Seen(REMEMBERED)

    def load(self, cursor: duckdb.DuckDBPyConnection, now: datetime) -> None:
        """Remember the batches of the last 24 h before `now`."""
        sql = "SELECT DISTINCT source, batch_id FROM core.batch WHERE committed_at >= $since"
        frame = cursor.sql(sql, params={"since": now - REMEMBERED}).pl()
        self._seen = Seen(REMEMBERED)
        self._seen.add(row_hashes(frame, ["source", "batch_id"]), now)

    def recall(
        self, cursor: duckdb.DuckDBPyConnection, batches: Sequence[BatchKey], *, doubt: bool
    ) -> dict[BatchKey, Receipt]:
        """Receipts of those of `batches` that are stored.

        Args:
            cursor: where to look.
            batches: source and batch id.
            doubt: look each up in the file, because a commit failed; else memory answers for the unknown.
        """
        mask = self._seen.holds(_hashes(batches))
        asked = [b for b, held in zip(batches, mask, strict=True) if doubt or held]
        return {b: receipt for b in asked if (receipt := _receipt(cursor, b)) is not None}

    def record(self, cursor: duckdb.DuckDBPyConnection, lines: Sequence[Line], seq: int, now: datetime) -> None:
        """Write what batches left in their tables, in the transaction that holds their rows."""
        names, kinds = zip(*_COLUMNS.items(), strict=True)
        columns = zip(
            *((*x.batch, seq, x.table, x.rows, x.checksum, _text(x.rejected), now) for x in lines), strict=True
        )
        values = ", ".join(f"unnest(?::{kind}[])" for kind in kinds)
        sql = f"INSERT INTO core.batch ({', '.join(names)}) SELECT {values}"
        cursor.execute(sql, [list(column) for column in columns])

    def remembers(self, batch: BatchKey) -> bool:
        """Whether a batch is known to be stored, by a commit that was told."""
        return bool(self._seen.holds(_hashes([batch]))[0])

    def remember(self, batches: Sequence[BatchKey], now: datetime) -> None:
        """Keep committed batches in memory."""
        self._seen.add(_hashes(batches), now)


def void_foreign_checksums(cursor: duckdb.DuckDBPyConnection) -> None:
    """Forget checksums that another version of the hash made: they would tell of damage where there is none."""
    probe = pl.DataFrame({"source": ["probe"], "ts": [datetime(2000, 1, 1, tzinfo=UTC)]})
    ours = f"{int(row_hashes(probe, probe.columns)[0]):016x}"
    if cursor.execute("SELECT value FROM core.meta WHERE key = 'row_hash'").fetchall() == [(ours,)]:
        return
    cursor.execute("UPDATE core.batch SET checksum = '' WHERE checksum <> ''")
    cursor.execute("INSERT OR REPLACE INTO core.meta VALUES ('row_hash', ?)", [ours])


def _hashes(batches: Sequence[BatchKey]) -> Hashes:
    sources, names = [s for s, _ in batches], [b for _, b in batches]
    frame = pl.DataFrame([pl.Series("source", sources, pl.String), pl.Series("batch_id", names, pl.String)])
    return row_hashes(frame, ["source", "batch_id"])


def _text(rejected: Mapping[str, int]) -> str:
    return json.dumps(dict(rejected), sort_keys=True)


def _receipt(cursor: duckdb.DuckDBPyConnection, batch: BatchKey) -> Receipt | None:
    sql = "SELECT seq, table_name, rows, rejected FROM core.batch WHERE source = ? AND batch_id = ?"
    lines = cursor.execute(sql, list(batch)).fetchall()
    if not lines:
        return None
    rejected: dict[str, int] = {}
    for _, table, _, text in lines:
        if table != WHOLE:
            for reason, count in json.loads(text).items():
                rejected[reason] = rejected.get(reason, 0) + count
    stored = {table: rows for _, table, rows, _ in lines if table != WHOLE and rows}
    return Receipt(batch[1], lines[0][0], stored, rejected)
