"""Which version is the canary, and what both versions did, minute by minute.

A new version is one that is first seen while another one answers; the old one is whichever answered most in the
six hours before. Slow is what lies beyond the quantiles the old version had in the day before.

Source: our own; METHODS section 8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from observe.schema import Monitor, Window
from observe.store import Store

if TYPE_CHECKING:
    from observe.spec import Config

BEFORE: Final = timedelta(hours=6)  # of the old version alone, from which its clumps are learnt
_APART: Final = timedelta(hours=1)  # versions first seen nearer to each other are old ones side by side
SPAN: Final = timedelta(days=7)  # a version first seen longer ago is no canary any more
_DAY: Final = timedelta(days=1)
_TABLE: Final = "select name from core.model_table where model = $model"
_FEWEST: Final = 200  # rows of the old version before a quantile of it is believed
_QUANTILES: Final = (0.5, 0.9, 0.99)
_TENTHS: Final = 10
_OF_ATTEMPTS: Final[Mapping[str, str]] = {
    "deployment": "deployment_id", "model_served": "model_served", "prompt_version": "prompt_version",
}  # fmt: skip
SCHEMA: Final[Mapping[str, pl.DataType | type[pl.DataType]]] = {
    "model": pl.String, "ts": pl.Datetime("us", "UTC"), "canary": pl.String, "question": pl.String,
    "canary_x": pl.Int64, "canary_n": pl.Int64, "baseline_x": pl.Int64, "baseline_n": pl.Int64,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sides:
    """The two versions, and when the new one was first seen."""

    canary: str
    baseline: str
    began: datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """One question as SQL: events of all."""

    name: str
    events: str
    all: str


@dataclass(frozen=True, slots=True)
class Rows:
    """Where the rows of one model are: a relation, the column that names the version, what is asked of them."""

    relation: str
    version: str
    failed: str
    latencies: tuple[str, ...]
    score: str | None


class Canaries:
    """Reads frame `canary_1m`; remembers when it first saw a version, so that each row is read once."""

    def __init__(self, config: Config, store: Store) -> None:
        self._config, self._store = config, store
        self._seen: dict[str, dict[str, datetime]] = {}
        self._until: dict[str, datetime] = {}
        self._sides_of: dict[tuple[str, str, datetime], Sides | None] = {}
        self._asked: dict[tuple[str, Sides], tuple[Asked, ...]] = {}

    def frame(self, monitors: Sequence[Monitor], window: Window) -> pl.DataFrame:
        """Minutes in which both versions may have answered; with those before when a canary began in `window`."""
        parts = [self._of(m.model, str(m.params["by"]), window) for m in monitors]
        return pl.concat([pl.DataFrame(schema=SCHEMA), *(p for p in parts if p is not None)])

    def _of(self, model: str, by: str, window: Window) -> pl.DataFrame | None:
        rows = self._rows(model, by)
        sides = self._sides(model, by, rows, window.end) if rows else None
        if rows is None or sides is None:
            return None
        start = sides.began - BEFORE if window.start <= sides.began < window.end else window.start
        asked = self._questions(model, rows, sides)
        counted = ", ".join(
            f"count_if({q.events})::BIGINT as x{i}, count_if({q.all})::BIGINT as n{i}" for i, q in enumerate(asked)
        )
        found = self._read(
            f"select date_trunc('minute', ts) as ts, {rows.version} = $canary as new, {counted} from {rows.relation}"
            f" and ts >= $from and ts < $to and {rows.version} in ($canary, $baseline) group by all order by all",
            Window(start, window.end), {"model": model, "canary": sides.canary, "baseline": sides.baseline},
        )  # fmt: skip
        return pl.DataFrame(list(_long(model, sides.canary, asked, found)), schema=SCHEMA, orient="row")

    def _rows(self, model: str, by: str) -> Rows | None:
        if by in _OF_ATTEMPTS:
            relation = "attempt where model_id = $model and status <> 'cancelled'"
            return Rows(relation, _OF_ATTEMPTS[by], "status = 'error'", ("ttft_s", "duration_s"), None)
        known = self._store.read(_TABLE, {"model": model})
        if known.is_empty():
            return None
        name = '"' + str(known["name"][0]).replace('"', '""') + '"'
        return Rows(f"predictions.{name} where $model <> ''", by, "orphan = 'request_only'", ("latency_s",), "score")

    def _sides(self, model: str, by: str, rows: Rows, end: datetime) -> Sides | None:
        seen = self._first_seen(model, rows, end)
        if by == "variant":
            began = seen.get("canary")
            return Sides("canary", "default", began) if began is not None and "default" in seen else None
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
        tenths = tuple(i / _TENTHS for i in range(1, _TENTHS))
        for column, quantiles in [
            *((c, _QUANTILES) for c in rows.latencies),
            *(((rows.score, tenths),) if rows.score else ()),
        ]:
            found = self._read(
                f"select count({column}) as n, quantile_cont({column}, {list(quantiles)}) as q from {rows.relation}"
                f" and ts >= $from and ts < $to and {rows.version} = $baseline",
                Window(sides.began - _DAY, sides.began), asked,
            )  # fmt: skip
            bounds = [float(v) for v in found["q"][0]] if found["n"][0] >= _FEWEST else []
            if bounds and all(map(isfinite, bounds)):
                yield from _past(column, bounds) if column != rows.score else _tenths(column, bounds)

    def _read(self, sql: str, span: Window, params: Mapping[str, Any]) -> pl.DataFrame:
        return self._store.read(sql, {**params, "from": span.start, "to": span.end}, span)


def _past(column: str, bounds: Sequence[float]) -> Iterator[Asked]:
    for q, bound in zip(_QUANTILES, bounds, strict=True):
        yield Asked(f"latency:{column}:p{100 * q:.0f}", f"{column} > {bound!r}", f"{column} is not null")


def _tenths(column: str, bounds: Sequence[float]) -> Iterator[Asked]:
    edges = [None, *bounds, None]
    for i, (low, high) in enumerate(pairwise(edges), 1):
        inside = " and ".join(
            [
                *([f"{column} > {low!r}"] if low is not None else []),
                *([f"{column} <= {high!r}"] if high is not None else []),
            ]
        )
        yield Asked(f"prediction:{i}", inside, f"{column} is not null")


def _long(model: str, canary: str, asked: Sequence[Asked], found: pl.DataFrame) -> Iterator[tuple[Any, ...]]:
    """One row a minute and question; a side that did not answer has counted nothing."""
    none = (0,) * (2 * len(asked))
    for (ts,), part in found.partition_by("ts", as_dict=True, maintain_order=True).items():
        counts = {new: values for _, new, *values in part.iter_rows()}
        new, old = counts.get(True, none), counts.get(False, none)
        for i, q in enumerate(asked):
            yield model, ts, canary, q.name, new[2 * i], new[2 * i + 1], old[2 * i], old[2 * i + 1]
