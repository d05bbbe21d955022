"""Lines of JSON objects become columns; a bad line costs itself only.

Values that a table knows get the table's type. All other keys are features: `Float64` where every
value of the body is a number, `Boolean` where every one is true or false, else `String`.

    syntax         a line is no JSON object, or `features` is none
    missing_key    a required key is absent, null or empty
    bad_ts         `ts` is no time

Source: our own format (see `collectors.predictions`); https://github.com/ndjson/ndjson-spec.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from collectors.instants import instant
from observe.errors import PayloadError, PayloadTooLarge

if TYPE_CHECKING:
    import polars as pl

VALUE_LIMIT: Final = 8192  # characters of a text value
NAME_LIMIT: Final = 256  # bytes of a feature's name
FEATURE_LIMIT: Final = 500  # features of one body; SOURCES section 7
ROW_LIMIT: Final = 500_000  # lines of one body
CELL_LIMIT: Final = 20_000_000  # lines times columns; a cell costs up to 50 bytes until it is stored
ARRAY_LIMIT: Final = 8 * 2**20  # bytes of a JSON array, which is decoded at once
_EXACT: Final = 2**53  # largest count that a double tells exactly


@dataclass(slots=True)
class Records:
    """A body as columns, and why each row cannot be stored, if so.

    `frame` holds the fixed columns with the table's types, then features. `refused` has one entry
    a row: a reason, or None. Items that never became a row are in `lost`.
    """

    frame: pl.DataFrame
    refused: pl.Series
    lost: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a reader knows of a table: types of its columns by name, and which may not be absent."""

    types: Mapping[str, str]  # column -> VARCHAR | DOUBLE | BIGINT | TIMESTAMPTZ
    required: tuple[str, ...]
    reserved: frozenset[str]  # names a feature may not bear, lower case
    aliases: Mapping[str, str] = field(default_factory=dict)  # key of a sender -> column
    features: bool = False  # whether unknown keys are kept

    def column(self, key: str, keys: Container[str]) -> str | None:
        """The fixed column that `key` of a row with `keys` fills; an alias counts only where the column itself is absent."""
        if key in self.types:
            return key
        alias = self.aliases.get(key)
        return None if alias in keys else alias


def read_ndjson(payload: bytes, shape: Shape) -> Records:
    """The objects of an NDJSON body, or of one JSON array, as columns.

    Raises:
        PayloadError: a body that begins like a JSON array and is none.
        PayloadTooLarge: more lines or cells than one body may hold.
    """
    lost: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    examples: dict[str, str] = {}
    rows = []
    for item in _items(payload):
        row = _object(item) if isinstance(item, bytes) else item
        if isinstance(row, dict) and isinstance(row.get("features") or {}, dict):
            rows.append(row)
        else:
            lost["syntax"] += 1
            examples.setdefault("syntax", repr(item)[:200])
    return _columns(rows, shape, Records(*_nothing(), lost, notes, examples))


def _nothing() -> tuple[pl.DataFrame, pl.Series]:
    import polars as pl

    return pl.DataFrame(), pl.Series("refused", [], pl.String)


def _items(payload: bytes) -> Sequence[Any]:
    text = payload.strip()
    if not text.startswith(b"["):
        if text.count(b"\n") >= ROW_LIMIT:
            raise PayloadTooLarge(f"a body may hold {ROW_LIMIT} lines")
        return [line for line in text.split(b"\n") if line.strip()]
    if len(text) > ARRAY_LIMIT:
        raise PayloadTooLarge(f"a JSON array may be {ARRAY_LIMIT} bytes long; send one object a line (NDJSON)")
    try:
        items = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PayloadError(f"the body begins with '[' but is not a JSON array: {str(error)[:200]}") from error
    assert isinstance(items, list)
    return items


def _object(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _columns(rows: Sequence[dict[str, Any]], shape: Shape, records: Records) -> Records:
    import polars as pl

    fixed: dict[str, list[Any]] = {}
    features: dict[str, list[Any]] = {}
    for i, row in enumerate(rows):
        members = (row.pop("features", None) or {}) if shape.features else {}
        for key, value in row.items():
            name = shape.column(key, row)
            if name is not None:
                _put(fixed, name, i, value, len(rows))
            elif shape.features:
                _put(features, key, i, value, len(rows))
        for key, value in members.items():
            _put(features, key, i, value, len(rows))
    series = [typed(name, values, shape.types[name], records.notes) for name, values in fixed.items()]
    series += _features(features, shape, records)
    records.frame = pl.DataFrame(series)
    records.refused = _refusals(fixed, records.frame, shape, len(rows))
    return records


def _put(columns: dict[str, list[Any]], name: str, row: int, value: Any, height: int) -> None:
    values = columns.get(name)
    if values is None:
        if (len(columns) + 1) * height > CELL_LIMIT:
            raise PayloadTooLarge(
                f"a body may hold {CELL_LIMIT} cells; this one has {height} rows and more than {len(columns)} columns"
            )
        values = columns[name] = [None] * height
    values[row] = value


def _refusals(raw: Mapping[str, Sequence[Any]], frame: pl.DataFrame, shape: Shape, height: int) -> pl.Series:
    """A reason for each row that lacks something required, or whose `ts` is no time."""
    import polars as pl

    reasons: list[str | None] = [None] * height
    for name in (*shape.required, "ts"):
        told_values = raw.get(name) or [None] * height
        blank = frame[name].is_null().to_list() if name in frame.columns else [True] * height
        for i, value in enumerate(told_values):
            if reasons[i] is None and (blank[i] or value == ""):
                absent = value is None or value == ""
                if name in shape.required or not absent:
                    reasons[i] = "missing_key" if absent or name != "ts" else "bad_ts"
    return pl.Series("refused", reasons, pl.String)


def typed(name: str, values: Sequence[Any], sql: str, notes: Counter[str]) -> pl.Series:
    """Values of a fixed column with the table's type; what does not fit becomes NULL and is counted."""
    import polars as pl

    converters: Mapping[str, tuple[Callable[[Any], Any], Any]] = {
        "VARCHAR": (told, pl.String), "DOUBLE": (measured, pl.Float64), "BIGINT": (counted, pl.Int64), "TIMESTAMPTZ": (instant, pl.Int64),
    }  # fmt: skip
    convert, kind = converters[sql]
    converted = [None if v is None else convert(v) for v in values]
    misfits = sum(c is None and v is not None for v, c in zip(values, converted, strict=True))
    if misfits and name != "ts":  # a row whose ts is none is refused as a whole
        notes[f"bad_{name}"] += misfits
    series = text_series(name, converted) if kind == pl.String else pl.Series(name, converted, kind)
    return series.cast(pl.Datetime("us", "UTC")) if sql == "TIMESTAMPTZ" else series


def text_series(name: str, values: Sequence[str | None]) -> pl.Series:
    """A column of text; lone surrogates, which JSON can spell and UTF-8 cannot, become '?'."""
    import polars as pl

    try:
        return pl.Series(name, values, pl.String)
    except UnicodeEncodeError:
        return pl.Series(name, [v if v is None else v.encode(errors="replace").decode() for v in values], pl.String)


def _features(columns: Mapping[str, Sequence[Any]], shape: Shape, records: Records) -> list[pl.Series]:
    kept = []
    for key, values in columns.items():
        name = feature_name(key, shape.reserved, records.notes)
        series = _feature(name, values, records.notes) if name else None
        if series is not None:
            kept.append(series)
    return capped(kept, records.notes)


def capped(features: Sequence[pl.Series], notes: Counter[str]) -> list[pl.Series]:
    """At most 500 features, each name once; the others are dropped and counted."""
    unique = {series.name: series for series in reversed(features)}
    kept = [series for series in features if unique[series.name] is series]
    if len(kept) < len(features) or len(kept) > FEATURE_LIMIT:
        notes["feature_dropped"] += len(features) - min(len(kept), FEATURE_LIMIT)
    return kept[:FEATURE_LIMIT]


def feature_name(key: str, reserved: frozenset[str], notes: Counter[str]) -> str | None:
    """The column a feature is stored in; `<name>_feature` where a fixed column has the name; None to drop it."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= NAME_LIMIT or not key.isprintable():
        notes["bad_feature_name"] += 1
        return None
    if key.lower() in reserved:
        notes["feature_renamed"] += 1
        return f"{key}_feature"
    return key


def _feature(name: str, values: Sequence[Any], notes: Counter[str]) -> pl.Series | None:
    """One feature with the type all its values share; None when it has no value at all."""
    import polars as pl

    kinds = {type(v) for v in values} - {type(None)}
    if kinds & {dict, list}:
        notes["nested_value"] += sum(isinstance(v, (dict, list)) for v in values)
        values = [None if isinstance(v, (dict, list)) else v for v in values]
        kinds -= {dict, list}
    if not kinds:
        return None
    if kinds == {bool}:
        return pl.Series(name, values, pl.Boolean)
    if kinds <= {int, float, bool}:
        return pl.Series(name, [None if v is None else _double(v) for v in values], pl.Float64)
    if kinds != {str}:
        notes["mixed_column"] += 1
    return text_series(name, [None if v is None else told(v) for v in values])


def _double(value: float) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


def told(value: Any) -> str | None:
    """A JSON value as text, at most 8,192 characters; numbers as JSON writes them."""
    if isinstance(value, str):
        return value[:VALUE_LIMIT]
    try:
        return json.dumps(value)[:VALUE_LIMIT]
    except (ValueError, RecursionError):  # an integer of thousands of digits
        return None


def measured(value: Any) -> float | None:
    """A JSON value as a finite number, also written as text; true is 1; None when it is none."""
    if isinstance(value, str):
        if len(value) > 64:
            return None
        try:
            value = float(value)
        except ValueError:
            return None
    number = _double(value) if isinstance(value, (int, float)) else None
    return number if number is not None and math.isfinite(number) else None


def counted(value: Any) -> int | None:
    """A JSON value as a whole number of at least 0; None when it is none."""
    number = measured(value)
    return int(number) if number is not None and 0 <= number <= _EXACT and number == int(number) else None
