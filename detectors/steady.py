"""A feature that never varied: watched as the rate of values that differ from its constant.

Source: METHODS section 4, "Real series also bring".
Assumes: the reference held one value only; then counts on its single bin say nothing, the smallest and
largest value of a window do. How many rows differ is unknown: all when the constant itself is gone, else one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from detectors.rate import Trials, judge
from detectors.series import seconds
from observe.schema import Detected, Evidence, Monitor


def judge_constant(evidence: Evidence, monitors: Sequence[Monitor], constants: Mapping[str, float]) -> Detected:
    """Judge level monitors whose reference held one value, by measure in `constants`."""
    import polars as pl

    rows = evidence.summaries.filter(pl.col("measure").is_in(list(constants))).sort("measure", "ts")
    trials: dict[str, Trials] = {}
    for part in rows.partition_by("measure", maintain_order=True):
        measure = part["measure"][0]
        value, n = constants[measure], part["n"].to_numpy().astype(np.float64)
        low, high = (part[c].fill_null(value).to_numpy() for c in ("low", "high"))
        x = np.where((low > value) | (high < value), n, np.where((low < value) | (high > value), 1.0, 0.0))
        found = Trials(seconds(part["ts"]), np.minimum(x, n), n)
        trials.update({m.monitor_id: found for m in monitors if m.measure == measure})
    return judge(evidence, monitors, trials)
