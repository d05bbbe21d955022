"""How often do level streams cry wolf, and how soon do they see a shift? METHODS section 10, hourly, location.

Every replicate has 60 features with 28 d of history and 30 d in which nothing changes, judged through
`detectors.level` with its daily refits, at 1 alarm per 30 d for all 60 together (120 one-sided streams).
Summaries are multinomial counts on 64 equal-mass bins around a latent mean. Delays come from a second
run in which every feature shifts at an hour of day 30 of its own.

    python -m bench.false_alarms --replicates 40 --seed 20261121 --processes 2

Seeds from 20261121 on are for reporting; tuning used 1..999.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import log
from multiprocessing import Pool

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv, ndtr, ndtri, stdtr, stdtrit

from detectors import scores
from detectors.level import Walk
from detectors.series import Series
from observe.schema import Binning, Evidence, Monitor, Window

Floats = NDArray[np.float64]

FEATURES, HISTORY_D, NULL_D, SHIFT_D = 60, 28, 30, 6
BINS = 64
START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
THRESHOLD = log(24 * NULL_D * 2 * FEATURES)  # W N / B: 1 alarm per 30 d
GIVEN_UP_H = 120


@dataclass(frozen=True)
class Stream:
    """One kind of series: rows per window, memory, wander and season in sigma."""

    rows: str = "1000"
    rho: float = 0.5
    tau: float = 0.1
    season: float = 0.0
    weekend: float = 0.0
    heavy: bool = False  # values and innovations t3
    innovations: bool = False  # innovations t3
    gaps: bool = False


STREAMS = {
    "iid": Stream(rho=0.0, tau=0.0),
    "ar.5": Stream(),
    "ar.9": Stream(rho=0.9),
    "season": Stream(tau=0.03, season=0.3, weekend=-0.1),
    "lognormal": Stream(innovations=True),
    "t3": Stream(heavy=True, innovations=True),
    "traffic": Stream(rows="cycle", tau=0.05),
    "lowtraffic": Stream(rows="20"),
    "sink": Stream("cycle", 0.7, 0.07, 0.2, 0.1, heavy=True, innovations=True, gaps=True),
}
GATES = {"season": (6, 6), "traffic": (8, 6), "t3": (16, 6), "ar.5": (18, 6), "sink": (15, 6), "ar.9": (87, 18.5)}


def latent(kind: Stream, hours: int, count: int, rng: np.random.Generator) -> Floats:
    """Latent means in sigma, (hours, count)."""
    eta = rng.standard_t(3, (hours, count)) / np.sqrt(3) if kind.innovations else rng.standard_normal((hours, count))
    eta *= kind.tau * np.sqrt(1 - kind.rho**2)
    w = np.zeros((hours, count))
    w[0] = kind.tau * rng.standard_normal(count)
    for t in range(1, hours):
        w[t] = kind.rho * w[t - 1] + eta[t]
    h = np.arange(hours)[:, None]
    phase = rng.uniform(0, 24, count)
    return w + kind.season * np.cos(2 * np.pi * (h - phase) / 24) + kind.weekend * (h // 24 % 7 >= 5)


def rows(kind: Stream, hours: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows per window, (hours, count)."""
    if kind.rows != "cycle":
        n = np.full((hours, count), int(kind.rows))
    else:  # 10 at night, 50,000 by day
        h = np.arange(hours)[:, None]
        swing = (1 - np.cos(2 * np.pi * (h - rng.uniform(0, 24, count)) / 24)) / 2
        n = np.round(10 * 5000**swing).astype(np.int64)
    if kind.gaps:  # 2 % of windows are lost, and one stretch of 6 h in a fortnight
        n = np.where(rng.uniform(size=n.shape) < 0.02, 0, n)
        for i in range(count):
            for start in np.flatnonzero(rng.uniform(size=hours) < 1 / (14 * 24)):
                n[start : start + 6, i] = 0
    return n


def observed(kind: Stream, mu: Floats, n: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """Sum of scores per window, (hours, count), from multinomial counts on the reference's bins."""
    inner = np.arange(1, BINS) / BINS
    edges = stdtrit(3, inner) / np.sqrt(3) if kind.heavy else ndtri(inner)
    a = scores.weights(np.ones(BINS) * 1000)
    total = np.zeros(mu.shape)
    for i in range(mu.shape[1]):
        x = edges[None, :] - mu[:, i, None]
        below = stdtr(3, x * np.sqrt(3)) if kind.heavy else ndtr(x)
        p = np.diff(np.concatenate([np.zeros((len(mu), 1)), below, np.ones((len(mu), 1))], axis=1), axis=1)
        total[:, i] = rng.multinomial(n[:, i], np.clip(p, 0, 1)) @ a
    return total


class Counted(Walk):
    """Judges as the product does and only notes when alarms were raised."""

    def watch(self) -> dict[str, list[int]]:
        """Ends of windows in which alarms were raised, by monitor."""
        self.slots[:] = 0  # all at midnight: one batch of fits a day
        self.raised: dict[str, list[int]] = {m.monitor_id: [] for m in self.monitors}
        self.run()
        return self.raised

    def _tell(self, i: int, end: int, nats: object, judged: object) -> None:
        alarm = self.memory.alarms[i]
        if alarm is not None and alarm.at == end:
            self.raised[self.monitors[i].monitor_id].append(end)


def judge(total: Floats, n: NDArray[np.int64], judged_h: int) -> "Counted":
    """A walk over all streams whose last `judged_h` hours are judged."""
    hours, count = total.shape
    binning = Binning(
        "m/s/f@1",
        "m",
        "s",
        "f",
        "numeric",
        1,
        (),
        None,
        (1000,) * BINS,
        tuple(float(k) for k in range(101)),
        None,
        None,
        START,
    )
    ts = int(START.timestamp()) + 3600 * np.arange(hours)
    found, monitors = {}, []
    for i in range(count):
        seen = n[:, i] > 0
        found[f"m/s/f{i}"] = Series(
            ts[seen], total[seen, i], n[seen, i].astype(float), np.zeros((int(seen.sum()), 10)), binning
        )
        monitors.append(
            Monitor(
                f"m/level/f{i}/location",
                "m",
                "level",
                f"m/s/f{i}",
                f"f{i}",
                "location",
                3600,
                "ticket",
                THRESHOLD,
                1 / (2 * FEATURES),
                0.1,
                "sigma",
            )
        )
    end = START + timedelta(hours=hours)
    evidence = Evidence(tuple(monitors), Window(end - timedelta(hours=judged_h), end), None, {}, {})  # type: ignore[arg-type]
    return Counted(monitors, evidence, found, 3600, {})


def null(name: str, replicates: int, seed: int) -> list[int]:
    """Alarms per replicate in 30 d in which nothing changes."""
    kind, rng = STREAMS[name], np.random.default_rng([seed, list(STREAMS).index(name), 0])
    hours, count = 24 * (HISTORY_D + NULL_D), FEATURES * replicates
    n = rows(kind, hours, count, rng)
    raised = judge(observed(kind, latent(kind, hours, count, rng), n, rng), n, 24 * NULL_D).watch()
    alarms = np.array([len(v) for v in raised.values()])
    return [int(v) for v in alarms.reshape(replicates, FEATURES).sum(axis=1)]


def delays(name: str, replicates: int, seed: int, size: float) -> list[float]:
    """Windows from a shift of `size` sigma to its alarm, infinite when not found in 120 h; streams that alarmed before are left out."""
    kind, rng = STREAMS[name], np.random.default_rng([seed, list(STREAMS).index(name), int(1000 * size)])
    judged = 24 * (1 + SHIFT_D)
    hours, count = 24 * HISTORY_D + judged, FEATURES * replicates
    n, mu = rows(kind, hours, count, rng), latent(kind, hours, count, rng)
    at = hours - judged + rng.integers(1, 24, count)
    mu += size * (np.arange(hours)[:, None] >= at)
    raised = judge(observed(kind, mu, n, rng), n, judged).watch()
    begun = int(START.timestamp()) + 3600 * at
    found = []
    for i, times in enumerate(raised.values()):
        if not times or times[0] > begun[i]:
            late = (times[0] - begun[i]) / 3600 if times else np.inf
            found.append(late if late <= GIVEN_UP_H else np.inf)
    return found


def work(job: tuple[str, str, int, int]) -> tuple[str, str, list[float]]:
    name, what, replicates, seed = job
    return name, what, null(name, replicates, seed) if what == "null" else delays(name, replicates, seed, float(what))


def jobs(
    names: list[str], replicates: int, seed: int, at_once: int, whats: list[str]
) -> list[tuple[str, str, int, int]]:
    """Pieces of work: stream, null or size of the shift, replicates, seed; streams take turns."""
    found = []
    for what in whats:
        many = replicates if what == "null" else max(1, replicates // 4)
        found += [(name, what, min(at_once, many - k), seed + k) for k in range(0, many, at_once) for name in names]
    return found


def table(results: dict[str, dict[str, list[float]]], replicates: int) -> None:
    print(
        "| stream | alarms per 30 d | upper 95 % | ≤ 1 | .25 σ median windows (in 24 h) | .5 σ median (in 24 h) | gates |\n|---|---|---|---|---|---|---|"
    )
    for name, found in results.items():
        alarms = found.get("null", [])
        upper = float(gammaincinv(sum(alarms) + 1, 0.95)) / len(alarms) if alarms else np.nan
        told = [_told(found.get(size, [])) for size in ("0.25", "0.5")]
        gate = GATES.get(name)
        print(
            f"| {name} | {np.mean(alarms) if alarms else float('nan'):.3f} | {upper:.3f} | {'–' if not alarms else 'yes' if upper <= 1 else 'NO'} | {told[0]} | {told[1]} | {gate or ''} |"
        )


def _told(found: list[float]) -> str:
    if not found:
        return "–"
    d = np.array(found)
    return f"{np.median(d):g} ({np.mean(d <= 24):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=40)
    parser.add_argument("--seed", type=int, default=20_261_121)
    parser.add_argument("--streams", nargs="*", default=list(STREAMS))
    parser.add_argument("--what", nargs="*", default=["null", "0.25", "0.5"])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--at-once", type=int, default=3)
    given = parser.parse_args()
    begun = time.perf_counter()
    results: dict[str, dict[str, list[float]]] = {name: {} for name in given.streams}
    with Pool(given.processes) as pool:
        for name, what, found in pool.imap_unordered(
            work, jobs(given.streams, given.replicates, given.seed, given.at_once, given.what)
        ):
            results[name].setdefault(what, []).extend(found)
            if what == "null":
                print(f"{name}: {sum(found):g} alarms in {len(found)} x {NULL_D} d", file=sys.stderr, flush=True)
    table(results, given.replicates)
    figure = {name: sum(f.get("null", [])) for name, f in results.items()}
    print(
        json.dumps(
            {
                "name": "false alarms",
                "figure": figure,
                "unit": f"alarms in {given.replicates} x 30 d",
                "seed": given.seed,
                "seconds": round(time.perf_counter() - begun),
            }
        )
    )


if __name__ == "__main__":
    main()
