"""Text tables (CSV) become columns: a header, then one row a record, every value text until it proves to be more.

The delimiter is that of `,` `;` tab and `|` under which the header names most of our columns, so it
is never guessed from data. An empty value is NULL. A feature is `Float64` where all its values are
numbers, `Boolean` where all are true or false, else `String`; digits that begin with 0, or that are
more than a double tells exactly, are a name and no number. Where the delimiter is no comma, `44,1`
is 44.1. A feature the model knows already is read as what it is there.

    syntax        a record with more or fewer values than the header, or a broken quote
    missing_key   a required value is empty
    bad_ts        `ts` is no time

Source: RFC 4180; UTF-8 or, by its byte order mark, UTF-16.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from collectors.arrow import fixed_series, refusals, short
from collectors.shape import BLOCK_CELLS, EXAMPLE, Records, Shape, capped, feature_name, joined
from observe.errors import PayloadError, PayloadTooLarge

if TYPE_CHECKING:
    import polars as pl

DELIMITERS: Final = (",", ";", "\t", "|")
COLUMN_LIMIT: Final = 2000
_HEADER: Final = 2**20  # bytes
_NAME: Final = r"^[+-]?0\d"  # an identifier that happens to be digits
_COMMA: Final = r"^\s*[+-]?\d+,\d+\s*$"
_WHOLE: Final = r"^\s*[+-]?\d+\s*$"
_EXACT: Final = 2.0**53


def read_delimited(payload: bytes, shape: Shape, types: Mapping[str, str]) -> Records:
    """The records of a text table.

    Args:
        payload: the body.
        shape: of our table.
        types: SQL types of the features that the model has already.

    Raises:
        PayloadError: the header lacks a required column, or names one twice.
        PayloadTooLarge: more columns, rows or cells than one body may hold.
    """
    names, delimiter = _header(payload, shape)
    table = _Layout(names, delimiter, shape, types)
    return joined(lambda texts: _blocks(payload, table, texts), len(payload), truth_is_number=False)


class _Layout:
    """What the header says: which column of ours each one fills, and which are features."""

    def __init__(self, names: Sequence[str], delimiter: str, shape: Shape, types: Mapping[str, str]) -> None:
        self.names, self.delimiter, self.shape, self.types = names, delimiter, shape, types
        self.fixed = {name: i for i, key in enumerate(names) if (name := shape.column(key, names)) is not None}
        self.notes: Counter[str] = Counter()
        taken = set(self.fixed.values())
        others = [(i, key) for i, key in enumerate(names) if i not in taken and shape.features]
        spelt = [(i, feature_name(key, shape.reserved, self.notes)) for i, key in others]
        self.features = {i: name for i, name in spelt if name is not None}


def _text(payload: bytes) -> io.TextIOWrapper:
    utf16 = payload.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return io.TextIOWrapper(
        io.BytesIO(payload), encoding="utf-16" if utf16 else "utf-8-sig", errors="replace", newline=""
    )


def _header(payload: bytes, shape: Shape) -> tuple[list[str], str]:
    found: list[tuple[int, list[str], str]] = []
    for delimiter in DELIMITERS:
        try:
            row = next(csv.reader(_text(payload[:_HEADER]), delimiter=delimiter), [])
        except (csv.Error, UnicodeError) as error:
            raise PayloadError(f"the body has no header as CSV has one: {error}") from error
        names = [name.strip() for name in row]
        known = {shape.column(n, ()) for n in names}
        found.append((len(known), names, delimiter))
    _, names, delimiter = max(found, key=lambda f: f[0])
    if len(names) > COLUMN_LIMIT:
        raise PayloadTooLarge(f"a CSV body may have {COLUMN_LIMIT} columns; this one has {len(names)}")
    filled = {shape.column(n, names) for n in names}
    missing = [name for name in shape.required if name not in filled]
    if missing:
        raise PayloadError(
            f"the header of a CSV body must name {', '.join(missing)}; it has {', '.join(names)[:EXAMPLE]!r}"
        )
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        raise PayloadError(f"the header of a CSV body names {twice[0][:100]!r} twice")
    return names, delimiter


def _blocks(payload: bytes, table: _Layout, texts: frozenset[str]) -> Iterator[Records]:
    rows = _rows(payload, table.delimiter)
    notes = Counter(table.notes)
    while block := list(islice(rows, max(1, BLOCK_CELLS // len(table.names)))):
        yield _records(block, table, texts, notes)
        notes = Counter()


def _rows(payload: bytes, delimiter: str) -> Iterator[list[str] | None]:
    """The records after the header; None for one that is broken."""
    reader = csv.reader(_text(payload), delimiter=delimiter)
    next(reader)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield None
            continue
        if row:  # an empty line is no record
            yield row


def _records(rows: Sequence[list[str] | None], table: _Layout, texts: frozenset[str], notes: Counter[str]) -> Records:
    import polars as pl

    whole = [row for row in rows if row is not None and len(row) == len(table.names)]
    lost, examples = Counter[str](), {}
    if len(whole) < len(rows):
        lost["syntax"] = len(rows) - len(whole)
        bad = next(row for row in rows if row is None or len(row) != len(table.names))
        examples["syntax"] = f"{len(bad or [])} values under {len(table.names)} columns: {bad}"[:EXAMPLE]
    columns = [pl.Series("", [v or None for v in values], pl.String) for values in zip(*whole, strict=True)]
    if not columns:
        return Records(pl.DataFrame(), pl.Series("refused", [], pl.String), lost, notes, examples)
    given = {name: _pointed(columns[i].alias(name), table, table.shape.types[name]) for name, i in table.fixed.items()}
    fixed = [fixed_series(name, short(series), table.shape.types[name], notes) for name, series in given.items()]
    features = [_feature(columns[i].alias(name), table, text=name in texts) for i, name in table.features.items()]
    frame = pl.DataFrame([*fixed, *capped([f for f in features if f is not None], notes)])
    return Records(frame, refusals(given, frame, table.shape, len(whole)), lost, notes, examples)


def _pointed(series: pl.Series, table: _Layout, sql: str) -> pl.Series:
    """Decimal commas as points, where the column is one of numbers and the delimiter is no comma."""
    if sql not in ("DOUBLE", "BIGINT") or table.delimiter == ",":
        return series
    return series.to_frame().select(_with_points(series.name)).to_series()


def _with_points(name: str) -> pl.Expr:
    import polars as pl

    value = pl.col(name)
    return pl.when(value.str.contains(_COMMA)).then(value.str.replace(",", ".", literal=True)).otherwise(value)


def _feature(series: pl.Series, table: _Layout, *, text: bool) -> pl.Series | None:
    """A column of text as a feature: what the model knows it as, else what all its values are; None without a value."""
    known = table.types.get(series.name)
    if series.null_count() == len(series):
        return None
    pointed = _pointed(series, table, "DOUBLE") if known in (None, "DOUBLE") else series
    if not text and known != "VARCHAR":
        made = _truth(series) if known in (None, "BOOLEAN") else None
        made = _numbers(pointed, names=known is None) if made is None and known in (None, "DOUBLE") else made
        if made is not None:
            return made
    return short(pointed if known == "DOUBLE" else series)


def _truth(series: pl.Series) -> pl.Series | None:
    """The column as truth values; None when one of its values is none."""
    import polars as pl

    made = series.str.to_lowercase().replace_strict(
        {"true": True, "false": False}, default=None, return_dtype=pl.Boolean
    )
    return made if made.null_count() == series.null_count() else None


def _numbers(series: pl.Series, *, names: bool) -> pl.Series | None:
    """The column as numbers; None when a value is none or, with `names`, is digits that name something."""
    import polars as pl

    made = series.str.strip_chars().cast(pl.Float64, strict=False)
    if made.null_count() != series.null_count():
        return None
    whole = series.str.contains(_WHOLE) & (made.abs() > _EXACT)
    named = names and bool((series.str.contains(_NAME) | whole).any())
    return None if named else made
