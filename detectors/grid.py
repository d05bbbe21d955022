"""Streams on one raster of windows: mean score, rows, location and tenths.

Source: our own; METHODS section 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors import net, scores, series
from detectors.fitting import History
from detectors.series import Series
from observe.schema import Monitor

Floats = NDArray[np.float64]
Span = Sequence[int]  # from and to, epoch s


@dataclass(frozen=True, slots=True)
class Grid:
    """S streams in T windows of `step` seconds from `start`; tenths are kept once a measure, (T, M, 10)."""

    start: int
    step: int
    y: Floats  # (T, S) mean score
    n: Floats  # (T, S) rows
    a: Floats  # (T, S) mean location of the same rows; 0 where it is not known
    tenths: Floats
    measure: tuple[int, ...]  # of each stream, which of the M

    @classmethod
    def of(cls, monitors: Sequence[Monitor], found: Mapping[str, Series], start: int, step: int, end: int) -> Grid:
        """Sums of each monitor's rows in the windows from `start` to `end`."""
        count = max(0, (end - start) // step)
        names = {name: k for k, name in enumerate(dict.fromkeys(m.measure for m in monitors))}
        tenths = np.zeros((count, len(names), scores.GROUPS))
        means, rows = (np.zeros((count, len(names))) for _ in range(2))
        places = {name: found[name].places(start, step, count) for name in names if name in found}
        for name, own in places.items():
            located, k = found[name], names[name]
            rows[:, k], tenths[:, k] = own.sums(located.n), own.sums(located.tenths)
            means[:, k] = own.sums(located.total) / np.maximum(rows[:, k], 1.0)
        measure = [names[m.measure] for m in monitors]
        y, n, a = np.zeros((count, len(monitors))), rows[:, measure], means[:, measure]
        series_ = [found.get(series.key(m.measure, m.score)) for m in monitors]
        for i, (m, at) in enumerate(zip(monitors, series_, strict=True)):
            base = found.get(m.measure)
            if at is None:
                n[:, i] = 0.0
            elif base is not None and at.ts is base.ts and at.n is base.n:
                y[:, i] = places[m.measure].sums(at.total)
            else:
                own = at.places(start, step, count)
                y[:, i], n[:, i] = own.sums(at.total), own.sums(at.n)
        y /= np.maximum(n, 1.0)
        for i, (m, at) in enumerate(zip(monitors, series_, strict=True)):
            if at is not None and at.binning is not None and m.score in net.SCORES:
                y[:, i] -= net.shifted(m.score, at.binning.reference, a[:, i], n[:, i])
        return cls(start, step, y, n, a, tenths, tuple(measure))

    def history(self, streams: Sequence[int], first: int, end: int, masks: Mapping[int, Sequence[Span]]) -> History:
        """Windows inside [first, end) of some streams; those inside a mask count no rows."""
        begin, stop = max(0, -(-(first - self.start) // self.step)), max(0, (end - self.start) // self.step)
        at = self.start + self.step * np.arange(begin, stop)
        n = self.n[begin:stop, streams].copy()
        for i, stream in enumerate(streams):
            for low, high in masks[stream]:
                n[(at + self.step > low) & (at < high), i] = 0.0
        return History(self.y[begin:stop, streams], n, at + self.step // 2, self.step, self.a[begin:stop, streams])
