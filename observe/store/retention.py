"""Files leave their tables: those whose time is over, then the oldest raw ones beyond a size.

No file leaves by age that summaries have not counted yet. Of predictions a sample stays: of each
model and day the rows with the smallest hash, in one file that is kept as long as rollups are.

Source: our own; ARCHITECTURE section 3, retention. Smallest hashes: bottom-k sampling (Cohen and
Kaplan 2007, "Summarizing data using bottom-k sketches"), uniform, and mergeable from any parts.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

import duckdb

from observe.store.database import Database
from observe.store.ddl import Bulk, literal, quoted
from observe.store.folds import ROLLED
from observe.store.lake import Lake
from observe.store.manifest import Manifest, Sheet
from observe.store.merging import floor
from observe.store.predictions import model_of
from observe.store.views import create_bulk_view, parquet_sql

ROLLUP: Final = "rollup"  # in a policy: all rollups, and the sample of predictions
RAW: Final = frozenset(
    {"attempt", "gpu_sample", "serving_sample", "metric_sample", "prediction", "prediction_half", "log_event"}
)
_DAY: Final = timedelta(days=1)
_ROUNDS: Final = 4  # samples that stay take room again: so often the size is looked at
_LOG = logging.getLogger("observe.store")


@dataclass(frozen=True, slots=True)
class Passed:
    """How far everybody who counts a table's rows has come: windows before `until`, rows stored by `seen`."""

    until: datetime
    seen: datetime

    def over(self, sheet: Sheet) -> bool:
        """Whether nobody needs the rows of a file any more."""
        return sheet.t_max < self.until and sheet.ingested_max <= self.seen


@dataclass(frozen=True, slots=True)
class Policy:
    """What may leave.

    Args:
        keep: how long, by table name (`prediction` for all models, `rollup` for all rollups); others are kept.
        size_bytes: the most that files may take together; raw ones leave for it, oldest first.
        reservoir: predictions of a model and day that stay when the others leave.
        passed: by table key, for tables whose rows somebody still has to count.
    """

    keep: Mapping[str, timedelta] = field(default_factory=dict)
    size_bytes: int | None = None
    reservoir: int = 0
    passed: Mapping[str, Passed] = field(default_factory=dict)

    def of(self, sheet: Sheet, bulk: Bulk) -> timedelta | None:
        """How long a file is kept; None for ever."""
        return self.keep.get(ROLLUP if sheet.reservoir or bulk.table.name in ROLLED else bulk.table.name)

    def counted(self, sheet: Sheet) -> bool:
        """Whether everybody has counted the rows of a file."""
        return sheet.reservoir or sheet.key not in self.passed or self.passed[sheet.key].over(sheet)


class Retention:
    """Lets files leave; used by whoever holds the sealing lock."""

    def __init__(self, database: Database, manifest: Manifest, lake: Lake) -> None:
        self._database, self._manifest, self._lake = database, manifest, lake

    def by_age(self, bulk: Bulk, now: datetime, policy: Policy) -> int:
        """Take files of `bulk` whose newest row is older than allowed out of its table; how many."""
        with self._database.snapshot() as cursor:
            sheets = self._manifest.sheets(cursor, bulk.key)
        old = [s for s in sheets if (keep := policy.of(s, bulk)) is not None and s.t_max < now - keep]
        leaving = [s for s in old if policy.counted(s)]
        if len(leaving) < len(old):
            _LOG.info(
                "event=retention_waits table=%s files=%d reason=not_summarised", bulk.key, len(old) - len(leaving)
            )
        self._leave(bulk, leaving, now, ("retention", policy.reservoir))
        return len(leaving)

    def by_size(self, bulks: Sequence[Bulk], now: datetime, policy: Policy) -> int:
        """Take the oldest raw files out of their tables until all files are within the size; how many."""
        raw = {b.key: b for b in bulks if b.table.name in RAW}
        left = 0
        for _ in range(_ROUNDS):
            leaving = self._beyond(bulks, raw, policy)
            if not leaving:
                break
            for key in {s.key for s in leaving}:
                self._leave(raw[key], [s for s in leaving if s.key == key], now, ("size", policy.reservoir))
            left += len(leaving)
        return left

    def _beyond(self, bulks: Sequence[Bulk], raw: Mapping[str, Bulk], policy: Policy) -> list[Sheet]:
        """The files that are too much: those that were counted first, the oldest first."""
        with self._database.snapshot() as cursor:
            sheets = [s for b in bulks for s in self._manifest.sheets(cursor, b.key)]
        over = sum(s.size for s in sheets) - (policy.size_bytes or 0)
        leaving: list[Sheet] = []
        droppable = [s for s in sheets if s.key in raw and not s.reservoir]
        for sheet in sorted(droppable, key=lambda s: (not policy.counted(s), s.t_max, s.path)):
            if over <= 0:
                break
            leaving.append(sheet)
            over -= sheet.size
        if leaving:
            _LOG.warning("event=size_cap files=%d until=%s", len(leaving), leaving[-1].t_max.isoformat())
        return leaving

    def _leave(self, bulk: Bulk, sheets: Sequence[Sheet], now: datetime, why: tuple[str, int]) -> None:
        if not sheets:
            return
        reason, rows = why
        kept: list[Sheet] = []
        replaced: list[Sheet] = []
        if bulk.table.name == "prediction" and rows:
            kept, replaced = self._sampled(bulk, [s for s in sheets if not s.reservoir], rows)
        self._lake.publish(kept)
        with self._database.change() as cursor:
            self._manifest.leave(cursor, [s.path for s in sheets], now, reason)
            self._manifest.bury(cursor, [s.path for s in replaced], now)
            for sheet in kept:
                self._manifest.add(cursor, sheet, now)
            create_bulk_view(cursor, bulk, self._manifest.files(cursor, bulk.key))

    def _sampled(self, bulk: Bulk, leaving: Sequence[Sheet], rows: int) -> tuple[list[Sheet], list[Sheet]]:
        """Files with the sample of each day that is left, and the earlier samples of these days they take in."""
        days: dict[datetime, list[Sheet]] = defaultdict(list)
        for sheet in leaving:
            days[floor(sheet.t_min, _DAY)].append(sheet)
        made: list[Sheet] = []
        replaced: list[Sheet] = []
        with self._database.snapshot() as cursor:
            for day, sheets in sorted(days.items()):
                live = self._manifest.sheets(cursor, bulk.key)
                before = [s for s in live if s.reservoir and floor(s.t_min, _DAY) == day]
                made.append(self._sample(cursor, bulk, (sheets, before), rows))
                replaced += before
        return made, replaced

    def _sample(
        self, cursor: duckdb.DuckDBPyConnection, bulk: Bulk, parts: tuple[Sequence[Sheet], Sequence[Sheet]], rows: int
    ) -> Sheet:
        leaving, before = parts
        files = parquet_sql([self._manifest.folder / s.path for s in (*leaving, *before)])
        every = f"SELECT * EXCLUDE (seq) FROM {bulk.hot} WHERE false UNION ALL BY NAME SELECT * FROM {files}"
        [(known,)] = cursor.execute(f"SELECT max(sampled_of) FROM ({every})").fetchall()
        number = sum(s.rows for s in leaving) + (known or 0)
        order = f"md5_number_lower(concat_ws('/', {literal(model_of(bulk))}, prediction_id, item_idx))"
        sample = f"SELECT * FROM ({every}) ORDER BY {order}, source LIMIT {rows}"
        sql = f"SELECT * REPLACE ({number}::BIGINT AS sampled_of) FROM ({sample}) ORDER BY {quoted(bulk.table.time)}"
        start, seq = min(s.t_min for s in leaving), max(s.seq for s in leaving)
        return replace(self._lake.write(cursor, bulk, start, sql, seq), reservoir=True)
