"""Features of a model become typed columns, decided once: name and type of a column never change afterwards.

Numbers are DOUBLE, truth values BOOLEAN, everything else VARCHAR. A value that does not fit the
decided type becomes NULL, is counted (`type_conflict:<feature>`) and marks its row (quality bit 16).
A feature that is declared a number is DOUBLE whatever comes first; where it was decided otherwise
before, it goes on in a new column (`amount_2`), and the old one keeps what it has.
Identifiers of DuckDB ignore case, so `Z` after `z` is stored as `Z_2`. A model's features beyond
the 500th are kept as JSON text in `extra`.

Source: our own; ARCHITECTURE section 2, MECHANISMS (c).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import duckdb
import polars as pl

from observe.schema import TABLES
from observe.store.ddl import PREDICTION, Bulk, bulk_tables, hot_columns, quoted

MAX_FEATURES: Final = 500
CONFLICT: Final = "type_conflict"
CONFLICTS_TOLD: Final = 20  # features of one batch that are named; a body may have 500
CONFLICT_BIT: Final = 16  # of `quality`, see schema.Prediction
EXTRA: Final = "extra"
_NUMBER: Final = "DOUBLE"
_COLUMNS: Final = "SELECT table_name, column_name FROM duckdb_columns() WHERE schema_name = 'hot' AND starts_with(table_name, 'prediction:')"
_TABLE: Final = TABLES["prediction"]
_FIXED: Final = frozenset(c.name for c in _TABLE.columns)
_TYPES: Final[Mapping[str, Any]] = {"DOUBLE": pl.Float64, "BOOLEAN": pl.Boolean, "VARCHAR": pl.String}


@dataclass(slots=True)
class _Model:
    bulk: Bulk
    columns: dict[str, tuple[str, str]] = field(default_factory=dict)  # feature -> column, type
    taken: set[str] = field(default_factory=lambda: {*_FIXED, "seq", EXTRA})  # column names, casefolded


@dataclass(slots=True)
class Conflicts:
    """Values that became NULL since they did not fit the decided type: how many by feature, and one of each."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)

    def reasons(self) -> dict[str, int]:
        """`type_conflict:<feature>` for the first of them, `type_conflict` for all others together."""
        told = {f"{CONFLICT}:{feature}": n for feature, n in list(self.counts.items())[:CONFLICTS_TOLD]}
        others = sum(list(self.counts.values())[CONFLICTS_TOLD:])
        return {**told, CONFLICT: others} if others else told


class Features:
    """The decided columns of every model; changed only inside the writing transaction."""

    def __init__(self) -> None:
        self._models: dict[str, _Model] = {}
        self._numbers: Mapping[str, Collection[str]] = {}

    def declare(self, numbers: Mapping[str, Collection[str]]) -> None:
        """Go by what is declared from the next rows on: the features that are numbers, by model."""
        self._numbers = numbers

    def load(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Read all decisions again, e.g. after a transaction was rolled back."""
        models = {model_of(bulk): _Model(bulk) for bulk in model_bulks(cursor)}
        for model, feature, column, kind in cursor.execute("FROM core.feature_column").fetchall():
            models[model].columns[feature] = (column, kind)
            models[model].taken.add(column.casefold())
        named = {PREDICTION + m.bulk.name: m for m in models.values()}
        for table, column in cursor.execute(_COLUMNS).fetchall():  # also those that no feature goes to any more
            if table in named:
                named[table].taken.add(column.casefold())
        self._models = models

    def bulks(self) -> tuple[Bulk, ...]:
        """The bulk tables of all models, by model name."""
        return tuple(self._models[m].bulk for m in sorted(self._models))

    def bulk(self, model: str) -> Bulk | None:
        """The bulk table of `model`, None before its first row."""
        found = self._models.get(model)
        return found.bulk if found else None

    def known(self) -> Mapping[str, Mapping[str, str]]:
        """Every model's features with their SQL types."""
        return {m: {f: kind for f, (_, kind) in x.columns.items()} for m, x in self._models.items()}

    def admit(self, cursor: duckdb.DuckDBPyConnection, model: str, frames: Sequence[pl.DataFrame]) -> bool:
        """Give `model` a table and every feature of `frames` a column; True when the model is new."""
        known = self._models.get(model)
        if known is None:
            name = _unique(_safe(model), {m.bulk.name for m in self._models.values()})
            decided = self._models[model] = _Model(Bulk(PREDICTION + model, _TABLE, name))
        else:
            decided = known
        numbers = self._numbers.get(model, ())
        added = [column for frame in frames for column in _decide(decided, frame, numbers)]
        if known is None:
            cursor.execute("INSERT INTO core.model_table VALUES (?, ?)", [model, decided.bulk.name])
            columns = "".join(f", {quoted(column)} {sql}" for _, column, sql in added)
            cursor.execute(f"CREATE TABLE {decided.bulk.hot} ({hot_columns(_TABLE)}, {EXTRA} VARCHAR{columns})")
        else:
            for _, column, sql in added:
                cursor.execute(f"ALTER TABLE {decided.bulk.hot} ADD COLUMN {quoted(column)} {sql}")
        if added:
            features, names, types = (list(values) for values in zip(*added, strict=True))
            cursor.execute(
                "DELETE FROM core.feature_column WHERE model = ? AND list_contains(?, feature)", [model, features]
            )
            values = [model, features, names, types]
            cursor.execute("INSERT INTO core.feature_column SELECT ?, unnest(?), unnest(?), unnest(?)", values)
        return known is None

    def fit(self, model: str, frame: pl.DataFrame) -> tuple[pl.DataFrame, Conflicts]:
        """Rename and cast the features of `frame`, which were admitted, to the model's columns.

        Returns:
            The frame as it can be inserted by name, and the values that became NULL for their type.
        """
        decided = self._models[model]
        features = _features(frame)
        kept = [f for f in features if f in decided.columns]
        fitted = [_fit(frame[f], *decided.columns[f]) for f in kept]
        rows = pl.DataFrame([*(frame[c] for c in frame.columns if c in _FIXED), *fitted])
        beyond = [f for f in features if f not in decided.columns]
        if beyond:
            rows = rows.with_columns(_as_json(frame.select(beyond)))
        given = [(frame[f], column, decided.columns[f][1]) for f, column in zip(kept, fitted, strict=True)]
        return _marked(rows, given)


def _features(frame: pl.DataFrame) -> list[str]:
    """Feature columns that have a type; one that is all NULL waits for its first value."""
    return [name for name, kind in frame.schema.items() if name not in _FIXED and kind != pl.Null]


def _decide(decided: _Model, frame: pl.DataFrame, numbers: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Decide columns for the features of `frame` that are new, or declared to be another: feature, column, SQL type."""
    for feature in _features(frame):
        known = decided.columns.get(feature)
        declared = feature in numbers
        if len(decided.columns) < MAX_FEATURES if known is None else declared and known[1] != _NUMBER:
            wanted = re.sub(r"[\x00-\x1f]", "_", feature)[:128] or "feature"
            column, sql = _unique(wanted, decided.taken), _NUMBER if declared else _sql_type(frame.schema[feature])
            decided.columns[feature] = (column, sql)
            decided.taken.add(column.casefold())
            yield feature, column, sql


def model_bulks(cursor: duckdb.DuckDBPyConnection) -> tuple[Bulk, ...]:
    """The bulk tables of all models, by model name, as the cursor's transaction sees them."""
    rows = cursor.execute("SELECT model, name FROM core.model_table ORDER BY model").fetchall()
    return tuple(Bulk(PREDICTION + model, _TABLE, name) for model, name in rows)


def all_bulks(cursor: duckdb.DuckDBPyConnection) -> tuple[Bulk, ...]:
    """All bulk tables, as the cursor's transaction sees them."""
    return (*bulk_tables(), *model_bulks(cursor))


def model_of(bulk: Bulk) -> str:
    """The model whose predictions `bulk` holds."""
    return bulk.key.removeprefix(PREDICTION)


def _safe(model: str) -> str:
    return re.sub(r"[^a-z0-9._-]", "_", model.casefold())[:63].lstrip(".") or "model"


def _unique(wanted: str, taken: set[str]) -> str:
    return next(name for name in _numbered(wanted) if name.casefold() not in taken)


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}_{number}"
        number += 1


def _sql_type(kind: pl.DataType) -> str:
    if kind.is_numeric():
        return _NUMBER
    return "BOOLEAN" if kind == pl.Boolean else "VARCHAR"


def _fit(values: pl.Series, column: str, sql: str) -> pl.Series:
    if values.dtype == _TYPES[sql]:
        return values if values.name == column else values.alias(column)
    text = values.dtype == pl.String or isinstance(values.dtype, (pl.Categorical, pl.Enum))
    if sql == "VARCHAR":
        fitted = values.cast(pl.String) if text else _text(values)
    elif sql == "BOOLEAN":
        fitted = _truth(values) if text else values if values.dtype == pl.Boolean else _nothing(values, sql)
    elif text or values.dtype.is_numeric():
        fitted = values.cast(pl.String if text else pl.Float64).cast(pl.Float64, strict=False)
    else:
        fitted = _nothing(values, sql)
    return fitted.alias(column)


def _text(values: pl.Series) -> pl.Series:
    """Text of instants and nested values; numbers and truth values where text was decided are conflicts."""
    if values.dtype.is_numeric() or values.dtype == pl.Boolean:
        return _nothing(values, "VARCHAR")
    if values.dtype.is_nested():
        texts = [None if v is None else json.dumps(v, default=str) for v in values.to_list()]
        return pl.Series(values.name, texts, dtype=pl.String)
    return values.cast(pl.String, strict=False)


def _truth(values: pl.Series) -> pl.Series:
    return values.cast(pl.String).str.to_lowercase().replace_strict(
        {"true": True, "false": False}, default=None, return_dtype=pl.Boolean
    )  # fmt: skip


def _nothing(values: pl.Series, sql: str) -> pl.Series:
    return pl.Series(values.name, [None] * len(values), dtype=_TYPES[sql])


def _as_json(frame: pl.DataFrame) -> pl.Series:
    rows = (json.dumps({k: v for k, v in row.items() if v is not None}, default=str) for row in frame.to_dicts())
    return pl.Series(EXTRA, list(rows), dtype=pl.String)


def _shown(value: Any) -> str:
    """A value that did not fit, as it was written."""
    whole = isinstance(value, float) and value.is_integer()
    return repr(str(int(value) if whole else value)[:100])


def _marked(rows: pl.DataFrame, given: list[tuple[pl.Series, pl.Series, str]]) -> tuple[pl.DataFrame, Conflicts]:
    """Set the conflict bit on rows where a value was given but none is kept; tell those values."""
    conflicts = Conflicts()
    masks: list[pl.Series] = []
    for values, kept, sql in given:
        if kept.null_count() > values.null_count():
            lost = values.is_not_null() & kept.is_null()
            conflicts.counts[values.name] = int(lost.sum())
            conflicts.examples[values.name] = f"{_shown(values.filter(lost)[0])} is no {sql}"
            masks.append(lost.alias(str(len(masks))))
    if masks:
        marked = pl.DataFrame(masks).select(pl.any_horizontal(pl.all()))
        bit = pl.when(marked.to_series()).then(CONFLICT_BIT).otherwise(0)
        rows = rows.with_columns((pl.col("quality") | bit).cast(pl.Int64).alias("quality"))
    return rows, conflicts
