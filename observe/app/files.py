"""Files of any size become bodies of bounded size: Parquet, CSV, one JSON object a line; each also gzipped.

Where one body ends and the next begins depends on the file's bytes alone, so an import that was
killed finds the same bodies again. CSV becomes Parquet on the way: ids and other text stay as they
are written.

Source: RFC 4180 for CSV; https://github.com/ndjson/ndjson-spec; Apache Parquet.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from observe.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

PARQUET: Final = "application/vnd.apache.parquet"
NDJSON: Final = "application/x-ndjson"
_BLOCK: Final = 4 << 20  # bytes read at a time
_LONGEST: Final = 12 << 20  # bytes of a body, at most: the service takes 16 MiB
_LINES: Final = 50_000  # rows of a body, at most
_CELLS: Final = 1_000_000  # rows times columns of a body, about
_DELIMITERS: Final = ",\t;|"


@dataclass(frozen=True, slots=True)
class Body:
    """A part of a file that a collector can read."""

    number: int  # 0, 1, ... in the order of the file
    content: bytes
    content_type: str
    rows: int
    share: float  # of the file that is read after it, 0-1
    lost: int = 0  # rows of the file that cannot be read, before this body


def fingerprint(path: Path) -> str:
    """32 hex digits over the whole content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def bodies(path: Path, *, features: bool = False) -> Iterator[Body]:
    """The bodies of a file, in order.

    Args:
        path: the file.
        features: columns of a CSV file that predictions do not have are numbers or truth values where all
            their values in a body are; else everything stays text, for a collector to read.

    Raises:
        UsageError: it is none of the formats, or a row of it is longer than a body may be.
    """
    with path.open("rb") as raw:
        magic = raw.read(4)
    parts = _parquet(path) if magic == b"PAR1" else _text(path, magic[:2] == b"\x1f\x8b", features)
    for number, (content, kind, rows, share, lost) in enumerate(parts):
        yield Body(number, content, kind, rows, min(1.0, share), lost)


_Part = tuple[bytes, str, int, float, int]


def _parquet(path: Path) -> Iterator[_Part]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path, memory_map=True)
        columns, total, done = max(1, len(file.schema.names)), max(1, file.metadata.num_rows), 0
        for batch in file.iter_batches(batch_size=max(1, min(_LINES, _CELLS // columns))):
            done += batch.num_rows
            for part in _packed(pa.Table.from_batches([batch])):
                yield part.content, PARQUET, part.rows, done / total, 0
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path} is not a readable Parquet file: {str(error)[:200]}") from error


@dataclass(frozen=True, slots=True)
class _Packed:
    content: bytes
    rows: int


def _packed(table: Any) -> Iterator[_Packed]:
    """A table as Parquet, in halves where it is too large."""
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(table, sink, compression="lz4")
    if sink.tell() <= _LONGEST or table.num_rows <= 1:
        yield _Packed(sink.getvalue(), table.num_rows)
        return
    half = table.num_rows // 2
    yield from _packed(table.slice(0, half))
    yield from _packed(table.slice(half))


def _text(path: Path, gzipped: bool, features: bool) -> Iterator[_Part]:
    size = max(1, path.stat().st_size)
    with path.open("rb") as raw:
        file: IO[bytes] = gzip.GzipFile(fileobj=raw) if gzipped else raw  # type: ignore[assignment]
        try:
            first = file.read(_BLOCK)
            parts = _ndjson(path, first, file) if _is_json(path, first) else _csv(path, first, file, features)
            for part in parts:
                yield *part[:3], raw.tell() / size, part[4]
        except (gzip.BadGzipFile, EOFError, OSError) as error:
            raise UsageError(f"{path} is not a readable gzip file: {error}") from error


def _is_json(path: Path, first: bytes) -> bool:
    start = first.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    names = [s.lower() for s in path.suffixes]
    if start in (b"{", b"[") and ".csv" not in names and ".tsv" not in names:
        return True
    if {".ndjson", ".jsonl", ".json"} & set(names):
        return True
    if {".csv", ".tsv"} & set(names):
        return False
    raise UsageError(f"{path} is neither Parquet, nor CSV by its name, nor one JSON object a line")


def _ndjson(path: Path, first: bytes, file: IO[bytes]) -> Iterator[_Part]:
    first = first.removeprefix(b"\xef\xbb\xbf")
    if first.lstrip().startswith(b"["):
        whole = first + file.read(2 * _BLOCK + 1)
        if len(whole) > 2 * _BLOCK:
            raise UsageError(f"{path} is a JSON array of more than {2 * _BLOCK >> 20} MiB; write one object a line")
        yield whole, "application/json", whole.count(b"{"), 1.0, 0
        return
    for block in _cut(path, first, file, lambda block: block.rfind(b"\n") + 1):
        lines = [line for line in block.split(b"\n") if line.strip()]
        for start in range(0, len(lines), _LINES):
            part = lines[start : start + _LINES]
            yield b"\n".join(part), NDJSON, len(part), 0.0, 0


def _cut(path: Path, first: bytes, file: IO[bytes], end_of_rows: Any) -> Iterator[bytes]:
    """Blocks of whole rows; `end_of_rows` says where the last whole row of a block ends, 0 where none does."""
    held = first
    while held:
        block = file.read(_BLOCK)
        if not block:
            yield held
            return
        end = end_of_rows(held)
        if end:
            yield held[:end]
        held = held[end:] + block
        if len(held) > _LONGEST + _BLOCK:
            end = held.rfind(b"\n") + 1
            if not end:
                raise UsageError(f"{path}: a row is longer than {_LONGEST >> 20} MiB")
            yield held[:end]  # a quote is not closed; its reader finds the rows that are whole
            held = held[end:]


def _csv(path: Path, first: bytes, file: IO[bytes], features: bool) -> Iterator[_Part]:
    first = first.removeprefix(b"\xef\xbb\xbf")
    head, sep, rest = first.partition(b"\n")
    names, delimiter = _header(path, head.decode("utf-8", "replace").rstrip("\r"))
    step = max(1, min(_LINES, _CELLS // len(names)))
    whole = partial(_whole_records, delimiter=delimiter.encode())
    for block in _cut(path, rest, file, whole) if sep else ():
        rows, lost = _records(block, names, delimiter)
        for part in rows.iter_slices(step):
            for packed in _packed((_typed(part) if features else part).to_arrow()):
                yield packed.content, PARQUET, packed.rows, 0.0, lost
                lost = 0
        if lost:
            yield b"", PARQUET, 0, 0.0, lost


def _header(path: Path, line: str) -> tuple[list[str], str]:
    delimiter = max(_DELIMITERS, key=line.count)
    names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
    if not names or not all(names):
        raise UsageError(f"{path}: the first line of a CSV file names its columns; one of them has no name")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{path}: two columns are named {twice!r}")
    return names, delimiter


def _whole_records(block: bytes, delimiter: bytes = b",") -> int:
    """Where the last record ends that is whole: after a newline outside quotes; only a field's first quote opens one."""
    quoted = rb"(?:\A|[\r\n" + re.escape(delimiter) + rb'])"(?:[^"]++|"")*+(?:"|(\Z))'
    end = after = 0
    for field in re.finditer(quoted, block):
        end = block.rfind(b"\n", after, field.start() + 1) + 1 or end
        if field[1] is not None:
            return end
        after = field.end()
    return block.rfind(b"\n", after) + 1 or end


def _records(block: bytes, names: list[str], delimiter: str) -> tuple[pl.DataFrame, int]:
    """The records of a block as columns of text, and how many have another number of fields or cannot be read."""
    import polars as pl

    read, bad = _read(block, delimiter)
    good = [row for row in read if len(row) == len(names)]
    columns = zip(*good, strict=True) if good else ([] for _ in names)
    series = [pl.Series(n, [v or None for v in c], pl.String) for n, c in zip(names, columns, strict=True)]
    return pl.DataFrame(series), bad + len(read) - len(good)


class _Lines:
    """Lines of a block for a CSV reader, which can go back to the record it could not read."""

    def __init__(self, block: bytes) -> None:
        self.lines = list(io.StringIO(block.decode("utf-8", "replace"), newline=""))
        self.at = self.start = 0  # the next line, and the first of the record that is being read

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self.at < len(self.lines):
            self.at += 1
            return self.lines[self.at - 1]
        if self.at > self.start:
            raise csv.Error("a quote is not closed")
        raise StopIteration


def _read(block: bytes, delimiter: str) -> tuple[list[list[str]], int]:
    """The records of a block, and how many lines begin one that cannot be read: a field of more than 128 KiB."""
    lines, read, bad = _Lines(block), [], 0
    while lines.at < len(lines.lines):
        try:
            for row in csv.reader(lines, delimiter=delimiter):
                lines.start = lines.at
                if row:
                    read.append(row)
        except csv.Error:  # or a stray quote: the line after it begins a record
            bad += 1
            lines.start = lines.at = lines.start + 1
    return read, bad


def _typed(rows: pl.DataFrame) -> pl.DataFrame:
    """The same with numbers and truth values where every value of a column is one; those of predictions stay text."""
    return rows.with_columns(_value(rows[name]) for name in rows.columns if name.lower() not in _known())


def _known() -> frozenset[str]:
    from observe.schema import TABLES

    return frozenset({c.name for c in TABLES["prediction"].columns} | {"id", "timestamp", "time"})


def _value(texts: pl.Series) -> pl.Series:
    import polars as pl

    if texts.null_count() == len(texts) or texts.str.contains(r"^[+-]?0\d").any():  # 01069 is a postal code
        return texts
    numbers = texts.str.strip_chars().cast(pl.Float64, strict=False)
    if numbers.null_count() == texts.null_count():
        return numbers
    truths = texts.str.to_lowercase()
    if truths.drop_nulls().is_in(["true", "false"]).all():
        return truths == "true"
    return texts
