"""Rows go into tables: each identity once, devices upserted, features on their decided columns.

Everything here runs inside the one writing transaction. What a transaction learns (identities,
batch ids, new columns) becomes known when it is committed and is forgotten when it is not.

Source: our own; ARCHITECTURE section 3, Idempotency.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

from observe.schema import Table
from observe.store.ddl import PREDICTION, Bulk, bulk_tables, core_table, quoted
from observe.store.devices import Devices
from observe.store.predictions import CONFLICT, CONFLICTS_TOLD, Features
from observe.store.rows import Part, checksum, hashed, identity
from observe.store.seen import Hashes, Seen, row_hashes
from observe.store.views import create_bulk_view, create_predictions_view

REMEMBERED: Final = timedelta(hours=2)  # how long after its arrival a row is recognised
_Cursor = duckdb.DuckDBPyConnection
_DISTINCT_BY_TIME: Final = frozenset(
    {"finding", "alert", "incident", "explanation", "action", "command", "reference_window"}
)  # same ids, same time


@dataclass(slots=True)
class Outcome:
    """What became of one part: rows stored, rows left out by reason, values repaired by reason."""

    stored: int = 0
    checksum: str = ""  # over the rows stored
    rejected: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)


class Writer:
    """Writes parts into their tables; one transaction at a time."""

    def __init__(self, features: Features) -> None:
        self.features = features
        self._fixed = {b.key: b for b in bulk_tables()}
        self._seen: dict[str, Seen] = {}
        self._learned: list[Callable[[datetime], None]] = []
        self._devices = Devices()

    def seed(self, key: str, frame: pl.DataFrame, at: datetime) -> None:
        """Recognise the rows of `frame`, which are already stored under `key`, from now on."""
        self._seen.setdefault(key, Seen(REMEMBERED)).add(row_hashes(frame, frame.columns), at)

    def bulks(self) -> tuple[Bulk, ...]:
        """All bulk tables there are."""
        return (*self._fixed.values(), *self.features.bulks())

    def learn(self, lesson: Callable[[datetime], None]) -> None:
        """Run `lesson` with the time of the commit, once this transaction is committed."""
        self._learned.append(lesson)

    def committed(self, at: datetime) -> None:
        """The transaction was committed: its lessons hold."""
        lessons, self._learned = self._learned, []
        for lesson in lessons:
            lesson(at)

    def undone(self, cursor: _Cursor) -> None:
        """The transaction was rolled back: forget what it taught."""
        self._learned = []
        self.features.load(cursor)

    def write(self, cursor: _Cursor, parts: Sequence[Part], seq: int, now: datetime) -> list[Outcome]:
        """Write `parts`, all of one key; what became of each, in order."""
        key, table = parts[0].key, parts[0].table
        outcomes = [Outcome(rejected={"missing_key": p.missing_key} if p.missing_key else {}) for p in parts]
        hashes = hashed(parts)
        fresh = self._fresh(cursor, key, table, (parts, hashes))
        frames = []
        for part, own, mask, outcome in zip(parts, hashes, fresh, outcomes, strict=True):
            whole = mask is None or bool(mask.all())
            frame = part.frame if whole else part.frame.filter(pl.Series(mask, dtype=pl.Boolean))
            outcome.stored, outcome.checksum = frame.height, checksum(own if whole else own[mask])
            if frame.height < part.frame.height:
                outcome.rejected["duplicate"] = part.frame.height - frame.height
            frames.append(frame)
        if any(f.height for f in frames):
            self._insert(cursor, key, table, (frames, outcomes), (seq, now))
        return outcomes

    def _fresh(
        self, cursor: _Cursor, key: str, table: Table, given: tuple[Sequence[Part], Sequence[Hashes]]
    ) -> list[npt.NDArray[np.bool_] | None]:
        """For each part, which rows come for the first time; None where rows have no identity."""
        parts, each = given
        if not table.ids or table.name == "gpu_device":
            return [None] * len(parts)
        hashes: Hashes = np.concatenate(each)
        seen = self._seen.setdefault(key, Seen(REMEMBERED))
        mask = seen.fresh(hashes)
        if table.bulk:
            kept = hashes[mask]
            self.learn(lambda at: seen.add(kept, at))
        else:
            keys = list(dict.fromkeys((*identity(table), table.time)))  # sources fill different columns beside these
            mask &= ~_stored(cursor, table, pl.concat([p.frame.select(keys) for p in parts]))
        ends = np.cumsum([p.frame.height for p in parts])[:-1]
        return list(np.split(mask, ends))

    def _insert(
        self,
        cursor: _Cursor,
        key: str,
        table: Table,
        content: tuple[list[pl.DataFrame], list[Outcome]],
        stamp: tuple[int, datetime],
    ) -> None:
        frames, outcomes = content
        if key.startswith(PREDICTION):
            frames = self._fitted(cursor, key.removeprefix(PREDICTION), frames, outcomes)
        rows = frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal")
        if table.name == "gpu_device":
            news = self._devices.news(rows)
            if news.height:
                _upsert_devices(cursor, table, news)
                self.learn(lambda at: self._devices.told(news))
        elif table.bulk:
            bulk = self._fixed.get(key) or self.features.bulk(key.removeprefix(PREDICTION))
            assert bulk is not None
            _append(cursor, bulk.hot, rows, {"seq": stamp[0], "ingested_at": stamp[1]})
        else:
            stamped = any(c.name == "ingested_at" for c in table.columns)
            _append(cursor, core_table(table), rows, {"ingested_at": stamp[1]} if stamped else {})

    def _fitted(
        self, cursor: _Cursor, model: str, frames: list[pl.DataFrame], outcomes: list[Outcome]
    ) -> list[pl.DataFrame]:
        new = self.features.admit(cursor, model, frames)
        fitted = []
        for frame, outcome in zip(frames, outcomes, strict=True):
            rows, conflicts = self.features.fit(model, frame)
            outcome.notes.update(conflicts.reasons())
            told = list(conflicts.examples.items())[:CONFLICTS_TOLD]
            outcome.examples.update({f"{CONFLICT}:{feature}": example for feature, example in told})
            fitted.append(rows)
        if new:
            bulk = self.features.bulk(model)
            assert bulk is not None
            create_bulk_view(cursor, bulk, ())
            create_predictions_view(cursor, self.features.bulks())
        return fitted


def _append(cursor: _Cursor, target: str, rows: pl.DataFrame, stamps: dict[str, int | datetime]) -> None:
    stamped = "".join(f", ${name} AS {name}" for name in stamps)
    cursor.register("incoming", rows.to_arrow())
    cursor.execute(f"INSERT INTO {target} BY NAME SELECT *{stamped} FROM incoming", stamps)
    cursor.unregister("incoming")


def _stored(cursor: _Cursor, table: Table, rows: pl.DataFrame) -> npt.NDArray[np.bool_]:
    """For each row, whether a native table has its identity already."""
    keys = identity(table)
    numbered = rows.select(keys if table.time in keys else (*keys, table.time)).with_row_index("row_number")
    same = " AND ".join(f"t.{quoted(k)} = i.{quoted(k)}" for k in keys)
    if table.name in _DISTINCT_BY_TIME:  # lets DuckDB skip all row groups of other times
        time = quoted(table.time)
        bounds = f"t.{time} BETWEEN (SELECT min({time}) FROM incoming) AND (SELECT max({time}) FROM incoming)"
        same = f"{same} AND {bounds}"
    cursor.register("incoming", numbered)
    found = cursor.execute(
        f"SELECT row_number FROM incoming AS i WHERE EXISTS (FROM {core_table(table)} AS t WHERE {same})"
    ).fetchall()
    cursor.unregister("incoming")
    mask = np.zeros(rows.height, dtype=np.bool_)
    mask[[n for (n,) in found]] = True
    return mask


def _upsert_devices(cursor: _Cursor, table: Table, rows: pl.DataFrame) -> None:
    """Newer descriptions win column by column where they say something; first and last seen only widen."""
    described = [c for c in rows.columns if c not in {"device_id", "first_seen", "last_seen"}]
    newest = rows.sort("last_seen").group_by("device_id", maintain_order=True).agg(
        *(pl.col(c).drop_nulls().last() for c in described), pl.col("first_seen").min(), pl.col("last_seen").max()
    )  # fmt: skip
    newer = "excluded.last_seen >= last_seen"
    sets = [
        f"{quoted(c)} = CASE WHEN {newer} THEN coalesce(excluded.{quoted(c)}, {quoted(c)}) "
        f"ELSE coalesce({quoted(c)}, excluded.{quoted(c)}) END"
        for c in described
    ]
    cursor.register("incoming", newest)
    cursor.execute(
        f"INSERT INTO {core_table(table)} BY NAME FROM incoming ON CONFLICT (device_id) DO UPDATE SET {', '.join(sets)}, "
        "first_seen = least(first_seen, excluded.first_seen), last_seen = greatest(last_seen, excluded.last_seen)"
    )
    cursor.unregister("incoming")
