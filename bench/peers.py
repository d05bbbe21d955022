"""Peers on the same streams, false alarms beside delay: Evidently, NannyML, river, alibi-detect, and level.

Every tool is shown the same raw values: 28 d of hourly windows as reference (a bounded sample where a tool
cannot take more), then days in which nothing changes, then a shift of .25 or .5 sigma in every feature.
Each runs at its defaults, in an environment of its own that this bench makes, as they conflict. What is
counted is what a person would be told: an alert begins when a feature's windows turn from quiet to drifted.

    python -m bench.peers [--streams iid ar.5 season] [--rows 500] [--features 8] [--seed 20261121]

Source: our own; METHODS section 10 for the streams.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import stdtrit

from bench.false_alarms import judge
from bench.streams import BINS, STREAMS, Stream, World
from detectors import scores

Floats = NDArray[np.float64]

HISTORY_H, NULL_H, SHIFT_H = 28 * 24, 7 * 24, 3 * 24
SAMPLE = 20_000  # rows of reference that every tool gets; the windows are never thinned

EVIDENTLY = """
import json, sys, warnings
warnings.filterwarnings("ignore")
import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset
ref = pd.read_parquet("reference.parquet"); cur = pd.read_parquet("current.parquet")
names = [c for c in ref.columns if c != "w"]
told = []
for _, part in cur.groupby("w"):
    found = Report([DataDriftPreset()]).run(part[names], ref[names].sample(min(len(ref), 20000), random_state=1)).dict()
    per = {}
    for m in found["metrics"]:
        c = m["config"]
        if c.get("type", "").endswith("ValueDrift"):
            small = "p_value" in c["method"] or "p_value" in str(m["metric_name"])
            per[c["column"]] = m["value"] < c["threshold"] if small else m["value"] >= c["threshold"]
    told.append([bool(per[n]) for n in names])
json.dump(told, open("told.json", "w"))
"""

NANNYML = """
import json, warnings
warnings.filterwarnings("ignore")
import pandas as pd, nannyml as nml
ref = pd.read_parquet("history.parquet"); cur = pd.read_parquet("current.parquet")
names = [c for c in ref.columns if c != "w"]
size = int(cur.groupby("w").size().iloc[0])
calc = nml.UnivariateDriftCalculator(column_names=names, continuous_methods=["jensen_shannon"], chunk_size=size)
calc.fit(ref[names])
table = calc.calculate(cur[names]).filter(period="analysis").to_df()
told = [[bool(table[(n, "jensen_shannon", "alert")].iloc[i]) for n in names] for i in range(len(table))]
json.dump(told, open("told.json", "w"))
"""

RIVER = """
import json
import pandas as pd
from river import drift
ref = pd.read_parquet("reference.parquet"); cur = pd.read_parquet("current.parquet")
names = [c for c in ref.columns if c != "w"]
told = []
detectors = {n: drift.ADWIN() for n in names}
for n in names:
    for v in ref[n]:
        detectors[n].update(v)
for _, part in cur.groupby("w"):
    row = []
    for n in names:
        hit = False
        for v in part[n]:
            detectors[n].update(v)
            hit = hit or detectors[n].drift_detected
        row.append(hit)
    told.append(row)
json.dump(told, open("told.json", "w"))
"""

ALIBI = """
import json, warnings
warnings.filterwarnings("ignore")
import pandas as pd
from alibi_detect.cd import KSDrift
ref = pd.read_parquet("reference.parquet"); cur = pd.read_parquet("current.parquet")
names = [c for c in ref.columns if c != "w"]
test = KSDrift(ref[names].to_numpy(), p_val=0.05)
told = []
for _, part in cur.groupby("w"):
    data = test.predict(part[names].to_numpy(), drift_type="feature")["data"]
    told.append([bool(v) for v in data["p_val"] < data["threshold"] / len(names)])
json.dump(told, open("told.json", "w"))
"""

PEERS = {
    "Evidently, default test by column": ("", EVIDENTLY),
    "NannyML, Jensen-Shannon, default thresholds": ("nannyml", NANNYML),
    "river, ADWIN": ("river", RIVER),
    "alibi-detect, KS with Bonferroni": ("alibi-detect", ALIBI),
}


def values(world: World, mean: Floats, rows: int, rng: np.random.Generator) -> Floats:
    """Raw values in reference sigma, (T, rows, S)."""
    shape = (len(mean), rows, mean.shape[1])
    drawn = rng.standard_t(3, shape) / np.sqrt(3) if world.kind.heavy else rng.standard_normal(shape)
    return np.asarray(drawn + mean[:, None, :], dtype=np.float64)


def table(x: Floats) -> pl.DataFrame:
    """Rows of windows, one column a feature, and `w`, the window."""
    flat = x.reshape(-1, x.shape[2])
    names = {f"f{i}": flat[:, i] for i in range(flat.shape[1])}
    return pl.DataFrame({"w": np.repeat(np.arange(len(x)), x.shape[1]), **names})


def python(folder: Path, package: str) -> str:
    """The interpreter of an environment that has `package`; ours when it is empty."""
    if not package:
        return sys.executable
    home, uv = folder / package, shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    if not home.exists():
        subprocess.run([uv, "venv", "-q", str(home)], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", str(home / "bin/python"), package], check=True)
    return str(home / "bin/python")


def ask(script: str, interpreter: str, history: Floats, current: Floats) -> NDArray[np.bool_]:
    """What a peer says of each window and feature, (T, S)."""
    with tempfile.TemporaryDirectory() as folder:
        whole = table(history)
        whole.write_parquet(f"{folder}/history.parquet")
        whole.sample(min(whole.height, SAMPLE), seed=1).write_parquet(f"{folder}/reference.parquet")
        table(current).write_parquet(f"{folder}/current.parquet")
        env = {**os.environ, "DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1"}
        done = subprocess.run(
            [interpreter, "-c", script], cwd=folder, env=env, check=False, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"a peer failed:\n{done.stderr[-2000:]}")
        return np.array(json.loads(Path(folder, "told.json").read_text()), dtype=bool)


def ours(kind: Stream, history: Floats, current: Floats) -> NDArray[np.bool_]:
    """When level raises an alarm, (T, S)."""
    inner = np.arange(1, BINS) / BINS
    edges = stdtrit(3, inner) / np.sqrt(3) if kind.heavy else np.quantile(history, inner)
    x = np.concatenate([history, current])
    a = scores.weights(np.ones(BINS) * 1000)
    total = a[np.searchsorted(edges, x)].sum(axis=1)
    n = np.full(total.shape, x.shape[1])
    told = np.zeros((len(current), x.shape[2]), dtype=bool)
    walk = judge(total, n, len(current))
    for i, raised in enumerate(walk.watch().values()):
        told[[(end - walk.first) // 3600 - 1 for end in raised], i] = True
    return told


def told_of(alerts: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """Share of quiet windows with an alert, alerts begun per 30 d and feature, share found, median windows."""
    quiet, shifted = alerts[:NULL_H], alerts[NULL_H:]
    begun = (quiet & ~np.concatenate([np.zeros((1, quiet.shape[1]), dtype=bool), quiet[:-1]])).sum()
    first = np.where(shifted.any(axis=0), shifted.argmax(axis=0) + 1.0, np.inf)
    return (
        float(quiet.any(axis=1).mean()), float(begun) * 30 * 24 / NULL_H / quiet.shape[1],
        float(np.isfinite(first).mean()), float(np.median(first)),
    )  # fmt: skip


def main() -> None:
    """Run and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", nargs="*", default=["iid", "ar.5", "season", "t3"])
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--features", type=int, default=8)
    parser.add_argument("--shift", type=float, default=0.25)
    parser.add_argument("--seed", type=int, default=20_261_121)
    parser.add_argument("--environments", type=Path, help="where environments are kept; a temporary folder by default")
    given = parser.parse_args()
    home = given.environments or Path(tempfile.mkdtemp())
    print(
        "| stream | tool | quiet windows with an alert | alerts per feature and 30 d |"
        f" {given.shift} σ found in {SHIFT_H} h | median windows |\n|---|---|---|---|---|---|"
    )
    for name in given.streams:
        kind, rng = STREAMS[name], np.random.default_rng([given.seed, list(STREAMS).index(name), 9])
        world = World.of(kind, 3600, HISTORY_H + NULL_H + SHIFT_H, given.features, rng)
        mean = world.mean.copy()
        mean[HISTORY_H + NULL_H :] += given.shift
        x = values(world, mean, given.rows, rng)
        history, current = x[:HISTORY_H], x[HISTORY_H:]
        told = {"Observe, level": ours(kind, history, current)}
        for peer, (package, script) in PEERS.items():
            told[peer] = ask(script, python(home, package), history, current)
        for tool, alerts in told.items():
            share, rate, found, delay = told_of(alerts)
            print(f"| {name} | {tool} | {share:.0%} | {rate:.1f} | {found:.0%} | {delay:g} |", flush=True)


if __name__ == "__main__":
    main()
