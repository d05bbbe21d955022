"""How far is each device from the devices that do the same work?

Peers are devices of one cluster, product, MIG profile and, where it is known, workload (a pod's name
without the parts Kubernetes adds to it). In each 5-minute window `z = (x - median)/(1.4826 MAD)` of
every metric inside the group, clipped to +-6; metrics are averaged into two numbers, of which less is
worse: `work` (busy share, tensor pipe, memory interface, draw) and `pace` (SM clock, and heat turned round).

Source: METHODS section 7 ("Latency, gauges, peers"); Hampel (1974) for median and MAD.
Assumes: peers are offered the same work; a group that idles compares nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

FEWEST: Final = 4  # devices of a group; below that the median is one of two neighbours
CLIP: Final = 6.0
AT_WORK: Final = 0.1  # busy share below which clocks fall by themselves and work says nothing
_MAD: Final = 1.4826  # MAD of a Gaussian is its sigma over this
KINDS: Final = ("work", "pace")
_GENERATED: Final = re.compile(r"(-[bcdfghjklmnpqrstvwxz2456789]{6,10})?-[bcdfghjklmnpqrstvwxz2456789]{5}$|(-\d+)+$")


@dataclass(frozen=True, slots=True)
class Metric:
    """A column that peers share, and the least spread that is believed of it."""

    column: str
    kind: str  # work | pace
    says: str
    unit: str
    sign: float  # -1 where more is worse
    least: float  # spread, in units of the column
    least_share: float  # and as a share of the median


METRICS: Final = (
    Metric("util", "work", "busy", "%", 1.0, 0.02, 0.02),
    Metric("tensor", "work", "tensor pipe", "%", 1.0, 0.01, 0.02),
    Metric("dram", "work", "memory interface", "%", 1.0, 0.01, 0.02),
    Metric("power", "work", "draw", "W", 1.0, 5.0, 0.02),
    Metric("sm_clock", "pace", "SM clock", "MHz", 1.0, 10.0, 0.01),
    Metric("temp", "pace", "temperature", "°C", -1.0, 2.0, 0.0),
)


def workload(pod: str) -> str:
    """A pod's name without what Kubernetes generates: replicas of one workload share it.

    >>> workload("ml/vllm-chat-7d9fb5c6d4-xk2zv"), workload("ml/train-worker-0-3"), workload("ml/plain")
    ('ml/vllm-chat', 'ml/train-worker', 'ml/plain')
    """
    return _GENERATED.sub("", pod) or pod


def groups(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with column `group`, without boards that are cut into MIG instances: these are their own devices."""
    boards = rows["parent_uuid"].drop_nulls().unique().to_list()
    names = {pod: workload(pod) for pod in rows["workload"].drop_nulls().unique().to_list()}
    part = pl.col("workload").replace_strict(names, default=None, return_dtype=pl.String) if names else pl.lit("")
    key = [pl.col(c).fill_null("?") for c in ("cluster", "sku")]
    return rows.filter(~pl.col("device_id").is_in(boards)).with_columns(
        pl.concat_str(*key, pl.col("mig_profile").fill_null(""), part.fill_null(""), separator="|").alias("group")
    )


def compared(rows: pl.DataFrame) -> pl.DataFrame:
    """Each device beside its peers, window by window.

    Args:
        rows: as `groups` returns them: ts, device_id, group and the metrics; one row a device and window.

    Returns:
        Sorted by ts and device_id, in any order of `rows`: `peers` (devices of the group); `work`, `pace`
        (robust z, at most 6 in size, NULL where too few peers have a value), `work_least`,
        `pace_least` (of the metric furthest behind); `work_ratio`, `pace_ratio` (share above the peers' median, the mean over metrics); `resting` (it does nothing while they work).
    """
    over = ["ts", "group"]
    rows = rows.with_columns(pl.len().over(over).alias("peers"))
    idle = pl.col("util").median().over(over) < AT_WORK
    resting = pl.col("util").fill_null(1.0) < AT_WORK
    clear = {"work": idle.fill_null(False), "pace": (idle | resting).fill_null(False)}
    rows = rows.with_columns(
        pl.when(~clear[m.kind]).then(pl.col(m.column).cast(pl.Float64)).alias(m.column) for m in METRICS
    )
    rows = rows.with_columns(pl.col(m.column).median().over(over).alias(f"{m.column}_peers") for m in METRICS)
    rows = rows.with_columns(
        (pl.col(m.column) - pl.col(f"{m.column}_peers")).abs().median().over(over).alias(f"{m.column}_mad")
        for m in METRICS
    )
    rows = rows.with_columns(*(_z(m, over) for m in METRICS), *(_ratio(m, over) for m in METRICS))
    rows = rows.with_columns(resting.alias("resting"))
    parts = [pl.mean_horizontal(_named(kind, "z")).alias(kind) for kind in KINDS]
    parts += [pl.min_horizontal(_named(kind, "z")).alias(f"{kind}_least") for kind in KINDS]
    shares = [
        pl.mean_horizontal(_named("work", "ratio")).alias("work_ratio"),
        pl.coalesce("sm_clock_ratio", -pl.col("temp_ratio")).alias("pace_ratio"),
    ]
    return rows.with_columns(*parts, *shares).sort("ts", "device_id")


def _named(kind: str, what: str) -> Sequence[str]:
    return [f"{m.column}_{what}" for m in METRICS if m.kind == kind]


def _enough(metric: Metric, over: Sequence[str]) -> pl.Expr:
    return pl.col(metric.column).count().over(over) >= FEWEST


def _z(metric: Metric, over: Sequence[str]) -> pl.Expr:
    middle, column = pl.col(f"{metric.column}_peers"), pl.col(metric.column)
    spread = pl.max_horizontal(
        _MAD * pl.col(f"{metric.column}_mad"), metric.least_share * middle.abs(), pl.lit(metric.least)
    )
    z = metric.sign * ((column - middle) / spread).clip(-CLIP, CLIP)
    return pl.when(_enough(metric, over)).then(z).alias(f"{metric.column}_z")


def _ratio(metric: Metric, over: Sequence[str]) -> pl.Expr:
    middle = pl.col(f"{metric.column}_peers")
    share = (pl.col(metric.column) / middle - 1.0).clip(-1.0, 1.0)
    return pl.when(_enough(metric, over) & (middle > 0)).then(share).alias(f"{metric.column}_ratio")
