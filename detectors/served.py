"""The days on which a feature was served, and what was raised about them: an alarm that latches.

A day is kept as counts by group, once it is whole. What was raised about a training file stays raised until what is
served is like the file again, a person accepts the difference, or another file is named.

Source: our own; METHODS section 9 for the days that are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from detectors import mismatch, series
from detectors.mismatch import Days, Floats
from detectors.mismatch_told import Verdict
from observe.schema import Binning, Json

if TYPE_CHECKING:
    import polars as pl

VERSION: Final = 1  # of the state
DAY_S: Final = 86_400
KEPT: Final = 14  # days compared, two whole weeks
_OVER: Final = 0.5  # of what matters, below which the newest days end an alarm
_NEWEST: Final = 3  # days that say so


@dataclass(slots=True)
class Memory:
    """Served days and what was raised."""

    binning_id: str
    days: dict[int, tuple[Floats, float]]  # rows by group, and without a value, by start of the day
    raised: dict[str, Any] | None = None  # of which file, since when, which question
    settled: str = ""  # fingerprint of the file whose difference a person accepted

    @classmethod
    def loaded(cls, kept: Json, rows: pl.DataFrame, binning: Binning | None, end: int) -> Memory:
        """From the state, and rows of whole days before `end` that came since."""
        name = binning.binning_id if binning is not None else kept.get("binning", "")
        same = kept.get("v") == VERSION and kept.get("binning") == name
        days = {int(at): (np.asarray(c, dtype=np.float64), float(bad)) for at, bad, c in kept.get("days", ())}
        found = cls(name, days if same else {}, kept.get("raised"), kept.get("settled", ""))
        if binning is not None:
            found._take(rows, binning, end)
        return found

    def _take(self, rows: pl.DataFrame, binning: Binning, end: int) -> None:
        """Add summaries up by day; days that are there already are whole."""
        import polars as pl

        mine = rows.filter(pl.col("binning_id") == binning.binning_id)
        if mine.is_empty():
            return
        at = series.seconds(mine["ts"]) // DAY_S * DAY_S
        counts = np.array(mine["counts"].to_list(), dtype=np.float64)
        bad = mine.select(pl.sum_horizontal("missing", "nan", "inf"))[:, 0].cast(pl.Float64).to_numpy()
        for day in np.unique(at).tolist():
            if day not in self.days and day + DAY_S <= end:
                use = at == day
                self.days[day] = grouped(counts[use].sum(axis=0), binning), float(bad[use].sum())

    def until(self, end: int, out: Sequence[tuple[int, int]]) -> Days:
        """The days before `end` that are compared, whole weeks from the first on; announced changes are left out."""
        seen = sorted(day for day in self.days if end - KEPT * DAY_S <= day < end)
        span = (end - seen[0]) // DAY_S if seen else 0
        first = end - (span if span < mismatch.WEEK else span // mismatch.WEEK * mismatch.WEEK) * DAY_S
        at = [day for day in seen if day >= first and not any(day < high and day + DAY_S > low for low, high in out)]
        size = self.days[at[0]][0].size if at else 0
        counts = np.array([self.days[day][0] for day in at], dtype=np.float64).reshape(len(at), size)
        return Days(np.array(at, dtype=np.int64), counts, np.array([self.days[day][1] for day in at]))

    def latched(self, verdict: Verdict, fingerprint: str, days: Days, at: tuple[int, int | None]) -> Verdict:
        """The verdict, as what was raised about this file before lets it be.

        Args:
            verdict: of these days alone.
            fingerprint: of the file.
            days: that were compared.
            at: end of the newest, and from when on a person took the difference as normal, epoch s.
        """
        end, accepted = at
        if self.raised is not None and fingerprint and self.raised["file"] != fingerprint:
            self.raised = None
        if self.raised is not None and accepted is not None and accepted >= self.raised["onset"]:
            self.raised, self.settled = None, fingerprint
        if self.settled == fingerprint and verdict.state == "alarm":
            return replace(verdict, state="inform_only", note=f"{verdict.note}; accepted".removeprefix("; "))
        if self.raised is None and verdict.state == "alarm":
            self.raised = {"file": fingerprint, "at": end, "onset": _onset(verdict, days, end)}
        if self.raised is None:
            return verdict
        if verdict.state != "unknown" and _over(verdict):
            self.raised = None
            return replace(verdict, state="learning") if verdict.state == "alarm" else verdict
        keeps = "unknown" if verdict.state == "unknown" else "alarm"
        return replace(verdict, state=keeps, onset=int(self.raised["onset"]))

    def dumped(self, end: int) -> Json:
        """As plain JSON: the days that are still compared tomorrow."""
        kept = [[day, bad, c.tolist()] for day, (c, bad) in sorted(self.days.items()) if day >= end - KEPT * DAY_S]
        return {
            "v": VERSION, "binning": self.binning_id, "days": kept, "raised": self.raised, "settled": self.settled,
        }  # fmt: skip


def _onset(verdict: Verdict, days: Days, end: int) -> int:
    """The first of the newest days that all differ as the alarm says."""
    onset = end - DAY_S
    if not verdict.gaps:
        return onset
    gap = verdict.gaps[0]
    for day, off in zip(days.at[::-1].tolist(), reversed(gap.daily), strict=True):
        if off * gap.effect <= 0 or abs(off) < _OVER * gap.least:
            break
        onset = day
    return onset


def _over(verdict: Verdict) -> bool:
    """Whether the newest days no longer differ by what matters, whatever is asked."""
    newest = [(np.array(g.daily[-_NEWEST:]), g.least) for g in verdict.gaps]
    means = [float(d[np.isfinite(d)].mean()) / least for d, least in newest if np.isfinite(d).any()]
    return bool(means) and all(abs(v) < _OVER for v in means)


def grouped(counts: Floats, binning: Binning) -> Floats:
    """Counts of bins, as groups where they are of a number."""
    if binning.kind != "numeric":
        return counts
    of = mismatch.groups(len(binning.reference))
    return np.bincount(of, weights=counts, minlength=int(of[-1]) + 1).astype(np.float64)
