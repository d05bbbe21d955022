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

What each tool said of each replicate is appended to `--out`, a line each, as soon as it is known. A run that was
stopped goes on where it stopped, and `--table` adds up the files of several runs, other seeds or tools among them.

    python -m bench.peers --replicates 3 --seed 20261121 --out peers.jsonl [--streams iid season ar.5 ar.9 t3]
                          [--features 10] [--rows 1000] [--shifts 0.5 1] [--environments DIR]
    python -m bench.peers --table peers.jsonl more.jsonl

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
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
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


@dataclass(frozen=True)
class Said:
    """What a tool said of one replicate: a line of the record."""

    stream: str
    tool: str
    seed: int
    features: int
    rows: int
    version: str
    cpu_s: float
    hours: int  # in which nothing changed
    alerted: int  # of them, with an alert on any feature
    latched: int  # alarms in them
    delays: dict[str, list[int | None]] = field(default_factory=dict)  # h by shift and feature, None where not found

    @property
    def key(self) -> tuple[str, str, int, int, int]:
        """Which question it answers."""
        return self.stream, self.tool, self.seed, self.features, self.rows


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


def written(folder: str, history: Floats, parts: Parts) -> None:
    """A replicate as files that every peer reads."""
    whole = table(history)
    shown = {"history": whole, "sample": whole.sample(min(whole.height, SAMPLE), seed=1)}
    for name, rows in (shown | {name: table(x) for name, x in parts.items()}).items():
        np.save(f"{folder}/{name}.npy", rows.to_numpy())
    Path(folder, "said.json").write_text(json.dumps({"parts": list(parts), "names": whole.columns[1:]}))


def ask(peer: Peer, interpreter: str, folder: str) -> tuple[str, Told]:
    """A peer's version, and what it says of a replicate by part."""
    said = json.loads(Path(folder, "said.json").read_text()) | {"package": peer.package}
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
    return found["version"], {p: np.array(rows, dtype=bool) for p, rows in found["told"].items()}


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


def counted(stream: str, tool: str, told: Told, given: argparse.Namespace, version: str, cpu_s: float) -> Said:
    """What is kept of a tool's alerts."""
    quiet = told["null"]
    delays = {s: [int(f.argmax()) + 1 if f.any() else None for f in told[s].T] for s in given.shifts}
    return Said(
        stream, tool, given.seed, given.features, given.rows, version, round(cpu_s, 1), len(quiet),
        int(quiet.any(axis=1).sum()), latched(quiet), delays,
    )  # fmt: skip


def dataset(told: Told) -> Told:
    """Evidently's verdict on the table follows from what it says of columns."""
    return {p: flags.mean(axis=1, keepdims=True) >= 0.5 for p, flags in told.items()}


def row(stream: str, tool: str, found: Sequence[Said]) -> str:
    """A line of the table, over replicates."""
    hours, alarms = sum(s.hours for s in found), sum(s.latched for s in found)
    cells = [
        stream, tool, str(len(found)), f"{sum(s.alerted for s in found) / hours:.1%}", str(alarms),
        f"{alarms * MONTH_H / hours:.3g}", f"{upper95(alarms, hours / 24):.3g}",
    ]  # fmt: skip
    delays = []
    for shift in sorted({shift for s in found for shift in s.delays}, key=float):
        first = np.array([np.inf if d is None else d for s in found for d in s.delays.get(shift, [])])
        delays.append(f"{shift} σ: {np.isfinite(first).mean():.0%} of {first.size} ({np.median(first):g} h)")
    return f"| {' | '.join([*cells, '; '.join(delays)])} |"


def tabled(lines: Sequence[str]) -> str:
    """The table of all lines; the same question answered twice counts once.

    >>> said = Said("iid", OURS, 1, 10, 1000, "", 0.0, 96, 0, 0, {"1": [4, None]})
    >>> print(tabled([json.dumps(asdict(said))] * 2).splitlines()[-1])
    | iid | observe backtest, 1 per 30 d | 1 | 0.0% | 0 | 0 | 22.5 | 1 σ: 50% of 2 (inf h) |
    """
    said = {s.key: s for s in (Said(**json.loads(line)) for line in lines)}
    by: dict[tuple[str, str], list[Said]] = defaultdict(list)
    for s in said.values():
        by[s.stream, s.tool].append(s)
    order = [*STREAMS], [OURS, "Evidently, column", DATASET, *PEERS]
    ranked = sorted(by, key=lambda k: (order[0].index(k[0]), order[1].index(k[1])))
    head = "| stream | tool | replicates | quiet windows with an alert | latched alarms | in 30 d | upper 95 % | found in 24 h (median) |"
    return "\n".join([head, "|---" * 8 + "|", *(row(*k, by[k]) for k in ranked)])


def made(given: argparse.Namespace, name: str) -> tuple[Floats, Parts]:
    """History and parts of one replicate of a stream."""
    kind = STREAMS[name]
    rng = np.random.default_rng([given.seed, list(STREAMS).index(name), 9, 0])
    world = World.of(kind, HOUR_S, HISTORY_H + 24 * given.days, given.features, rng)
    history = values(kind, world.mean[:HISTORY_H], given.rows, rng)
    day = world.mean[HISTORY_H : HISTORY_H + SHIFT_H]
    parts = {"null": values(kind, world.mean[HISTORY_H:], given.rows, rng)}
    return history, parts | {s: values(kind, day + float(s), given.rows, rng) for s in given.shifts}


def replicate(given: argparse.Namespace, name: str, tools: Sequence[str], environments: Path) -> None:
    """Ask some tools about one replicate of a stream; what each says is kept at once."""
    with tempfile.TemporaryDirectory() as folder:
        history, parts = made(given, name)
        written(folder, history, parts)
        for tool in tools:
            if tool == OURS:
                begun = _cpu_s()
                version, told = "", {p: ours(history, x) for p, x in parts.items()}
            else:
                interpreter = python(environments, PEERS[tool])
                begun = _cpu_s()
                version, told = ask(PEERS[tool], interpreter, folder)
            cost = _cpu_s() - begun
            keep(given.out, counted(name, tool, told, given, version, cost))
            if tool == "Evidently, column":
                keep(given.out, counted(name, DATASET, dataset(told), given, version, 0.0))


def keep(out: Path, said: Said) -> None:
    """Append a line and print it."""
    with out.open("a") as file:
        print(json.dumps(asdict(said)), file=file, flush=True)
    print(f"{said.seed} {row(said.stream, said.tool, [said])} {said.cpu_s:g} s", file=sys.stderr, flush=True)


def missing(given: argparse.Namespace, name: str, number: int) -> list[str]:
    """Tools that have not spoken of a replicate yet."""
    lines = given.out.read_text().splitlines() if given.out.exists() else []
    known = {Said(**json.loads(line)).key for line in lines}
    wanted = [t for t in given.tools if t == OURS or number < PEERS[t].most]
    return [t for t in wanted if (name, t, given.seed, given.features, given.rows) not in known]


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
    parser.add_argument("--seed", type=int, default=20_261_121, help="of the first replicate")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no replicate after that long")
    parser.add_argument("--environments", type=Path, help="where environments are kept; a temporary folder by default")
    parser.add_argument("--out", type=Path, default=Path("peers.jsonl"))
    parser.add_argument("--table", type=Path, nargs="*")
    given, begun = parser.parse_args(), time.perf_counter()
    with tempfile.TemporaryDirectory() as kept:
        for number in range(0 if given.table else given.replicates):
            for name in given.streams:
                tools = missing(given, name, number)
                if tools and time.perf_counter() - begun < given.seconds:
                    replicate(given, name, tools, given.environments or Path(kept))
            given.seed += 1
    print(tabled([line for path in given.table or [given.out] for line in path.read_text().splitlines()]))


if __name__ == "__main__":
    main()
