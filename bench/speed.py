"""What level detection costs a site of 100 models with 60 features each: an hourly tick, a 5-minute tick, a day's refit.

Detectors are called as the service calls them: 480 monitors at once in a tick and 60 in a refit, on 5-minute summaries
of 256 bins, in a process of their own that is handed Arrow. What stands in a tick is their processor time alone; reading summaries out of the
store and writing findings are not in it. Calls are alike, so some are timed and multiplied: an hourly tick judges
location, spread, third and fourth score (24,000 questions), a 5-minute tick the quick locations and the rates of missing
values (6,000 each). A refit is the hour in which a model learns anew from 30 d of summaries: its 4 hourly calls
and its quick one.

Floor of the same run: the counts of the same summaries times four columns of weights, in numpy alone.

    python -m bench.speed [--seed 20261121] [--rows 60]

Goals: a tick ≤ 2 s, a refit ≤ 2 s a model. Source: METHODS section 4, Cost.
"""

from __future__ import annotations

import argparse
import json
import pickle
import resource
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import log
from multiprocessing import get_context
from pathlib import Path
from time import process_time

import numpy as np
import polars as pl

from detectors import level, rate
from observe.app.detecting import Packed, seldom_collect
from observe.schema import Binning, Evidence, Json, Monitor, Window
from observe.spec.config import Model
from observe.spec.drift import Drift, Feature
from observe.spec.streams import of_feature
from observe.summaries import Grid, count
from observe.summaries.features import Column, binned
from observe.summaries.rows import Source

MODELS, FEATURES = 100, 60
TOGETHER = 480  # monitors in one call of the service in a tick
HOURLY = ("location", "spread", "third", "fourth")
HELD = 15  # features in one call of a refit
START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
LEARNT_D, DAY = 30, 288  # d; windows of 5 minutes
HOUR, QUICK = timedelta(hours=1), timedelta(minutes=5)
NATS = log(24 * 30 * MODELS * FEATURES * 10)


def asked(features: Sequence[str]) -> list[Monitor]:
    """What the service asks about numeric features."""
    found = []
    for name in features:
        for m, _, _ in of_feature("m", Drift(source="predictions"), Feature(name=name), "numeric", None):
            found.append(replace(m, threshold_nats=NATS, share=1e-4))
    return found


def of_kind(monitors: Sequence[Monitor], kind: str) -> list[Monitor]:
    """Those of a call: hourly, quick or missing."""
    if kind == "missing":
        return [m for m in monitors if m.detector == "rate"]
    return [m for m in monitors if m.detector == "level" and bool(m.params["fast"]) == (kind == "quick")]


def summarised(names: Sequence[str], rows: int, rng: np.random.Generator) -> tuple[dict[str, Binning], pl.DataFrame]:
    """Bins and 5-minute summaries of features with memory and a season, 30 d and two hours."""
    hours = 24 * (LEARNT_D + 1)
    wander = np.zeros((hours, len(names)))
    for t in range(1, hours):
        wander[t] = 0.5 * wander[t - 1] + 0.09 * rng.standard_normal(len(names))
    mean = wander + 0.2 * np.cos(2 * np.pi * (np.arange(hours)[:, None] - 15) / 24)
    source, period = Source(Model("m"), "predictions"), Window(START, START + timedelta(days=1))
    bins: dict[str, Binning] = {}
    frames = []
    for day in range(LEARNT_D + 1):
        start, seconds = START + timedelta(days=day), np.sort(rng.uniform(0, 86_400, DAY * rows))
        x = rng.standard_normal((seconds.size, len(names))) + mean[24 * day + (seconds // 3600).astype(int)]
        ts = pl.Series("ts", (start.timestamp() * 1e6 + seconds * 1e6).astype(np.int64)).cast(pl.Datetime("us", "UTC"))
        part = pl.DataFrame([ts, *(pl.Series(name, x[:, i]) for i, name in enumerate(names))])
        if not bins:
            made = (binned(part[n].alias("x"), source, Column(n, n, "numeric"), period, period.end) for n in names)
            bins = {b.binning_id: b for b in made if b is not None}
        frames.append(count(part, Grid(start, 300, DAY), list(bins.values())))
    return bins, pl.concat(frames)


class Site:
    """One model's summaries in a folder, asked about in a process of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bins: dict[str, Binning] = pickle.loads((folder / "bins").read_bytes())

    def evidence(self, kind: str, features: int, span: Window, state: dict[str, Json], since: datetime) -> Evidence:
        """A call about some features; beyond those there are, they come again under other names."""
        monitors = of_kind(asked([f"f{i}" for i in range(features)]), kind)
        within = (pl.col("ts") >= since) & (pl.col("ts") < span.end)
        frame = pl.scan_ipc(self.folder / "summaries").filter(within).collect()
        of = {name: f"m/predictions/f{int(name.rpartition('f')[2]) % HELD}" for name in (m.measure for m in monitors)}
        frames, bins = [], {}
        for name, own in sorted(of.items()):
            b = replace(self.bins[f"{own}@1"], binning_id=f"{name}@1", feature=name.rpartition("/")[2])
            bins[b.binning_id] = b
            part = frame.filter(pl.col("measure") == own)
            frames.append(part.with_columns(measure=pl.lit(name), binning_id=pl.lit(b.binning_id)))
        held = {
            m.monitor_id: found
            for m in monitors
            if (found := state.get(m.monitor_id.replace(f"/{m.feature}/", f"/{of[m.measure].rpartition('/')[2]}/")))
        }
        return Evidence(tuple(monitors), span, pl.concat(frames), bins, held)


def least(run: Callable[[], object], times: int) -> float:
    """The least processor time of some runs, s."""
    found = []
    for _ in range(times):
        began = process_time()
        run()
        found.append(process_time() - began)
    return min(found)


def floor(frame: pl.DataFrame) -> Callable[[], object]:
    """Counts times four columns of weights; rows without 256 bins are left out."""
    weights = np.random.default_rng(1).standard_normal((256, len(HOURLY)))
    full = frame.filter(pl.col("counts").list.len() == len(weights))["counts"]
    return lambda: full.explode().to_numpy().reshape(-1, len(weights)).astype(np.float64) @ weights


def learnt(packed: Packed, kind: str) -> tuple[dict[str, Json], dict[str, float]]:
    """Refit in one call: states, and what it took; in a process of its own, as its memory is told."""
    evidence = packed.evidence()
    began = process_time()
    state = dict((rate if kind == "missing" else level).detect(evidence).state)
    took = process_time() - began
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ground_s = least(floor(evidence.summaries), 1)
    return state, {"cpu_s": took, "floor_s": ground_s, "evidence_mb": len(packed.summaries) / 1e6, "peak_mb": peak_mb}


def ticked(packed: Packed, kind: str) -> dict[str, float]:
    """One call of a tick after the fits: least of several."""
    evidence = packed.evidence()
    assert len(evidence.state) == len(evidence.monitors), "every stream must have learnt"
    detector = rate if kind == "missing" else level
    return {"cpu_s": least(lambda: detector.detect(evidence), 12), "floor_s": least(floor(evidence.summaries), 12)}


def measured(site: Site, kind: str) -> tuple[dict[str, float], dict[str, float]]:
    """Refit of the features there are, and one call of a tick, in a process of their own."""
    end = START + timedelta(days=LEARNT_D)
    judged = Window(end, end + HOUR)
    span = Window(judged.end, judged.end + (HOUR if kind == "hourly" else QUICK))
    with get_context("spawn").Pool(1, seldom_collect) as pool:
        state, refit = pool.apply(learnt, (Packed.of(site.evidence(kind, HELD, judged, {}, START)), kind))
        features = TOGETHER // len(HOURLY) if kind == "hourly" else TOGETHER
        tick = pool.apply(ticked, (Packed.of(site.evidence(kind, features, span, state, span.start)), kind))
    return refit, tick


def say(name: str, figure: float, peer: str, ratio: float) -> None:
    print(json.dumps({"name": name, "command": "python -m bench.speed", "figure": round(figure, 2), "unit": "CPU s",
                      "peer": peer, "ratio": round(ratio, 1)}), flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=20_261_121)
    parser.add_argument("--rows", type=int, default=60, help="rows in 5 minutes")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bins, frame = summarised([f"f{i}" for i in range(HELD)], given.rows, np.random.default_rng(given.seed))
        (folder / "bins").write_bytes(pickle.dumps(bins))
        frame.write_ipc(folder / "summaries")
        found = {kind: measured(Site(folder), kind) for kind in ("hourly", "quick", "missing")}
    full = MODELS * FEATURES / TOGETHER
    calls = {"hourly": len(HOURLY) * full, "quick": full, "missing": full}
    ticks = {kind: (calls[kind] * tick["cpu_s"], calls[kind] * tick["floor_s"]) for kind, (_, tick) in found.items()}
    say(f"hourly tick, {MODELS} models x {FEATURES} features, 4 scores", ticks["hourly"][0],
        f"counts times weights {ticks['hourly'][1]:.2f} s", ticks["hourly"][0] / ticks["hourly"][1])  # fmt: skip
    quick = ticks["quick"][0] + ticks["missing"][0]
    say("5-minute tick, the same: quick locations and missing rates", quick,
        f"quick {ticks['quick'][0]:.2f} s, missing {ticks['missing'][0]:.2f} s", quick / ticks["quick"][1])  # fmt: skip
    refits = {kind: FEATURES // HELD * refit["cpu_s"] for kind, (refit, _) in found.items()}
    ground = FEATURES // HELD * found["hourly"][0]["floor_s"]
    parts = ", ".join(f"{kind} {s:.2f} s" for kind, s in refits.items())
    say("refit of one model, 60 features", sum(refits.values()), f"{parts}; counts times weights {ground:.2f} s",
        sum(refits.values()) / ground)  # fmt: skip
    memory = {kind: {k: round(refit[k]) for k in ("peak_mb", "evidence_mb")} for kind, (refit, _) in found.items()}
    print(json.dumps({"name": f"peak memory of a refit's call, {HELD} features", **memory}))


if __name__ == "__main__":
    main()
