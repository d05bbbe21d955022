"""Anything with columns becomes a table that hands out one column at a time: files, frames, dicts of arrays.

Of a Parquet file one column is in memory at a time. CSV is read as text and typed by all its values, so
`01069` stays a postal code and whole numbers stay whole; `NA` among numbers is a missing value. Delimiter, BOM and
gzip are found out.

Source: our own; Apache Parquet, Apache Arrow IPC, RFC 4180, https://github.com/ndjson/ndjson-spec;
https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html for frames of other libraries.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from observe.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

Kind = Literal["number", "category", "time", "truth", "nested", "nothing"]

_DELIMITERS: Final = ",\t;|"
_CSV_NAMES: Final = frozenset({".csv", ".tsv", ".txt"})
NULLS: Final = ("", "NA", "N/A", "null", "NULL", "None")  # texts that mean a missing value where numbers are meant
_COMMA: Final = r"^[+-]?\d+(,\d+)?([eE][+-]?\d+)?$"
_FORMATS: Final = "Parquet, CSV, NDJSON, JSON or Arrow"
_GIVE: Final = "give a path, a Polars, pandas or Arrow table, or a dict of arrays"


@dataclass(frozen=True)
class Table:
    """Rows under a name, read by column."""

    name: str
    schema: Mapping[str, pl.DataType]
    rows: int
    column: Callable[[str], pl.Series]


def table(source: Any, name: str) -> Table:
    """A table of whatever was given.

    Args:
        source: a path, a Polars frame (lazy too), an Arrow table, a pandas frame, a mapping of column name to
            values, or any object that speaks Arrow's C stream interface.
        name: what to call it where it is no file.

    Raises:
        UsageError: it is none of these, cannot be read, or holds no rows.
    """
    found = opened(Path(source)) if isinstance(source, str | PathLike) else _in_memory(_frame(source, name), name)
    if not found.schema:
        raise UsageError(f"{found.name} has no columns")
    if not found.rows:
        raise UsageError(f"{found.name} holds no rows: there is nothing to compare")
    return found


def kind_of(dtype: pl.DataType) -> Kind:
    """How values of a type are compared."""
    import polars as pl

    if dtype.is_numeric():
        return "number"
    if dtype.is_temporal():
        return "time"
    if dtype == pl.Boolean:
        return "truth"
    if dtype in {pl.String, pl.Categorical, pl.Enum} or isinstance(dtype, pl.Enum | pl.Categorical):
        return "category"
    return "nothing" if dtype == pl.Null else "nested"


def sort_of(dtype: pl.DataType) -> str:
    """Times that cannot be held against each other: `instant`, `clock` (of the day) or `duration`; else empty."""
    import polars as pl

    if isinstance(dtype, pl.Date | pl.Datetime):
        return "instant"
    return "clock" if isinstance(dtype, pl.Time) else "duration" if isinstance(dtype, pl.Duration) else ""


def _in_memory(frame: pl.DataFrame, name: str) -> Table:
    return Table(name, dict(frame.schema), frame.height, frame.get_column)


def _frame(source: Any, name: str) -> pl.DataFrame:
    import polars as pl

    try:
        if isinstance(source, pl.LazyFrame):
            return source.collect()
        if isinstance(source, pl.DataFrame):
            return source
        if type(source).__module__.partition(".")[0] == "pandas":
            return _pandas(source, name)
        if isinstance(source, Mapping):
            return pl.DataFrame({str(key): _series(values) for key, values in source.items()})
        if hasattr(source, "__arrow_c_stream__"):
            return pl.DataFrame(source)
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"{name} cannot be read as a table: {_first_line(error)}") from error
    raise UsageError(f"{name} is a {type(source).__name__}; {_GIVE}")


def _series(values: Any) -> pl.Series:
    import polars as pl

    if hasattr(values, "__array__") and not isinstance(values, pl.Series):
        import numpy as np

        array = np.asarray(values)
        return pl.Series(array.tolist(), strict=False) if array.dtype == object else pl.Series(array)
    return values if isinstance(values, pl.Series) else pl.Series(list(values), strict=False)


def _pandas(frame: Any, name: str) -> pl.DataFrame:
    """A pandas frame without its index; its NaN is a missing value, as pandas has it."""
    import polars as pl

    if not hasattr(frame, "columns"):
        told = "; of a Series, `series.to_frame()`" if hasattr(frame, "to_frame") else ""
        raise UsageError(f"{name} is a pandas {type(frame).__name__}; {_GIVE}{told}")
    twice = [str(c) for c in frame.columns[frame.columns.duplicated()]]
    if twice:
        raise UsageError(f"{name}: two columns are named {twice[0]!r}")
    columns = []
    for label in frame.columns:
        try:
            columns.append(pl.Series(str(label), pl.from_pandas(frame[label])))
        except (pl.exceptions.PolarsError, TypeError, ValueError, NotImplementedError):  # pyarrow's are of these
            columns.append(_unread(frame[label]).alias(str(label)))
    return pl.DataFrame(columns)


def _unread(column: Any) -> pl.Series:
    """A pandas column that Arrow does not take: sparse numbers as plain ones, complex ones as objects, else texts."""
    import polars as pl

    values = column.to_numpy()
    if values.dtype.kind in "biufc":
        return _series(values).fill_nan(None) if values.dtype.kind == "f" else _series(values)
    texts = [None if value is None or value != value else str(value) for value in column]  # noqa: PLR0124
    return pl.Series(texts, dtype=pl.String)


def opened(path: Path, *, typed: bool = True) -> Table:
    """The table in a file.

    Args:
        path: of the file, or of a folder of Parquet files.
        typed: whether columns of CSV get a type by all of their values; else they stay text.

    Raises:
        UsageError: there is no such file, or it cannot be read; it says why.
    """
    import polars as pl

    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            magic = file.read(6)
        if not magic:
            raise UsageError(f"{path} cannot be read: it is empty")
        return _parquet(path) if magic[:4] == b"PAR1" else _in_memory(_whole(path, magic, typed), str(path))
    except (pl.exceptions.PolarsError, zlib.error, EOFError, OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _folder(path: Path) -> Table:
    """The Parquet files below a folder as one table; what `day=2026-01-05` in their paths says is a column."""
    import polars as pl

    files = sorted(f for f in path.rglob("*.parquet") if f.is_file())
    if not files:
        raise UsageError(f"{path} is a folder without Parquet files; name one file ({_FORMATS})")
    try:
        return _scanned(path, pl.scan_parquet(files, glob=False, hive_partitioning=True))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UsageError(f"{path} cannot be read as one table: {_first_line(error)}") from error


def _parquet(path: Path) -> Table:
    import polars as pl

    return _scanned(path, pl.scan_parquet(path, glob=False))


def _scanned(path: Path, rows: pl.LazyFrame) -> Table:
    import polars as pl

    schema = dict(rows.collect_schema())
    many = int(rows.select(pl.len()).collect().item())

    def column(name: str) -> pl.Series:
        try:
            return rows.select(name).collect().get_column(name)
        except pl.exceptions.PolarsError as error:
            raise UsageError(f"{path}: column {name!r} cannot be read: {_first_line(error)}") from error

    return Table(str(path), schema, many, column)


def _whole(path: Path, magic: bytes, typed: bool) -> pl.DataFrame:
    """Formats that are read at once."""
    import polars as pl

    if magic == b"ARROW1":
        return pl.read_ipc(path)
    if magic[:4] == b"\xff\xff\xff\xff":
        return pl.read_ipc_stream(path)
    content = gzip.decompress(path.read_bytes()) if magic[:2] == b"\x1f\x8b" else path.read_bytes()
    content = content.removeprefix(b"\xef\xbb\xbf")
    names = {suffix.lower() for suffix in path.suffixes}
    start = content.lstrip()[:1]
    if names & _CSV_NAMES:
        return _csv(path, content, typed)
    if start == b"[":
        return pl.read_json(io.BytesIO(content), infer_schema_length=None)
    if start == b"{":
        return pl.read_ndjson(io.BytesIO(content), infer_schema_length=None)
    raise UsageError(f"{path} is not {_FORMATS} (CSV is known by its name, .csv or .tsv)")


def _csv(path: Path, content: bytes, typed: bool) -> pl.DataFrame:
    import polars as pl

    head = content.partition(b"\n")[0].decode("utf-8", "replace")
    delimiter = max(_DELIMITERS, key=head.count)
    names = next(csv.reader([head.rstrip("\r")], delimiter=delimiter), [])
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{path}: two columns are named {twice!r}; give each a name of its own")
    frame = pl.read_csv(io.BytesIO(content), separator=delimiter, infer_schema=False, encoding="utf8-lossy")
    frame = frame.rename({name: name.replace('""', '"') for name in frame.columns})  # RFC 4180, rule 7
    if delimiter != ",":
        frame = frame.with_columns(_with_points(frame.get_column(name)) for name in frame.columns)
    return frame.with_columns(_typed(frame.get_column(name)) for name in frame.columns) if typed else frame


def _with_points(texts: pl.Series) -> pl.Series:
    """Numbers with a decimal comma, as sheets of much of Europe write them, with a point; other texts as they are.

    Where each comma has three digits behind it they may be thousands: these stay texts.
    """
    known = meant(texts).drop_nulls()
    if not known.str.contains(",", literal=True).any() or not known.str.contains(_COMMA).all():
        return texts
    return texts.str.replace(",", ".", literal=True) if known.str.contains(r",(\d{1,2}|\d{4,})(\D|$)").any() else texts


def _typed(texts: pl.Series) -> pl.Series:
    """The first of whole number, number, truth value, date, instant that all of the texts are; else text."""
    import polars as pl

    if texts.null_count() == len(texts):
        return texts.cast(pl.Null, strict=False)
    bare = texts.str.strip_chars()
    if coded(bare):
        return texts
    known = meant(texts)  # `NA` is missing among numbers, and a level among texts
    for dtype in (pl.Int64, pl.UInt64, pl.Float64):
        numbers = known.cast(dtype, strict=False)
        if numbers.null_count() == known.null_count() < len(texts):
            return numbers
    if bare.str.to_lowercase().is_in(["true", "false"]).sum() == len(texts) - texts.null_count():
        return bare.str.to_lowercase() == "true"
    return _instants(bare) if bare.str.contains(r"^\d{4}-\d\d-\d\d").sum() == len(texts) - texts.null_count() else texts


def coded(bare: pl.Series) -> bool:
    """Whether some of the texts, without white space around, are no numbers though they look like it: 01069 is a postal code."""
    return bool(bare.str.contains(r"^[+-]?0\d").any())


def meant(texts: pl.Series) -> pl.Series:
    """Texts as numbers or instants would be read from them: without white space around, `NA` and the like are null."""
    import polars as pl

    bare = texts.str.strip_chars()
    return pl.select(pl.when(~bare.is_in(NULLS)).then(bare)).to_series()


def _instants(texts: pl.Series) -> pl.Series:
    for read in (texts.str.to_date, texts.str.to_datetime):
        found: pl.Series = read(strict=False)
        if found.null_count() == texts.null_count():
            return found
    return texts
