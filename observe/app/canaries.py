"""Which version is the canary, and what both versions did, minute by minute.

A new version is one that is first seen while another one answers; the old one is whichever answered most in the
six hours before. Slow is what lies beyond the quantiles the old version had in the day before.

Source: our own; METHODS section 8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import Any, Final

import polars as pl

from observe.app.canary_asked import PAIRED, QUANTILES, TENTHS, Asked, Rows, averages, pairs, slower, tenths
from observe.schema import Monitor, Window
from observe.store import Store

BEFORE: Final = timedelta(hours=6)  # of the old version alone, from which its clumps are learnt
_APART: Final = timedelta(hours=1)  # versions first seen nearer to each other are old ones side by side
SPAN: Final = timedelta(days=7)  # a version first seen longer ago is no canary any more
_DAY: Final = timedelta(days=1)
_TABLE: Final = "select name from core.model_table where model = $model"
_FEWEST: Final = 200  # rows of the old version before a quantile of it is believed
_OF_ATTEMPTS: Final[Mapping[str, str]] = {
    "deployment": "deployment_id", "model_served": "model_served", "prompt_version": "prompt_version",
}  # fmt: skip
SCHEMA: Final[Mapping[str, pl.DataType | type[pl.DataType]]] = {
    "model": pl.String, "ts": pl.Datetime("us", "UTC"), "canary": pl.String, "question": pl.String,
    "canary_x": pl.Int64, "canary_n": pl.Int64, "baseline_x": pl.Int64, "baseline_n": pl.Int64,
    "canary_sum": pl.Float64, "baseline_sum": pl.Float64,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sides:
    """The two versions, and when the new one was first seen."""

    canary: str
    baseline: str
    began: datetime


class Canaries:
    """Reads frame `canary_1m`; remembers when it first saw a version, so that each row is read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: dict[str, dict[str, datetime]] = {}
        self._until: dict[str, datetime] = {}
        self._sides_of: dict[tuple[str, str, datetime], Sides | None] = {}
        self._asked: dict[tuple[str, Sides], tuple[Asked, ...]] = {}

    def frame(self, monitors: Sequence[Monitor], window: Window) -> pl.DataFrame:
        """Minutes in which both versions may have answered; with those before when a canary began in `window`."""
        parts = [part for m in monitors for part in self._of(m, window)]
        return pl.concat([pl.DataFrame(schema=SCHEMA), *parts])

    def _of(self, monitor: Monitor, window: Window) -> Iterator[pl.DataFrame]:
        model, by = monitor.model, str(monitor.params["by"])
        rows = self._rows(model, by)
        sides = self._sides(model, by, rows, window.end) if rows else None
        if rows is None or sides is None:
            return
        start = sides.began - BEFORE if window.start <= sides.began < window.end else window.start
        asked = self._questions(model, rows, sides)
        asks: dict[str, Any] = {"model": model, "canary": sides.canary, "baseline": sides.baseline}
        found = self._read(
            f"select date_trunc('minute', ts) as ts, {rows.version} = $canary as new, {', '.join(q.counted(i) for i, q in enumerate(asked))}"
            f" from {rows.relation} and ts >= $from and ts < $to and {rows.version} in ($canary, $baseline) group by all order by all",
            Window(start, window.end), asks,
        )  # fmt: skip
        yield pl.DataFrame(list(_long(model, sides.canary, asked, found)), schema=SCHEMA, orient="row")
        if "disagree" in monitor.params:
            since = max(start, sides.began)
            asks |= {"within": float(monitor.params["within"]), "from": since, "to": window.end}
            paired = self._store.read(pairs(rows), asks, Window(since - PAIRED, window.end))
            told = [(model, ts, sides.canary, "agreement", x, n, 0, 0, None, None) for ts, x, n in paired.iter_rows()]
            yield pl.DataFrame(told, schema=SCHEMA, orient="row")

    def _rows(self, model: str, by: str) -> Rows | None:
        if by in _OF_ATTEMPTS:
            relation = "attempt where model_id = $model and status <> 'cancelled'"
            return Rows(relation, _OF_ATTEMPTS[by], "status = 'error'", ("ttft_s", "duration_s"), None,
                        ("ttft_s", "duration_s", "tokens_out", "cost_usd"))  # fmt: skip
        known = self._store.read(_TABLE, {"model": model})
        if known.is_empty():
            return None
        name = '"' + str(known["name"][0]).replace('"', '""') + '"'
        return Rows(f"predictions.{name} where $model <> ''", by, "orphan = 'request_only'", ("latency_s",), "score",
                    ("latency_s", "score"))  # fmt: skip

    def _sides(self, model: str, by: str, rows: Rows, end: datetime) -> Sides | None:
        seen = self._first_seen(model, rows, end)
        if by == "variant":
            new = next((v for v in ("canary", "shadow") if v in seen), None)
            return Sides(new, "default", seen[new]) if new and "default" in seen else None
        if len(seen) < 2:
            return None
        canary, began = max(seen.items(), key=lambda item: (item[1], item[0]))
        if began - min(seen.values()) < _APART or began < end - SPAN + BEFORE:
            return None
        if (model, canary, began) not in self._sides_of:
            self._sides_of[model, canary, began] = self._against(model, rows, canary, began)
        return self._sides_of[model, canary, began]

    def _against(self, model: str, rows: Rows, canary: str, began: datetime) -> Sides | None:
        """The canary beside the version that answered most before it."""
        others = self._read(
            f"select {rows.version} as version, count(*) as n from {rows.relation} and ts >= $from and ts < $to"
            f" and {rows.version} <> $canary group by all order by n desc, version limit 1",
            Window(began - BEFORE, began), {"model": model, "canary": canary},
        )  # fmt: skip
        return Sides(canary, str(others["version"][0]), began) if others.height else None

    def _first_seen(self, model: str, rows: Rows, end: datetime) -> dict[str, datetime]:
        """When each version of the last seven days was first seen, read from where the last reading stopped."""
        seen, oldest = self._seen.setdefault(model, {}), end - SPAN
        found = self._read(
            f"select {rows.version} as version, min(ts) as first from {rows.relation} and ts >= $from and ts < $to"
            f" and {rows.version} is not null group by all",
            Window(max(self._until.get(model, oldest), oldest), end), {"model": model},
        )  # fmt: skip
        for version, first in found.iter_rows():
            seen[version] = min(first, seen.get(version, first))
        self._until[model] = end
        return dict(seen)

    def _questions(self, model: str, rows: Rows, sides: Sides) -> tuple[Asked, ...]:
        if (model, sides) not in self._asked:
            self._asked[model, sides] = tuple(self._new_questions(model, rows, sides))
        return self._asked[model, sides]

    def _new_questions(self, model: str, rows: Rows, sides: Sides) -> Iterator[Asked]:
        yield Asked("error", rows.failed, "true")
        asked = {"model": model, "baseline": sides.baseline}
        parts = tuple(i / TENTHS for i in range(1, TENTHS))
        for column, quantiles in [
            *((c, QUANTILES) for c in rows.latencies),
            *(((rows.score, parts),) if rows.score else ()),
        ]:
            found = self._read(
                f"select count({column}) as n, quantile_cont({column}, {list(quantiles)}) as q from {rows.relation}"
                f" and ts >= $from and ts < $to and {rows.version} = $baseline",
                Window(sides.began - _DAY, sides.began), asked,
            )  # fmt: skip
            bounds = [float(v) for v in found["q"][0]] if found["n"][0] >= _FEWEST else []
            if bounds and all(map(isfinite, bounds)):
                yield from slower(column, bounds) if column != rows.score else tenths(column, bounds)
        yield from averages(rows.averages)

    def _read(self, sql: str, span: Window, params: Mapping[str, Any]) -> pl.DataFrame:
        return self._store.read(sql, {**params, "from": span.start, "to": span.end}, span)


def _long(model: str, canary: str, asked: Sequence[Asked], found: pl.DataFrame) -> Iterator[tuple[Any, ...]]:
    """One row a minute and question; a side that did not answer has counted nothing."""
    none = (0, 0, None) * len(asked)
    for (ts,), part in found.partition_by("ts", as_dict=True, maintain_order=True).items():
        counts = {new: values for _, new, *values in part.iter_rows()}
        new, old = counts.get(True, none), counts.get(False, none)
        for i, q in enumerate(asked):
            (x, n, total), (y, m, before) = new[3 * i : 3 * i + 3], old[3 * i : 3 * i + 3]
            yield model, ts, canary, q.name, x, n, y, m, total, before
