"""Windows that are counted again: rows came after they were closed, or a feature became known later.

A window that late rows touched is counted again, and what is stored of it is subtracted; so a row
is never counted twice, whatever came between. What is added is marked late: shown, never judged again.
A window that had no summary at all (history that was imported later, or the past of a new feature)
gets an ordinary one.

What waits stands in the mark of the source and shrinks with every transaction: `late` and `past`,
each with how far it has come. As what is stored is subtracted, doing a part again adds nothing.

Source: our own; ARCHITECTURE section 3, Time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from observe.schema import Binning, Json, Window
from observe.spec.performance import PERFORMANCE
from observe.summaries import labelled
from observe.summaries.features import summarise
from observe.summaries.matched import touched
from observe.summaries.pace import Pace, bundles, pieces
from observe.summaries.rates import OPEN, measures, rates
from observe.summaries.rows import Rows, Source

if TYPE_CHECKING:
    import polars as pl

_ADDED: Final = ("n", "events", "missing", "nan", "inf", "zero", "value_sum")


def waiting(mark: Json) -> bool:
    """Whether windows of a source are still to be counted again."""
    return "late" in mark or "past" in mark


def looked(store: Rows, source: Source, mark: Json, seen: datetime) -> Json:
    """The mark after late rows were looked for among what was stored from `mark["seen"]` until `seen`."""
    if source.name == "slo-composite" or next(_touched(store, source, mark), None) is None:  # late rows: in its parts
        return {**mark, "seen": seen.isoformat()}
    return {**mark, "late": {"until": mark["until"], "seen": seen.isoformat()}}


def recounted(
    store: Rows, source: Source, binnings: Sequence[Binning], mark: Json, pace: Pace
) -> Iterator[tuple[list[pl.DataFrame], Json]]:
    """Transactions that do what waits: rows of table `summary`, and the mark once they are written.

    Args:
        store: where rows and stored summaries are read.
        source: whose.
        binnings: of its features, new ones too.
        mark: how far the source has come, and what waits.
        pace: how much a transaction.

    Yields:
        Deltas with `late` true, or whole windows that had none; the caller writes them before it asks for more.
    """
    if "past" in mark:
        told = mark["past"]
        fresh = [b for b in binnings if b.feature in told["features"]]
        span = Window(datetime.fromisoformat(told["from"]), datetime.fromisoformat(told["to"]))
        for part in pieces(source, fresh, span, pace):
            mark = _moved(mark, "past", {"from": part.end.isoformat()}, done=part.end >= span.end)
            yield [f for frame in summarise(store, source, fresh, part) for f in _changes(store, frame, part)], mark
    if "late" in mark:
        yield from _late(store, source, binnings, mark, pace)


def _late(
    store: Rows, source: Source, binnings: Sequence[Binning], mark: Json, pace: Pace
) -> Iterator[tuple[list[pl.DataFrame], Json]]:
    found = list(_touched(store, source, mark))
    if not found:  # all of them were done before, or expired meanwhile
        yield [], _seen(mark)
    for group in bundles(source, binnings, found, pace):
        done = group[-1].end >= found[-1].end
        mark = _seen(mark) if done else _moved(mark, "late", {"from": group[-1].end.isoformat()}, done=False)
        yield [f for part in group for f in _again(store, source, binnings, part, mark)], mark


def _moved(mark: Json, name: str, to: Json, *, done: bool) -> Json:
    """`mark` after a part of what waits under `name`."""
    rest = {key: value for key, value in mark.items() if key != name}
    return rest if done else {**rest, name: {**mark[name], **to}}


def _seen(mark: Json) -> Json:
    """`mark` after all late rows that were found."""
    return {**_moved(mark, "late", {}, done=True), "seen": mark["late"]["seen"]}


def _again(
    store: Rows, source: Source, binnings: Sequence[Binning], span: Window, mark: Json
) -> Iterator[pl.DataFrame]:
    """What counting `span` again adds to what is stored of it."""
    if not source.of_predictions:
        until = datetime.fromisoformat(mark["until"])
        yield from _changes(store, rates(store, source, span, min(until, span.end + OPEN)), span, measures(source))
    for frame in summarise(store, source, binnings, span):
        for changes in _changes(store, frame, span):
            yield labelled.grown(changes) if source.name in labelled.OWN else changes


def _changes(store: Rows, again: pl.DataFrame, span: Window, whole: Sequence[str] = ()) -> Iterator[pl.DataFrame]:
    """What `again` adds to what is stored; measures in `whole` were counted in all of `span`, absent is 0 of them."""
    known = sorted({*again["measure"].to_list(), *whole})
    if not known:
        return
    stored = _stored(store, known, span)
    yield again.join(stored, on=["measure", "ts"], how="anti")
    gone = stored.filter(stored["measure"].is_in(whole)).join(again, on=["measure", "ts"], how="anti")
    delta = _delta(again.join(stored, on=["measure", "ts"], how="semi").vstack(_nothing(gone, again)), stored)
    if delta is not None:
        yield delta


def _nothing(gone: pl.DataFrame, again: pl.DataFrame) -> pl.DataFrame:
    """Summaries of no rows at all, for windows whose requests have all gone to another one."""
    import polars as pl

    zeros = dict.fromkeys(("n", "events", "missing", "nan", "inf", "zero"), 0)
    given = ("measure", "ts", "model", "window_s")
    rows = [{**zeros, **{c: row[c] for c in given}} for row in gone.iter_rows(named=True)]
    return pl.DataFrame([[row.get(c) for c in again.columns] for row in rows], again.schema, orient="row")


def _touched(store: Rows, source: Source, mark: Json) -> Iterator[Window]:
    """Runs of windows that late rows fell into, or that hold another attempt of the same request; not those done already."""
    step, told = timedelta(seconds=source.window_s), mark.get("late", {})
    until, seen = (datetime.fromisoformat(at) for at in (told.get("until", mark["until"]), mark["seen"]))
    params = {**source.params, "until": until, "seen": seen}
    if source.name == PERFORMANCE:
        found = touched(store, source, params)
    else:
        came = f"from {source.relation} where ts < $until and ingested_at >= $seen"
        found = store.read(f"select distinct {_bucket(source)} as ts {came} and {source.where} order by 1", params)[
            "ts"
        ].to_list()
    if source.name in {"slo", "slo-dependency"}:
        found = sorted({*found, *_siblings(store, source, params)})
    if "from" in told:
        found = [ts for ts in found if ts >= datetime.fromisoformat(told["from"])]
    start = 0
    for i in range(1, len(found) + 1):
        if i == len(found) or found[i] - found[i - 1] > step:
            yield Window(found[start], found[i - 1] + step)
            start = i


def _siblings(store: Rows, source: Source, params: dict[str, Any]) -> list[datetime]:
    """Windows with an attempt of a request that got another one late, of whichever model."""
    came = "from attempt where trace_id is not null and ts < $until and ingested_at >= $seen"
    only = {name: params[name] for name in ("until", "seen")}
    [(first, last)] = store.read(f"select min(ts) as first, max(ts) as last {came}", only).rows()
    if first is None:
        return []
    span = Window(first - OPEN, min(params["until"], last + OPEN))
    sql = f"select distinct {_bucket(source)} as ts from attempt where trace_id in (select trace_id {came})"
    return store.read(sql, only, span)["ts"].to_list()


def _bucket(source: Source) -> str:
    return f"time_bucket(interval {source.window_s} second, ts)"


def _stored(store: Rows, known: Sequence[str], span: Window) -> pl.DataFrame:
    """What is stored of these measures in these windows, deltas included, one row each."""
    sums = ", ".join(f"sum({c}) as {c}" for c in _ADDED)
    return store.read(
        f"select measure, ts, any_value(model) as model, any_value(window_s) as window_s, {sums}, list(counts) as counts"
        " from summary where list_contains($measures, measure) and ts >= $from and ts < $to group by measure, ts",
        {"measures": list(known), "from": span.start, "to": span.end},
        span,
    )


def _delta(again: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame | None:
    """`again` less `stored`, without the windows in which nothing changed."""
    import polars as pl

    before = {(row["measure"], row["ts"]): row for row in stored.iter_rows(named=True)}
    rows = []
    for row in again.iter_rows(named=True):
        changed = _less(row, before[row["measure"], row["ts"]])
        if any(changed[c] for c in ("n", "events", "missing", "nan", "inf")) or any(changed["counts"] or ()):
            rows.append(changed)
    return pl.DataFrame(rows, again.schema) if rows else None


def _less(row: dict[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    known = [counts for counts in stored["counts"] or () if counts is not None]
    counts = None if row["counts"] is None else (np.asarray(row["counts"]) - np.sum(known, axis=0)).tolist()
    added = {c: None if row[c] is None else row[c] - (stored[c] or 0) for c in _ADDED}
    return {**row, **added, "counts": counts, "late": True}
