"""A source that names ever new models, tenants, label values or series is held to what pages and memory can bear.

Of each label of a source 200 values are told apart; further ones become `__other__`. Of the long form
a sender may have 10,000 series (a scraped source as many for each target): a histogram is one of
them, whole or refused. What a spec declares is always told apart. All is counted. What was not seen
for an hour or two makes room; values and series of all sources together are at most 500,000, about
50 MB.

Source: our own; TRUST section 2, "cardinality flood".
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from observe.schema import Parsed

OTHER: Final = "__other__"
VALUES: Final = 200  # of one label of one source; so many label names too
SERIES: Final = 10_000  # of one sender or target
SENDERS: Final = 1_000  # of one source that have room of their own; further ones share one
FORGOTTEN: Final = timedelta(hours=1)  # after this, and within twice this, what is not seen makes room
MOST: Final = 500_000  # values and series of all sources
_FOLLOWED: Final = 5_000  # labels and senders that are followed; further ones have no room for any value
_SWEPT: Final = timedelta(minutes=1)
_LABELS: Final[Mapping[str, tuple[str, ...]]] = {
    "attempt": ("model_id", "team_id", "provider", "deployment_id", "operation", "tags"), "label": ("model_id",),
    "log_event": ("model_id", "service"), "serving_sample": ("model_id",),
}  # fmt: skip
_LONG: Final = "metric_sample"
_PARTS: Final = ("bucket", "sum", "count", "delta_bucket", "delta_sum", "delta_count")  # kinds of histogram rows

_Key = tuple[str, str, str]  # source, table, and label or sender


class _Known:
    """Hashes of values seen lately."""

    def __init__(self, now: datetime) -> None:
        self._since = now
        self._young: set[int] = set()
        self._old: set[int] = set()
        self.taken = 0  # values in either

    def turn(self, now: datetime) -> None:
        """Forget what was not seen for an hour or two."""
        if now - self._since >= FORGOTTEN:
            self._old = self._young if now - self._since < 2 * FORGOTTEN else set()
            self._young, self._since, self.taken = set(), now, len(self._old)

    def holds(self, value: int) -> bool:
        """Whether a value is known; then it is known for longer."""
        if value in self._young:
            return True
        if value in self._old:
            self._young.add(value)
            return True
        return False

    def add(self, value: int) -> None:
        """Know a new value from now on."""
        self._young.add(value)
        self.taken += 1


class Cardinality:
    """What every source has named lately; safe to call from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[_Key, _Known] = {}
        self._spare = MOST
        self._swept = datetime.min

    def capped(
        self, source: str, parsed: Parsed, declared: Collection[str], targets: int | None, now: datetime
    ) -> Parsed:
        """The same, with `__other__` for values and without series that there is no room for.

        Args:
            source: whose rows they are.
            parsed: its rows, model names resolved.
            declared: names that are always told apart.
            targets: how many the source reads; 1 where it is sent to, None where its series came by `Series`.
            now: aware UTC.
        """
        notes: Counter[str] = Counter()
        tables: dict[str, pl.DataFrame] = {}
        with self._lock:
            self._sweep(now)
            for name, frame in parsed.tables.items():
                tables[name] = self._labels(source, name, frame, declared, (notes, now))
            if targets is not None and _LONG in tables:
                tables[_LONG] = self._series(source, tables[_LONG], SERIES * max(1, targets), now)
        gone = sum(frame.height - tables[name].height for name, frame in parsed.tables.items())
        if not notes and not gone:
            return parsed
        rejected = Counter(parsed.rejected) + Counter({"too_many_series": gone} if gone else {})
        folded = None if parsed.folded is None else parsed.folded - gone
        notes.update(parsed.notes)
        return replace(parsed, tables=tables, notes=dict(notes), rejected=dict(rejected), folded=folded)

    def fold(self, source: str, labels: Mapping[str, str], notes: Counter[str], now: datetime) -> dict[str, str]:
        """The labels of one series, values beyond the room of their label as `__other__`."""
        with self._lock:
            self._sweep(now)
            return {name: self._folded(source, (name, value), notes, now) for name, value in labels.items()}

    def admits(self, source: str, sender: str, series: tuple[str, str], now: datetime) -> bool:
        """Whether a series (name, labels) of a sender is known or there is room for it."""
        with self._lock:
            self._sweep(now)
            own = self._admits((source, "senders", ""), hash(sender), SENDERS, now)
            return self._admits((source, _LONG, sender if own else OTHER), hash(series), SERIES, now)

    def _folded(self, source: str, label: tuple[str, str], notes: Counter[str], now: datetime) -> str:
        name, value = label
        if self._admits((source, "labels", ""), hash(name), VALUES, now) and self._admits(
            (source, "labels", f"={name}"), hash(value), VALUES, now
        ):
            return value
        notes["label_value_folded"] += 1
        return OTHER

    def _labels(
        self,
        source: str,
        table: str,
        frame: pl.DataFrame,
        declared: Collection[str],
        told: tuple[Counter[str], datetime],
    ) -> pl.DataFrame:
        notes, now = told
        for column in _LABELS.get(table, ()):
            if column not in frame.columns:
                continue
            refused = [
                value
                for value in _named(frame[column]).difference(declared)
                if not self._admits((source, table, column), hash(value), VALUES, now)
            ]
            if refused:
                values = frame[column].explode() if frame.schema[column] == pl.List else frame[column]
                notes[f"other_{column}"] += int(values.is_in(refused).sum())
                frame = frame.with_columns(_replaced(column, refused, frame.schema[column] == pl.List))
        return frame

    def _series(self, source: str, frame: pl.DataFrame, most: int, now: datetime) -> pl.DataFrame:
        hashes = frame.select(*_SERIES_OF).hash_rows(0)
        refused = self._refused((source, _LONG, ""), hashes.unique().to_list(), most, now)
        return frame.filter(~hashes.is_in(refused)) if refused else frame

    def _refused(self, key: _Key, values: Iterable[int], most: int, now: datetime) -> list[int]:
        return [value for value in values if not self._admits(key, value, most, now)]

    def _admits(self, key: _Key, value: int, most: int, now: datetime) -> bool:
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _FOLLOWED:
                return False
            known = self._known[key] = _Known(now)
        if known.holds(value):
            return True
        if known.taken >= most or self._spare <= 0:
            return False
        known.add(value)
        self._spare -= 1
        return True

    def _sweep(self, now: datetime) -> None:
        """Once a minute: forget, and count what room there is."""
        present = now.replace(tzinfo=None)
        if present - self._swept < _SWEPT:
            return
        self._swept = present
        for key, known in list(self._known.items()):
            known.turn(now)
            if not known.taken:
                del self._known[key]
        self._spare = MOST - sum(known.taken for known in self._known.values())


# What tells a series of the long form: its name and labels, of a histogram without the part and its bound.
_NAME: Final = pl.when(pl.col("kind").is_in(_PARTS)).then(pl.col("metric").str.replace(r"_(?:bucket|sum|count)$", ""))
_SERIES_OF: Final = (
    _NAME.otherwise(pl.col("metric")).alias("metric"),
    pl.col("labels").str.replace(r',?"(?:le|quantile)":"[^"]*"', "").str.replace("{,", "{", literal=True),
)


def _named(column: pl.Series) -> set[str]:
    """The values of a column of text, or of lists of it; in plain Python, which for small bodies costs least."""
    values = column.to_list()
    if isinstance(column.dtype, pl.List):
        values = [value for row in values if row for value in row]
    return set(values) - {None}


def _replaced(column: str, refused: list[str], is_list: bool) -> pl.Expr:
    value = pl.element() if is_list else pl.col(column)
    made = pl.when(value.is_in(refused)).then(pl.lit(OTHER)).otherwise(value)
    return pl.col(column).list.eval(made) if is_list else made.alias(column)
