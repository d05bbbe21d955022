"""Does the skew monitor keep its false alarms, and how soon is a difference from the training file told?

    python -m bench.skew null  [--kinds iid season ...] [--models 40] [--seed 20261151]
    python -m bench.skew delay [--kinds iid season ...] [--models 20] [--seed 20261151]
    python -m bench.skew picture > docs/detectors/img/skew.svg

A model has 10 numeric features, two with three levels beside them, and a training file of 28 days of the same world,
another stretch of it; then 60 days are served and judged once a day. `null`: nothing differs. One false alarm in 30 d
is declared for the twelve questions of a model. `delay`: from the first day on one thing differs: a number by .25, .5
or 1 σ, a share by 5 pp, 3 % or all values missing; days until that feature alarms. Kinds of worlds: METHODS section
10, hourly means with seasons, memory and heavy tails; `gaps` lacks a tenth of the hours and two whole days; `week`
has a weekend of .5 σ; `files` is a file of one week only.

Seeds from 20261121 on are for reporting; tuning used 1..999.
"""

import argparse
import json
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import log

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from bench.drawing import BLUE, Panel, svg
from detectors import scores, skew
from detectors.mismatch import GROUPS
from observe.app.backtest import upper95
from observe.schema import Binning, Detected, Evidence, Monitor, Summary, Window
from observe.schema.exchange import frame_schema

Floats = NDArray[np.float64]
Rng = np.random.Generator

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
NUMBERS, LEVELLED, DAYS, FILE_DAYS = 10, 2, 60, 28
SHARES = np.array([0.6, 0.3, 0.1])
QUESTIONS = NUMBERS + LEVELLED
THRESHOLD = log(30 * QUESTIONS)  # one in 30 d for all questions of a model


@dataclass(frozen=True)
class Kind:
    """How what is served moves by hour."""

    season: float = 0.0
    weekend: float = 0.0
    rho: float = 0.0
    tau: float = 0.0
    heavy: bool = False
    rows: int = 1_000
    swing: float = 0.0  # of traffic
    gaps: bool = False
    file_days: int = FILE_DAYS


KINDS = {
    "iid": Kind(),
    "season": Kind(season=0.3, weekend=-0.1, rho=0.5, tau=0.03),
    "week": Kind(season=0.3, weekend=-0.5, rho=0.5, tau=0.05),
    "ar.9": Kind(rho=0.9, tau=0.1),
    "ar.98": Kind(rho=0.98, tau=0.1),
    "t3": Kind(rho=0.5, tau=0.1, heavy=True),
    "traffic": Kind(season=0.3, rho=0.5, tau=0.05, swing=0.95),
    "lowtraffic": Kind(rho=0.5, tau=0.1, rows=20),
    "gaps": Kind(season=0.2, rho=0.7, tau=0.07, heavy=True, gaps=True),
    "files": Kind(season=0.3, weekend=-0.1, rho=0.7, tau=0.07, file_days=7),
}


@dataclass(frozen=True)
class Change:
    """What differs in feature 0 of each kind from the first served day on."""

    shift: float = 0.0  # σ, of number 0
    share: float = 0.0  # of the smallest level, of f10
    missing: float = 0.0  # of number 0


NOTHING = Change()
CHANGES = {
    "number .25 σ": Change(0.25), "number .5 σ": Change(0.5), "number 1 σ": Change(1.0), "share +5 pp": Change(share=0.05),
    "3 % missing": Change(missing=0.03), "all missing": Change(missing=1.0),
}  # fmt: skip


def latent(kind: Kind, hours: int, rng: Rng) -> Floats:
    """Means by hour in σ, (hours, features)."""
    count = QUESTIONS
    eta = rng.standard_t(3, (hours, count)) / np.sqrt(3) if kind.heavy else rng.standard_normal((hours, count))
    w = kind.tau * eta
    for t in range(1, hours):
        w[t] = kind.rho * w[t - 1] + kind.tau * np.sqrt(1 - kind.rho**2) * eta[t]
    at = np.arange(hours)[:, None]
    return w + kind.season * np.cos(2 * np.pi * (at - 15) / 24) + kind.weekend * (at // 24 % 7 >= 5)


def rows_of(kind: Kind, hours: int, rng: Rng) -> NDArray[np.int64]:
    """Rows by hour, (hours,)."""
    n = kind.rows * (1 + kind.swing * np.cos(2 * np.pi * (np.arange(hours) - 15) / 24))
    found = rng.poisson(n)
    if kind.gaps:
        found[rng.uniform(size=hours) < 0.1] = 0
        found[24 * 5 : 24 * 7] = 0
    return found


def counted(kind: Kind, hours: int, rng: Rng, change: Change = NOTHING) -> list[tuple[Floats, Floats]]:
    """Counts by hour and group, and missing rows by hour, of each feature."""
    mu, n = latent(kind, hours, rng), rows_of(kind, hours, rng)
    edges, found = ndtri(np.arange(1, GROUPS) / GROUPS), []
    for i in range(QUESTIONS):
        mean = mu[:, i, None] + (change.shift if i == 0 else 0.0)
        bad = rng.binomial(n, change.missing if i == 0 else 0.0)
        if i < NUMBERS:
            below = ndtr(edges[None, :] - mean)
            p = np.diff(np.concatenate([np.zeros((hours, 1)), below, np.ones((hours, 1))], axis=1), axis=1)
        else:
            p = SHARES * np.exp(0.5 * mean * np.array([0.0, 0.0, 1.0]))
            p = p / p.sum(axis=1, keepdims=True)
            more = change.share if i == NUMBERS else 0.0
            p = p * (1 - more) + more * np.array([0.0, 0.0, 1.0])
        counts = rng.multinomial(n - bad, np.clip(p, 0, 1))
        found.append(
            (counts if i < NUMBERS else np.concatenate([counts, np.zeros((hours, 1), dtype=int)], axis=1), bad)
        )
    return found


def binned(model: str, i: int) -> Binning:
    """Bins of one feature."""
    name, numeric = f"{model}/predictions/f{i}", i < NUMBERS
    edges = tuple(ndtri(np.arange(1, GROUPS) / GROUPS).tolist()) if numeric else None
    percentiles = tuple(ndtri(np.clip(np.arange(101) / 100, 0.001, 0.999)).tolist()) if numeric else None
    return Binning(
        f"{name}@1", model, "predictions", f"f{i}", "numeric" if numeric else "categorical", 1, edges, None if numeric else ("a", "b", "c"),
        (1000,) * (GROUPS if numeric else 4), percentiles, START, START, START,
    )  # fmt: skip


def monitor(model: str, i: int) -> Monitor:
    """The question about one feature."""
    unit = ("sigma", 0.1) if i < NUMBERS else ("pp", 2.0)
    return Monitor(
        f"{model}/skew/f{i}", model, "skew", f"{model}/predictions/f{i}", f"f{i}", "skew", 86_400, "ticket", THRESHOLD, 1 / QUESTIONS,
        unit[1], unit[0], {"least_pp": 2.0, "user_unit": "", "covers_s": None},
    )  # fmt: skip


def evidence(kind: Kind, models: int, seed: int, days: int, change: Change = NOTHING) -> Evidence:
    """Many models, their files, and what was served for so many days."""
    rng = np.random.default_rng(seed)
    frames, files, binnings = [], [], {}
    for k in range(models):
        model = f"m{k}"
        trained = counted(kind, 24 * kind.file_days, rng)
        served = counted(kind, 24 * days, rng, change)
        for i, ((file, _), (counts, bad)) in enumerate(zip(trained, served, strict=True)):
            binning = binned(model, i)
            binnings[binning.binning_id] = binning
            frames.append(summed(binning, counts, bad))
            files.append(column(binning, file.sum(axis=0)))
    asked = tuple(monitor(f"m{k}", i) for k in range(models) for i in range(QUESTIONS))
    window = Window(START, START + timedelta(days=days))
    return Evidence(
        asked, window, pl.concat(frames), binnings, {}, {skew.TRAINING: pl.DataFrame(files, schema=COLUMNS)}
    )


COLUMNS = {
    "model": pl.String, "feature": pl.String, "file": pl.String, "fingerprint": pl.String, "rows": pl.Int64, "kind": pl.String,
    "binning_id": pl.String, "counts": pl.List(pl.Int64), "missing": pl.Int64, "quantiles": pl.List(pl.Float64), "error": pl.String,
    "served": pl.Boolean,
}  # fmt: skip


def column(binning: Binning, counts: NDArray[np.int64], missing: int = 0) -> dict:
    """A row of frame `training`."""
    return {
        "model": binning.model, "feature": binning.feature, "file": "train.parquet", "fingerprint": "f1", "rows": int(counts.sum()) + missing,
        "kind": binning.kind, "binning_id": binning.binning_id, "counts": counts.tolist(), "missing": missing,
        "quantiles": list(binning.quantiles) if binning.quantiles else None, "error": None, "served": True,
    }  # fmt: skip


def summed(binning: Binning, counts: NDArray[np.int64], bad: NDArray[np.int64]) -> pl.DataFrame:
    """Hourly summaries of one feature; hours without rows have none."""
    schema = {k: v for k, v in frame_schema(Summary.table()).items() if k != "ingested_at"}
    at = np.flatnonzero(counts.sum(axis=1) + bad > 0)
    none = [0] * at.size
    given = {
        "ts": [START + timedelta(hours=int(t)) for t in at], "window_s": [3600] * at.size, "model": [binning.model] * at.size,
        "measure": [f"{binning.model}/{binning.source_table}/{binning.feature}"] * at.size, "binning_id": [binning.binning_id] * at.size,
        "n": counts[at].sum(axis=1).tolist(), "counts": counts[at].tolist(), "missing": bad[at].tolist(), "nan": none, "inf": none,
        "zero": none, "late": [False] * at.size,
    }  # fmt: skip
    return pl.DataFrame([pl.Series(k, given.get(k, [None] * at.size), t) for k, t in schema.items()])


def alarms(found: Detected) -> dict[str, list[int]]:
    """Days on which each monitor began to alarm."""
    raised: dict[str, list[int]] = {}
    before: dict[str, bool] = {}
    for f in found.findings:
        if f.state == "alarm" and not before.get(f.monitor_id):
            raised.setdefault(f.monitor_id, []).append((f.window_end - START).days)
        before[f.monitor_id] = f.state == "alarm"
    return raised


def null(options: argparse.Namespace) -> None:
    for name in options.kinds or KINDS:
        found = skew.detect(evidence(KINDS[name], options.models, options.seed, DAYS))
        raised = alarms(found)
        count = sum(len(days) for days in raised.values())
        judged = [f for f in found.findings if f.window_end > START + timedelta(days=14)]
        told({
            "name": f"skew null {name}", "figure": round(count * 30 / DAYS / options.models, 4), "unit": "false alarms per model and 30 d, 1 declared",
            "upper95": round(upper95(count, float(DAYS * options.models)), 3), "in_first_6_days": sum(d <= 6 for days in raised.values() for d in days),
            "fine_after_14_d": round(float(np.mean([f.state == "ok" for f in judged])), 3), "models": options.models, "seed": options.seed,
        })  # fmt: skip


def delay(options: argparse.Namespace) -> None:
    for name in options.kinds or ("iid", "season", "ar.9", "gaps"):
        for said, change in CHANGES.items():
            found = skew.detect(evidence(KINDS[name], options.models, options.seed, 28, change))
            mine = "f10" if change.share else "f0"
            first = sorted(days[0] for key, days in alarms(found).items() if key.endswith(f"/{mine}"))
            waited = [*first, *[10**6] * (options.models - len(first))]
            middle = float(np.median(waited))
            told({
                "name": f"skew delay {name}, {said}", "figure": middle if middle < 10**6 else None, "unit": "days served until the alarm, median of all models",
                "found_14d": sum(d <= 14 for d in first) / options.models, "found_28d": len(first) / options.models, "models": options.models, "seed": options.seed,
            })  # fmt: skip


def picture(options: argparse.Namespace) -> None:
    """Twenty days of a feature that is served a quarter of a σ higher than it was trained on, and when that is told."""
    days = 20
    e = evidence(KINDS["season"], 1, 7, days, Change(0.25))
    e = replace(e, monitors=e.monitors[:1])
    binning = e.binnings["m0/predictions/f0@1"]
    rows = e.summaries.filter(pl.col("measure") == e.monitors[0].measure).sort("ts")
    counts = np.array(rows["counts"].to_list(), dtype=np.float64)
    hourly = counts @ scores.weights(np.asarray(binning.reference, dtype=np.float64)) / counts.sum(axis=1)
    file = np.asarray(e.frames[skew.TRAINING].row(0, named=True)["counts"], dtype=np.float64)
    trained = float(file @ scores.weights(np.asarray(binning.reference, dtype=np.float64)) / file.sum())
    found = skew.detect(e).findings
    begun = next(i for i, f in enumerate(found) if f.state == "alarm")
    nats = np.repeat([f.evidence_nats or 0.0 for f in found], 24)[: hourly.size]
    seen = Panel(
        "mean score of each served hour, and that of the training file", hourly.min(), hourly.max(),
        (f"{hourly.min():+.2f} σ", f"{hourly.max():+.2f} σ"), hourly, [(np.full(hourly.size, trained), BLUE)],
    )  # fmt: skip
    top = float(max(nats.max(), 2 * THRESHOLD))
    known = Panel(
        "evidence of each day, and the threshold",
        0.0,
        top,
        ("0", f"{top:.0f}"),
        None,
        [(nats, BLUE)],
        (THRESHOLD, "needed"),
    )
    sys.stdout.write(svg([seen, known], [24 * (begun + 1) - 1]))


def told(row: dict) -> None:
    """One JSON line."""
    print(json.dumps({**row, "command": "python -m bench.skew " + " ".join(sys.argv[1:])}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("null", "delay", "picture"))
    parser.add_argument("--kinds", nargs="*")
    parser.add_argument("--models", type=int, default=40)
    parser.add_argument("--seed", type=int, default=20261151)
    options = parser.parse_args()
    {"null": null, "delay": delay, "picture": picture}[options.what](options)


if __name__ == "__main__":
    main()
