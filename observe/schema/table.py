"""How a noun becomes a table: the fields of a frozen dataclass are the columns.

A field's type says its SQL type, its annotation text says its unit and meaning; from these come
the DDL, the Polars schemas of incoming frames and `docs/schema.md`.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import cache
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin, get_type_hints

Json = Mapping[str, Any]  # a JSON object; stored as JSON text
JsonList = tuple[Json, ...]  # a JSON list of objects; likewise


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: name, SQL type, nullability and what it means."""

    name: str
    sql: str
    nullable: bool
    doc: str


@dataclass(frozen=True, slots=True)
class Table:
    """How a noun is stored.

    `bulk` tables are hot in DuckDB for minutes and then sealed to Parquet under the lake, by
    `time`; the others stay in the database. `ids` names the columns that identify a row within its
    source: rows seen twice within two hours are stored once.
    """

    name: str
    doc: str
    columns: tuple[Column, ...]
    time: str
    bulk: bool
    ids: tuple[str, ...]


_SQL: Mapping[Any, str] = {
    str: "VARCHAR", float: "DOUBLE", int: "BIGINT", bool: "BOOLEAN", datetime: "TIMESTAMPTZ",
    tuple[str, ...]: "VARCHAR[]", tuple[int, ...]: "BIGINT[]", tuple[float, ...]: "DOUBLE[]", Json: "VARCHAR", JsonList: "VARCHAR",
}  # fmt: skip


class Noun:
    """Base of every stored noun; subclasses set how they are stored."""

    __slots__ = ()
    table_name: ClassVar[str]
    time: ClassVar[str] = "ts"
    bulk: ClassVar[bool] = False
    ids: ClassVar[tuple[str, ...]] = ()

    @classmethod
    @cache
    def table(cls) -> Table:
        """The table that stores this noun."""
        hints = get_type_hints(cls, include_extras=True)
        columns = tuple(_column(f.name, hints[f.name]) for f in fields(cls))  # type: ignore[arg-type]
        return Table(cls.table_name, (cls.__doc__ or "").strip(), columns, cls.time, cls.bulk, cls.ids)

    @classmethod
    @cache
    def json_fields(cls) -> frozenset[str]:
        """Names of the fields that hold JSON objects, or lists of them."""
        hints = get_type_hints(cls)
        return frozenset(n for n, hint in hints.items() if Json in (hint, *get_args(hint)))


def _column(name: str, hint: Any) -> Column:
    doc = ""
    if get_origin(hint) is Annotated:
        hint, doc = get_args(hint)[:2]
    nullable = isinstance(hint, UnionType) and type(None) in get_args(hint)
    if nullable:
        hint = next(a for a in get_args(hint) if a is not type(None))
    if get_origin(hint) is Literal:
        doc, hint = f"{doc}: {' | '.join(get_args(hint))}", str
    return Column(name, _SQL[hint], nullable, doc)


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open interval of event time, `[start, end)`, aware UTC."""

    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        """How long it is."""
        return self.end - self.start

    def __contains__(self, instant: datetime) -> bool:
        """Whether `instant` lies inside."""
        return self.start <= instant < self.end
