"""A request that goes on after its window was closed: counted then, taken back when it is tried again.

The request belongs to the window of its last attempt, but at the end of a window nobody knows
whether it is the last. So each window is judged by the attempts that ended before its own end, and
the window in which a request is tried again takes back what an earlier one counted of it. Summed
over windows, what detectors read (`late` false) counts every request once, from the minute of its
last attempt on. Rows marked `late` move the same counts to where they belong: with them, every
window holds exactly the requests that ended in it.

What a window says depends only on attempts before its end, so neither the order in which they came
nor when the window was closed changes it.

Source: our own; ARCHITECTURE section 3, Time, and section 5, SLO semantics.
Assumes: tries of one request end at most an hour (`rates.OPEN`) apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from observe.schema import Window
from observe.summaries.promises import Promises
from observe.summaries.rates import OPEN, as_summaries, by_measure, counts_sql, rates
from observe.summaries.rows import Rows, quoted

if TYPE_CHECKING:
    import polars as pl

# The order of attempts as the view `request` has it: by their end, their number, and any fixed order beyond.
LAST: Final = "epoch_us(ts) * 2000 + least(coalesce(attempt_no, 0), 19) * 100 + (hash(attempt_id) % 100)::BIGINT"
# Columns of `request` that are not those of the last attempt; see the view.
_FOLDED: Final = {
    "attempts": "count(*)",
    "cost_usd": "sum(cost_usd)",
    "cost_known": "bool_and(cost_known)",
    "duration_s": "epoch_us(max(ts)) / 1e6 - epoch_us(min(ts_start)) / 1e6",
    "ttft_s": "arg_max_null(ttft_s, last) + (epoch_us(arg_max(ts_start, last)) - epoch_us(min(ts_start))) / 1e6",
}


def judged(store: Rows, source: Promises, span: Window) -> pl.DataFrame:
    """SLOs over the windows in `span`, each as it stood at its end, and the `late` rows that complete them.

    Args:
        store: where attempts are read.
        source: the SLOs of a model.
        span: a multiple of the source's windows, all closed.

    Returns:
        Rows of table `summary`; of one measure and window at most one that is judged and one that is `late`.
    """
    import polars as pl

    whole = rates(store, source, span, span.end)
    params = {**source.params, "since": span.start - OPEN, "from": span.start, "to": span.end}
    early = store.read(_early_sql(source), params, Window(span.start - OPEN, span.end))
    if early.is_empty():
        return whole
    moved = pl.concat([
        _rows(early, "next", -1, late=False), _rows(early.filter(pl.col("step") >= span.start), "step", 1, late=False),
        _rows(early, "next", 1, late=True), _rows(early, "step", -1, late=True),
    ])  # fmt: skip
    every = pl.concat([whole.select(moved.columns), moved])
    summed = every.group_by("measure", "ts", "late").agg(pl.col("n", "events").sum()).sort("measure", "ts", "late")
    return as_summaries(source, summed.filter((pl.col("n") != 0) | (pl.col("events") != 0)))


def _rows(early: pl.DataFrame, at: str, sign: int, *, late: bool) -> pl.DataFrame:
    import polars as pl

    return early.select("measure", pl.col(at).alias("ts"), pl.lit(late).alias("late"), pl.col("n", "events") * sign)


def _early_sql(source: Promises) -> str:
    """What requests that went on in the span counted before, by the windows of an attempt (`step`) and of the next one."""
    from observe.spec.predicate import FIELDS

    step = f"time_bucket(interval {source.window_s} second, ts)"
    last = {name: f"arg_max_null({quoted(name)}, last)" for name in ("model_id", *FIELDS)}
    columns = ", ".join(f"{sql} as {quoted(name)}" for name, sql in {**last, **_FOLDED}.items())
    return f"""
        with again as (
          select trace_id from attempt where ts >= $since and ts < $to and trace_id is not null
          group by 1 having max(ts) >= $from and min({step}) <> max({step})),
        tries as (
          select *, {step} as step, {LAST} as last
          from attempt where ts >= $since and ts < $to and trace_id in (select trace_id from again)),
        steps as (
          select trace_id, step, lead(step) over (partition by trace_id order by step) as next
          from (select distinct trace_id, step from tries)),
        standing as (
          select s.step as step, s.next as next, {columns}
          from steps as s join tries as t on t.trace_id = s.trace_id and t.step <= s.step
          where s.next >= $from group by s.trace_id, s.step, s.next)
        select step, next, r.measure as measure, r.n as n, r.events as events from (
          select step, next, unnest([{by_measure(source)}]) as r from (
            select step, next, {counts_sql(source)} from standing
            where {source.where} and status <> 'cancelled' group by step, next))
        where r.n > 0 order by all"""
