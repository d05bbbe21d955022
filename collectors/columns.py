"""Rows that already have our columns: history of attempts and GPU samples, as `docs/schema.md` names them.

A Parquet body, or one JSON object a line. Times are ISO 8601 (UTC where they name no zone) or epoch
numbers. A column we do not have is refused by name. Of `ts`, `ts_start` and `duration_s` of an
attempt two are enough. GPU samples may carry columns of `gpu_device` beside their own. What the
store writes itself (`ingested_at`, `seq`) is left out.

    syntax        a line is no JSON object
    missing_key   an id, the status of an attempt, or a time is absent
    bad_ts        `ts` is no time
    bad_times     an attempt ends before it begins
    bad_status    the status of an attempt is none of ok, error, cancelled
    too_old, in_future   outside what this intake takes

Source: our own columns.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from collectors.instants import bounds, instants
from observe.errors import PayloadError
from observe.schema import TABLES, Parsed, Table
from observe.schema.exchange import frame_schema

if TYPE_CHECKING:
    import polars as pl

TABLE_OF: Final[Mapping[str, str]] = {"attempts": "attempt", "gpu": "gpu_sample"}
_BESIDE: Final[Mapping[str, tuple[str, ...]]] = {"gpu_sample": ("gpu_device",)}  # whose columns may stand beside
_LEFT_OUT: Final = frozenset({"ingested_at", "seq", "first_seen", "last_seen"})
_STATUSES: Final = ("ok", "error", "cancelled")
_TRUTHS: Final = {"true": True, "t": True, "1": True, "1.0": True, "false": False, "f": False, "0": False, "0.0": False}


class UnknownColumn(PayloadError):
    """A body has a column that the table does not have."""


def parse(payload: bytes, at: datetime, labels: Mapping[str, str]) -> Parsed:
    """The rows of a body.

    Args:
        payload: a Parquet file, or one JSON object a line.
        at: now, aware UTC.
        labels: `table` (attempt | gpu_sample), `model` for attempts that name none, `accept_past_s`, `accept_future_s`.

    Raises:
        UnknownColumn: a column is none of the table's; the message names it and the nearest one.
        PayloadError: the body cannot be read as a whole.
    """
    import polars as pl

    table = TABLES[labels["table"]]
    raw, broken = _raw(payload)
    raw = raw.select(c for c in raw.columns if c not in _LEFT_OUT)
    types = _types(table)
    _refuse_unknown(raw.columns, types, table.name)
    notes: Counter[str] = Counter()
    rows = pl.DataFrame([_typed(raw[name], types[name], notes) for name in raw.columns])
    rows = _completed(rows, table, labels)
    reasons = _reasons(rows, raw, table, bounds(at, labels))
    rejected = Counter({str(reason): n for reason, n in reasons.drop_nulls().value_counts().iter_rows()})
    if broken:
        rejected["syntax"] += broken
    kept = rows.filter(reasons.is_null())
    return Parsed(_tables(kept, table), raw.height + broken, dict(rejected), dict(notes), {}, kept.height)


def _types(table: Table) -> Mapping[str, Any]:
    """Polars types of the columns a file may have."""
    beside = [TABLES[name] for name in _BESIDE.get(table.name, ())]
    every = {name: kind for t in (*beside, table) for name, kind in frame_schema(t).items()}
    return {name: kind for name, kind in every.items() if name not in _LEFT_OUT}


def _refuse_unknown(columns: Sequence[str], known: Mapping[str, Any], table: str) -> None:
    from observe.spec.nearest import did_you_mean

    strange = next((c for c in columns if c not in known), None)
    if strange is not None:
        raise UnknownColumn(f"column {strange[:100]!r} is none of {table}'s; {did_you_mean(strange, known)}")


def _raw(payload: bytes) -> tuple[pl.DataFrame, int]:
    """The columns as they came, and how many lines are no objects."""
    import polars as pl

    if payload.startswith(b"PAR1"):
        try:
            return pl.read_parquet(io.BytesIO(payload)), 0
        except (pl.exceptions.PolarsError, OSError) as error:
            raise PayloadError(f"the body is not a readable Parquet file: {str(error)[:200]}") from error
    lines = [line for line in payload.split(b"\n") if line.strip()]
    items = [_object(line) for line in lines]
    rows = [item for item in items if item is not None]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pl.DataFrame([_column(n, [row.get(n) for row in rows]) for n in names]), len(lines) - len(rows)


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _column(name: str, values: Sequence[Any]) -> pl.Series:
    """Values of JSON: numbers where all are numbers, else text; other things as JSON text."""
    import polars as pl

    kinds = {type(v) for v in values} - {type(None)}
    if kinds and kinds <= {int} and all(v is None or abs(v) < 2**63 for v in values):
        return pl.Series(name, values, pl.Int64)
    if kinds and kinds <= {int, float}:
        return pl.Series(name, [None if v is None else _double(v) for v in values], pl.Float64)
    texts = [v if v is None or isinstance(v, str) else json.dumps(v) for v in values]
    return pl.Series(name, [t if t is None else t.encode("utf-8", "replace").decode() for t in texts], pl.String)


def _double(value: float) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


def _typed(values: pl.Series, kind: Any, notes: Counter[str]) -> pl.Series:
    """A column with the table's type; what does not fit becomes NULL and is counted."""
    import polars as pl

    name = values.name
    if isinstance(kind, pl.Datetime):
        kept = instants(values)
    elif kind == pl.Boolean:
        texts = values.cast(pl.String).str.to_lowercase()
        kept = texts.replace_strict(_TRUTHS, default=None, return_dtype=pl.Boolean)
    elif isinstance(kind, pl.List):
        kept = values.cast(kind, strict=False) if isinstance(values.dtype, pl.List) else _lists(values)
    elif kind == pl.String:
        kept = values.cast(pl.String, strict=False)
    else:
        number = values.cast(pl.Float64, strict=False)
        fits = number.is_finite() & ((number == number.floor()) if kind == pl.Int64 else True)
        exact = values if kind == pl.Int64 and values.dtype.is_integer() else number
        kept = pl.select(pl.when(fits).then(exact).cast(kind, strict=False)).to_series()
    if kept.null_count() > values.null_count() and name != "ts":  # a row whose ts is none is refused as a whole
        notes[f"bad_{name}"] += kept.null_count() - values.null_count()
    return kept.alias(name)


def _lists(values: pl.Series) -> pl.Series:
    import polars as pl

    read = [_list(v) if isinstance(v, str) else None for v in values.to_list()]
    return pl.Series(values.name, read, pl.List(pl.String))


def _list(text: str) -> list[str] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return [str(v) for v in value] if isinstance(value, list) else None


def _completed(rows: pl.DataFrame, table: Table, labels: Mapping[str, str]) -> pl.DataFrame:
    """The columns that follow from others, and all that rows are refused by."""
    import polars as pl

    wanted = {c.name: kind for c, kind in zip(table.columns, frame_schema(table).values(), strict=True)}
    needed = [*table.ids, table.time]
    if table.name == "attempt":
        needed += ["ts_start", "duration_s", "status", "model_id", "cost_usd", "cost_known"]
    rows = rows.with_columns(pl.lit(None, wanted[n]).alias(n) for n in needed if n not in rows.columns)
    if table.name != "attempt":
        return rows
    took = pl.duration(microseconds=(pl.col("duration_s") * 1e6).round().cast(pl.Int64, strict=False))
    rows = rows.with_columns(
        pl.coalesce("ts", pl.col("ts_start") + took), pl.coalesce("ts_start", pl.col("ts") - took)
    ).with_columns(
        pl.coalesce("duration_s", (pl.col("ts") - pl.col("ts_start")).dt.total_microseconds() / 1e6),
        pl.col("cost_known").fill_null(pl.col("cost_usd").is_not_null()),
    )
    model = labels.get("model") or None
    return rows.with_columns(pl.col("model_id").fill_null(model)) if model else rows


def _reasons(rows: pl.DataFrame, raw: pl.DataFrame, table: Table, span: tuple[int, int]) -> pl.Series:
    """Why each row cannot be stored; NULL where it can."""
    import polars as pl

    told_ts = raw["ts"].is_not_null() if "ts" in raw.columns else pl.Series([False] * rows.height, dtype=pl.Boolean)
    us = pl.col("ts").cast(pl.Int64)
    absent = [pl.col(name).is_null() | (pl.col(name).cast(pl.String) == "") for name in (*table.ids, table.time)]
    checks = [(pl.col("ts").is_null() & told_ts, "bad_ts"), (pl.any_horizontal(absent), "missing_key")]
    if table.name == "attempt":
        partial = pl.col("status").is_null() | pl.col("ts_start").is_null()
        checks += [(partial, "missing_key"), (~pl.col("status").is_in(_STATUSES), "bad_status")]
        checks += [((pl.col("ts_start") > pl.col("ts")) | (pl.col("duration_s") < 0), "bad_times")]
    checks += [(us < span[0], "too_old"), (us > span[1], "in_future")]
    told = pl.coalesce(pl.when(check).then(pl.lit(reason)) for check, reason in checks)
    return rows.select(told.alias("reason")).to_series()


def _tables(rows: pl.DataFrame, table: Table) -> Mapping[str, pl.DataFrame]:
    import polars as pl

    if rows.is_empty():
        return {}
    own = [c.name for c in table.columns if c.name in rows.columns]
    tables = {table.name: rows.select(own)}
    for name in _BESIDE.get(table.name, ()):
        described = [c.name for c in TABLES[name].columns if c.name in rows.columns]
        times = (pl.col("ts").min().alias("first_seen"), pl.col("ts").max().alias("last_seen"))
        last = [pl.col(c).drop_nulls().last() for c in described if c != "device_id"]
        tables[name] = rows.sort("ts").group_by("device_id", maintain_order=True).agg(*last, *times)
    return tables
