"""A Parquet file, as bytes, becomes columns, without a Python loop over its rows.

Columns that a table knows get the table's type; a struct column `features` is spread out; all
other flat columns are features: numbers `Float64`, booleans `Boolean`, everything else `String`
(times in ISO 8601). Nested and binary columns are refused and counted (`nested_column`).

Source: Apache Parquet, read with Arrow. A few kilobytes can decode to terabytes (run lengths,
dictionaries), so cells and text are counted before they are laid out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from collectors.instants import instants
from collectors.ndjson import VALUE_LIMIT, Records, Shape, capped, feature_name
from observe.errors import PayloadError, PayloadTooLarge

if TYPE_CHECKING:
    import polars as pl

MAGIC: Final = b"PAR1"
ROW_LIMIT: Final = 2_000_000
CELL_LIMIT: Final = 40_000_000  # rows times columns: 320 MB of doubles
BYTE_LIMIT: Final = 256 * 2**20  # bytes the columns claim to have uncompressed, and bytes of text


def read_parquet(payload: bytes, shape: Shape) -> Records:
    """The rows of a Parquet file.

    Raises:
        PayloadError: not a Parquet file, damaged, or with two columns of one name.
        PayloadTooLarge: it would decode to more rows, cells or text than we take.
    """
    import polars as pl
    import pyarrow as pa

    table, nested = _table(payload)
    _check_text(table)
    try:
        return _records(table, nested, shape)
    except (pl.exceptions.PolarsError, pa.ArrowException, UnicodeError) as error:
        raise PayloadError(f"the body is not a readable Parquet file: {str(error)[:200]}") from error


def _records(table: Any, nested: list[str], shape: Shape) -> Records:
    import polars as pl

    notes: Counter[str] = Counter()
    fixed, others = _assigned(table, shape)
    nested += [name for name, column in others if not _is_flat(column.type)]
    kept = [_fixed(name, column, shape.types[name], notes) for name, column in fixed.items()]
    features = []
    for name, column in others:
        spelt = feature_name(name, shape.reserved, notes)
        series = _feature(spelt, column) if spelt and _is_flat(column.type) else None
        if series is not None:
            features.append(series)
    examples = {"nested_column": ", ".join(nested)[:200]} if nested and shape.features else {}
    if examples:
        notes["nested_column"] = len(nested)
    frame = pl.DataFrame([*kept, *capped(features, notes)])
    return Records(frame, _refusals(fixed, frame, shape, table.num_rows), Counter(), notes, examples)


def _table(payload: bytes) -> tuple[Any, list[str]]:
    """The flat columns of a file, text still in dictionaries, and the names of the others."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(payload))
        schema = file.schema_arrow
        _check_size(file.metadata, schema)
        texts = [f.name for f in schema if _is_text(f.type)]
        names = [f.name for f in schema if _is_flat(f.type) or _is_features(f)]
        table = pq.ParquetFile(pa.BufferReader(payload), read_dictionary=texts).read(columns=names)
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise PayloadError(f"the body is not a readable Parquet file: {str(error)[:200]}") from error
    return table, [f.name for f in schema if f.name not in set(names)]


def _assigned(table: Any, shape: Shape) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    """Columns that fill fixed ones, by name, and those that are features, the struct `features` spread out."""
    fixed: dict[str, Any] = {}
    features: list[tuple[str, Any]] = []
    for field, column in zip(table.schema, table.columns, strict=True):
        name = shape.column(field.name, table.column_names)
        if name is not None and name not in fixed and _is_flat(field.type):
            fixed[name] = column
        elif shape.features and _is_features(field):
            features += zip((f.name for f in field.type), column.flatten(), strict=True)
        elif shape.features:
            features.append((field.name, column))
    return fixed, features


def _check_size(metadata: Any, schema: Any) -> None:
    if len(set(schema.names)) != len(schema.names):
        raise PayloadError("a Parquet file has two columns of one name")
    rows, columns = metadata.num_rows, max(metadata.num_columns, 1)
    if rows > ROW_LIMIT or rows * columns > CELL_LIMIT:
        raise PayloadTooLarge(
            f"a Parquet body may hold {ROW_LIMIT} rows and {CELL_LIMIT} cells; this one has {rows} x {columns}"
        )
    claimed = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    if claimed > BYTE_LIMIT:
        raise PayloadTooLarge(f"a Parquet body may hold {BYTE_LIMIT} uncompressed bytes; this one claims {claimed}")


def _check_text(table: Any) -> None:
    """Text is still in dictionaries here; count what it would take when laid out, row by row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    total = 0
    for column in table.columns:
        for chunk in column.chunks if pa.types.is_dictionary(column.type) and _is_text(column.type.value_type) else ():
            lengths = pc.take(pc.binary_length(chunk.dictionary), chunk.indices)
            total += pc.sum(lengths.cast(pa.int64())).as_py() or 0
    if total > BYTE_LIMIT:
        raise PayloadTooLarge(f"a Parquet body may hold {BYTE_LIMIT} bytes of text; this one has {total}")


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_flat(kind: Any) -> bool:
    import pyarrow as pa

    t = pa.types
    if t.is_dictionary(kind):
        return _is_flat(kind.value_type)
    tests = (_is_text, t.is_integer, t.is_floating, t.is_decimal, t.is_boolean, t.is_temporal, t.is_null)
    return any(test(kind) for test in tests) and not t.is_interval(kind)


def _is_features(field: Any) -> bool:
    import pyarrow as pa

    return bool(field.name == "features" and pa.types.is_struct(field.type))


def _series(name: str, column: Any) -> pl.Series:
    """A flat Arrow column as a Polars series of a plain type."""
    import polars as pl
    import pyarrow as pa

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_null(kind):
        return pl.Series(name, [None] * len(column), pl.Null)
    if kind != column.type and not _is_text(kind):
        column = column.cast(kind)
    if pa.types.is_timestamp(kind):  # the zone's name is the sender's, maybe unknown here; the instant is the same
        column = column.cast(pa.timestamp("us", kind.tz and "UTC"), safe=False)
    elif pa.types.is_decimal(kind) or kind == pa.float16():
        column = column.cast(pa.float64())
    series = pl.Series(name, pl.from_arrow(column))
    if not _is_text(kind):
        return series
    series = series.cast(pl.String)
    longest = series.str.len_bytes().max()
    return series.str.slice(0, VALUE_LIMIT) if isinstance(longest, int) and longest > VALUE_LIMIT else series


def _fixed(name: str, column: Any, sql: str, notes: Counter[str]) -> pl.Series:
    """A column with the type the table asks for; what does not fit becomes NULL and is counted."""
    import polars as pl

    series = _series(name, column)
    if sql == "TIMESTAMPTZ":
        kept = instants(series)
    elif sql == "VARCHAR":
        return _as_text(series)
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


def _as_text(series: pl.Series) -> pl.Series:
    import polars as pl

    if series.dtype == pl.Duration:
        return (series.cast(pl.Int64)).cast(pl.String)
    if isinstance(series.dtype, pl.Datetime) or series.dtype == pl.Date:
        return series.dt.to_string("iso:strict")
    return series.cast(pl.String)


def _feature(name: str, column: Any) -> pl.Series | None:
    """A flat column as a feature: Float64, Boolean or String; None when it has no value at all."""
    import polars as pl

    series = _series(name, column)
    if series.null_count() == len(series):
        return None
    if series.dtype == pl.Boolean:
        return series
    if series.dtype == pl.Duration:
        return series.dt.total_microseconds() / 1e6
    return series.cast(pl.Float64) if series.dtype.is_numeric() else _as_text(series)


def _refusals(fixed: Mapping[str, Any], frame: pl.DataFrame, shape: Shape, height: int) -> pl.Series:
    """A reason for each row that lacks something required, or whose `ts` is no time."""
    import polars as pl

    reasons = pl.Series("refused", [None] * height, pl.String)
    for name in (*shape.required, "ts"):
        if name in frame.columns:
            absent = pl.Series(fixed[name].is_null().to_numpy(zero_copy_only=False))
            bad = frame[name].is_null()
            if frame[name].dtype == pl.String:
                absent = bad = bad | (frame[name] == "").fill_null(True)
        else:
            absent = bad = pl.Series([True] * height, dtype=pl.Boolean)
        known = pl.when(reasons.is_not_null()).then(reasons)
        told = known.when(absent & (name in shape.required)).then(pl.lit("missing_key"))
        told = told.when(bad & ~absent).then(pl.lit("bad_ts" if name == "ts" else "missing_key"))
        reasons = pl.select(told.alias("refused")).to_series()
    return reasons
