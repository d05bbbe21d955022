"""Several SLOs of a model as one: by the minute, the weighted mean of their bad shares.

In each minute every part has a bad share f = bad / all. The composite's is `sum(w f) / sum(w)` over the parts that had
events, so a part of which nothing is known weighs nothing. It stands for as many events as the busiest part had when
all parts are about events (requests, calls), and for one, a minute, when any part is about minutes: minutes and
requests have no sum. The budget is spent by these events: with weights 2 and 1, a minute in which everything is slow
and nothing fails spends two thirds of what a total outage would.

Bad events are fractions here, so each minute has what their sum since midnight UTC, rounded, grew by. A minute whose
events were taken back by a retry is counted together with the next one that has any.

Source: our own.
Assumes: no more than that a late row changes little: what comes late is counted in the parts alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from observe.schema import Window

if TYPE_CHECKING:
    import polars as pl

    from observe.spec.slos import Slo
    from observe.summaries.promises import Promises
    from observe.summaries.rows import Rows

Minute = Mapping[str, tuple[int, int]]  # all and bad events by part


@dataclass(slots=True)
class _Running:
    """What a day has come to: fractions that are not yet an event, and counts that wait for one."""

    weights: Mapping[str, int]
    by_minute: bool
    bad: float = 0.0
    told: int = 0
    waiting: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, minute: Minute) -> tuple[int, int]:
        """All and bad events of one more minute."""
        shares: dict[str, float] = {}
        most = 0
        for name, counted in minute.items():
            before = self.waiting.pop(name, (0, 0))
            n, bad = counted[0] + before[0], counted[1] + before[1]
            if n > 0:
                shares[name], most = bad / n, max(most, n)
            elif n or bad:
                self.waiting[name] = n, bad
        if not shares:
            return 0, 0
        n = 1 if self.by_minute else most
        weight = sum(self.weights[name] for name in shares)
        self.bad += n * sum(self.weights[name] * share for name, share in shares.items()) / weight
        grown, self.told = round(self.bad) - self.told, round(self.bad)
        return n, grown


def weighed(
    minutes: Sequence[tuple[datetime, Minute]], weights: Mapping[str, int], *, by_minute: bool
) -> list[tuple[datetime, int, int]]:
    """All and bad events of a composite by minute, in order.

    Args:
        minutes: start of each minute and the counts of its parts, ascending, from a midnight UTC on.
        weights: by part.
        by_minute: whether the composite's events are minutes.

    >>> day = datetime(2026, 3, 2)
    >>> weighed([(day, {"slow": (30, 30), "failed": (30, 0)})], {"slow": 2, "failed": 1}, by_minute=False)[0][1:]
    (30, 20)
    """
    found: list[tuple[datetime, int, int]] = []
    running, day = _Running(weights, by_minute), None
    for ts, minute in minutes:
        if ts.date() != day:
            running, day = _Running(weights, by_minute), ts.date()
        n, bad = running.add(minute)
        if n or bad:
            found.append((ts, n, bad))
    return found


def composites(store: Rows, source: Promises, span: Window) -> pl.DataFrame:
    """All composites of a model over a span: ts, measure, n, events."""
    import polars as pl

    midnight = span.start.replace(hour=0, minute=0, second=0, microsecond=0)
    rows = store.read(
        "select measure, ts, sum(n)::BIGINT as n, sum(coalesce(events, 0))::BIGINT as bad from summary"
        " where list_contains($measures, measure) and ts >= $midnight and ts < $to and not late group by all order by ts",
        {**source.params, "midnight": midnight, "to": span.end},
        Window(midnight, span.end),
    )
    found: list[tuple[datetime, str, int, int]] = []
    for slo in source.slos:
        minutes = _minutes(rows, {source.measure(part): part.name for part in source.parts(slo)})
        counts = weighed(minutes, slo.composite.of if slo.composite else {}, by_minute=_by_minute(source, slo))
        found += [(ts, source.measure(slo), n, bad) for ts, n, bad in counts if ts >= span.start]
    types: dict[str, Any] = {"ts": rows.schema["ts"], "measure": pl.String, "n": pl.Int64, "events": pl.Int64}
    return pl.DataFrame(found, types, orient="row")


def _minutes(rows: pl.DataFrame, names: Mapping[str, str]) -> list[tuple[datetime, Minute]]:
    minutes: dict[datetime, dict[str, tuple[int, int]]] = {}
    for measure, ts, n, bad in rows.iter_rows():
        if measure in names:
            minutes.setdefault(ts, {})[names[measure]] = n, bad
    return sorted(minutes.items())


def _by_minute(source: Promises, slo: Slo) -> bool:
    return any(part.by_minute for part in source.parts(slo))
