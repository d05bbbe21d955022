"""What is asked of a canary, as SQL: errors, slow requests, tenths of predictions, averages, agreement.

Source: our own; METHODS section 8.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Final

QUANTILES: Final = (0.5, 0.9, 0.99)
TENTHS: Final = 10
PAIRED: Final = timedelta(minutes=10)  # both answers to one request come within this


@dataclass(frozen=True, slots=True)
class Rows:
    """Where the rows of one model are: a relation, the column that names the version, what is asked of them."""

    relation: str
    version: str
    failed: str
    latencies: tuple[str, ...]
    score: str | None
    averages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """One question as SQL: events of all; of an average the number that is summed."""

    name: str
    events: str
    all: str
    value: str | None = None

    def counted(self, i: int) -> str:
        """Its three columns."""
        value = f"sum({self.value}) filter ({self.all})" if self.value else "null"
        return f"count_if({self.events})::BIGINT as x{i}, count_if({self.all})::BIGINT as n{i}, {value}::DOUBLE as s{i}"


def slower(column: str, bounds: Sequence[float]) -> Iterator[Asked]:
    """Beyond the quantiles that the old version had."""
    for q, bound in zip(QUANTILES, bounds, strict=True):
        yield Asked(f"latency:{column}:p{100 * q:.0f}", f"{column} > {bound!r}", f"{column} is not null")


def tenths(column: str, bounds: Sequence[float]) -> Iterator[Asked]:
    """Within each tenth that the old version had."""
    for i, (low, high) in enumerate(pairwise((None, *bounds, None)), 1):
        above = [f"{column} > {low!r}"] if low is not None else []
        below = [f"{column} <= {high!r}"] if high is not None else []
        yield Asked(f"prediction:{i}", " and ".join([*above, *below]), f"{column} is not null")


def averages(columns: Sequence[str]) -> Iterator[Asked]:
    """The average of each column, of finite values."""
    for column in columns:
        yield Asked(f"mean:{column}", "false", f"{column} is not null and isfinite({column})", column)


def pairs(rows: Rows) -> str:
    """Minutes with the number of requests that both versions answered, and how many of these answers differ.

    A pair counts in the minute of its later answer. Numbers differ when they are more than `$within` apart.
    Parameters: `$from`, `$to`, `$canary`, `$baseline`, `$within`.
    """
    side = (
        f"select trace_id, item_idx, ts, prediction, score from {rows.relation} and trace_id is not null"
        f" and ts >= $from::TIMESTAMPTZ - interval '{PAIRED.total_seconds():.0f} seconds' and ts < $to and {rows.version} ="
    )
    near = f"abs(epoch(a.ts) - epoch(b.ts)) <= {PAIRED.total_seconds():.0f}"
    unlike = (
        "case when a.score is not null and b.score is not null then abs(a.score - b.score) > $within"
        " else a.prediction is distinct from b.prediction end"
    )
    return (
        f"select date_trunc('minute', greatest(a.ts, b.ts)) as ts, count_if({unlike})::BIGINT as x, count(*)::BIGINT as n"
        f" from ({side} $canary) a join ({side} $baseline) b using (trace_id, item_idx)"
        f" where {near} and greatest(a.ts, b.ts) >= $from group by all order by all"
    )
