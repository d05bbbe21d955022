"""Rows become rollups in the transaction that seals them: each row is counted once, whatever happens.

A row moves from its hot table to a file exactly once, without those that were there already, so what
is folded is what was sealed: the sum over a rollup and the hot rows is the raw table at any moment.
`gpu_fleet_5m` and `gpu_1h` hold what does not add up from row to row (is a device idle?); they are
folded from `gpu_1m` again wherever rows came late, and the difference is written.

Source: our own; ARCHITECTURE section 3, Rollups.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from observe.schema import TABLES, Window
from observe.store.ddl import Bulk, bulk_tables, literal, quoted
from observe.store.folds import FOLDED, fold_sql
from observe.store.manifest import Manifest
from observe.store.views import parquet_sql, source_sql

STATE: Final = "rollups/"  # before the raw table's name in core.state
_HOUR: Final = timedelta(hours=1)
_BEFORE: Final = timedelta(minutes=10)  # the energy counter's last minute before an hour is looked for this far back
_RETRY: Final = timedelta(hours=1)  # a later try of the same request ends this long after it, at most
_EXTREMES: Final = frozenset({"util_max", "mem_used_max", "temp_max"})  # merge by max, the other numbers by sum
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "gpu_fleet_5m": ("ts", "cluster", "sku"),
    "gpu_1h": ("ts", "device_id", "cluster"),
}
_Cursor = duckdb.DuckDBPyConnection


@dataclass(frozen=True, slots=True)
class Rolled:
    """Rollup rows that a seal writes in its own transaction, and how far they come."""

    raw: str
    rows: Mapping[str, pa.Table] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)

    def write(self, cursor: _Cursor, seq: int, now: datetime) -> None:
        """Append the rows to their hot tables and keep the state."""
        for table, rows in self.rows.items():
            cursor.register("incoming", rows)
            stamps = {"seq": seq, "ingested_at": now}
            cursor.execute(
                f"INSERT INTO hot.{quoted(table)} BY NAME SELECT *, $seq AS seq, $ingested_at AS ingested_at FROM incoming",
                stamps,
            )
            cursor.unregister("incoming")
        cursor.execute(
            "INSERT OR REPLACE INTO core.state VALUES (?, ?, NULL, ?)", [STATE + self.raw, json.dumps(self.state), now]
        )


class Rollups:
    """Folds what a seal moves; used by whoever holds the sealing lock."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._bulks = {b.key: b for b in bulk_tables()}

    def fold(self, cursor: _Cursor, raw: Bulk, files: Sequence[Path], bound: datetime) -> Rolled | None:
        """What the rows of `files`, which are about to be sealed, add to the rollups of their table.

        Args:
            cursor: a snapshot in which the rows are still hot.
            raw: their table.
            files: where the rows are, none or more.
            bound: event time up to which windows are closed.

        Returns:
            Rows to write in the transaction that seals; None when nothing is to be written.
        """
        if raw.key not in FOLDED:
            return None
        state = self._state(cursor, raw.key)
        until, hours = state.get("until"), {datetime.fromisoformat(h) for h in state.get("hours", [])}
        closed = [h for h in hours if h + _HOUR <= bound]
        if not files and not closed:
            return None
        rows = {}
        if files:
            rows[FOLDED[raw.key]] = fresh = self._fresh(cursor, raw, files, until)
            cursor.register("fresh", fresh)
        if raw.key == "attempt":
            table, hours = self._hours(cursor, (hours, bound), until, fresh=bool(files))
            rows |= {"attempt_1h": table} if table is not None else {}
        if raw.key == "gpu_sample":
            hours |= self._touched(cursor, "1 HOUR", _BEFORE) if files else set()
            rows |= self._derived(cursor, hours, bound, fresh=bool(files))
        if files:
            cursor.unregister("fresh")
        latest = max(until or "", bound.isoformat())
        waiting = sorted(h.isoformat() for h in hours if h + _HOUR > bound)
        return Rolled(raw.key, {k: v for k, v in rows.items() if v.num_rows}, {"until": latest, "hours": waiting})

    def _state(self, cursor: _Cursor, raw: str) -> Mapping[str, Any]:
        found = cursor.execute("SELECT value FROM core.state WHERE key = ?", [STATE + raw]).fetchall()
        return json.loads(found[0][0]) if found else {}

    def _fresh(self, cursor: _Cursor, raw: Bulk, files: Sequence[Path], until: str | None) -> pa.Table:
        rows = f"SELECT * EXCLUDE (seq) FROM {raw.hot} WHERE false UNION ALL BY NAME SELECT * FROM {parquet_sql(files)}"
        late = f"ts < TIMESTAMPTZ {literal(until)}" if until else "false"
        sql = fold_sql(FOLDED[raw.key], rows, self._tries(cursor, raw, files, rows))
        return cursor.sql(f"SELECT *, {late} AS late FROM ({sql}) ORDER BY ts").to_arrow_table()

    def _tries(self, cursor: _Cursor, raw: Bulk, files: Sequence[Path], rows: str) -> str | None:
        """Every attempt that may be a later try of a request in `files`: hot, or sealed before."""
        if raw.key != "attempt":
            return None
        [(low, high)] = cursor.execute(f"SELECT min(ts), max(ts) FROM ({rows})").fetchall()
        sealed = [f for f in self._manifest.files(cursor, raw.key, Window(low, high + _RETRY)) if f not in files]
        kept = "trace_id, ts, attempt_no"
        sql = f"SELECT {kept} FROM ({source_sql(raw.hot, sealed)}) WHERE ts >= {_instant(low)}"
        return f"{sql} UNION ALL SELECT {kept} FROM ({rows})"

    def _touched(self, cursor: _Cursor, span: str, after: timedelta = timedelta(0)) -> set[datetime]:
        """Buckets in which fresh minutes lie, or which begin up to `after` behind one."""
        seconds = int(after.total_seconds())
        sql = (
            f"SELECT DISTINCT time_bucket(INTERVAL {span}, t) FROM (SELECT ts AS t FROM fresh UNION ALL "
            f"SELECT ts + INTERVAL {seconds} SECOND FROM fresh)"
        )
        return {bucket for (bucket,) in cursor.execute(sql).fetchall()}

    def _hours(
        self, cursor: _Cursor, pending: tuple[set[datetime], datetime], until: str | None, *, fresh: bool
    ) -> tuple[pa.Table | None, set[datetime]]:
        """Hours of attempts that are over and what came late to hours before; and the hours that are still to be written."""
        hours, bound = pending
        touched = self._touched(cursor, "1 HOUR") if fresh else set()
        passed = datetime.fromisoformat(until) if until else None
        late = {h for h in touched if passed and h + _HOUR <= passed and h not in hours}
        hours |= touched - late
        over = {h for h in hours if h + _HOUR <= bound}
        if not over and not late:
            return None, hours
        hour, parts = "time_bucket(INTERVAL 1 HOUR, ts)", []
        if over:
            span = Window(min(over), max(over) + _HOUR)
            among = ", ".join(_instant(h) for h in sorted(over))
            parts.append(f"SELECT * FROM ({self._stored(cursor, 'attempt_1m', span)}) WHERE {hour} IN ({among})")
        if fresh:
            among = ", ".join(_instant(h) for h in sorted(over | late))
            parts.append(f"SELECT * FROM fresh WHERE {hour} IN ({among})")
        sql = fold_sql("attempt_1h", " UNION ALL BY NAME ".join(parts))
        said = f"ts IN ({', '.join(_instant(h) for h in sorted(late))})" if late else "false"
        return cursor.sql(f"SELECT *, {said} AS late FROM ({sql}) ORDER BY ts").to_arrow_table(), hours

    def _derived(self, cursor: _Cursor, hours: set[datetime], bound: datetime, *, fresh: bool) -> dict[str, pa.Table]:
        """The fleet's buckets that fresh minutes touch, and the hours among `hours` that are over."""
        made = {}
        over = sorted(h for h in hours if h + _HOUR <= bound)
        if fresh:
            buckets = sorted(self._touched(cursor, "5 MINUTE"))
            made["gpu_fleet_5m"] = self._again(cursor, "gpu_fleet_5m", buckets, timedelta(minutes=5), fresh=fresh)
        if over:
            made["gpu_1h"] = self._again(cursor, "gpu_1h", over, _HOUR, fresh=fresh)
        return made

    def _again(
        self, cursor: _Cursor, rollup: str, buckets: Sequence[datetime], length: timedelta, *, fresh: bool
    ) -> pa.Table:
        """`buckets` folded from all their minutes, less what is stored of them: rows that add up to the truth."""
        lead = _BEFORE if rollup == "gpu_1h" else timedelta(0)
        span = Window(buckets[0] - lead, buckets[-1] + length)
        minutes = self._stored(cursor, "gpu_1m", span)
        if fresh:
            minutes += " UNION ALL BY NAME SELECT * FROM fresh"
        cursor.register("buckets", pa.table({"ts": pa.array(list(buckets), pa.timestamp("us", "UTC"))}))
        bucket = f"time_bucket(INTERVAL {int(length.total_seconds())} SECOND, ts)"
        near = f"{bucket} IN (FROM buckets)"
        if lead:
            near += (
                f" OR time_bucket(INTERVAL 1 HOUR, ts + INTERVAL {int(lead.total_seconds())} SECOND) IN (FROM buckets)"
            )
        new = fold_sql(rollup, f"SELECT * FROM ({minutes}) WHERE {near}")
        sql = _difference(rollup, new, self._stored(cursor, rollup, Window(buckets[0], span.end)))
        made = cursor.sql(f"SELECT * FROM ({sql}) WHERE ts IN (FROM buckets) ORDER BY ts").to_arrow_table()
        cursor.unregister("buckets")
        return made

    def _stored(self, cursor: _Cursor, rollup: str, span: Window) -> str:
        where = f"ts >= {_instant(span.start)} AND ts < {_instant(span.end)}"
        return source_sql(self._bulks[rollup].hot, self._manifest.files(cursor, rollup, span), where)


def _difference(rollup: str, new: str, stored: str) -> str:
    keys = _KEYS[rollup]
    numbers = [c.name for c in TABLES[rollup].columns if c.name not in {*keys, "late", "ingested_at"}]
    plain = [n for n in numbers if n not in _EXTREMES]
    added = ", ".join(f"sum({n}) AS {n}" if n in plain else f"max({n}) AS {n}" for n in numbers)
    less = ", ".join(f"-{n} AS {n}" if n in plain else n for n in numbers)
    changed = " OR ".join(f"coalesce(abs(sum({n})), 0) > 1e-6" for n in plain)
    names = ", ".join(keys)
    return (
        f"SELECT {names}, {added}, bool_or(stored) AS late FROM (SELECT {names}, {', '.join(numbers)}, false AS stored "
        f"FROM ({new}) UNION ALL SELECT {names}, {less}, true FROM ({stored})) GROUP BY {names} HAVING {changed}"
    )


def _instant(moment: datetime) -> str:
    return f"TIMESTAMPTZ {literal(moment.isoformat())}"
