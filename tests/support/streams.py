"""Seeded streams that are not the detectors' own model, as rows of table `summary`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from observe.schema import Binning, Detected, Evidence, Finding, Monitor, Summary, Window
from observe.schema.exchange import frame_schema

Floats = NDArray[np.float64]

START = datetime(2026, 10, 5, tzinfo=UTC)  # a Monday
K = 32
HISTORY_H = 28 * 24
THRESHOLD = float(np.log(720 * 120))  # 60 two-sided streams, 1 alarm in 30 d


def binning(measure: str, median: float = 31.0, spread: float = 0.833) -> Binning:
    """A log-normal feature on 32 equal-mass bins."""
    model, source, feature = measure.split("/")
    percentiles = median * np.exp(spread * ndtri(np.clip(np.arange(101) / 100, 0.001, 0.999)))
    edges = median * np.exp(spread * ndtri(np.arange(1, K) / K))
    return Binning(
        f"{measure}@1", model, source, feature, "numeric", 1, tuple(edges.tolist()), None, (1000,) * K,
        tuple(percentiles.tolist()), START, START, START,
    )  # fmt: skip


def wander(
    rng: np.random.Generator, hours: int, count: int, rho: float = 0.5, tau: float = 0.1, heavy: bool = False
) -> Floats:
    """Autoregressive latent means in sigma, (hours, count), with Gaussian or t3 innovations."""
    eta = rng.standard_t(3, (hours, count)) / np.sqrt(3) if heavy else rng.standard_normal((hours, count))
    w = tau * eta
    for t in range(1, hours):
        w[t] = rho * w[t - 1] + tau * np.sqrt(1 - rho**2) * eta[t]
    return w


def season(hours: int, depth: float, weekend: float = 0.0) -> Floats:
    """A daily swing and a weekend step, (hours, 1)."""
    h = np.arange(hours)[:, None]
    return depth * np.cos(2 * np.pi * (h - 15) / 24) + weekend * (h // 24 % 7 >= 5)


def levels(means: Floats, rows: Floats | int, seed: int, window_s: int = 3600, model: str = "m") -> pl.DataFrame:
    """Summaries of features f0, f1, ... with latent `means` (windows, features) and `rows` per window."""
    rng = np.random.default_rng(seed)
    n = np.broadcast_to(np.asarray(rows, dtype=np.int64), means.shape)
    edges = ndtri(np.arange(1, K) / K)
    frames = []
    for i in range(means.shape[1]):
        below = ndtr(edges[None, :] - means[:, i, None])
        p = np.diff(np.concatenate([np.zeros((len(means), 1)), below, np.ones((len(means), 1))], axis=1), axis=1)
        counts = rng.multinomial(n[:, i], p)
        seen = np.flatnonzero(n[:, i] > 0)
        frames.append(
            _frame(
                f"{model}/predictions/f{i}",
                seen,
                window_s,
                n=n[seen, i],
                counts=counts[seen],
                binning_id=f"{model}/predictions/f{i}@1",
            )
        )
    return pl.concat(frames)


def shaped(counts: Callable[[int], Floats], windows: int, features: int, model: str = "m") -> pl.DataFrame:
    """Hourly summaries of features f0, f1, ... from counts per window and bin, (windows, bins), by feature."""
    frames = []
    for i in range(features):
        c = counts(i).astype(np.int64)
        measure, seen = f"{model}/predictions/f{i}", np.flatnonzero(c.sum(axis=1) > 0)
        rows = {"n": c.sum(axis=1)[seen], "counts": c[seen]}
        frames.append(_frame(measure, seen, 3600, **rows, binning_id=f"{measure}@1"))
    return pl.concat(frames)


def drawn(rng: np.random.Generator, cdf: Callable[[Floats], Floats], n: Floats | int) -> Floats:
    """Counts on the 32 bins from the distribution functions of the windows at the bins' edges in sigma."""
    below = cdf(ndtri(np.arange(1, K) / K)[None, :])
    p = np.diff(np.concatenate([np.zeros((len(below), 1)), below, np.ones((len(below), 1))], axis=1), axis=1)
    return rng.multinomial(n, np.clip(p, 0, 1))


def levelled(measure: str, shares: Sequence[float]) -> Binning:
    """A categorical feature with levels a, b, ... and their shares; what is left is unknown values."""
    model, source, feature = measure.split("/")
    rows = tuple(round(100_000 * p) for p in shares)
    levels = tuple("abcdefghijklmnop"[: len(shares)])
    return Binning(
        f"{measure}@1", model, source, feature, "categorical", 1, None, levels, (*rows, 100_000 - sum(rows)), None,
        START, START, START,
    )  # fmt: skip


def pair_binning(measure: str = "m/predictions/f0*f1") -> Binning:
    """A pair of features."""
    model, source, feature = measure.split("/")
    pair = tuple(feature.split("*"))
    return Binning(f"{measure}@1", model, source, feature, "pair", 1, None, pair, (1000,), None, START, START, START)


def paired(means: Floats, n: Floats | int, measure: str = "m/predictions/f0*f1") -> pl.DataFrame:
    """Hourly summaries of a pair with these mean products."""
    rows = np.broadcast_to(np.asarray(n, dtype=np.int64), means.shape)
    at = np.flatnonzero(rows > 0)
    total = np.round(means * rows * 2**20) / 2**20
    return _frame(measure, at, 3600, n=rows[at], value_sum=total[at], binning_id=f"{measure}@1")


def scored(monitors: Sequence[Monitor], *scores: str) -> tuple[Monitor, ...]:
    """The same monitors for other scores."""
    return tuple(replace(m, monitor_id=m.monitor_id.replace("location", s), score=s) for m in monitors for s in scores)


def rates(
    events: NDArray[Any], trials: NDArray[Any], window_s: int = 300, measure: str = "m/attempts/error"
) -> pl.DataFrame:
    """Summaries of one rate: bad events of all events per window."""
    return _frame(measure, np.arange(len(events)), window_s, n=np.asarray(trials), events=np.asarray(events))


def _frame(measure: str, at: NDArray[Any], window_s: int, **columns: Any) -> pl.DataFrame:
    schema = {k: v for k, v in frame_schema(Summary.table()).items() if k != "ingested_at"}
    given = {
        "ts": [START + timedelta(seconds=window_s * int(t)) for t in at], "window_s": [window_s] * len(at),
        "measure": [measure] * len(at), "model": [measure.split("/", maxsplit=1)[0]] * len(at), "late": [False] * len(at),
        "binning_id": [columns.pop("binning_id", None)] * len(at),
        **{name: [0] * len(at) for name in ("missing", "nan", "inf", "zero")},
        **{name: values.tolist() for name, values in columns.items()},
    }  # fmt: skip
    return pl.DataFrame([pl.Series(k, given.get(k, [None] * len(at)), t) for k, t in schema.items()])


def level_monitors(
    count: int, window_s: int = 3600, min_effect: float = 0.1, threshold: float = THRESHOLD
) -> tuple[Monitor, ...]:
    """Location monitors of features f0, f1, ..."""
    return tuple(
        Monitor(
            f"m/level/f{i}/location",
            "m",
            "level",
            f"m/predictions/f{i}",
            f"f{i}",
            "location",
            window_s,
            "ticket",
            threshold,
            0.01,
            min_effect,
            "sigma",
        )
        for i in range(count)
    )


def rate_monitor(score: str = "share", measure: str = "m/attempts/error", threshold: float = 14.5) -> Monitor:
    """A monitor of bad events."""
    return Monitor(
        f"m/rate/error/{score}", "m", "rate", measure, "error", score, 300, "ticket", threshold, 0.01, None, "ratio"
    )


def evidence(
    monitors: Sequence[Monitor],
    rows: pl.DataFrame,
    start_s: int,
    end_s: int,
    state: Mapping[str, Any] | None = None,
    bins: Callable[[str], Binning] = binning,
) -> Evidence:
    """What a detector gets for the span from `start_s` to `end_s` seconds after `START`."""
    binnings = {b.binning_id: b for m in {m.measure for m in monitors} for b in [bins(m)]}
    window = Window(START + timedelta(seconds=start_s), START + timedelta(seconds=end_s))
    return Evidence(tuple(monitors), window, rows, binnings, state or {})


def raised(found: Detected) -> list[Finding]:
    """The first finding of each alarm."""
    first: dict[str, str] = {}
    result = []
    for f in found.findings:
        if f.state == "alarm" and first.get(f.monitor_id) != "alarm":
            result.append(f)
        first[f.monitor_id] = f.state
    return result
