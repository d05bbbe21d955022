"""Is a model asked what it was trained on? Served features of the last two weeks against the training file it names.

Judged once a day, on whole days (UTC), so that seasons inside a day are on both sides. Each feature is one question
with several parts: location, spread and shape of a number, shares of levels, missing values, levels the file does
not have. An alarm needs evidence worth the site's false-alarm budget and a difference that matters. It latches: a
training file raises a feature once, until what is served is like the file again, a person accepts the difference, or
another file is named. A column that the file has and nobody ever served, or that is of another kind there, is a
counted fact; one that the file lacks is unknown, not fine.

Source: METHODS section 9; `detectors.mismatch` for the statistics; the latch is our own.
Assumes: what `detectors.mismatch` assumes; the file's rows are what the model of today was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from detectors import mismatch, mismatch_told, scores
from detectors.mismatch import Days, Gap, Training
from detectors.mismatch_told import Verdict
from detectors.series import epoch
from detectors.served import DAY_S, KEPT, VERSION, Memory, grouped
from observe.schema import Binning, Detected, Evidence, Finding, Json, Monitor, Window

if TYPE_CHECKING:
    import polars as pl

TRAINING: Final = "training"  # frame: one row per column of a model's training file, see `observe.app.trained`
COLUMNS: Final = "(columns)"  # feature of the monitor that asks about columns as such
_FEWEST: Final = 100.0  # rows on either side for a word about them
_NONE: Final[Mapping[str, Any]] = {"error": None, "kind": None, "counts": None}  # of a column the file does not have


def since(monitor: Monitor, state: Json, window: Window) -> datetime:
    """From when summaries are wanted: two weeks before the first window, afterwards days are remembered."""
    if state.get("v") == VERSION or not monitor.measure:
        return window.start
    return window.start - timedelta(days=KEPT)


def detect(evidence: Evidence) -> Detected:
    """Compare each feature with the file once a day.

    Args:
        evidence: monitors of this detector; summaries by feature from `since` on; frame `training`; `accepted`.

    Returns:
        One finding per monitor and day that ends in the window, and the state of each monitor.
    """
    import polars as pl

    training = evidence.frames[TRAINING]
    findings: list[Finding] = []
    state: dict[str, Json] = {}
    for m in evidence.monitors:
        mine = training.filter(pl.col("model") == m.model)
        kept = evidence.state.get(m.monitor_id, {})
        if m.feature == COLUMNS:
            made, state[m.monitor_id] = _columns(m, mine, evidence.window, kept), {"v": VERSION}
        else:
            made, state[m.monitor_id] = _feature(m, mine, evidence, kept)
        findings += made
    return Detected(tuple(findings), state)


def ends(window: Window) -> range:
    """Ends of the whole days that are judged in a window, epoch s."""
    first, last = epoch(window.start) // DAY_S * DAY_S, epoch(window.end) // DAY_S * DAY_S
    return range(first + DAY_S, last + 1, DAY_S)


# --- one feature --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _File:
    """What the training file says about a feature."""

    fingerprint: str
    name: str
    row: Mapping[str, Any]

    @property
    def refused(self) -> Verdict | None:
        """Why nothing can be compared; None where it can."""
        if self.row.get("error"):
            return Verdict("unknown", f"the training file {self.name} cannot be read: {self.row['error']}")
        if self.row.get("kind") == "text":
            return Verdict("alarm", f"text in the training file {self.name}, numbers in what is served")
        if self.row.get("counts") is None:
            return Verdict("unknown", f"the training file {self.name} has no such column, nothing to compare with")
        return None


def _feature(m: Monitor, rows: pl.DataFrame, evidence: Evidence, kept: Json) -> tuple[list[Finding], Json]:
    """Findings about one feature, and its state."""
    import polars as pl

    own = evidence.summaries.filter((pl.col("measure") == m.measure) & pl.col("counts").is_not_null())
    binning = next((b for b in evidence.binnings.values() if _measure(b) == m.measure), None)
    row = _row(m, rows)
    memory = Memory.loaded(kept, own, binning, max(ends(evidence.window), default=0))
    accepted = evidence.accepted.get(m.monitor_id)
    out = [(epoch(w.start), epoch(w.end)) for w in evidence.expected.get(m.model, ())]
    found = []
    for end in ends(evidence.window):
        days = memory.until(end, out)
        if row is None:
            verdict = Verdict("learning", "the training file has not been counted yet")
        else:
            verdict = _verdict(m, _File(row["fingerprint"], row["file"], row), binning, days)
            said = None if accepted is None else epoch(accepted)
            verdict = memory.latched(verdict, row["fingerprint"], days, (end, said))
        found.append(mismatch_told.finding(m, verdict, end, days, row))
    return found, memory.dumped(epoch(evidence.window.end))


def _row(m: Monitor, rows: pl.DataFrame) -> Mapping[str, Any] | None:
    """What the file says about a feature; that of no name says why it cannot be read."""
    said = {r["feature"]: r for r in rows.iter_rows(named=True) if r["feature"] in (m.feature, "")}
    return said.get("") or said.get(m.feature) or ({**_NONE, **_of_file(rows)} if rows.height else None)


def _of_file(rows: pl.DataFrame) -> Mapping[str, Any]:
    first = rows.sort("feature").row(0, named=True)
    return {name: first[name] for name in ("fingerprint", "file", "rows")}


def _measure(binning: Binning) -> str:
    return f"{binning.model}/{binning.source_table}/{binning.feature}"


def _verdict(m: Monitor, file: _File, binning: Binning | None, days: Days) -> Verdict:
    """What is served against the file, not latched yet."""
    refused = file.refused
    if refused is not None:
        return refused
    if binning is None or not days.at.size:
        return Verdict("unknown", "no rows were served")
    row = file.row
    counts = grouped(np.asarray(row["counts"], dtype=np.float64), binning)
    training = Training(counts, float(row["missing"]), _days(m, row, days))
    if min(training.n + training.bad, float(days.n.sum() + days.bad.sum())) < _FEWEST:
        return Verdict("too_few", f"fewer than {_FEWEST:.0f} rows, in the file or served")
    least = scores.in_sigma(row["quantiles"], m.min_effect or 0.0, m.unit) if m.unit != "pp" else 0.1
    least_pp = float(m.params["least_pp"])
    if binning.kind == "numeric":
        gaps = mismatch.numeric(training, days, max(least, 0.01), least_pp)
    else:
        gaps = mismatch.categorical(training, days, binning.levels or (), least_pp)
    return _weighed(m, gaps, days, mismatch_told.Medians.of(row["quantiles"], binning, days))


def _weighed(m: Monitor, gaps: Sequence[Gap], days: Days, medians: mismatch_told.Medians | None) -> Verdict:
    """From the answers of all questions to one."""
    nats = mismatch.evidence(gaps)
    proven = mismatch.matters(gaps, m.threshold_nats)
    if proven:
        return Verdict("alarm", "", tuple(proven), nats, medians)
    worst = max(gaps, key=lambda g: (g.may_be, g.name), default=None)
    if worst is None:
        return Verdict("unknown", "nothing is common to the file and what is served")
    if worst.may_be >= 1.0:
        state = "learning" if days.at.size < KEPT else "too_few"
        return Verdict(state, "", (worst,), nats, medians)
    return Verdict("ok", "", (max(gaps, key=lambda g: (g.size, g.name)),), nats, medians)


def _days(m: Monitor, row: Mapping[str, Any], days: Days) -> float:
    """Of how many days the file's rows are: as declared, else as many as their number would take to be served, 1 to 28."""
    if m.params.get("covers_s"):
        return max(1.0, float(m.params["covers_s"]) / DAY_S)
    per_day = float(days.n.sum() + days.bad.sum()) / max(days.at.size, 1)
    return float(np.clip(float(row["rows"]) / max(per_day, 1.0), 1.0, 28.0))


# --- columns ------------------------------------------------------------------------------------


def _columns(m: Monitor, rows: pl.DataFrame, window: Window, kept: Json) -> list[Finding]:
    """Whether a listed feature that the file has was never served: a counted fact, once a day."""
    listed = set(m.params["listed"])
    error = next((r for r in rows.iter_rows(named=True) if r["error"]), None)
    known = rows.filter(rows["feature"] != "")
    none = Days(np.zeros(0, dtype=np.int64), np.zeros((0, 0)), np.zeros(0))
    if error is not None:
        verdict = Verdict("unknown", f"the training file {error['file']} cannot be read: {error['error']}")
    elif known.is_empty():
        verdict = Verdict("learning", "the training file has not been counted yet")
    elif not known["served"].any():
        verdict = Verdict("unknown", "nothing was served yet")
    else:
        never = sorted(r["feature"] for r in known.iter_rows(named=True) if not r["served"])
        broken = [name for name in never if name in listed]
        verdict = mismatch_told.of_columns(broken, [name for name in never if name not in listed])
    return [mismatch_told.finding(m, verdict, end, none, error) for end in ends(window)]
