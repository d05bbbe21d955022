"""Which windows have closed since the last tick, and what is written about them.

How far a source has come is kept under `summaries/<model>/<source>`; summaries, new binnings and
that mark are one transaction, so a kill neither skips nor repeats a window.

Source: our own; ARCHITECTURE section 3, Time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from observe.schema import Binning, Json, Window
from observe.summaries import features
from observe.summaries.late import late
from observe.summaries.rates import rates
from observe.summaries.rows import FEATURE_S, Rows, Source, sources

if TYPE_CHECKING:
    import polars as pl

    from observe.spec.config import Config

_PREFIX: Final = "summaries/"
_CELLS: Final = 20_000_000  # bins written in one transaction, at most: 160 MB
_WINDOWS: Final = 100_000  # windows of one transaction, at most


def close(store: Rows, config: Config, now: datetime) -> int:
    """Summarise every window that has closed since the last call.

    Args:
        store: where rows are read and summaries written.
        config: the models and what is watched about them.
        now: the present instant, aware UTC; a window is closed once its end + lateness has passed.

    Returns:
        How many rows of table `summary` were written.
    """
    every = [source for model in config.models.values() for source in sources(model)]
    marks = store.state([source.key for source in every])
    return sum(_close(store, source, marks.get(source.key), now) for source in every)


def closed_until(store: Rows) -> Mapping[str, datetime]:
    """Up to when each source is summarised, by `<model>/<source>`, sources being attempts, predictions and slo."""
    rows = store.read("select key, judged_until from core.state where starts_with(key, $prefix)", {"prefix": _PREFIX})
    return {key.removeprefix(_PREFIX): until for key, until in rows.iter_rows() if until is not None}


def _close(store: Rows, source: Source, mark: Json | None, now: datetime) -> int:
    until, written = source.closed(now), 0
    start = datetime.fromisoformat(mark["until"]) if mark else None
    if start is not None and until <= start:
        return 0
    seen = store.watermark()
    first = _first(store, source, until) if mark is None else start
    if seen is None or first is None:
        return 0
    old, new = _binnings(store, source, until, now)
    frames = list(late(store, source, old, mark, now)) if mark and _due(until) else []
    if new and start is not None:  # a feature that became known later: all of its past at once
        begin = _first(store, source, until) or start
        frames += features.summarise(store, source, new, Window(begin, start))
    kept = mark["seen"] if mark and not _due(until) else seen.isoformat()
    for part in _steps(source, [*old, *new], Window(first, until)):
        frames += _summaries(store, source, [*old, *new], part, seen)
        written += _write(store, source, new, frames, {"until": part.end.isoformat(), "seen": kept})
        frames, new, old = [], [], [*old, *new]
    return written


def _due(until: datetime) -> bool:
    """Late rows are looked for every five minutes."""
    return until.timestamp() % FEATURE_S == 0


def _first(store: Rows, source: Source, until: datetime) -> datetime | None:
    """Start of the first window with rows of this source."""
    sql = f"select min(ts) as ts from {source.relation} where {source.where} and ts < $until"
    if source.name == "predictions" and not _exists(store, source):
        return None
    first = store.read(sql, {**source.params, "until": until}).item()
    if first is None:
        return None
    return datetime.fromtimestamp(int(first.timestamp()) // source.window_s * source.window_s, until.tzinfo)


def _exists(store: Rows, source: Source) -> bool:
    """Whether this model has ever sent a prediction: before, there is no view to read."""
    known = store.read("select 1 as x from core.model_table where model = $model", {"model": source.model.name})
    return not known.is_empty()


def _binnings(store: Rows, source: Source, until: datetime, now: datetime) -> tuple[list[Binning], list[Binning]]:
    """Binnings that exist, and those that can be made now."""
    wanted = features.columns(store, source)
    old = [b for b in features.made(store, source) if b.feature in {c.feature for c in wanted}]
    lacking = [c for c in wanted if c.feature not in {b.feature for b in old}]
    period = features.reference(store, source, until) if lacking else None
    return old, features.bin_features(store, source, lacking, period, now) if period else []


def _steps(source: Source, binnings: Sequence[Binning], span: Window) -> Iterator[Window]:
    """A long past in pieces, each small enough for one transaction."""
    cells = sum(len(b.reference) for b in binnings)
    step = timedelta(seconds=source.window_s * min(_WINDOWS, max(1, _CELLS // cells) if cells else _WINDOWS))
    start = span.start
    while start < span.end:
        end = min(start + step, span.end)
        yield Window(start, end)
        start = end


def _summaries(
    store: Rows, source: Source, binnings: Sequence[Binning], span: Window, seen: datetime
) -> Iterator[pl.DataFrame]:
    if source.name != "predictions":
        yield rates(store, source, span, seen)
    yield from features.summarise(store, source, binnings, span)


def _write(store: Rows, source: Source, new: Sequence[Binning], frames: Sequence[pl.DataFrame], mark: Json) -> int:
    import polars as pl

    rows = pl.concat([f for f in frames if f.height], how="vertical") if any(f.height for f in frames) else None
    with store.change() as tx:
        if new:
            tx.insert(list(new))
        if rows is not None:
            tx.insert_frame("summary", rows)
        tx.set_state(source.key, mark, datetime.fromisoformat(mark["until"]))
    return rows.height if rows is not None else 0
