"""Training files become counts in the bins of the served features: what the skew monitor holds serving against.

A file is counted when it is new, when its content changed, and when a feature got its bins since. It is read in
batches; of more than 5,000,000 rows every k-th is counted. A file that cannot be read is told as one row with its
reason: what hangs on it is unknown, never fine.

Source: our own; METHODS section 9.
Assumes: columns are named as the features are, exactly so or else in another case.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from polars.exceptions import PolarsError

from observe.schema.trained import TrainingColumn
from observe.summaries import features
from observe.summaries.bins import place
from observe.summaries.rows import Rows, Source, tables

if TYPE_CHECKING:
    import polars as pl

    from observe.schema import Binning
    from observe.spec.config import Config, Model

SOURCES: Final = ("attempts", "predictions")  # of features; files are looked at whenever windows of these close
_MOST: Final = 5_000_000  # rows that are counted
_SAMPLE: Final = 100_000  # of them that percentiles are taken from, about
_BATCH: Final = 65_536
_TEXT: Final = 0.5  # of a column's values that are no numbers: it is text then
_REASON: Final = 200  # characters of an error that are kept


def close(store: Rows, config: Config, now: datetime) -> int:
    """Count the training files whose counts are not what they should be; how many were."""
    wanted = {name: path for name, model in config.models.items() if (path := _file(model)) is not None}
    if not wanted:
        return 0
    kept, known = store.state([_key(name) for name in wanted]), tables(store)
    counted = 0
    for name, path in sorted(wanted.items()):
        binnings = _binnings(store, config.models[name], known)
        mark = {"stamp": _stamp(path), "path": str(path), "binnings": sorted(b.binning_id for b in binnings)}
        if kept.get(_key(name)) == mark:
            continue
        with store.change() as tx:
            tx.insert(columns(name, path, binnings, now))
            tx.set_state(_key(name), mark, None)
        counted += 1
    return counted


def _key(model: str) -> str:
    return f"training/{model}"


def _file(model: Model) -> Path | None:
    drift = model.monitoring.drift if model.monitoring else None
    return drift.skew_file if drift else None


def _stamp(path: Path) -> list[int]:
    """Changes when the file does; empty where there is none."""
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_mtime_ns, found.st_size]


def _binnings(store: Rows, model: Model, known: Mapping[str, str]) -> list[Binning]:
    """The bins of the watched features, as far as there are any."""
    drift = model.monitoring.drift if model.monitoring else None
    assert drift is not None
    source = Source(model, drift.source, known.get(model.name))
    if not source.exists:
        return []
    watched = {c.feature for c in features.columns(store, source)}
    return [b for b in features.made(store, source) if b.feature in watched and b.kind != "pair"]


def columns(model: str, path: Path, binnings: Sequence[Binning], now: datetime) -> list[TrainingColumn]:
    """Every column of a training file, counted where it is a feature with bins; one row with the reason where it cannot be read."""
    import pyarrow as pa

    try:
        return list(_read(model, path, {b.feature: b for b in binnings}, now))
    except FileNotFoundError:
        why = "there is no such file"
    except (OSError, pa.ArrowException, PolarsError, ValueError, TypeError) as error:
        why = str(error)[:_REASON] or repr(error)
    return [_column(model, "", path, ("", 0), now, error=why)]


def _read(model: str, path: Path, binnings: Mapping[str, Binning], now: datetime) -> Iterator[TrainingColumn]:
    import pyarrow.parquet as pq

    with path.open("rb") as content:
        print_ = hashlib.file_digest(content, "sha256").hexdigest()[:16]
    with pq.ParquetFile(path) as file:
        names, rows = file.schema_arrow.names, file.metadata.num_rows
        folded = {name.casefold(): name for name in reversed(names)}
        found = {f: f if f in names else folded[f.casefold()] for f in binnings if f in names or f.casefold() in folded}
        counts = {f: _Counts.of(binnings[f]) for f in found}
        every = max(1, -(-rows // _MOST))
        for batch in file.iter_batches(_BATCH, columns=sorted(set(found.values()))) if found else ():
            for feature, name in found.items():
                counts[feature].add(_values(batch.column(name))[::every])
    for feature, made in counts.items():
        yield made.column(_column(model, feature, path, (print_, rows), now))
    for name in names:
        if name not in found.values():
            yield _column(model, name, path, (print_, rows), now)


def _values(array: Any) -> pl.Series:
    import polars as pl

    found = pl.from_arrow(array)
    assert isinstance(found, pl.Series)
    return found


def _column(
    model: str, feature: str, path: Path, of: tuple[str, int], now: datetime, *, error: str | None = None
) -> TrainingColumn:
    """A column that was not counted; `of` is the fingerprint of the file and its rows."""
    return TrainingColumn(model, feature, path.name, of[0], of[1], None, None, None, 0, None, error, now)


@dataclass(slots=True)
class _Counts:
    """One column while its file is read."""

    binning: Binning
    counts: np.ndarray
    missing: int = 0
    strange: int = 0  # texts that are no numbers
    sample: list[np.ndarray] = field(default_factory=list)

    @classmethod
    def of(cls, binning: Binning) -> _Counts:
        """Nothing yet."""
        return cls(binning, np.zeros(len(binning.reference), dtype=np.int64))

    def add(self, values: pl.Series) -> None:
        """Take a batch in."""
        if self.binning.kind == "numeric":
            self._add_numbers(values)
        else:
            self._add_levels(values)

    def _add_numbers(self, values: pl.Series) -> None:
        import polars as pl

        if values.dtype.is_nested() or values.dtype.is_temporal():
            self.strange += values.len() - values.null_count()
            self.missing += values.len()
            return
        numbers = values.cast(pl.Float64, strict=False)
        self.strange += numbers.null_count() - values.null_count()
        x = numbers.drop_nulls().to_numpy()
        x = np.ascontiguousarray(x[np.isfinite(x)])
        self.missing += values.len() - x.size
        edges = self.binning.edges or ()
        self.counts += np.bincount(place(x, edges), minlength=self.counts.size)
        self.sample.append(x)

    def _add_levels(self, values: pl.Series) -> None:
        import polars as pl

        known = {level: i for i, level in enumerate(self.binning.levels or ())}
        texts = values.cast(pl.String, strict=False).drop_nulls()
        self.missing += values.len() - texts.len()
        for level, n in texts.rename("x").value_counts().iter_rows():
            self.counts[known.get(level, self.counts.size - 1)] += n

    def column(self, bare: TrainingColumn) -> TrainingColumn:
        """The column as it is stored."""
        rows = int(self.counts.sum()) + self.missing
        if self.strange > _TEXT * max(rows, 1):
            return replace(bare, kind="text", missing=self.missing)
        return replace(
            bare, kind=self.binning.kind, binning_id=self.binning.binning_id, counts=tuple(self.counts.tolist()),
            missing=self.missing, quantiles=self._quantiles(),
        )  # fmt: skip

    def _quantiles(self) -> tuple[float, ...] | None:
        x = np.concatenate(self.sample) if self.sample else np.zeros(0)
        if not x.size:
            return None
        return tuple(np.quantile(x[:: max(1, x.size // _SAMPLE)], np.arange(101) / 100).tolist())
