"""Peers on the same streams in the same run, false alarms beside delay: Evidently, NannyML, river, alibi-detect and ours.

Every tool is shown the same raw values: 28 d of hourly windows (as they came; a sample of 20,000 rows where it
wants a reference), then days in which nothing changes, and, starting anew from the same history, a day in which
every feature is shifted. Ours is `observe backtest` with its defaults: all scores, refits, 1 false alarm in 30 d
declared for all features together. Peers run as their documentation says, at their defaults, each in an
environment of its own that this bench makes with uv, as they conflict (Evidently is among our own requirements).

- Evidently: the default test of `DataDriftPreset` (by the size of the reference), window against reference. Its
  plots cost most of a report's time, so the test is called by itself; the first window is held against a whole report
- NannyML: `UnivariateDriftCalculator`, one chunk a window, Jensen-Shannon, mean + 3 SD of the reference's chunks
- river: `ADWIN()` on every value in its order, history first
- alibi-detect: `KSDrift(p_val=.05)` with Bonferroni over the features, and `CVMDriftOnline` on hourly means with an
  expected run of 720 windows (30 d) for all features together, the one peer that declares such a number

Counted is what a person would be told: windows with an alert on any feature, and latched alarms: alerts of a feature
less than 24 h apart are one. A tool that alerts all the time finds everything at once: read both.

    python -m bench.peers [--streams iid season ar.5 ar.9 t3] [--replicates 3] [--features 10] [--rows 1000]
                          [--shifts 0.5 1] [--seed 20261121] [--environments DIR]

Source: METHODS section 10 for the streams; the documentation of the peers, read 2026-11: docs.evidentlyai.com,
nannyml.readthedocs.io, riverml.xyz, docs.seldon.ai. alibi-detect is under the Business Source License: it is only run.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bench.peers_asked import HEAD, PEERS, TAIL, Peer
from bench.streams import STREAMS, Stream, World
from observe.app.backtest import backtest, upper95
from observe.app.backtest_plan import DAY_S, HOUR_S, Options
from observe.app.backtest_table import tabulate

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]  # (windows, features)
Parts, Told = dict[str, Floats], dict[str, Flags]  # by part: null, and each shift

HISTORY_H, SHIFT_H, CALM_H, MONTH_H = 28 * 24, 24, 24, 30 * 24
SAMPLE = 20_000  # rows of reference; windows are never thinned
START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday

OURS, DATASET = "observe backtest, 1 per 30 d", "Evidently, half of the columns"


def values(kind: Stream, mean: Floats, rows: int, rng: np.random.Generator) -> Floats:
    """Raw values in reference sigma, (T, rows, S)."""
    shape = (len(mean), rows, mean.shape[1])
    drawn = rng.standard_t(3, shape) / np.sqrt(3) if kind.heavy else rng.standard_normal(shape)
    return np.asarray(drawn + mean[:, None, :], dtype=np.float64)


def table(x: Floats) -> pl.DataFrame:
    """Rows of windows, one column a feature, and `w`, the window."""
    flat = x.reshape(-1, x.shape[2])
    names = {f"f{i}": flat[:, i] for i in range(flat.shape[1])}
    return pl.DataFrame({"w": np.repeat(np.arange(len(x)), x.shape[1]), **names})


def python(folder: Path, peer: Peer) -> str:
    """The interpreter of an environment that has a peer; Evidently is in ours."""
    if peer.package == "evidently":
        return sys.executable
    home, uv = folder / peer.package, shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    if not home.exists():
        subprocess.run([uv, "venv", "-q", str(home)], check=True)
        install = [uv, "pip", "install", "-q", "--python", str(home / "bin/python"), peer.package, *peer.also]
        subprocess.run(install, check=True)
    return str(home / "bin/python")


def written(folder: str, number: int, history: Floats, parts: Parts) -> None:
    """A replicate as files that every peer reads."""
    whole = table(history)
    shown = {"history": whole, "sample": whole.sample(min(whole.height, SAMPLE), seed=1)}
    for name, rows in (shown | {name: table(x) for name, x in parts.items()}).items():
        np.save(f"{folder}/{number}-{name}.npy", rows.to_numpy())
    said = {"parts": list(parts), "names": whole.columns[1:]}
    Path(folder, "said.json").write_text(json.dumps(said))


def ask(peer: Peer, interpreter: str, folder: str, replicates: Sequence[int]) -> tuple[str, list[Told]]:
    """A peer's version, and what it says of some replicates by part."""
    said = json.loads(Path(folder, "said.json").read_text()) | {"package": peer.package, "replicates": list(replicates)}
    Path(folder, "said.json").write_text(json.dumps(said))
    quiet = {"DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    single = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "NUMBA", "OPENBLAS", "MKL")}
    done = subprocess.run(
        [interpreter, "-c", HEAD + peer.script + TAIL], cwd=folder, env={**os.environ, **quiet, **single}, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{peer.package} failed:\n{done.stderr[-2000:]}")
    found = json.loads(Path(folder, "told.json").read_text())
    return found["version"], [{p: np.array(rows, dtype=bool) for p, rows in told.items()} for told in found["told"]]


def ours(history: Floats, part: Floats) -> Flags:
    """In which windows a feature is alarmed; an alarm lasts until it ends by itself."""
    x = np.concatenate([history, part])
    second = np.arange(x.shape[1]) * (HOUR_S / x.shape[1])
    ts = (START.timestamp() + HOUR_S * np.arange(len(x))[:, None] + second).ravel()
    rows = table(x).drop("w").with_columns(pl.Series("ts", (ts * 1e6).astype(np.int64)).cast(pl.Datetime("us", "UTC")))
    result, _ = backtest(tabulate(rows, "ts"), Options(fit_s=28.0 * DAY_S, cadence="rows"))
    told = np.zeros((len(part), x.shape[2]), dtype=bool)
    for a in result.alarms:
        low, high = (
            None if at is None else round((at - result.plan.judged.start).total_seconds() / HOUR_S)
            for at in (a.at, a.until)
        )
        assert low is not None
        told[low - 1 : high, int(a.feature[1:])] = True
    return told


def latched(flags: Flags) -> int:
    """Alarms when alerts of a feature less than a day apart are one.

    >>> flags = np.zeros((60, 1), dtype=bool); flags[[3, 20, 50]] = True
    >>> latched(flags)
    2
    """
    count = 0
    for i in range(flags.shape[1]):
        at = np.flatnonzero(flags[:, i])
        count += int(at.size > 0) + int((np.diff(at) > CALM_H).sum())
    return count


def row(stream: str, tool: str, found: Sequence[Told], shifts: Sequence[str]) -> str:
    """A line of the table, over replicates."""
    quiet = [f["null"] for f in found]
    hours, alarms = sum(len(q) for q in quiet), sum(latched(q) for q in quiet)
    cells = [
        stream, tool, f"{np.concatenate([q.any(axis=1) for q in quiet]).mean():.1%}",
        f"{alarms * MONTH_H / hours:.3g}", f"{upper95(alarms, hours / 24):.3g}",
    ]  # fmt: skip
    for shift in shifts:
        flags = np.concatenate([f[shift] for f in found], axis=1)
        first = np.where(flags.any(axis=0), flags.argmax(axis=0) + 1.0, np.inf)
        cells.append(f"{np.isfinite(first).mean():.0%} ({np.median(first):g} h)")
    return f"| {' | '.join(cells)} |"


def made(given: argparse.Namespace, name: str, number: int) -> tuple[Floats, Parts]:
    """History and parts of one replicate of a stream."""
    kind = STREAMS[name]
    rng = np.random.default_rng([given.seed, list(STREAMS).index(name), 9, number])
    world = World.of(kind, HOUR_S, HISTORY_H + 24 * given.days, given.features, rng)
    history = values(kind, world.mean[:HISTORY_H], given.rows, rng)
    day = world.mean[HISTORY_H : HISTORY_H + SHIFT_H]
    parts = {"null": values(kind, world.mean[HISTORY_H:], given.rows, rng)}
    return history, parts | {s: values(kind, day + float(s), given.rows, rng) for s in given.shifts}


class Bench:
    """Asks every tool about every replicate of every stream, and counts what it cost."""

    def __init__(self, given: argparse.Namespace, environments: Path, folder: str) -> None:
        self.given, self.environments, self.folder = given, environments, folder
        self.replicates = [(name, number) for name in given.streams for number in range(given.replicates)]
        self.found: dict[tuple[str, str], list[Told]] = {}  # by stream and tool
        self.cost: dict[str, int] = {}
        self.versions: dict[str, str] = {}

    def run(self) -> None:
        """Ask ours as replicates are made, then one peer after the other; lines come as they are known."""
        for i, (name, number) in enumerate(self.replicates):
            history, parts = made(self.given, name, number)
            written(self.folder, i, history, parts)
            if OURS in self.given.tools:
                with self.costing(OURS):
                    self.take(name, OURS, {p: ours(history, x) for p, x in parts.items()})
        self.say(OURS)
        for tool in (t for t in self.given.tools if t != OURS):
            peer = PEERS[tool]
            asked = [i for i, (_, number) in enumerate(self.replicates) if number < peer.most]
            interpreter = python(self.environments, peer)
            with self.costing(tool):
                self.versions[tool], told = ask(peer, interpreter, self.folder, asked)
            for i, said in zip(asked, told, strict=True):
                self.take(self.replicates[i][0], tool, said)
            self.say(tool)
        self.say(DATASET)

    def take(self, stream: str, tool: str, told: Told) -> None:
        """Keep what a tool said; Evidently's verdict on the table follows from what it says of columns."""
        self.found.setdefault((stream, tool), []).append(told)
        if tool == "Evidently, column":
            self.take(stream, DATASET, {p: f.mean(axis=1, keepdims=True) >= 0.5 for p, f in told.items()})

    def say(self, tool: str) -> None:
        """Print a tool's lines."""
        for stream in self.given.streams:
            if (stream, tool) in self.found:
                print(row(stream, tool, self.found[stream, tool], self.given.shifts), flush=True)

    @contextmanager
    def costing(self, tool: str) -> Iterator[None]:
        """Add the processor time spent within to a tool's, s."""
        before = _cpu_s()
        yield
        self.cost[tool] = self.cost.get(tool, 0) + round(_cpu_s() - before)


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def main() -> None:
    """Run and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", nargs="*", default=["iid", "season", "ar.5", "ar.9", "t3"], choices=list(STREAMS))
    parser.add_argument("--tools", nargs="*", default=[OURS, *PEERS], choices=[OURS, *PEERS])
    parser.add_argument("--replicates", type=int, default=3)
    parser.add_argument("--days", type=int, default=4, help="without a change, in each replicate")
    parser.add_argument("--rows", type=int, default=1000, help="of a window")
    parser.add_argument("--features", type=int, default=10)
    parser.add_argument("--shifts", nargs="*", default=["0.5", "1"], help="in sigma")
    parser.add_argument("--seed", type=int, default=20_261_121)
    parser.add_argument("--environments", type=Path, help="where environments are kept; a temporary folder by default")
    given = parser.parse_args()
    shifts = " | ".join(f"{s} σ found in {SHIFT_H} h (median)" for s in given.shifts)
    print(f"| stream | tool | quiet windows with an alert | latched alarms in 30 d | upper 95 % | {shifts} |")
    print("|---" * (5 + len(given.shifts)) + "|", flush=True)
    with tempfile.TemporaryDirectory() as kept, tempfile.TemporaryDirectory() as folder:
        bench = Bench(given, given.environments or Path(kept), folder)
        bench.run()
    print(json.dumps({"name": "peers", "seed": given.seed, "replicates": given.replicates, "days": given.days,
                      "features": given.features, "rows": given.rows, "cpu_s": bench.cost, "versions": bench.versions}))  # fmt: skip


if __name__ == "__main__":
    main()
