"""A bounded sample of a model's rows, cleaned so that a tool for small tables can read it.

All rows of a span when they are few, else the first rows of equal parts of it: the raw rows of a week
are more than anybody should scan for a second opinion.

Source: our own; UX.md for what makes Evidently fail (a column of nothing, NaN, infinities).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from observe.schema import Window

if TYPE_CHECKING:
    from dashboards.report_facts import Rows

MOST: Final = 10_000  # rows of a sample
FEWEST: Final = 50  # rows that are compared
PARTS: Final = 40  # of a span that holds more rows than a sample
LEVELS: Final = 500  # of a column of text; one with more is no category
COLUMNS: Final = 60  # compared, as many as a wide model has; more take minutes
HOW: Final = f"all of them, or the first {MOST // PARTS} of each of {PARTS} equal parts of the span"

COLUMN_NAMES: Final = "select feature, column_name from core.feature_column where model = $model"
TABLE: Final = "select name from core.model_table where model = $model"


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of the reference and of the period with the same columns, and the columns that were left out."""

    reference: pl.DataFrame
    current: pl.DataFrame
    left_out: tuple[tuple[str, str], ...]

    @property
    def numeric(self) -> list[str]:
        """Columns of numbers; the others hold text."""
        return [c for c in self.current.columns if self.current[c].dtype.is_numeric()]


def sample(rows: Rows, model: str, bins: Mapping[str, Mapping[str, Any]], period: Window) -> Sample | str:
    """The rows that a comparison sees, or why there are none.

    Args:
        rows: what is read from.
        model: whose rows.
        bins: the newest binning of each feature, which says what its reference was.
        period: what is compared with the reference.
    """
    times = [
        (b["reference_from"], b["reference_to"]) for b in bins.values() if b["reference_from"] and b["reference_to"]
    ]
    if not times:
        return "no reference is known yet"
    source = next(iter(bins.values()))["source_table"]
    columns, missing = _columns(rows, model, [f for f, b in bins.items() if b["source_table"] == source], source)
    where = _relation(rows, model, source)
    if not columns or where is None:
        return "no rows of its features are stored"
    span = Window(min(t[0] for t in times), max(t[1] for t in times))
    asked = {"model": model}
    reference, current = (_read(rows, where, columns, w, asked) for w in (span, period))
    for name, frame in (("the reference", reference), ("the period", current)):
        if frame.height < FEWEST:
            return f"{frame.height} rows of {name} are stored, {FEWEST} are the fewest that are compared"
    cleaned = clean(reference, current)
    return Sample(cleaned.reference, cleaned.current, (*missing, *cleaned.left_out))


def _relation(rows: Rows, model: str, source: str) -> str | None:
    if source == "attempts":
        return "attempt where model_id = $model"
    found = rows.read(TABLE, {"model": model})
    return f"predictions.{_quoted(found['name'][0])} where $model <> ''" if found.height else None


def _columns(
    rows: Rows, model: str, features: Sequence[str], source: str
) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Column by feature, of at most `COLUMNS`, and which features have none."""
    if source == "attempts":
        known = {f: f for f in rows.read("select * from attempt limit 0").columns}
    else:
        known = dict(rows.read(COLUMN_NAMES, {"model": model}).iter_rows())
    found = {f: known[f] for f in sorted(features) if f in known}
    kept = dict(list(found.items())[:COLUMNS])
    return kept, [
        *((f, "no stored column") for f in sorted(features) if f not in known),
        *((f, f"more than {COLUMNS} columns") for f in found if f not in kept),
    ]


def _read(rows: Rows, where: str, columns: Mapping[str, str], span: Window, asked: Mapping[str, Any]) -> pl.DataFrame:
    picked = ", ".join(f"{_quoted(column)} as {_quoted(feature)}" for feature, column in columns.items())
    whole = _part(rows, f"select {picked} from {where} and ts >= $start and ts < $end limit {MOST + 1}", span, asked)
    if whole.height <= MOST:
        return whole
    step = (span.end - span.start) / PARTS
    sql = f"select {picked} from {where} and ts >= $start and ts < $end limit {MOST // PARTS}"
    parts = [Window(span.start + i * step, span.start + (i + 1) * step) for i in range(PARTS)]
    return pl.concat([_part(rows, sql, part, asked) for part in parts], how="vertical_relaxed")


def _part(rows: Rows, sql: str, span: Window, asked: Mapping[str, Any]) -> pl.DataFrame:
    times: Mapping[str, datetime] = {"start": span.start, "end": span.end}
    return rows.read(sql, {**asked, **times}, span)


def clean(reference: pl.DataFrame, current: pl.DataFrame) -> Sample:
    """Both with plain types, without what is not finite, and without columns that nothing can be said of."""
    both = [frame.select(_plain(frame[c]) for c in frame.columns) for frame in (reference, current)]
    left_out = [(c, why) for c in both[0].columns if (why := _useless(both[0][c], both[1][c]))]
    names = [c for c in both[0].columns if c not in dict(left_out)]
    return Sample(both[0].select(names), both[1].select(names), tuple(left_out))


def _plain(values: pl.Series) -> pl.Series:
    if values.dtype.is_numeric():
        numbers = values.cast(pl.Float64)
        return numbers.set(~numbers.is_finite().fill_null(value=True), None)
    return values.cast(pl.String)


def _useless(reference: pl.Series, current: pl.Series) -> str | None:
    if reference.dtype != current.dtype:
        return "numbers in one, text in the other"
    for name, values in (("the reference", reference), ("the period", current)):
        if values.null_count() == len(values):
            return f"no value in {name}"
    levels = pl.concat([reference, current]).drop_nulls().n_unique()
    if levels == 1:
        return "one and the same value everywhere"
    return f"{levels:,} different texts" if reference.dtype == pl.String and levels > LEVELS else None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
