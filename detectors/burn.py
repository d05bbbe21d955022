"""Does an SLO's error budget burn too fast? The multi-window rule behind an evidence gate.

Every minute each tier asks whether both its windows burn at its factor *and* whether the errors are
more than chance can explain (`errorbudget.gate_nats`). Page tiers and ticket tiers are two lanes;
a lane that fired stays until a reverse likelihood-ratio CUSUM has 9 nats for "back to normal" and the
last five minutes agree, or the last six hours burn at most at the allowed rate; then its evidence
starts afresh. Every minute is judged; a finding is made every five minutes and whenever a lane changes.

Source: METHODS section 6; Google SRE Workbook, "Alerting on SLOs", table 5-8.
Assumes: minutes without a summary had no requests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import polars as pl

from detectors.errorbudget import HOUR, Floats, Ints, Minutes, Onset, dispersion, gate_nats, onset, recovery
from observe.schema import Detected, Evidence, Finding, Json, Monitor, Severity, Window

RESET_NATS: Final = 9.0  # METHODS section 6
WINDOWS: Final[Mapping[str, int]] = {"5m": 5, "30m": 30, "1h": 60, "2h": 120, "6h": 360, "1d": 1440, "3d": 4320}  # minutes
_LONGEST: Final = timedelta(days=3)
_EVERY: Final = 5  # minutes between findings of an unchanged state
_LOOKED_AT: Final = 60  # minutes after it fired that the start of a burn is still reconsidered


def since(monitor: Monitor, state: Json, window: Window) -> datetime:
    """From when summaries are wanted: the longest tier before the first minute to judge."""
    return window.start - _LONGEST


def detect(evidence: Evidence) -> Detected:
    """Judge every minute of the window for every SLO.

    Args:
        evidence: 60 s summaries (`n` events, `events` bad ones) of the monitors' measures; monitor
            params hold `objective`, `window_s` and `tiers`.

    Returns:
        Findings by monitor and time, and for each monitor its lanes and hourly totals.
    """
    parts = evidence.summaries.partition_by("measure", as_dict=True)
    findings: list[Finding] = []
    state: dict[str, Json] = {}
    for monitor in evidence.monitors:
        rows = parts.get((monitor.measure,), evidence.summaries.clear())
        walk = Walk(monitor, _minutes(rows, evidence.window), evidence.state.get(monitor.monitor_id) or {})
        walk.to(_minute(evidence.window.end))
        findings += walk.findings(evidence.window.end)
        state[monitor.monitor_id] = walk.state()
    return Detected(tuple(findings), state)


def _minute(at: datetime) -> int:
    return int(at.timestamp()) // 60


def _minutes(rows: pl.DataFrame, window: Window) -> Minutes:
    first, end = _minute(window.start - _LONGEST) // HOUR * HOUR, _minute(window.end)
    at = rows["ts"].dt.epoch("s").to_numpy() // 60 - first
    inside = (at >= 0) & (at < end - first)
    total, bad = np.zeros(end - first, dtype=np.int64), np.zeros(end - first, dtype=np.int64)
    np.add.at(total, at[inside], rows["n"].to_numpy()[inside])
    np.add.at(bad, at[inside], rows["events"].fill_null(0).to_numpy()[inside])
    return Minutes.of(first, total, bad)
