"""A Parquet file, as bytes, becomes an Arrow table; see `collectors.arrow` for what becomes of that.

Source: Apache Parquet, read with Arrow. A few kilobytes can decode to terabytes (run lengths,
dictionaries), so cells and text are counted before they are laid out.
"""

from __future__ import annotations

from typing import Any, Final

from collectors.arrow import LAID_OUT, LAID_OUT_RATIO, check_size, check_text, is_features, is_flat, is_text, read_table
from collectors.shape import Records, Shape
from observe.errors import PayloadError, PayloadTooLarge

MAGIC: Final = b"PAR1"
_FORM: Final = "Parquet file"


def read_parquet(payload: bytes, shape: Shape) -> Records:
    """The rows of a Parquet file.

    Raises:
        PayloadError: not a Parquet file, damaged, or with two columns of one name.
        PayloadTooLarge: it would decode to more rows, cells or text than a body of its size may.
    """
    table, nested = _table(payload)
    check_text(table, len(payload), _FORM)
    return read_table(table, shape, _FORM, nested)


def _table(payload: bytes) -> tuple[Any, tuple[str, ...]]:
    """The flat columns of a file, text still in dictionaries, and the names of the others."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(payload))
        schema = file.schema_arrow
        _check(file.metadata, schema, len(payload))
        texts = [f.name for f in schema if is_text(f.type)]
        names = [f.name for f in schema if is_flat(f.type) or is_features(f)]
        if texts:
            file = pq.ParquetFile(pa.BufferReader(payload), read_dictionary=texts, metadata=file.metadata)
        # its threads cost a small body more than they save, and several bodies are read at once anyway
        table = file.read(columns=None if len(names) == len(schema) else names, use_threads=False)
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise PayloadError(f"the body is not a readable {_FORM}: {str(error)[:200]}") from error
    return table, tuple(f.name for f in schema if f.name not in set(names))


def _check(metadata: Any, schema: Any, size: int) -> None:
    if len(set(schema.names)) != len(schema.names):
        raise PayloadError("a Parquet file has two columns of one name")
    check_size(metadata.num_rows, max(metadata.num_columns, 1), size, _FORM)
    claimed = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    most = max(LAID_OUT, LAID_OUT_RATIO * size)
    if claimed > most:
        raise PayloadTooLarge(f"a {_FORM} of {size} bytes may hold {most} uncompressed; this one claims {claimed}")
