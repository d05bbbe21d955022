"""A table of any kind becomes instants and columns to watch: Parquet, CSV, NDJSON or Arrow, in any order.

Instants become UTC; what has no zone is taken as UTC. A row without an instant is counted and left out.
CSV is read as text first: what a column is depends on all of its values, never on the first ones. Only
the columns that are watched are held in memory. `NA` and the like are missing values where numbers or
instants are meant.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from observe.app.frames import coded, meant, opened
from observe.errors import UsageError
from observe.spec.nearest import did_you_mean

_NUMBERS: Final = 0.95  # share of a text column's values that must be numbers for it to be numeric
_IDENTIFIER: Final = 0.5  # distinct values per row from which a text column is an identifier
_MANY: Final = 1_000  # distinct values below which it never is
_ZONED: Final = ("%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%dT%H:%M%z")
_DAYS: Final = ("%Y-%m-%d", "%m/%d/%Y", "%d.%m.%Y")
_TIMES: Final = ("%H:%M:%S%.f", "%H:%M")
_SLASHED: Final = r"^(\d{1,2})/(\d{1,2})/\d{4}"
_UNITS: Final = ((1e11, 1_000_000), (1e14, 1_000), (1e17, 1))  # epoch numbers below: seconds, ms, us; else ns


@dataclass(frozen=True, slots=True)
class Table:
    """Rows in order of time: column `ts` (UTC) and the watched columns; kinds by column name."""

    rows: pl.DataFrame
    kinds: Mapping[str, str]  # numeric | categorical
    rejected: Mapping[str, int] = field(default_factory=dict)  # rows or values left out, by reason
    left_out: Mapping[str, str] = field(default_factory=dict)  # columns not watched, and why


def read(path: Path, time: str, features: Sequence[str] = ()) -> Table:
    """The table in a file.

    Args:
        path: Parquet or a folder of it, CSV, one JSON object a line, a JSON array (each .gz too), or Arrow (file or stream).
        time: the column with instants: times, dates, ISO text or numbers since 1970.
        features: the columns to watch, all others when empty.

    Raises:
        UsageError: the file cannot be read, or has no such column.
    """
    found = opened(path, typed=False)
    names = list(found.schema)
    if time not in names:
        raise UsageError(f"{path} has no column {time!r} for --time; {did_you_mean(time, names)}")
    for name in features:
        if name not in names or name == time:
            known = [c for c in names if c != time]
            raise UsageError(f"{path} has no column {name!r} to watch; {did_you_mean(name, known)}")
    if not found.rows:
        raise UsageError(f"{path} holds no rows: there is nothing to judge")
    features = tuple(dict.fromkeys(features))
    frame = pl.DataFrame([found.column(c) for c in ((time, *features) if features else names)])
    try:
        return tabulate(frame, time, features)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def tabulate(frame: pl.DataFrame, time: str, features: Sequence[str] = ()) -> Table:
    """A frame as a table; see `read`."""
    ts = _instants(frame[time])
    rejected = {"no_time": lost} if (lost := int(ts.null_count())) else {}
    columns, kinds, left_out = [ts.alias("ts")], {}, {}
    for name in features or [c for c in frame.columns if c != time]:
        column, why = _column(frame[name], named=bool(features))
        if column is None:
            left_out[name] = why
            continue
        if why:
            rejected[f"not_a_number:{name}"] = int(why)
        watched = f"{name} (column)" if name == "ts" else name  # the instants are called so here
        kinds[watched] = "numeric" if column.dtype == pl.Float64 else "categorical"
        columns.append(column.alias(f"f{len(kinds)}"))
    if not kinds:
        told = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise UsageError(f"no column can be watched{': ' + told if told else ''}")
    rows = pl.DataFrame(columns).filter(pl.col("ts").is_not_null())
    rows = rows.sort("ts")
    rows.columns = ["ts", *kinds]
    return Table(rows, kinds, rejected, left_out)


def _instants(values: pl.Series) -> pl.Series:
    """Instants in UTC, microseconds; null where a value is none.

    Raises:
        UsageError: most values are none.
    """
    found = _as_instants(values)
    known = int(values.len() - values.null_count())
    if known == 0 or found.len() - found.null_count() < known / 2:
        example = values.drop_nulls().head(1).to_list()
        told = f": {str(example[0])[:40]!r} is none" if example else ""
        raise UsageError(
            f"column {values.name!r} holds no instants{told}; write 2026-11-20T09:00:00Z or seconds since 1970"
        )
    return found


def _as_instants(values: pl.Series) -> pl.Series:
    dtype, utc = values.dtype, pl.Datetime("us", "UTC")
    if isinstance(dtype, pl.Datetime):
        return (values.dt.convert_time_zone("UTC") if dtype.time_zone else values.dt.replace_time_zone("UTC")).cast(utc)
    if dtype == pl.Date:
        return values.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if dtype.is_numeric():
        return _since_1970(values.cast(pl.Float64))
    if dtype != pl.String:
        return pl.Series(values.name, [None] * values.len(), utc)
    texts = meant(values)
    numbers = texts.cast(pl.Float64, strict=False)
    return _since_1970(numbers) if numbers.null_count() <= texts.null_count() else _written(texts)


def _since_1970(values: pl.Series) -> pl.Series:
    largest = abs(float(values.median() or 0.0))  # type: ignore[arg-type]
    factor = next((f for limit, f in _UNITS if largest < limit), 1e-3)
    us = (values * factor).round()
    return us.cast(pl.Int64, strict=False).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _written(values: pl.Series) -> pl.Series:
    text = pl.col("x").str.replace(r"^(\S+) (\d)", "${1}T${2}").str.replace(r"(?:[zZ]| ?UTC)$", "+00:00")
    text = text.str.replace(r"(:\d\d(?:\.\d+)?) ?([+-]\d\d)$", "${1}${2}:00")  # as PostgreSQL writes a zone
    days = tuple("%d/%m/%Y" if day == "%m/%d/%Y" and _day_first(values) else day for day in _DAYS)
    naive = [f"{day}T{time}" for day in days for time in _TIMES]
    forms = [text.str.to_datetime(f, time_unit="us", strict=False) for f in _ZONED]
    forms += [text.str.to_datetime(f, time_unit="us", strict=False).dt.replace_time_zone("UTC") for f in naive]
    forms += [text.str.to_date(f, strict=False).cast(pl.Datetime("us")).dt.replace_time_zone("UTC") for f in days]
    return pl.DataFrame({"x": values}).select(pl.coalesce(forms).alias(values.name))[values.name]


def _day_first(values: pl.Series) -> bool:
    """Whether dates with slashes are days before months: all of them can be, and some can be nothing else."""
    parts = [values.str.extract(_SLASHED, group).cast(pl.Int64).max() for group in (1, 2)]
    first, second = (int(p) if isinstance(p, int) else 0 for p in parts)
    return first > 12 >= second  # months


def _column(values: pl.Series, *, named: bool) -> tuple[pl.Series | None, str]:
    """A column as Float64 or String and how many of its values are no number; None and why where it cannot be watched."""
    dtype = values.dtype
    if dtype.is_numeric() or dtype == pl.Null:
        return values.cast(pl.Float64, strict=False), ""
    if dtype in {pl.Boolean, pl.Categorical, pl.Enum} or isinstance(dtype, pl.Enum | pl.Categorical):
        return values.cast(pl.String), ""
    if dtype != pl.String:
        return None, f"a column of type {dtype} is neither numbers nor levels"
    texts = meant(values)
    numbers, known = texts.cast(pl.Float64, strict=False), texts.len() - texts.null_count()
    lost = int(numbers.null_count() - texts.null_count())
    if lost <= (1 - _NUMBERS) * known and not coded(texts):
        return numbers, str(lost) if lost else ""
    distinct = values.n_unique()
    if not named and distinct > max(_MANY, _IDENTIFIER * values.len()):
        return None, f"{distinct:,} different texts: it looks like an identifier; name it in --features to watch it"
    return values, ""
