"""How often do rate streams cry wolf, and how soon do they see a rise? METHODS section 10, 5-minute windows.

Every replicate has 60 streams with 28 d of history and 30 d in which nothing changes, judged through
`detectors.rate` with its daily refits, at 1 alarm per 30 d for all 60 together. Some nulls are the
method's own model (Poisson, over-dispersed), most are not. Delays come from a second run in which every
stream rises in the first day after its history.

    python -m bench.rates --replicates 40 --seed 20261121 --processes 1

Seeds from 20261121 on are for reporting; tuning used 1..999.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import log
from multiprocessing import Pool

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from detectors.rate import Trials, Walk
from observe.schema import Evidence, Monitor, Window

Floats = NDArray[np.float64]
Rng = np.random.Generator

STREAMS, HISTORY_D, NULL_D, FOUND_D = 60, 28, 30, 2
STEP_S, DAY = 300, 288  # s; windows
START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
THRESHOLD = log(DAY * NULL_D * STREAMS)  # W N / B: 1 alarm per 30 d


@dataclass(frozen=True)
class Kind:
    """One kind of null: what the share is multiplied by, and the traffic."""

    factor: Callable[[int, int, Rng], Floats]  # (windows, streams)
    rows: str = "1000"
    dispersion: float = np.inf  # k of the gamma mixture in a window
    gaps: bool = False


def one(windows: int, count: int, rng: Rng) -> Floats:
    """A constant share."""
    return np.ones((windows, count))


def wander(rho: float, sigma: float) -> Callable[[int, int, Rng], Floats]:
    """The logarithm of the share is autoregressive with memory `rho` per window and standard deviation `sigma`."""

    def factor(windows: int, count: int, rng: Rng) -> Floats:
        w = rng.standard_normal((windows, count)) * sigma
        w[1:] *= np.sqrt(1 - rho**2)
        for t in range(1, windows):
            w[t] += rho * w[t - 1]
        return np.exp(w)

    return factor


def season(windows: int, count: int, rng: Rng) -> Floats:
    """Half the share at one hour of the day, twice at the other end."""
    t = np.arange(windows)[:, None] - rng.uniform(0, DAY, count)
    return 2 ** np.cos(2 * np.pi * t / DAY)


def weekly(windows: int, count: int, rng: Rng) -> Floats:
    """Half as much again on two days a week, which begin at a midnight of some time zone."""
    t = np.arange(windows)[:, None] + DAY * 100 * 7 - rng.integers(-11, 13, count) * 12
    return np.where(t // DAY % 7 >= 5, 1.5, 1.0)


def clusters(windows: int, count: int, rng: Rng) -> Floats:
    """Spells of some hours every second day; inside one, bursts of 1 to 4 windows, 10 to 40 times the share."""
    found = np.ones((windows, count))
    for i in range(count):
        for start in np.flatnonzero(rng.uniform(size=windows) < 1 / (2 * DAY)):
            spell = int(rng.integers(12, 72))
            at = start + np.flatnonzero(rng.uniform(size=spell) < 1 / 8)
            for low in at:
                found[low : low + int(rng.integers(1, 5)), i] = rng.uniform(10, 40)
    return found


def heavy(windows: int, count: int, rng: Rng) -> Floats:
    """A burst a day, Pareto sizes (index 1.5, from 3 times the share), lengths geometric with mean 2."""
    found = np.ones((windows, count))
    for i in range(count):
        for low in np.flatnonzero(rng.uniform(size=windows) < 1 / DAY):
            found[low : low + int(rng.geometric(0.5)), i] = 1 + 3 * (1 + rng.pareto(1.5))
    return found


def sink(windows: int, count: int, rng: Rng) -> Floats:
    """Season, week and memory at once."""
    return season(windows, count, rng) * weekly(windows, count, rng) * wander(0.7, 0.3)(windows, count, rng)


KINDS = {
    "poisson": Kind(one),
    "negbin": Kind(one, dispersion=2.0),
    "log-ar.7": Kind(wander(0.7, 0.5)),
    "clusters": Kind(clusters),
    "pareto": Kind(heavy),
    "season": Kind(season),
    "weekly": Kind(weekly),
    "traffic": Kind(one, rows="cycle"),
    "gaps": Kind(wander(0.5, 0.3), gaps=True),
    "sink": Kind(sink, rows="cycle", dispersion=5.0, gaps=True),
    "log-ar.99": Kind(wander(0.99, 0.3)),
}


@dataclass(frozen=True)
class Rise:
    """A rise that must be found: kind of stream, share before and after, rows, and the most windows it may take."""

    kind: str
    before: float
    after: float
    rows: int
    gate: float | None


RISES = {
    ".1 % to 1 %": Rise("poisson", 0.001, 0.01, 1000, 3),
    ".1 % to 1 %, log-AR": Rise("log-ar.7", 0.001, 0.01, 1000, 6),
    "1 % to 2 %": Rise("poisson", 0.01, 0.02, 1000, None),
    "1 % to 2 %, over-dispersed": Rise("negbin", 0.01, 0.02, 1000, None),
    "1 % to 2 %, season": Rise("season", 0.01, 0.02, 1000, None),
    "1 % to 2 %, log-AR": Rise("log-ar.7", 0.01, 0.02, 1000, None),
    "1 % to 10 %, clusters": Rise("clusters", 0.01, 0.1, 1000, None),
    "new category, .2 %": Rise("poisson", 0.0, 0.002, 1000, 72),
    "latency over p99, 1.5 times": Rise("poisson", 0.01, 0.015, 2000, 9),
}


def rows(kind: Kind, windows: int, count: int, rng: Rng) -> Floats:
    """Events per window, (windows, streams)."""
    t = np.arange(windows)[:, None]
    if kind.rows == "cycle":  # 10 at night, 50,000 by day
        swing = (1 - np.cos(2 * np.pi * (t - rng.uniform(0, DAY, count)) / DAY)) / 2
        n = np.round(10 * 5000**swing)
    else:
        n = np.full((windows, count), float(kind.rows))
    if kind.gaps:  # 2 % of windows are lost, and one stretch of 6 h in a fortnight
        n[rng.uniform(size=n.shape) < 0.02] = 0.0
        for i in range(count):
            for start in np.flatnonzero(rng.uniform(size=windows) < 1 / (14 * DAY)):
                n[start : start + 72, i] = 0.0
    return n


def observed(kind: Kind, share: Floats, n: Floats, rng: Rng) -> Floats:
    """Bad events per window."""
    mean = np.minimum(share, 0.9) * n
    if np.isfinite(kind.dispersion):
        mean = mean * rng.gamma(kind.dispersion, 1 / kind.dispersion, mean.shape)
    return np.minimum(rng.poisson(mean), n).astype(np.float64)


class Counted(Walk):
    """Judges as the product does and only notes when alarms were raised and what they said."""

    def watch(self) -> "Counted":
        """Walk through all windows; all streams learn at midnight, together."""
        self.slots[:] = 0
        self.raised: list[list[int]] = [[] for _ in self.monitors]
        self.shown: list[list[int]] = [[] for _ in self.monitors]  # alarms of a class that is inform-only
        self.told: list[tuple[float, float, float] | None] = [None] * len(self.monitors)
        self.run()
        return self

    def _tell(self, t: int, end: int, streams: object, nats: object, told: object) -> None:
        for i in np.flatnonzero(self.memory.alarmed).tolist():
            alarm = self.memory.alarms[i]
            if alarm is None:
                continue
            if alarm.at == end:
                normal = self.memory.normals[i]
                (self.shown if normal is not None and normal.missed else self.raised)[i].append(end)
            if len(self.raised[i]) == 1:
                self.told[i] = (alarm.effect, alarm.ci_low, alarm.ci_high)


def judge(x: Floats, n: Floats, judged: int, kind: type["Counted"] | None = None) -> "Counted":
    """Walk over all streams whose last `judged` windows are judged."""
    windows, count = x.shape
    ts = int(START.timestamp()) + STEP_S * np.arange(windows)
    monitors = [
        Monitor(f"m/rate/f{i}/share", "m", "rate", f"m/s/f{i}", f"f{i}", "share", STEP_S, "ticket", THRESHOLD, 1 / STREAMS, None, "ratio")
        for i in range(count)
    ]  # fmt: skip
    trials = {}
    for i, m in enumerate(monitors):
        seen = n[:, i] > 0
        trials[m.monitor_id] = Trials(ts[seen], x[seen, i], n[seen, i])
    end = START + timedelta(seconds=STEP_S * windows)
    window = Window(end - timedelta(seconds=STEP_S * judged), end)
    return (kind or Counted)(monitors, Evidence(tuple(monitors), window, None, {}, {}), trials, STEP_S).watch()  # type: ignore[arg-type]


def null(name: str, replicates: int, seed: int) -> list[tuple[float, float]]:
    """Alarms per replicate in 30 d in which nothing changes, and those that were only shown."""
    kind, rng = KINDS[name], np.random.default_rng([seed, list(KINDS).index(name), 0])
    windows, count = DAY * (HISTORY_D + NULL_D), STREAMS * replicates
    share = np.exp(rng.uniform(log(0.0005), log(0.02), count)) * kind.factor(windows, count, rng)
    n = rows(kind, windows, count, rng)
    walk = judge(observed(kind, share, n, rng), n, DAY * NULL_D)
    loud, shown = (
        np.array([len(v) for v in found]).reshape(replicates, STREAMS).sum(axis=1)
        for found in (walk.raised, walk.shown)
    )
    return [(float(a), float(b)) for a, b in zip(loud, shown, strict=True)]


def delays(name: str, replicates: int, seed: int) -> list[tuple[float, float]]:
    """Windows from a rise to its alarm (infinite when not found in 2 d) and whether the interval told a day later holds the true ratio."""
    rise, rng = RISES[name], np.random.default_rng([seed, list(RISES).index(name), 1])
    kind = KINDS[rise.kind]
    judged = DAY * (1 + FOUND_D)
    windows, count = DAY * HISTORY_D + judged, STREAMS * replicates
    at = windows - judged + rng.integers(1, DAY, count)
    after = np.arange(windows)[:, None] >= at
    n = np.full((windows, count), float(rise.rows))
    share = np.where(after, rise.after, rise.before) * kind.factor(windows, count, rng)
    walk = judge(observed(kind, share, n, rng), n, judged)
    begun = int(START.timestamp()) + STEP_S * at
    found = []
    for i, times in enumerate(walk.raised):
        if times and times[0] <= begun[i]:
            continue  # a false alarm before the rise
        late = (times[0] - begun[i]) / STEP_S if times else np.inf
        told = walk.told[i]
        ratio = rise.after / rise.before if rise.before else np.nan
        found.append((late, float(told is not None and told[1] <= ratio <= told[2])))  # NaN: nothing to hold
    return found


def work(job: tuple[str, int, int]) -> tuple[str, list[tuple[float, float]]]:
    """One piece: a null or a rise, replicates, seed."""
    name, replicates, seed = job
    return name, null(name, replicates, seed) if name in KINDS else delays(name, replicates, seed)


def jobs(names: list[str], replicates: int, seed: int, whats: list[str]) -> list[tuple[str, int, int]]:
    """A tenth as many replicates of each rise, then nulls by single replicates, taking turns."""
    found = [(name, 1, seed + k) for k in range(replicates) for name in names] if "null" in whats else []
    rises = [name for name, rise in RISES.items() if rise.kind in names] if "delay" in whats else []
    return [(name, 1, seed + k) for k in range(max(1, replicates // 10)) for name in rises] + found


def nulls(results: dict[str, list[tuple[float, float]]]) -> None:
    """Print false alarms by kind of stream."""
    print(
        "| stream | replicates | alarms per 30 d | upper 95 % | <= 1 | only shown, per 30 d |\n|---|---|---|---|---|---|"
    )
    for name in (n for n in KINDS if results.get(n)):
        loud, shown = np.array(results[name]).T
        upper = float(gammaincinv(loud.sum() + 1, 0.95)) / loud.size
        print(
            f"| {name} | {loud.size} | {loud.mean():.3f} | {upper:.3f} | {'yes' if upper <= 1 else 'NO'} | {shown.mean():.3f} |"
        )


def rises(results: dict[str, list[tuple[float, float]]]) -> None:
    """Print delays by rise."""
    print("| rise | median windows (90 %) | found in 2 d | interval holds the ratio | gate |\n|---|---|---|---|---|")
    for name in (n for n in RISES if results.get(n)):
        late, held = np.array(results[name]).T
        seen, gate = np.isfinite(late), RISES[name].gate
        middle = np.quantile(late, 0.5, method="inverted_cdf")
        verdict = "–" if gate is None else f"<= {gate:g}: {'met' if middle <= gate else 'MISSED'}"
        cover = f"{held[seen].mean():.2f}" if seen.any() and RISES[name].before else "–"
        high = np.quantile(late, 0.9, method="inverted_cdf")
        print(f"| {name} | {middle:g} ({high:g}) | {seen.mean():.2f} | {cover} | {verdict} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=40)
    parser.add_argument("--seed", type=int, default=20_261_121)
    parser.add_argument("--streams", nargs="*", default=list(KINDS))
    parser.add_argument("--what", nargs="*", default=["null", "delay"])
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after that long with what there is")
    given = parser.parse_args()
    begun = time.perf_counter()
    results: dict[str, list[tuple[float, float]]] = {}
    with Pool(given.processes) as pool:
        for name, found in pool.imap_unordered(work, jobs(given.streams, given.replicates, given.seed, given.what)):
            results.setdefault(name, []).extend(found)
            if name in KINDS:
                print(
                    f"{name}: {sum(a for a, _ in results[name]):g} alarms in {len(results[name])} x {NULL_D} d",
                    file=sys.stderr,
                    flush=True,
                )
            if time.perf_counter() - begun > given.seconds:
                break
    nulls(results)
    rises(results)
    figure = {name: sum(a for a, _ in results[name]) for name in KINDS if name in results}
    print(json.dumps({
        "name": "false alarms of rates", "figure": figure, "unit": f"alarms in {given.replicates} x 30 d",
        "seed": given.seed, "seconds": round(time.perf_counter() - begun),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
