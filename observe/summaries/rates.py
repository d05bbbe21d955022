"""Bad events of all events, per window: SLOs, and the error share of attempts.

The unit of most SLOs is the request (`slis` has the others). A failed request is bad, a cancelled one is not counted, and
neither is one to which the question does not apply (NULL, e.g. the TTFT of a request that was not
streamed).

Source: our own; ARCHITECTURE section 5, SLO semantics.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from observe.schema import Window
from observe.summaries.composite import composites
from observe.summaries.promises import SLO, Promises
from observe.summaries.rows import Rows, Source, quoted
from observe.summaries.slis import HEARD, QUERIES, text

if TYPE_CHECKING:
    import polars as pl

    from observe.spec.slos import Slo

OPEN: Final = timedelta(hours=1)  # an attempt this long before the window may belong to a request in it
_BACK: Final = {  # how long before the window rows are looked at, where that is not the same
    "slo-gpus": timedelta(minutes=HEARD - 1), "slo-prometheus": timedelta(days=1),
}  # fmt: skip


def measures(source: Source) -> tuple[str, ...]:
    """The rates of one source, by name: its SLOs, or the error share of its attempts."""
    if isinstance(source, Promises):
        return tuple(source.measure(s) for s in source.slos)
    return (f"{source.model.name}/attempts/error",) if source.name == "attempts" else ()


def rates(store: Rows, source: Source, span: Window, known: datetime) -> pl.DataFrame:
    """Rates of one source over the windows in `span` that have events, as rows of table `summary`.

    Args:
        store: where rows are read.
        source: whose.
        span: a multiple of the source's windows.
        known: attempts before this instant decide which one is a request's last.
    """
    if isinstance(source, Promises) and source.name == "slo-composite":
        return as_summaries(source, composites(store, source, span))
    since = span.start - _BACK.get(source.name, OPEN)
    params = {**source.params, "from": span.start, "to": span.end, "since": since}
    sql = _sql(source)
    params = {name: value for name, value in params.items() if f"${name}" in sql}
    return as_summaries(source, store.read(sql, params, Window(min(since, span.start - OPEN), known)))


def _sql(source: Source) -> str:
    if not isinstance(source, Promises):
        return error_sql(source)
    return slo_sql(source) if source.name == SLO else QUERIES[source.name](source)


def as_summaries(source: Source, found: pl.DataFrame) -> pl.DataFrame:
    """Counts by `ts` and `measure`, and perhaps `late`, as rows of table `summary`."""
    import polars as pl

    from observe.summaries.counting import SCHEMA

    empty = {name: pl.lit(None, kind) for name, kind in SCHEMA.items() if name not in {"ingested_at", *found.columns}}
    zeros = {name: pl.lit(0, pl.Int64) for name in ("missing", "nan", "inf", "zero")}
    given = {"model": pl.lit(source.model.name), "window_s": pl.lit(source.window_s, pl.Int64), "late": pl.lit(False)}
    given = {name: value for name, value in given.items() if name not in found.columns}
    full = found.with_columns(**{**empty, **zeros, **given})
    return full.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items() if name != "ingested_at")


def slo_sql(source: Promises) -> str:
    """One scan of `request` for all SLOs of a model: ts, measure, n, events, minutes with events only."""
    return f"""
        select ts, r.measure as measure, r.n as n, r.events as events from (
          select ts, unnest([{by_measure(source)}]) as r from (
            select time_bucket(interval {source.window_s} second, ts) as ts, {counts_sql(source)}
            from request where {source.where} and ts >= $from and ts < $to and status <> 'cancelled' group by 1))
        where r.n > 0 order by measure, ts"""


def counts_sql(source: Promises) -> str:
    """Of each SLO, requests that count and bad ones, as columns n0, e0, n1, ... over rows like those of `request`."""
    return ", ".join(
        f"count(*) filter ({_counted(s)}) as n{i}, count(*) filter ({_bad(s)}) as e{i}"
        for i, s in enumerate(source.slos)
    )


def by_measure(source: Source) -> str:
    """Those columns as one structure for each SLO: measure, n, events."""
    return ", ".join(f"{{measure: {text(m)}, n: n{i}, events: e{i}}}" for i, m in enumerate(measures(source)))


def error_sql(source: Source) -> str:
    """Attempts and failed attempts per window; cancelled ones are not counted."""
    [measure] = measures(source)
    return f"""
        select time_bucket(interval {source.window_s} second, ts) as ts, {text(measure)} as measure,
          count(*) as n, count(*) filter (status = 'error') as events
        from attempt where {source.where} and ts >= $from and ts < $to and status <> 'cancelled'
        group by 1 order by 1"""


def _counted(slo: Slo) -> str:
    asked = slo.good_sql if slo.kind == "good" else quoted(slo.column or "")
    return _of_total(slo, f"status = 'error' or ({asked}) is not null")


def _bad(slo: Slo) -> str:
    good = slo.good_sql if slo.kind == "good" else f"{quoted(slo.column or '')} <= {slo.threshold_s!r}"
    return _of_total(slo, f"status = 'error' or not ({good})")


def _of_total(slo: Slo, condition: str) -> str:
    """The condition among the requests that the SLO is about."""
    return condition if slo.total is None else f"({slo.total.sql}) and ({condition})"
