"""An Arrow table becomes columns, without a Python loop over its rows.

Columns that a table knows get the table's type; a struct column `features` is spread out; all
other flat columns are features: numbers `Float64`, booleans `Boolean`, everything else `String`
(times in ISO 8601). Nested and binary columns are refused and counted (`nested_column`).

Source: Apache Arrow. A few kilobytes can mean terabytes (run lengths, dictionaries, views), so
cells and text are counted before they are laid out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from collectors.instants import instants
from collectors.shape import EXAMPLE, VALUE_LIMIT, Records, Shape, capped, feature_name
from observe.errors import PayloadError, PayloadTooLarge

if TYPE_CHECKING:
    import polars as pl

ROW_LIMIT: Final = 2_000_000
CELL_LIMIT: Final = 40_000_000  # rows times columns, however large the body
LAID_OUT: Final = 32 * 2**20  # bytes that a small body may take when laid out
LAID_OUT_RATIO: Final = 50  # a larger one may take so many times its size; zstd on logs reaches about 20
COLUMN_LIMIT: Final = 2000


def read_table(table: Any, shape: Shape, form: str, nested: tuple[str, ...] = ()) -> Records:
    """The rows of an Arrow table whose size was checked with `check_size`.

    Args:
        table: text may still be in dictionaries.
        shape: of our table.
        form: the name of the format, for messages.
        nested: columns that were not read.

    Raises:
        PayloadError: values that cannot be read.
    """
    import polars as pl
    import pyarrow as pa

    try:
        return _records(table, list(nested), shape)
    except (pl.exceptions.PolarsError, pa.ArrowException, UnicodeError) as error:
        raise PayloadError(f"the body is not a readable {form}: {str(error)[:200]}") from error


def check_size(rows: int, columns: int, size: int, form: str) -> None:
    """Refuse a table before it is laid out.

    Args:
        rows: as announced.
        columns: as announced.
        size: of the body, bytes.
        form: the name of the format, for the message.

    Raises:
        PayloadTooLarge: more rows, columns or cells than a body of this size may mean.
    """
    cells = min(CELL_LIMIT, max(LAID_OUT, LAID_OUT_RATIO * size) // 8)
    if rows > ROW_LIMIT or columns > COLUMN_LIMIT or rows * columns > cells:
        raise PayloadTooLarge(
            f"{form} of {size} bytes: at most {ROW_LIMIT} rows, {COLUMN_LIMIT} columns and {cells} cells; this one has {rows} x {columns}"
        )


def check_text(table: Any, size: int, form: str) -> None:
    """Refuse text that would take much more, laid out row by row, than it does in dictionaries or views.

    Raises:
        PayloadTooLarge: more text than a body of `size` bytes may mean.
    """
    import polars as pl
    import pyarrow as pa

    most, total = max(LAID_OUT, LAID_OUT_RATIO * size), 0
    for column in table.columns:
        for chunk in column.chunks:
            if is_text(chunk.type):
                total += int(pl.Series(pl.from_arrow(chunk)).str.len_bytes().sum())
            elif pa.types.is_dictionary(chunk.type) and is_text(chunk.type.value_type):
                total += _dictionary_bytes(chunk)
        if total > most:
            raise PayloadTooLarge(f"{form} of {size} bytes: at most {most} bytes of text; this one has {total}")


def _dictionary_bytes(chunk: Any) -> int:
    import polars as pl
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string_view(chunk.dictionary.type):
        lengths = pl.Series(pl.from_arrow(chunk.dictionary)).str.len_bytes().cast(pl.Int64).to_arrow()
    else:
        lengths = pc.binary_length(chunk.dictionary).cast(pa.int64())
    return int(pc.sum(pc.take(lengths, chunk.indices.cast(pa.int64()))).as_py() or 0)


@lru_cache(maxsize=256)
def is_flat(kind: Any) -> bool:
    """Whether a column of this Arrow type can be kept."""
    import pyarrow as pa

    t = pa.types
    if t.is_dictionary(kind):
        return is_flat(kind.value_type)
    tests = (is_text, t.is_integer, t.is_floating, t.is_decimal, t.is_boolean, t.is_temporal, t.is_null)
    return any(test(kind) for test in tests) and not t.is_interval(kind)


def is_features(field: Any) -> bool:
    """Whether a column is the struct `features`."""
    import pyarrow as pa

    return bool(field.name == "features" and pa.types.is_struct(field.type))


def is_text(kind: Any) -> bool:
    """Whether an Arrow type is text, not in a dictionary."""
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _records(table: Any, nested: list[str], shape: Shape) -> Records:
    import polars as pl
    import pyarrow as pa

    notes: Counter[str] = Counter()
    fixed, others = _assigned(table, shape)
    nested += [name for name, column in others if not is_flat(column.type)]
    given = {name: _series(name, column) for name, column in fixed.items()}
    kept = [fixed_series(name, series, shape.types[name], notes) for name, series in given.items()]
    plain = _doubles([(name, column) for name, column in others if column.type == pa.float64()])
    features = []
    for name, column in others:
        spelt = feature_name(name, shape.reserved, notes)
        if not spelt or not is_flat(column.type):
            continue
        values = plain.get(name)
        series = _feature(_series(spelt, column) if values is None else values.alias(spelt))
        if series is not None:
            features.append(series)
    examples = {"nested_column": ", ".join(nested)[:EXAMPLE]} if nested and shape.features else {}
    if examples:
        notes["nested_column"] = len(nested)
    frame = pl.DataFrame([*kept, *capped(features, notes)])
    return Records(frame, refusals(given, frame, shape, table.num_rows), Counter(), notes, examples)


def _assigned(table: Any, shape: Shape) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    """Columns that fill fixed ones, by name, and those that are features, the struct `features` spread out."""
    fixed: dict[str, Any] = {}
    features: list[tuple[str, Any]] = []
    names = frozenset(table.column_names)
    for field, column in zip(table.schema, table.columns, strict=True):
        name = shape.column(field.name, names)
        if name is not None and name not in fixed and is_flat(field.type):
            fixed[name] = column
        elif shape.features and is_features(field):
            features += zip((f.name for f in field.type), column.flatten(), strict=True)
        elif shape.features:
            features.append((field.name, column))
    return fixed, features


def _doubles(columns: list[tuple[str, Any]]) -> dict[str, pl.Series]:
    """Columns of doubles by name, all in one step: one by one each costs more than its values."""
    import polars as pl
    import pyarrow as pa

    unique = dict(columns)
    if len(unique) < len(columns) or not unique:
        return {}
    frame = pl.from_arrow(pa.table(list(unique.values()), names=list(unique)))
    assert isinstance(frame, pl.DataFrame)
    return {series.name: series for series in frame.get_columns()}


def _series(name: str, column: Any) -> pl.Series:
    """A flat Arrow column as a Polars series of a plain type."""
    import polars as pl
    import pyarrow as pa

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_null(kind):
        return pl.Series(name, [None] * len(column), pl.Null)
    if kind != column.type and not is_text(kind):
        column = column.cast(kind)
    if pa.types.is_timestamp(kind):  # the zone's name is the sender's, maybe unknown here; the instant is the same
        column = column.cast(pa.timestamp("us", kind.tz and "UTC"), safe=False)
    elif pa.types.is_decimal(kind) or kind == pa.float16():
        column = column.cast(pa.float64())
    series = pl.Series(name, pl.from_arrow(column))
    return short(series.cast(pl.String)) if is_text(kind) else series


def short(series: pl.Series) -> pl.Series:
    """Text of at most 8,192 characters each."""
    if series.estimated_size() <= VALUE_LIMIT:
        return series
    longest = series.str.len_bytes().max()
    return series.str.slice(0, VALUE_LIMIT) if isinstance(longest, int) and longest > VALUE_LIMIT else series


def fixed_series(name: str, series: pl.Series, sql: str, notes: Counter[str]) -> pl.Series:
    """A column with the type the table asks for; what does not fit becomes NULL and is counted."""
    import polars as pl

    if sql == "TIMESTAMPTZ":
        kept = instants(series)
    elif sql == "VARCHAR":
        return _as_text(series)
    elif sql == "DOUBLE" and _is_finite(series):
        return series
    else:
        value = pl.col(name).cast(pl.Float64, strict=False)
        fits = value.is_finite()
        if sql == "BIGINT":
            fits &= (value >= 0) & (value <= 2.0**53) & (value == value.floor())
        kind = pl.Int64 if sql == "BIGINT" else pl.Float64
        kept = series.to_frame().select(pl.when(fits).then(value).cast(kind)).to_series().alias(name)
    misfits = kept.null_count() - series.null_count()
    if misfits and name != "ts":  # a row whose ts is none is refused as a whole
        notes[f"bad_{name}"] += misfits
    return kept


def _is_finite(series: pl.Series) -> bool:
    """Whether all values are finite doubles; tells what needs no second look."""
    import numpy as np
    import polars as pl

    return series.dtype == pl.Float64 and not series.null_count() and bool(np.isfinite(series.to_numpy()).all())


def _as_text(series: pl.Series) -> pl.Series:
    import polars as pl

    if series.dtype == pl.Duration:
        return (series.cast(pl.Int64)).cast(pl.String)
    if isinstance(series.dtype, pl.Datetime) or series.dtype == pl.Date:
        return series.dt.to_string("iso:strict")
    return series.cast(pl.String)


def _feature(series: pl.Series) -> pl.Series | None:
    """A flat column as a feature: Float64, Boolean or String; None when it has no value at all."""
    import polars as pl

    if series.null_count() == len(series):
        return None
    if series.dtype == pl.Boolean:
        return series
    if series.dtype == pl.Duration:
        return series.dt.total_microseconds() / 1e6
    return series.cast(pl.Float64) if series.dtype.is_numeric() else _as_text(series)


def refusals(given: Mapping[str, pl.Series], frame: pl.DataFrame, shape: Shape, height: int) -> pl.Series:
    """A reason for each row that lacks something required, or whose `ts` is no time.

    Args:
        given: the fixed columns as they came.
        frame: the same with their types.
        shape: says what is required.
        height: rows.
    """
    import polars as pl

    reasons = pl.Series("refused", [None] * height, pl.String)
    for name in (*shape.required, "ts"):
        if name in frame.columns and _is_whole(given[name]) and _is_whole(frame[name]):
            continue
        if name in frame.columns:
            absent, bad = given[name].is_null(), frame[name].is_null()
            if frame[name].dtype == pl.String:
                absent = bad = bad | (frame[name] == "").fill_null(True)
        else:
            absent = bad = pl.Series([True] * height, dtype=pl.Boolean)
        known = pl.when(reasons.is_not_null()).then(reasons)
        told = known.when(absent & (name in shape.required)).then(pl.lit("missing_key"))
        told = told.when(bad & ~absent).then(pl.lit("bad_ts" if name == "ts" else "missing_key"))
        reasons = pl.select(told.alias("refused")).to_series()
    return reasons


def _is_whole(series: pl.Series) -> bool:
    """Whether every value is there and none is empty text."""
    import polars as pl

    return not series.null_count() and not (series.dtype == pl.String and bool((series == "").any()))
