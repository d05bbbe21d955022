"""Rows that came after their window was closed: counted as a delta, shown, never judged again.

A window that late rows touched is counted again, and what is stored of it is subtracted; so a row
is never counted twice, whatever came between. A window that had no summary at all (history that
was imported later) gets an ordinary one.

Source: our own; ARCHITECTURE section 3, Time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from observe.schema import Binning, Json, Window
from observe.summaries.features import summarise
from observe.summaries.rates import rates
from observe.summaries.rows import Rows, Source

if TYPE_CHECKING:
    import polars as pl

_ADDED: Final = ("n", "events", "missing", "nan", "inf", "zero", "value_sum")


def late(store: Rows, source: Source, binnings: Sequence[Binning], mark: Json, now: datetime) -> Iterator[pl.DataFrame]:
    """Deltas for the windows before `mark["until"]` that got rows after `mark["seen"]`.

    Args:
        store: where rows and stored summaries are read.
        source: whose.
        binnings: of its features.
        mark: how far the source had come, and how much of the store had been seen then.
        now: the present instant, aware UTC.

    Yields:
        Rows of table `summary`: deltas with `late` true, or whole windows that had none.
    """
    for span in _touched(store, source, mark):
        frames = [f for f in _recount(store, source, binnings, span, now) if f.height]
        for frame in frames:
            stored = _stored(store, frame, span)
            yield frame.join(stored, on=["measure", "ts"], how="anti")
            delta = _delta(frame.join(stored, on=["measure", "ts"], how="semi"), stored)
            if delta is not None:
                yield delta


def _recount(
    store: Rows, source: Source, binnings: Sequence[Binning], span: Window, now: datetime
) -> Iterator[pl.DataFrame]:
    if source.name != "predictions":
        yield rates(store, source, span, now)
    yield from summarise(store, source, binnings, span)


def _touched(store: Rows, source: Source, mark: Json) -> Iterator[Window]:
    """Runs of windows that late rows fell into; for requests also where the rest of their trace lies."""
    until, step = datetime.fromisoformat(mark["until"]), timedelta(seconds=source.window_s)
    came = f"{source.where} and ts < $until and ingested_at > $seen"
    bucket = f"time_bucket(interval {source.window_s} second, ts)"
    sql = f"select distinct {bucket} as ts from {source.relation} where {came} order by 1"
    params = {**source.params, "until": until, "seen": datetime.fromisoformat(mark["seen"])}
    windows = store.read(sql, params)["ts"].to_list()
    if windows and source.name == "slo":
        traces = f"select trace_id from attempt where {came} and trace_id is not null"
        sql = f"select distinct {bucket} as ts from attempt where ts >= $from and ts < $until and trace_id in ({traces}) order by 1"
        rest = store.read(sql, {**params, "from": windows[0] - timedelta(hours=1)})["ts"].to_list()
        windows = sorted({*windows, *rest})
    start = 0
    for i in range(1, len(windows) + 1):
        if i == len(windows) or windows[i] - windows[i - 1] > step:
            yield Window(windows[start], windows[i - 1] + step)
            start = i


def _stored(store: Rows, frame: pl.DataFrame, span: Window) -> pl.DataFrame:
    """What is stored of these measures and windows, deltas included, one row each."""
    sums = ", ".join(f"sum({c}) as {c}" for c in _ADDED)
    return store.read(
        f"select measure, ts, {sums}, list(counts) as counts from summary"
        " where list_contains($measures, measure) and ts >= $from and ts < $to group by all",
        {"measures": frame["measure"].unique().to_list(), "from": span.start, "to": span.end},
        span,
    )


def _delta(again: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame | None:
    """`again` less `stored`, without the windows in which nothing changed."""
    import polars as pl

    before = {(row["measure"], row["ts"]): row for row in stored.iter_rows(named=True)}
    rows = []
    for row in again.iter_rows(named=True):
        changed = _less(row, before[row["measure"], row["ts"]])
        if any(changed[c] for c in ("n", "events", "missing", "nan", "inf")):
            rows.append(changed)
    return pl.DataFrame(rows, again.schema) if rows else None


def _less(row: dict[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    known = [counts for counts in stored["counts"] if counts is not None]
    counts = None if row["counts"] is None else (np.asarray(row["counts"]) - np.sum(known, axis=0)).tolist()
    added = {c: None if row[c] is None else row[c] - (stored[c] or 0) for c in _ADDED}
    return {**row, **added, "counts": counts, "late": True}
