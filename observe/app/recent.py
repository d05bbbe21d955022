"""What one writer wrote lately, kept in mind: questions about it need no database.

Source: our own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Final

from observe.schema import TABLES
from observe.schema.exchange import frame_schema
from observe.store.rows import part

if TYPE_CHECKING:
    import polars as pl

MOST: Final = 64 << 20  # bytes of one table, beyond which the oldest are let go
_OURS: Final = "observe"
_FILLED_BY_STORE: Final = "ingested_at"


@dataclass(frozen=True, slots=True)
class _Rows:
    frame: pl.DataFrame
    first: datetime
    last: datetime
    size: int  # bytes


@dataclass(slots=True)
class Recent:
    """The newest rows of a table, in the order they were written.

    Args:
        table: its name.
        time: the column that is asked about.
        whole: whether the table had no rows before; otherwise nothing can be answered.
        most: bytes of it that are kept.
    """

    table: str
    time: str
    whole: bool
    most: int = MOST
    _kept: list[_Rows] = field(default_factory=list)
    _size: int = 0
    _lost: datetime | None = None  # rows up to then were let go

    def add(self, frame: pl.DataFrame) -> None:
        """Keep rows that are written."""
        if not frame.height or not self.whole:
            return
        rows = _conformed(self.table, frame)
        first, last = rows[self.time].min(), rows[self.time].max()
        assert isinstance(first, datetime)
        assert isinstance(last, datetime)
        self._kept.append(_Rows(rows, first, last, int(rows.estimated_size())))
        self._size += self._kept[-1].size
        while self._size > self.most and len(self._kept) > 1:
            gone = self._kept.pop(0)
            self._size -= gone.size
            self._lost = max(gone.last, self._lost or gone.last)

    def since(self, start: datetime) -> pl.DataFrame | None:
        """Rows from `start` on, perhaps with some before it; None where some were let go."""
        import polars as pl

        if not self.whole or (self._lost is not None and start <= self._lost):
            return None
        found = [kept.frame for kept in self._kept if kept.last >= start]
        return pl.concat(found) if found else pl.DataFrame(schema=_types(self.table))


@cache
def _types(table: str) -> dict[str, pl.DataType]:
    return {name: kind for name, kind in frame_schema(TABLES[table]).items() if name != _FILLED_BY_STORE}


def _conformed(table: str, frame: pl.DataFrame) -> pl.DataFrame:
    """The rows with every column of the table, as they are read back."""
    import polars as pl

    rows = part(table, frame, _OURS).frame
    return pl.DataFrame([
        rows.get_column(name) if name in rows.columns else pl.Series(name, [None], kind).new_from_index(0, rows.height)
        for name, kind in _types(table).items()
    ])  # fmt: skip
