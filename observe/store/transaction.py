"""Everything written inside one `Store.change()`: nouns, frames, state and settings, all or nothing.

Source: our own; ARCHITECTURE section 3.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import polars as pl

from observe.errors import StoreError
from observe.schema import Json, Noun
from observe.schema.exchange import nouns_frame
from observe.store.rows import part
from observe.store.writer import Writer

OURSELVES = "observe"  # `source` of rows that our own stages write


@dataclass(frozen=True, slots=True)
class Transaction:
    """An open change; valid until its `with` block ends."""

    cursor: duckdb.DuckDBPyConnection
    writer: Writer
    seq: int
    now: datetime

    def insert(self, nouns: Sequence[Noun]) -> int:
        """Append nouns of any classes; one whose ids are stored already is ignored.

        Returns:
            How many rows are new.
        """
        by_table: dict[str, list[Noun]] = {}
        for noun in nouns:
            by_table.setdefault(noun.table_name, []).append(noun)
        return sum(self.insert_frame(table, nouns_frame(group)) for table, group in by_table.items())

    def insert_frame(self, table: str, frame: pl.DataFrame) -> int:
        """Append the rows of `frame`; those without a key or with ids that are stored already are left out.

        Args:
            table: a table name, or `prediction:<model>`.
            frame: columns of the table; absent ones become NULL, or 0 and false where NULL is not allowed.

        Returns:
            How many rows are new.

        Raises:
            StoreError: an unknown table or column.
        """
        [outcome] = self.writer.write(self.cursor, [part(table, frame, OURSELVES)], self.seq, self.now)
        return outcome.stored

    def upsert(self, table: str, frame: pl.DataFrame) -> int:
        """Replace rows of a native table by its ids (`gpu_device` is merged); how many were given."""
        rows = part(table, frame, OURSELVES)
        if rows.table.bulk or not rows.table.ids:
            raise StoreError(f"table {table} cannot be upserted: rows are appended only")
        if table != "gpu_device":
            same = " AND ".join(f"t.{k} = i.{k}" for k in rows.table.ids)
            self.cursor.register("incoming", rows.frame)
            self.cursor.execute(f'DELETE FROM core."{table}" AS t USING incoming AS i WHERE {same}')
            self.cursor.unregister("incoming")
        [outcome] = self.writer.write(self.cursor, [rows], self.seq, self.now)
        return outcome.stored

    def set_state(self, key: str, value: Json, judged_until: datetime | None = None) -> None:
        """Keep `value` as the state of `key`; see `set_states`."""
        self.set_states({key: value}, judged_until)

    def set_states(self, values: Mapping[str, Json], judged_until: datetime | None = None) -> None:
        """Keep many states at once.

        Args:
            values: plain JSON by key, e.g. by monitor id.
            judged_until: event time up to which these states have judged; None leaves it as it is.

        Raises:
            StoreError: a key was judged further already; the whole transaction must be given up.
        """
        if not values:
            return
        frame = pl.DataFrame({
            "key": list(values), "value": [json.dumps(v, sort_keys=True) for v in values.values()],
            "judged_until": pl.Series([judged_until] * len(values), dtype=pl.Datetime("us", "UTC")),
            "updated_at": pl.Series([self.now] * len(values), dtype=pl.Datetime("us", "UTC")),
        })  # fmt: skip
        self.cursor.register("incoming", frame)
        back = self.cursor.execute(
            "SELECT s.key, s.judged_until FROM core.state AS s JOIN incoming AS i USING (key) "
            "WHERE i.judged_until < s.judged_until ORDER BY s.key LIMIT 1"
        ).fetchall()
        if back:
            raise StoreError(
                f"state of {back[0][0]!r} has judged until {back[0][1]:%Y-%m-%dT%H:%M:%SZ}, it cannot go back to "
                f"{judged_until:%Y-%m-%dT%H:%M:%SZ}; another detection was faster, give this one up"
            )
        self.cursor.execute(
            "INSERT INTO core.state BY NAME FROM incoming ON CONFLICT (key) DO UPDATE SET value = excluded.value, "
            "judged_until = coalesce(excluded.judged_until, judged_until), updated_at = excluded.updated_at"
        )
        self.cursor.unregister("incoming")

    def set_setting(self, key: str, value: Any) -> None:
        """Keep `value` (plain JSON) as the setting `key`."""
        self.cursor.execute(
            "INSERT OR REPLACE INTO core.setting VALUES (?, ?)", [key, json.dumps(value, sort_keys=True)]
        )

    def execute(self, sql: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Run any SQL inside the transaction; its rows."""
        return self.cursor.execute(sql, params).fetchall()
