"""A feature that never varied: watched as the rate of values that differ from its constant.

Counts on the single bin of such a reference say nothing. What a window's smallest and largest value, sum and zeros
say are bounds: so many of its rows differ at least, so many at most. The least are counted as evidence; told are the
bounds of the share since the change began, and what the values lie between. How far a median moved nobody knows.

Source: METHODS section 4, "Real series also bring"; the bounds are our own: rows whose deviations from the constant
add up to what the sum says are at least that sum over the largest deviation.
Assumes: the reference held one value only; sums of values keep 36 bits, as `observe.summaries` makes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from math import floor, log10
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.counts import KEPT
from detectors.rate import Trials, judge
from detectors.rise import few
from detectors.series import epoch, seconds
from observe.schema import Detected, Evidence, Finding, Monitor

if TYPE_CHECKING:
    import polars as pl

Floats = NDArray[np.float64]
Spans = Sequence[tuple[int, int]]  # from and to, epoch s

_STATE: Final = "windows"  # under which the remembered windows stand in a stream's state
_ROUNDED: Final = 2.0**-35  # of the constant, that each value may have lost in a sum


def judge_constant(evidence: Evidence, monitors: Sequence[Monitor], constants: Mapping[str, float]) -> Detected:
    """Judge level monitors whose reference held one value, by measure in `constants`."""
    import polars as pl

    rows = evidence.summaries.filter(pl.col("measure").is_in(list(constants)) & (pl.col("n") > 0)).sort("measure", "ts")
    seen = {
        str(part["measure"][0]): Windows.of(part, constants[part["measure"][0]])
        for part in rows.partition_by("measure", maintain_order=True)
    }
    given = [m for m in monitors if m.measure in seen]
    trials = {m.monitor_id: Trials(s.start.astype(np.int64), s.least, s.n) for m in given if (s := seen[m.measure])}
    judged = judge(evidence, monitors, trials)
    courses = {m.monitor_id: _course(evidence, m, seen.get(m.measure, NO_WINDOWS)) for m in monitors}
    known = {m.monitor_id: (m, constants[m.measure]) for m in monitors}
    findings = tuple(_told(f, *known[f.monitor_id], courses[f.monitor_id]) for f in judged.findings)
    end = epoch(evidence.window.end)
    return Detected(findings, {i: {**s, _STATE: courses[i].before(end).dumped()} for i, s in judged.state.items()})


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows with rows, in order of time, and what is known of each; (R,) each. A stream remembers the newest `KEPT`."""

    start: Floats  # epoch s
    n: Floats  # rows
    least: Floats  # rows that differ from the constant, at least
    most: Floats  # and at most
    low: Floats  # smallest value
    high: Floats  # largest value
    total: Floats  # sum of values, NaN where it is not known

    @classmethod
    def of(cls, rows: pl.DataFrame, constant: float) -> Windows:
        """Of summaries of one measure that have rows, in order of time."""
        n, low, high, total, zero = (_column(rows, name) for name in ("n", "low", "high", "value_sum", "zero"))
        low, high = (np.where(np.isnan(v), constant, v) for v in (low, high))
        least, most = bounds((n, low, high, total), np.nan_to_num(zero), constant)
        return cls(seconds(rows["ts"]).astype(np.float64), n, least, most, low, high, total)

    def taken(self, where: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Windows:
        """Some of them."""
        return Windows(*(getattr(self, f.name)[where] for f in fields(self)))

    def after(self, earlier: Windows) -> Windows:
        """These, after those of `earlier` that they do not hold."""
        old = earlier.taken(~np.isin(earlier.start, self.start))
        every = Windows(*(np.concatenate([getattr(w, f.name) for w in (old, self)]) for f in fields(self)))
        return every.taken(every.start.argsort(kind="stable"))

    def of_length(self, window_s: int) -> Windows:
        """Summed up to windows of `window_s`."""
        start, first = np.unique(self.start // window_s * window_s, return_index=True)
        if first.size == self.start.size:
            return replace(self, start=start)
        n, least, most, total = (np.add.reduceat(v, first) for v in (self.n, self.least, self.most, self.total))
        low, high = np.minimum.reduceat(self.low, first), np.maximum.reduceat(self.high, first)
        return Windows(start, n, least, most, low, high, total)

    def before(self, end: int, onset: int = 0) -> Windows:
        """The newest that began before `end`, from the first on that differs; none before `onset`."""
        found = self.taken((self.start < end) & (self.start >= onset)).taken(slice(-KEPT, None))
        off = np.flatnonzero(found.least > 0)
        return found.taken(slice(int(off[0]) if off.size else found.n.size, None))

    def dumped(self) -> list[list[float | None]]:
        """As plain JSON, a list a window."""
        columns = (getattr(self, f.name).tolist() for f in fields(self))
        return [[None if v != v else v for v in row] for row in zip(*columns, strict=True)]  # noqa: PLR0124

    @classmethod
    def loaded(cls, said: Sequence[Sequence[float | None]]) -> Windows:
        """The inverse of `dumped`."""
        width = len(fields(cls))
        return cls(*np.array(said, dtype=np.float64).reshape(-1, width).T)


NO_WINDOWS: Final = Windows(*np.zeros((7, 0)))


def _column(rows: pl.DataFrame, name: str) -> Floats:
    import polars as pl

    found: Floats = rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
    return found


def bounds(seen: tuple[Floats, Floats, Floats, Floats], zero: Floats, constant: float) -> tuple[Floats, Floats]:
    """How many rows of each window differ from the constant, at least and at most; (R,) each.

    Args:
        seen: rows, smallest and largest value, and sum of values (NaN where unknown), (R,) each.
        zero: rows that are 0.
        constant: the one value of the reference.

    >>> rows = [np.array([v]) for v in (100.0, 5.0, 6.0, 510.0)]  # 10 of 100 are 6, the others 5
    >>> [int(v[0]) for v in bounds(tuple(rows), np.array([0.0]), 5.0)]
    [10, 99]
    """
    n, low, high, total = seen
    if constant == 0:
        return n - zero, n - zero
    up, down = np.maximum(high - constant, 0.0), np.maximum(constant - low, 0.0)
    moved, lost = total - n * constant, _ROUNDED * (n * abs(constant) + np.abs(total))
    rows = _fewest(moved - lost + down, up) + _fewest(-moved - lost + up, down)
    gone = (low > constant) | (high < constant)
    one_side = (up == 0) | (down == 0)
    most = np.where(gone | ~one_side, n, np.where(up + down > 0, n - 1, 0.0))
    return np.where(gone, n, np.minimum(np.maximum(rows, zero), most)), most


def _fewest(moved: Floats, far: Floats) -> Floats:
    """Rows on one side of a constant that moved so far together, each at most `far`; one where the sum is not known."""
    needed = np.nan_to_num(moved, nan=0.0) / np.where(far > 0, far, 1.0)
    return np.where(far > 0, np.maximum(1.0, np.ceil(needed - 1e-9)), 0.0)


def _course(evidence: Evidence, monitor: Monitor, seen: Windows) -> Windows:
    """A stream's windows with those it remembers, without those for which a change was announced."""
    fresh, step = seen.of_length(monitor.window_s), monitor.window_s
    for span in evidence.expected.get(monitor.model, ()):
        fresh = fresh.taken((fresh.start + step <= epoch(span.start)) | (fresh.start >= epoch(span.end)))
    return fresh.after(Windows.loaded(evidence.state.get(monitor.monitor_id, {}).get(_STATE, ())))


def _told(finding: Finding, monitor: Monitor, constant: float, course: Windows) -> Finding:
    """A finding of the rate's engine with what is known of a constant: no ratio, as none of the reference's rows differ."""
    said = f"{monitor.feature} off its constant"
    rest = finding.note.removeprefix(said)
    if finding.onset is None:
        sure = constant == 0 or not finding.details.get("events")
        return replace(finding, note=f"{said} {constant:.6g}{rest if sure else rest.replace(': ', ': at least ', 1)}")
    since = course.before(epoch(finding.window_end), epoch(finding.onset))
    missed = rest.rpartition("(was ")[2].partition(")")[2]
    details = {name: v for name, v in finding.details.items() if name != "share_to"} | _numbers(since, constant)
    low, high = (few(100 * details[name]) if name in details else None for name in ("share_low", "share_high"))
    note = f"{said} {constant:.6g}: {_words(since)}{missed}"
    return replace(finding, effect=low, ci_low=low, ci_high=high, unit="pp", note=note, details=details)


def _numbers(since: Windows, constant: float) -> dict[str, Any]:
    """What is known of the windows since a change began."""
    if not since.n.size:
        return {"constant": constant}
    n = float(since.n.sum())
    found: dict[str, Any] = {
        "constant": constant, "windows": since.n.size, "windows_off": int((since.least > 0).sum()), "rows": int(n),
        "share_low": few(float(since.least.sum()) / n), "share_high": few(float(since.most.sum()) / n),
        "value_low": float(since.low.min()), "value_high": float(since.high.max()),
    }  # fmt: skip
    total = float(since.total.sum())
    return found if np.isnan(total) else found | {"value_mean": few(total / n)}


def _words(since: Windows) -> str:
    if not since.n.size:
        return "no rows since"
    n, least, most = float(since.n.sum()), float(since.least.sum()), float(since.most.sum())
    low, high = float(since.low.min()), float(since.high.max())
    newest, off = "the newest " if since.n.size == KEPT else "", int((since.least > 0).sum())
    windows = f"{newest}{since.n.size:,} window{'' if since.n.size == 1 else 's'}"
    if least == n:
        lie = f"are {low:.6g}" if low == high else f"lie between {low:.6g} and {high:.6g}"
        return f"all rows of {windows} {lie}"
    share = f"{100 * least / n:.3g} %" if least == most else f"at least {_floored(100 * least / n)} %"
    return f"rows of {off:,} of {windows} differ, {share} of their rows; values from {low:.6g} to {high:.6g}"


def _floored(value: float) -> str:
    """Three digits of a number that is no smaller.

    >>> _floored(12.38), _floored(10.0)
    ('12.3', '10')
    """
    step = 10.0 ** (floor(log10(value)) - 2) if value > 0 else 1.0
    return f"{floor(value / step + 1e-9) * step:.3g}"
