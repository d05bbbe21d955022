"""Worlds of a prediction service with labels: scores, answers and truths by hour, as summaries and as rows.

A latent mean of the features moves by hour as the kind says; a row's probability is logistic in its feature, its
score is that probability, so the model is calibrated whatever it is asked. Concept drift turns some truths round.
In `numbers` the answer is a number and its error has a Gaussian or t3 tail.

Source: METHODS section 10 for the kinds of latent means; our own for the rest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from observe.schema import Binning, Summary
from observe.schema.exchange import frame_schema

Floats = NDArray[np.float64]
Rng = np.random.Generator

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
REFERENCE_H = 14 * 24  # h
BINS = 64


@dataclass(frozen=True)
class Kind:
    """How what is asked of a model moves: seasons and memory of the latent mean, and who gets a label."""

    season: float = 0.0
    rho: float = 0.0
    tau: float = 0.0
    heavy: bool = False
    traffic: bool = False
    arriving: float = 1.0  # share of rows that have a label when their hour is judged
    selective: float = 0.0  # from hour `REFERENCE_H * 2` on, right answers lose this share of their labels


KINDS = {
    "iid": Kind(),
    "season": Kind(season=0.5, rho=0.5, tau=0.1),
    "ar.9": Kind(rho=0.9, tau=0.3),
    "t3": Kind(rho=0.5, tau=0.2, heavy=True),
    "traffic": Kind(season=0.3, traffic=True),
    "late labels": Kind(season=0.3, arriving=0.6),
    "not at random": Kind(selective=0.2),
}


def latent(kind: Kind, hours: int, models: int, rng: Rng) -> Floats:
    """Mean of the feature by hour and model, (hours, models)."""
    eta = rng.standard_t(3, (hours, models)) / np.sqrt(3) if kind.heavy else rng.standard_normal((hours, models))
    w = kind.tau * eta
    for t in range(1, hours):
        w[t] = kind.rho * w[t - 1] + kind.tau * np.sqrt(1 - kind.rho**2) * eta[t]
    at = np.arange(hours)[:, None] - rng.integers(0, 24, models)
    return w + kind.season * np.cos(2 * np.pi * at / 24)


@dataclass(frozen=True)
class Hours:
    """Rows of one model: hour, score and truth of each, whether it has a label; the answer is `score >= 0.5`."""

    hour: NDArray[np.int64]
    score: Floats
    truth: Floats
    labelled: NDArray[np.bool_]

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Which answers are not the truth."""
        found: NDArray[np.bool_] = (self.score >= 0.5) != (self.truth > 0.5)
        return found


def answered(kind: Kind, mean: Floats, rows: int, rng: Rng, turned: Floats | float = 0.0) -> Hours:
    """Rows of one model, about `rows` an hour.

    Args:
        kind: who gets a label, and how traffic goes.
        mean: of the feature, by hour, (hours,).
        rows: an hour, on average.
        rng: drawn from.
        turned: share of truths that concept drift turns round, by hour or for all.
    """
    t = np.arange(mean.size)
    n = rng.poisson(rows * (1 + 0.9 * np.cos(2 * np.pi * t / 24)) if kind.traffic else np.full(mean.size, rows))
    hour = np.repeat(t, n)
    x = mean[hour] + rng.standard_normal(hour.size)
    score = 1 / (1 + np.exp(1.5 - 3.0 * x))
    truth = rng.uniform(size=hour.size) < score
    truth ^= rng.uniform(size=hour.size) < np.broadcast_to(turned, mean.shape)[hour]
    labelled = rng.uniform(size=hour.size) < kind.arriving
    if kind.selective:
        right = (score >= 0.5) == truth
        labelled &= ~(right & (hour >= 2 * REFERENCE_H) & (rng.uniform(size=hour.size) < kind.selective))
    return Hours(hour, score, truth.astype(np.float64), labelled)


def numbers(kind: Kind, mean: Floats, rows: int, rng: Rng, wider: Floats | float = 1.0) -> tuple[Any, Floats, Floats]:
    """Hour, prediction and truth of a regression whose error grows with the prediction; `wider` scales it by hour."""
    hour = np.repeat(np.arange(mean.size), rng.poisson(rows, mean.size))
    predicted = np.exp(0.5 * (mean[hour] + rng.standard_normal(hour.size)))
    noise = rng.standard_t(3, hour.size) / np.sqrt(3) if kind.heavy else rng.standard_normal(hour.size)
    return hour, predicted, predicted + noise * predicted * 0.3 * np.broadcast_to(wider, mean.shape)[hour]


def summed(model: str, metric: str, hour: Any, values: Floats, hours: int) -> tuple[pl.DataFrame, Binning]:
    """Hourly summaries of one metric of one model, and its binning from the first 14 days."""
    reference = values[hour < REFERENCE_H]
    name = f"{model}/performance/{metric}"
    if metric == "accuracy":  # values: 1 for a wrong answer
        edges, levels, cells = None, ("wrong", "right"), np.where(values > 0.5, 0, 1)
        size, quantiles = 3, None
    else:
        edges, levels = np.unique(np.quantile(reference, np.arange(1, BINS) / BINS)), None
        cells, size = np.searchsorted(edges, values, side="right"), edges.size + 1
        quantiles = tuple(np.quantile(reference, np.arange(101) / 100).tolist())
    counts = np.bincount(hour * size + cells, minlength=hours * size).reshape(hours, size)
    total = np.bincount(hour, weights=values, minlength=hours)
    own = tuple(np.bincount(cells[hour < REFERENCE_H], minlength=size).tolist())
    binning = Binning(
        f"{name}@1", model, "performance", metric, "categorical" if levels else "numeric", 1,
        tuple(edges.tolist()) if edges is not None else None, levels, own, quantiles, START,
        START + timedelta(hours=REFERENCE_H), START,
    )  # fmt: skip
    return _frame(name, counts, total if metric != "accuracy" else None, binning), binning


def _frame(measure: str, counts: NDArray[Any], total: Floats | None, binning: Binning) -> pl.DataFrame:
    schema = {k: v for k, v in frame_schema(Summary.table()).items() if k != "ingested_at"}
    at = np.flatnonzero(counts.sum(axis=1) > 0)
    given: dict[str, Any] = {
        "ts": [START + timedelta(hours=int(t)) for t in at], "window_s": [3600] * at.size, "measure": [measure] * at.size,
        "model": [binning.model] * at.size, "binning_id": [binning.binning_id] * at.size, "n": counts[at].sum(axis=1),
        "counts": pl.Series(counts[at].astype(np.int64)).cast(pl.List(pl.Int64)), "late": [False] * at.size,
        "value_sum": total[at] if total is not None else [None] * at.size,
        **{name: [0] * at.size for name in ("missing", "nan", "inf", "zero")},
    }  # fmt: skip
    frame = pl.DataFrame(given).with_columns(
        pl.lit(None).cast(kind).alias(c) for c, kind in schema.items() if c not in given
    )
    return frame.select(pl.col(c).cast(kind) for c, kind in schema.items())


def losses(rows: Hours) -> dict[str, Floats]:
    """What is judged of labelled rows, by metric."""
    p = np.where(rows.truth > 0.5, rows.score, 1 - rows.score)
    return {
        "accuracy": rows.wrong.astype(np.float64),
        "calibration": rows.truth - rows.score,
        "log_loss": -np.log(np.maximum(p, 1e-6)),
    }


def many(
    models: Sequence[str], one: Callable[[str], list[tuple[pl.DataFrame, Binning]]]
) -> tuple[pl.DataFrame, dict[str, Binning]]:
    """Summaries and binnings of many models."""
    made = [part for model in models for part in one(model)]
    return pl.concat([frame for frame, _ in made]), {b.binning_id: b for _, b in made}
