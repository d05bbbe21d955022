"""Does an SLO's error budget burn too fast? The multi-window rule behind an evidence gate.

Every minute each tier asks whether both its windows burn at its factor *and* whether the errors are
more than chance can explain (`errorbudget.gate_nats`). Page tiers and ticket tiers are two lanes;
a lane that fired stays until a reverse likelihood-ratio CUSUM has 9 nats for "back to normal" and the
last five minutes agree, or the last six hours burn at most at the allowed rate; then its evidence
starts afresh. Every minute is judged; a finding is made every five minutes and whenever a lane changes.

Source: METHODS section 6; Google SRE Workbook, "Alerting on SLOs", table 5-8.
Assumes: minutes without a summary had no requests; where requests usually come they are told as gaps.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

from detectors.errorbudget import HOUR, MEMORY, Minutes
from detectors.lanes import Walk
from detectors.standing import WINDOWS
from detectors.telling import Telling
from observe.schema import Detected, Evidence, Finding, Json, Monitor, Window

__all__ = ["WINDOWS", "detect", "since"]
_LONGEST: Final = timedelta(minutes=MEMORY)


def since(monitor: Monitor, state: Json, window: Window) -> datetime:
    """From when summaries are wanted: the longest tier before the first minute to judge."""
    return window.start - _LONGEST


def detect(evidence: Evidence) -> Detected:
    """Judge every minute of the window for every SLO.

    Args:
        evidence: 60 s summaries (`n` events, `events` bad ones) of the monitors' measures; monitor
            params hold `objective`, `window_s` and `tiers`, and `window` where it is a calendar's.

    Returns:
        Findings by monitor and time, and for each monitor its lanes and hourly totals.
    """
    parts = evidence.summaries.partition_by("measure", as_dict=True)
    findings: list[Finding] = []
    state: dict[str, Json] = {}
    start, end = _minute(evidence.window.start), _minute(evidence.window.end)
    for monitor in evidence.monitors:
        rows = parts.get((monitor.measure,), evidence.summaries.clear())
        minutes = _minutes(rows, min(start, evidence.state.get(monitor.monitor_id, {}).get("minute", start)), end)
        walk = Walk(monitor.params, minutes, start, evidence.state.get(monitor.monitor_id, {}))
        walk.to(end)
        findings += Telling(monitor, walk).findings(evidence.window.end)
        state[monitor.monitor_id] = walk.state()
    return Detected(tuple(findings), state)


def _minute(at: datetime) -> int:
    return int(at.timestamp()) // 60


def _minutes(rows: pl.DataFrame, start: int, end: int) -> Minutes:
    """Events by minute, from the longest tier before `start` on; minutes without a summary had none."""
    first = (start - MEMORY) // HOUR * HOUR
    at = rows["ts"].dt.epoch("s").to_numpy() // 60 - first
    inside = (at >= 0) & (at < end - first)
    counts, told = np.zeros((2, end - first), dtype=np.int64), np.zeros(end - first, dtype=np.bool_)
    for row, column in enumerate(("n", "events")):
        np.add.at(counts[row], at[inside], rows[column].fill_null(0).to_numpy()[inside])
    told[at[inside]] = True
    return Minutes.of(first, counts[0], counts[1], told)
