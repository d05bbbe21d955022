"""`observe compare` beside SciPy, Evidently and NannyML: time, memory, false alarms and what is missed.

Speed: 24 columns (16 numbers, 8 of them with ties; 8 categories), reference and current of 100,000 rows
in Parquet; every tool in a process of its own, imports counted apart, the best of three. Also one column
of 1,000,000 values against 100,000 beside `ks_2samp` and `wasserstein_distance`.

Verdicts: null pairs (both tables from one source: numbers, ties, categories; and AR with `time`) and pairs
in which one of ten features moved, beside Evidently's dataset verdict and its count of drifted columns.
Evidently is part of ours; NannyML gets an environment of its own in a temporary folder. `--picture` writes
the picture of docs/detectors/compare.md.

    python -m bench.compare [--pairs 200] [--seed 20261121] [--without nannyml] [--picture FILE]

Source: our own; METHODS sections 0 and 2.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import polars as pl
from scipy.signal import lfilter

import observe

ROWS, COLUMNS = 100_000, 24
Frame = dict[str, np.ndarray]

_HEAD = """
import json, os, resource, sys, time, warnings
warnings.filterwarnings("ignore")
began = time.process_time()
%s
loaded = time.process_time() - began
best = 1e9
for _ in range(3):
    at = time.process_time(); wall = time.perf_counter()
    run()
    best = min(best, time.process_time() - at)
print(json.dumps({"load_s": loaded, "cpu_s": best, "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""
OURS = """
import observe
def run(): observe.compare("ref.parquet", "cur.parquet").to_json()
import observe.app.frames_compare
"""
SCIPY = """
import numpy as np, pandas as pd
from scipy import stats
from scipy.spatial.distance import jensenshannon
def run():
    a, b = pd.read_parquet("ref.parquet"), pd.read_parquet("cur.parquet")
    for c in a:
        if a[c].dtype.kind in "if":
            stats.ks_2samp(a[c], b[c], method="asymp"); stats.wasserstein_distance(a[c], b[c])
            edges = np.unique(np.quantile(a[c], np.arange(1, 10) / 10))
            n, m = (np.bincount(np.searchsorted(edges, x[c]), minlength=len(edges) + 1) for x in (a, b))
        else:
            n, m = a[c].value_counts(), b[c].value_counts()
            n, m = n.align(m, fill_value=0)
        stats.chi2_contingency(np.stack([n, m]) + 0.5); jensenshannon(n / n.sum(), m / m.sum())
"""
EVIDENTLY = """
import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset
def run(): Report([DataDriftPreset()]).run(pd.read_parquet("cur.parquet"), pd.read_parquet("ref.parquet")).json()
"""
NANNYML = """
import pandas as pd, nannyml as nml
def run():
    a, b = pd.read_parquet("ref.parquet"), pd.read_parquet("cur.parquet")
    c = nml.UnivariateDriftCalculator(column_names=list(a.columns), chunk_number=2, treat_as_categorical=[c for c in a if c[0] == "c"],
        continuous_methods=["kolmogorov_smirnov", "wasserstein", "jensen_shannon", "hellinger"],
        categorical_methods=["chi2", "l_infinity", "jensen_shannon", "hellinger"])
    c.fit(a).calculate(b).to_df()
"""
_VERDICT = """
import json, warnings
warnings.filterwarnings("ignore")
import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset
told = []
for i in range(%d):
    a, b = pd.read_parquet(f"{i}a.parquet"), pd.read_parquet(f"{i}b.parquet")
    found = Report([DataDriftPreset()]).run(b, a).dict()["metrics"]
    counts = next(m["value"] for m in found if "DriftedColumnsCount" in str(m["config"]["type"]))
    small = [m["config"] for m in found if m["config"].get("column") not in (None, "many") and (
        m["value"] < m["config"]["threshold"] if "p_value" in m["config"]["method"] else m["value"] >= m["config"]["threshold"])]
    told.append([counts["count"], counts["share"] >= 0.5, len(small)])
json.dump(told, open("told.json", "w"))
"""


def say(name: str, figure: float, unit: str, peer: str = "", ratio: str = "") -> None:
    row = {
        "name": name,
        "command": "python -m bench.compare",
        "figure": figure,
        "unit": unit,
        "peer": peer,
        "ratio": ratio,
    }
    print(json.dumps(row), flush=True)


def ar(rng: np.random.Generator, n: int, phi: float) -> np.ndarray:
    return np.sqrt(1 - phi**2) * lfilter([1], [1, -phi], rng.normal(size=n + 500))[500:]


def wide(rng: np.random.Generator) -> Frame:
    """24 columns of 100,000 rows."""
    found: Frame = {f"n{i}": rng.lognormal(0, 1, ROWS) for i in range(8)}
    found |= {f"t{i}": rng.poisson(5, ROWS) for i in range(8)}
    return found | {f"c{i}": rng.choice(list("abcdefghij"), ROWS) for i in range(8)}


def timed(folder: Path, body: str, interpreter: str) -> dict[str, float]:
    env = {
        **os.environ,
        "DO_NOT_TRACK": "1",
        "NML_DISABLE_USAGE_LOGGING": "1",
        "OMP_NUM_THREADS": "1",
        "POLARS_MAX_THREADS": "1",
    }
    env["PYTHONPATH"] = str(Path(__file__).parent.parent)
    done = subprocess.run(
        [interpreter, "-c", _HEAD % body], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"a peer failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def speed(folder: Path, seed: int, peers: Sequence[str]) -> None:
    rng = np.random.default_rng(seed)
    for name in ("ref", "cur"):
        pl.DataFrame(wide(rng)).write_parquet(folder / f"{name}.parquet")
    bodies = {"ours": OURS, "scipy": SCIPY, "evidently": EVIDENTLY, "nannyml": NANNYML}
    ours: dict[str, float] = {}
    for name, body in bodies.items():
        if name in ("ours", *peers):
            found = timed(folder, body, nannyml(folder) if name == "nannyml" else sys.executable)
            ours = ours or found
            told = f"load {found['load_s']:.2f} s, peak {found['rss_mb']:.0f} MB"
            ratio = f"{found['cpu_s'] / ours['cpu_s']:.1f} x ours, memory {found['rss_mb'] / ours['rss_mb']:.1f} x"
            say(f"{COLUMNS} columns, {ROWS:,} rows a side: {name}", round(found["cpu_s"], 3), "CPU s", told, ratio)


def nannyml(folder: Path) -> str:
    """An interpreter that has NannyML, in an environment made here; its releases ask for older pandas."""
    given = os.environ.get("BENCH_NANNYML")
    if given:
        return given
    home, uv = folder / "nannyml", shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "-q", str(home)], check=True)
    subprocess.run(
        [uv, "pip", "install", "-q", "--python", str(home / "bin/python"), "nannyml", "statsmodels"], check=True
    )
    return str(home / "bin/python")


def one_column(seed: int) -> None:
    from scipy import stats

    from detectors.exact import Pooled, Sample

    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=100_000), rng.normal(size=1_000_000)

    def exact() -> tuple[float, float | None]:
        both = Pooled.of(Sample.of(a), Sample.of(b))
        return both.ks, both.wasserstein

    def scipy() -> tuple[float, float]:
        return float(stats.ks_2samp(a, b, method="asymp").statistic), float(stats.wasserstein_distance(a, b))

    ours, theirs = least(exact), least(scipy)
    same = np.allclose(exact(), scipy(), rtol=1e-9)
    say("KS and Wasserstein, 1,000,000 against 100,000", round(1e3 * ours, 1), "CPU ms", f"SciPy {1e3 * theirs:.0f} ms; equal: {same}", f"{theirs / ours:.1f}")  # fmt: skip


def least(run: Callable[[], object]) -> float:
    found = []
    for _ in range(7):
        began = process_time()
        run()
        found.append(process_time() - began)
    return min(found)


def independent(rng: np.random.Generator, n: int, moved: float = 0.0) -> Frame:
    """Ten features; by `moved` of its sigma the first is shifted."""
    found: Frame = {f"x{i}": rng.normal(size=n) for i in range(4)} | {"heavy": rng.standard_t(2, n)}
    found["x0"] = found["x0"] + moved
    found |= {"ties": rng.poisson(2, n), "zeros": np.where(rng.random(n) < 0.9, 0.0, rng.exponential(size=n))}
    found |= {"few": rng.choice(list("abcde"), n, p=[0.6, 0.2, 0.1, 0.06, 0.04]), "flag": rng.random(n) < 0.02}
    return found | {"many": np.minimum(rng.zipf(1.6, n), 10**6).astype(str)}


def dependent(phi: float) -> Callable[[np.random.Generator, int], Frame]:
    def made(rng: np.random.Generator, n: int) -> Frame:
        found: Frame = {f"x{i}": ar(rng, n, phi) for i in range(8)} | {"ts": np.arange(n)}
        return found | {
            "few": np.where(ar(rng, n, phi) > 0.5, "a", "b"),
            "gaps": np.where(ar(rng, n, phi) > 1, np.nan, 1.0),
        }

    return made


def pairs(
    make: Callable[..., Frame], n: int, seed: int, count: int, moved: float | None = None
) -> Iterator[tuple[Frame, Frame]]:
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        yield make(rng, n), make(rng, n) if moved is None else make(rng, n, moved)


def told(name: str, made: Iterator[tuple[Frame, Frame]], time: str | None = None) -> None:
    """How often ours names a feature, and which; with dependence also without `time`."""
    found = [
        (observe.compare(a, b, time=time), observe.compare(a, b, features=[c for c in a if c != time])) for a, b in made
    ]
    hits = sum(bool(timed_.drifted) for timed_, _ in found)
    plain = sum(bool(p.drifted) for _, p in found)
    few = sum(len(timed_.of("too_few")) / len(timed_.features) for timed_, _ in found) / len(found)
    peer = f"too few: {100 * few:.0f} % of features" + (
        f"; without --time {100 * plain / len(found):.0f} %" if time else ""
    )
    say(f"{name}: pairs called drifted", round(100 * hits / len(found), 1), "%", peer, f"{hits} of {len(found)}")


def evidently(name: str, made: Iterator[tuple[Frame, Frame]], count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for i, pair in enumerate(made):
            for side, frame in zip("ab", pair, strict=True):
                pl.DataFrame({c: v for c, v in frame.items() if c != "ts"}).write_parquet(f"{folder}/{i}{side}.parquet")
        env = {**os.environ, "DO_NOT_TRACK": "1"}
        subprocess.run([sys.executable, "-c", _VERDICT % count], cwd=folder, env=env, check=True, capture_output=True)
        found = json.loads(Path(folder, "told.json").read_text())
    some, other = (100 * sum(f[k] > 0 for f in found) / count for k in (0, 2))
    peer = f"any column: {some:.0f} %, any but the long-tailed one: {other:.0f} %"
    say(
        f"{name}: Evidently's dataset verdict",
        round(100 * sum(f[1] for f in found) / count, 1),
        "%",
        peer,
        f"of {count}",
    )


def verdicts(seed: int, count: int, peers: Sequence[str]) -> None:
    for n in (500, 5_000):
        told(f"null, n={n:,}", pairs(independent, n, seed, count))
        if "evidently" in peers:
            evidently(f"null, n={n:,}", pairs(independent, n, seed, count), count)
    for n, moved in ((500, 0.5), (5_000, 0.25), (5_000, 0.15)):
        told(f"1 of 10 features by {moved} sigma, n={n:,}", pairs(independent, n, seed + 1, count, moved))
        if "evidently" in peers:
            evidently(f"1 of 10 by {moved} sigma, n={n:,}", pairs(independent, n, seed + 1, count, moved), count)
    for phi in (0.5, 0.9, 0.99):
        told(f"null, AR {phi}, n=5,000, --time", pairs(dependent(phi), 5_000, seed + 2, count), "ts")
    if "evidently" in peers:
        evidently("null, AR 0.9, n=5,000", pairs(dependent(0.9), 5_000, seed + 2, count), count)


def picture(path: Path, seed: int) -> None:
    """The feature that moved, as the page draws it, with colours of its own for a file."""
    from observe.app.frames_page import picture_of

    rng = np.random.default_rng(seed)
    found = observe.compare({"amount": rng.lognormal(3, 0.5, 20_000)}, {"amount": 1.15 * rng.lognormal(3, 0.5, 20_000)})
    bins = found["amount"].bins
    assert bins is not None
    style = "<style>.oc-ref{fill:#8a94a0;opacity:.45}.oc-cur{fill:none;stroke:#0072B2;stroke-width:2}.oc-axis{stroke:#8a94a0}text{fill:#7b8591;font:11px sans-serif}</style>"  # fmt: skip
    svg = picture_of("amount", bins).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    path.write_text(svg.replace(">", f">{style}", 1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument(
        "--without", nargs="*", default=[], choices=["scipy", "evidently", "nannyml", "speed", "verdicts"]
    )
    parser.add_argument("--picture", type=Path)
    asked = parser.parse_args()
    if asked.picture:
        picture(asked.picture, 1)
        return
    peers = [p for p in ("scipy", "evidently", "nannyml") if p not in asked.without]
    began = perf_counter()
    if "speed" not in asked.without:
        one_column(asked.seed)
        with tempfile.TemporaryDirectory() as folder:
            speed(Path(folder), asked.seed, peers)
    if "verdicts" not in asked.without:
        verdicts(asked.seed, asked.pairs, peers)
    print(f"# {perf_counter() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
