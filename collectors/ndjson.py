"""Objects of JSON become columns; a bad one costs itself only.

Values that a table knows get the table's type. All other keys are features: `Float64` where every
value of the body is a number, `Boolean` where every one is true or false, else `String`.

    syntax         a line is no JSON object, is longer than 1 MiB, or `features` is none
    missing_key    a required key is absent, null or empty
    bad_ts         `ts` is no time
    mixed_column:<feature>   kept: its values were numbers and text, and are text now

Source: our own format (see `collectors.predictions`); items as in `collectors.json_items`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from collectors.instants import instant
from collectors.json_items import items
from collectors.scalars import counted, double, measured, told
from collectors.shape import (
    BLOCK_CELLS,
    BLOCK_ROWS,
    EXAMPLE,
    FEATURE_LIMIT,
    Records,
    Shape,
    feature_name,
    is_name,
    joined,
)

if TYPE_CHECKING:
    import polars as pl


MIXED: Final = "mixed_column"
MIXED_TOLD: Final = 20  # features of one body that are named; it may have 500


def read_ndjson(payload: bytes, shape: Shape) -> Records:
    """The objects of a JSON body as columns.

    Raises:
        PayloadError: a body that begins like a JSON array and is none.
        PayloadTooLarge: more rows or cells than one body may hold.
    """
    records = joined(lambda texts: _blocks(payload, shape, texts), len(payload), truth_is_number=True)
    names = sorted(records.mixed)
    records.notes.update({f"{MIXED}:{name}": 1 for name in names[:MIXED_TOLD]})
    if len(names) > MIXED_TOLD:
        records.notes[MIXED] += len(names) - MIXED_TOLD
    return records


def read_objects(rows: Sequence[dict[str, Any]], shape: Shape) -> Records:
    """A few objects that are decoded already as columns; `features` of each is an object."""
    block = _Block(shape, frozenset(), {})
    for row in rows:
        block.add(row)
    return block.records()


def _blocks(payload: bytes, shape: Shape, texts: frozenset[str]) -> Iterator[Records]:
    block = _Block(shape, texts, {})
    for item in items(payload, shape.wrapper):
        for row in (shape.spread(item) if shape.spread and isinstance(item, dict) else None) or (item,):
            if isinstance(row, dict) and not (shape.features and not isinstance(row.get("features") or {}, dict)):
                block.add(row)
            else:
                block.lose(item)
        if block.height >= BLOCK_ROWS or block.height * (len(block.fixed) + len(block.features)) >= BLOCK_CELLS:
            yield block.records()
            block = _Block(shape, texts, block.names)
    yield block.records()


class _Block:
    """Rows on their way into columns.

    Args:
        shape: of the table.
        texts: features that are text whatever they hold.
        names: the column of every feature that the body has had so far, by key.
    """

    def __init__(self, shape: Shape, texts: frozenset[str], names: dict[str, str]) -> None:
        self._shape, self._texts, self.names = shape, texts, names
        self.height = 0
        self.fixed: dict[str, list[Any]] = {}
        self.features: dict[str, list[Any]] = {}
        self.lost: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.examples: dict[str, str] = {}

    def add(self, row: dict[str, Any]) -> None:
        """Put one object in its columns."""
        shape, at = self._shape, self.height
        if shape.features:
            for key, value in (row.pop("features", None) or {}).items():
                self._feature(key, value, at)
        for key, value in row.items():
            name = shape.column(key, row)
            if name is not None:
                _put(self.fixed, name, at, value)
            elif shape.features:
                self._feature(key, value, at)
        self.height += 1

    def lose(self, item: Any) -> None:
        """Count what is no object."""
        self.lost["syntax"] += 1
        if "syntax" not in self.examples:
            self.examples["syntax"] = repr(item)[:EXAMPLE]

    def _feature(self, key: str, value: Any, at: int) -> None:
        name = self.names.get(key)
        if name is None:
            if not is_name(key):
                self.notes["bad_feature_name"] += 1
                return
            if len(self.names) >= FEATURE_LIMIT:
                self.notes["feature_dropped"] += 1
                return
            name = self.names[key] = feature_name(key, self._shape.reserved, self.notes) or key
        _put(self.features, name, at, value)

    def records(self) -> Records:
        """What was added, with types."""
        import polars as pl

        _pad(self.fixed, self.height)
        _pad(self.features, self.height)
        mixed: set[str] = set()
        series = [typed(n, values, self._shape.types[n], self.notes) for n, values in self.fixed.items()]
        for name, values in self.features.items():
            made = _typed_feature(name, values, self.notes, mixed, text=name in self._texts)
            series += [] if made is None else [made]
        frame = pl.DataFrame(series)
        refused = _refusals(self.fixed, frame, self._shape, self.height)
        return Records(frame, refused, self.lost, self.notes, self.examples, mixed)


def _put(columns: dict[str, list[Any]], name: str, at: int, value: Any) -> None:
    values = columns.get(name)
    if values is None:
        values = columns[name] = []
    missing = at - len(values)
    if missing > 0:
        values.extend([None] * missing)
    if missing >= 0:
        values.append(value)
    else:  # two keys of one object mean this column: the later one counts
        values[at] = value


def _pad(columns: Mapping[str, list[Any]], height: int) -> None:
    for values in columns.values():
        values.extend([None] * (height - len(values)))


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


def _typed_feature(
    name: str, values: Sequence[Any], notes: Counter[str], mixed: set[str], *, text: bool
) -> pl.Series | None:
    """One feature with the type all its values share; None when it has no value at all."""
    import polars as pl

    kinds = {type(v) for v in values} - {type(None)}
    if kinds & {dict, list}:
        notes["nested_value"] += sum(isinstance(v, (dict, list)) for v in values)
        values = [None if isinstance(v, (dict, list)) else v for v in values]
        kinds -= {dict, list}
    if not kinds:
        return None
    if kinds == {bool} and not text:
        return pl.Series(name, values, pl.Boolean)
    if kinds <= {int, float, bool} and not text:
        return pl.Series(name, [None if v is None else double(v) for v in values], pl.Float64)
    if kinds != {str}:
        mixed.add(name)
    return text_series(name, [None if v is None else told(v) for v in values])
