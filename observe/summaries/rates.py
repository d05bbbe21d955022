"""Bad events of all events, per window: SLOs over requests, and the error share of attempts.

The unit of an SLO is the request. A failed request is bad, a cancelled one is not counted, and
neither is one to which the question does not apply (NULL, e.g. the TTFT of a request that was not
streamed).

Source: our own; ARCHITECTURE section 5, SLO semantics.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from observe.schema import Window
from observe.summaries.rows import Rows, Source, quoted

if TYPE_CHECKING:
    import polars as pl

    from observe.spec.monitoring import Slo

OPEN: Final = timedelta(hours=1)  # an attempt this long before the window may belong to a request in it


def measures(source: Source) -> tuple[str, ...]:
    """The rates of one source, by name: every SLO of the model, or the error share of its attempts."""
    monitoring = source.model.monitoring
    if source.name == "slo":
        return tuple(f"{source.model.name}/slo/{s.name}" for s in (monitoring.slos if monitoring else ()))
    return (f"{source.model.name}/attempts/error",) if source.name == "attempts" else ()


def rates(store: Rows, source: Source, span: Window, known: datetime) -> pl.DataFrame:
    """Rates of one source over the windows in `span` that have events, as rows of table `summary`.

    Args:
        store: where rows are read.
        source: whose.
        span: a multiple of the source's windows.
        known: attempts before this instant decide which one is a request's last.
    """
    sql = slo_sql(source) if source.name == "slo" else error_sql(source)
    params = {**source.params, "from": span.start, "to": span.end}
    found = store.read(sql, params, Window(span.start - OPEN, known))
    return as_summaries(source, found)


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


def slo_sql(source: Source) -> str:
    """One scan of `request` for all SLOs of a model: ts, measure, n, events, minutes with events only."""
    return f"""
        select ts, r.measure as measure, r.n as n, r.events as events from (
          select ts, unnest([{by_measure(source)}]) as r from (
            select time_bucket(interval {source.window_s} second, ts) as ts, {counts_sql(source)}
            from request where {source.where} and ts >= $from and ts < $to and status <> 'cancelled' group by 1))
        where r.n > 0 order by measure, ts"""


def counts_sql(source: Source) -> str:
    """Of each SLO, requests that count and bad ones, as columns n0, e0, n1, ... over rows like those of `request`."""
    slos = source.model.monitoring.slos if source.model.monitoring else ()
    return ", ".join(
        f"count(*) filter ({_counted(s)}) as n{i}, count(*) filter ({_bad(s)}) as e{i}" for i, s in enumerate(slos)
    )


def by_measure(source: Source) -> str:
    """Those columns as one structure for each SLO: measure, n, events."""
    return ", ".join(f"{{measure: {_text(m)}, n: n{i}, events: e{i}}}" for i, m in enumerate(measures(source)))


def error_sql(source: Source) -> str:
    """Attempts and failed attempts per window; cancelled ones are not counted."""
    [measure] = measures(source)
    return f"""
        select time_bucket(interval {source.window_s} second, ts) as ts, {_text(measure)} as measure,
          count(*) as n, count(*) filter (status = 'error') as events
        from attempt where {source.where} and ts >= $from and ts < $to and status <> 'cancelled'
        group by 1 order by 1"""


def _counted(slo: Slo) -> str:
    asked = slo.good_sql if slo.kind == "good" else quoted(slo.column or "")
    return f"status = 'error' or ({asked}) is not null"


def _bad(slo: Slo) -> str:
    good = slo.good_sql if slo.kind == "good" else f"{quoted(slo.column or '')} <= {slo.threshold_s!r}"
    return f"status = 'error' or not ({good})"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
