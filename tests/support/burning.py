"""One SLO's monitor and the evidence of its minutes, as the burn detector gets them.

Source: our own.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from detectors import burn
from observe.schema import Detected, Evidence, Json, Monitor, Window
from observe.spec.burn import usable

T0 = datetime(2026, 3, 2, tzinfo=UTC)
DAY = 1_440  # minutes
FALSE_PAGES = 2.0  # a 360-day year; half of the site's 1 per 90 d


def monitor(objective: float = 0.999, alpha: float = FALSE_PAGES, **params: Any) -> Monitor:
    tiers = usable(objective, 30 * 86_400)
    rows = [
        {"name": t.name, "severity": t.severity, "long_s": t.long_s, "short_s": t.short_s, "factor": t.factor(30 * 86_400),
         "gate_nats": t.gate_nats(alpha / sum(o.severity == t.severity for o in tiers))} for t in tiers
    ]  # fmt: skip
    given = {"objective": objective, "window_s": 30 * 86_400, "tiers": rows, **params}
    return Monitor(
        "m/burn/slo",
        "m",
        "burn",
        "m/slo/slo",
        "slo",
        "slo",
        60,
        "page",
        rows[0]["gate_nats"],
        0.5,
        None,
        "x budget",
        given,
    )


def evidence(
    n: np.ndarray, bad: np.ndarray, asked: Monitor, start: int = 0, end: int | None = None, state: Json | None = None
) -> Evidence:
    end = n.size if end is None else end
    rows = pl.DataFrame({
        "ts": pl.Series([T0 + timedelta(minutes=i) for i in range(end)], dtype=pl.Datetime("us", "UTC")),
        "measure": [asked.measure] * end, "n": n[:end].astype(np.int64), "events": bad[:end].astype(np.int64),
    }).filter(pl.col("n") > 0)  # fmt: skip
    span = Window(T0 + timedelta(minutes=start), T0 + timedelta(minutes=end))
    return Evidence((asked,), span, rows, {}, {asked.monitor_id: state} if state else {})


def judged(n: np.ndarray, bad: np.ndarray, asked: Monitor | None = None) -> Detected:
    return burn.detect(evidence(n, bad, asked or monitor()))
