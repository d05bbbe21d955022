"""How often do level streams cry wolf, and how soon do they see a shift? METHODS section 10.

Every replicate has 28 d of history and, for false alarms, 30 d in which nothing changes, judged through
`detectors.level` with its daily refits. Three budgets of 1 alarm per 30 d are held apart, each spent as a
site spends it: `null` on the location of 60 features, `others` on their spread, third and fourth scores,
`quick` on five-minute windows of 30 features. Of their own are `shares`, four levels of 60 features (not of `lowtraffic`:
a level with fewer than 50 rows an hour is a rate), and `pairs`, 60 correlations that wander as the means of other streams
do. Delays come from further runs in which every feature shifts
at an hour of day 30 of its own, at once (`0.25`) or over three days (`ramp0.5`); beside them stands an
oracle that knows everything but when, at the same threshold. `spread1.2` widens every feature 1.2 times instead:
does the interval of the spread's effect hold what the score shows on average, and does the ratio that people are
told hold 1.2? There is no oracle of that.

    python -m bench.false_alarms --replicates 40 --seed 20261121 --processes 2 --out calibration.jsonl
    python -m bench.false_alarms --table calibration.jsonl

Seeds from 20261121 on are for reporting; tuning used 1..999.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from scipy.special import gammaincinv

from bench import streams, walks
from bench.streams import STREAMS, World
from bench.walks import NULL_D, START, Raised, Watch
from detectors.effects import told

HISTORY_D, SHIFT_D = 28, 6
GIVEN_UP_H = 120
WATCHES = {
    "null": Watch({"location": 1.0}, 60),
    "others": Watch({"spread": 2.0, "third": 0.5, "fourth": 0.5}, 60),
    "quick": Watch({"location": 1.0}, 30, 300, 1.0),
    "shares": Watch(dict.fromkeys(walks.LEVELS, 1.0), 60),
    "pairs": Watch({"pair": 1.0}, 60),
}
COVERED = ("covered at first", "covered at last", "onset covered")
SHIFTS = ("0.25", "0.5", "ramp0.5")
SPREADS = ("spread1.2", "spread1.4")
WIDENED = Watch({"spread": 1.0}, 90)  # 60 features whose spread has two thirds of the alarm, as in `others`
GATES = {"season": (6, 6), "traffic": (8, 6), "t3": (16, 6), "ar.5": (18, 6), "sink": (15, 6), "ar.9": (87, 18.5)}

Job = tuple[str, str, int, int]  # stream, question, replicates, seed
Found = dict[str, list[float]]


def null(name: str, question: str, replicates: int, seed: int) -> Found:
    """Alarms per replicate in 30 d in which nothing changes."""
    watch = WATCHES[question]
    rng = np.random.default_rng([seed, list(STREAMS).index(name), list(WATCHES).index(question)])
    day = 86_400 // watch.window_s
    world = World.of(STREAMS[name], watch.window_s, day * (HISTORY_D + NULL_D), watch.features * replicates, rng)
    names = ("pair",) if question == "pairs" else tuple(dict.fromkeys(("location", *watch.weights)))
    sums = walks.products(world, rng) if question == "pairs" else walks.totals(world, world.mean, names, rng)
    raised = walks.judge(world, sums, names, watch, day * NULL_D)
    alarms = np.array([len(found) for found in raised]).reshape(replicates, -1, len(watch.weights))
    return {score: alarms[:, :, k].sum(axis=1).tolist() for k, score in enumerate(watch.weights)}


def shifted(name: str, question: str, replicates: int, seed: int) -> Found:
    """Windows from a shift to its alarm and to the oracle's, infinite when later than 120 h, and whether intervals held it.

    Streams that alarmed before the shift are left out.
    """
    size = float(question.removeprefix("ramp"))
    shape = streams.ramp(size) if question.startswith("ramp") else streams.abrupt(size)
    rng = np.random.default_rng([seed, list(STREAMS).index(name), 1000 + SHIFTS.index(question)])
    watch, judged = WATCHES["null"], 24 * (1 + SHIFT_D)
    hours, count = 24 * HISTORY_D + judged, watch.features * replicates
    world = World.of(STREAMS[name], streams.HOUR_S, hours, count, rng)
    at = hours - judged + rng.integers(1, 24, count)
    since = np.arange(hours)[:, None] - at
    mean = world.mean + np.where(since >= 0, shape(since.astype(float)), 0.0)
    sums = walks.totals(world, mean, ("location",), rng)
    raised = walks.judge(world, sums, ("location",), watch, judged)
    y = sums[:, :, 0] / np.maximum(world.n, 1)
    effect = float(streams.seen(world.kind, np.array([size]))[0])
    best = streams.oracle(world, y, hours - judged, lambda h: shape(h) * effect / size, watch.threshold("location"))
    found: Found = defaultdict(list)
    for i, own in enumerate(raised):
        begun = int(START.timestamp()) + 3600 * int(at[i])
        if not own or own[0].at > begun:
            for what, value in _compared(own, begun, float(best[i] + 1 - at[i]), effect).items():
                found[what].append(value)
    return dict(found)


def widened(name: str, question: str, replicates: int, seed: int) -> Found:
    """As `shifted`, of features that spread wider; whether intervals held the effect on the score, and the ratio."""
    ratio = float(question.removeprefix("spread"))
    rng = np.random.default_rng([seed, list(STREAMS).index(name), 2000 + SPREADS.index(question)])
    judged = 24 * (1 + SHIFT_D)
    hours, count = 24 * HISTORY_D + judged, 60 * replicates
    world = World.of(STREAMS[name], streams.HOUR_S, hours, count, rng)
    at = hours - judged + rng.integers(1, 24, count)
    scale = np.where(np.arange(hours)[:, None] >= at, ratio, 1.0)
    names = ("location", "spread")
    raised = walks.judge(world, walks.totals(world, world.mean, names, rng, scale), names, WIDENED, judged)
    effect = streams.seen_spread(world.kind, ratio) - streams.seen_spread(world.kind, 1.0)
    found: Found = defaultdict(list)
    for i, own in enumerate(raised):
        begun = int(START.timestamp()) + 3600 * int(at[i])
        if not own or own[0].at > begun:
            compared = _compared(own, begun, np.nan, effect)
            if "covered at last" in compared:
                alarm = own[0].alarm
                low, high = (told("spread", walks.BINNING, 0.0, v) for v in (alarm.ci_low, alarm.ci_high))
                compared["ratio covered"] = float(low <= ratio <= high)
            for what, value in compared.items():
                found[what].append(value)
    return dict(found)


def _compared(raised: list[Raised], begun: int, oracle: float, effect: float) -> dict[str, float]:
    late = (raised[0].at - begun) / 3600 if raised else np.inf
    found = {"delay": late if late <= GIVEN_UP_H else np.inf}
    if not np.isnan(oracle):
        found["oracle"] = oracle if 0 < oracle <= GIVEN_UP_H else np.inf
    if raised and late <= GIVEN_UP_H:
        alarm = raised[0].alarm
        found |= {
            "covered at first": float(raised[0].ci_low <= effect <= raised[0].ci_high),
            "covered at last": float(alarm.ci_low <= effect <= alarm.ci_high),
            "onset covered": float(alarm.low <= begun <= alarm.high),
        }
    return found


def work(job: Job) -> tuple[Job, Found]:
    """One piece of work."""
    return job, (null if job[1] in WATCHES else widened if job[1] in SPREADS else shifted)(*job)


def jobs(given: argparse.Namespace) -> Iterator[Job]:
    """Pieces of work: all questions of few replicates first, then more, so that it can be stopped at any time."""
    for k in range(0, given.replicates, given.at_once):
        for question in given.what:
            many = given.replicates if question in WATCHES else max(1, given.replicates // 4)
            for name in given.streams:
                if k < many:
                    yield name, question, min(given.at_once, many - k), given.seed + k


def upper(alarms: list[float]) -> float:
    """Upper 95 % bound of the alarms per 30 d, Poisson."""
    return float(gammaincinv(sum(alarms) + 1, 0.95)) / len(alarms) if alarms else float("nan")


def table(lines: list[str]) -> None:
    """Print what was found as Markdown."""
    found: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for line in lines:
        said = json.loads(line)
        for what, values in said["found"].items():
            found[said["stream"], said["question"], what] += [float(v) for v in values]
    print(
        "| stream | budget | score | replicates | alarms per 30 d | upper 95 % | ≤ 1 |\n|---|---|---|---|---|---|---|"
    )
    for (name, question, score), values in sorted(found.items()):
        if question in WATCHES:
            told = "yes" if upper(values) <= 1 else "NO"
            print(
                f"| {name} | {question} | {score} | {len(values)} | {np.mean(values):.3f} | {upper(values):.3f} | {told} |"
            )
    print(
        "\n| stream | shift | found | median windows (in 24 h) | gate | oracle | ratio | 95 % interval holds the size, at first / at last | the start |\n|---|---|---|---|---|---|---|---|---|"
    )
    for (name, question, what), values in sorted(found.items()):
        if what == "delay" and question in SPREADS:
            part = {k: found.get((name, question, k), []) for k in (*COVERED, "ratio covered")}
            print(f"| {name} | {question} | {_widened(np.array(values), part)} |")
        elif what == "delay":
            told_ = ("oracle",) if question.startswith("ramp") else ("oracle", *COVERED)  # a ramp has no one size
            part = {k: found.get((name, question, k), []) for k in told_}
            print(f"| {name} | {question} σ | {_row(name, question, np.array(values), part)} |")


def _row(name: str, question: str, delay: "np.ndarray[tuple[int], np.dtype[np.float64]]", part: Found) -> str:
    best, own = float(np.median(part["oracle"])), float(np.median(delay))
    gate = GATES.get(name, ("", ""))[("0.25", "0.5").index(question)] if question in ("0.25", "0.5") else "1.5 x oracle"
    shares = [f"{np.mean(part[k]):.2f}" if part.get(k) else "–" for k in COVERED]
    return f"{delay.size} | {own:g} ({np.mean(delay <= 24):.2f}) | {gate} | {best:g} | {own / best:.2f} | {shares[0]} / {shares[1]} | {shares[2]}"


def _widened(delay: "np.ndarray[tuple[int], np.dtype[np.float64]]", part: Found) -> str:
    shares = [f"{np.mean(part[k]):.2f}" if part.get(k) else "–" for k in (*COVERED, "ratio covered")]
    return f"{delay.size} | {np.median(delay):g} ({np.mean(delay <= 24):.2f}) | | – | – | {shares[0]} / {shares[1]}, ratio {shares[3]} | {shares[2]}"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=40)
    parser.add_argument("--seed", type=int, default=20_261_121)
    parser.add_argument("--streams", nargs="*", default=list(STREAMS))
    parser.add_argument("--what", nargs="*", default=[*SHIFTS, "null", "others", "quick"])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--at-once", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after that long with what there is")
    parser.add_argument("--out", type=Path, default=Path("calibration.jsonl"))
    parser.add_argument("--table", type=Path, nargs="*")
    given = parser.parse_args()
    if given.table:
        table([line for path in given.table for line in path.read_text().splitlines()])
        return
    begun = time.perf_counter()
    with Pool(given.processes) as pool, given.out.open("a") as out:
        for (name, question, replicates, seed), found in pool.imap_unordered(work, jobs(given)):
            said = {"stream": name, "question": question, "replicates": replicates, "seed": seed, "found": found}
            print(json.dumps(said), file=out, flush=True)
            alarms = {k: sum(v) for k, v in found.items()} if question in WATCHES else len(found["delay"])
            print(f"{name} {question}: {alarms} in {replicates} replicates", file=sys.stderr, flush=True)
            if time.perf_counter() - begun > given.seconds:
                break
    table(given.out.read_text().splitlines())


if __name__ == "__main__":
    main()
