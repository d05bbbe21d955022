"""How often is a GPU called a straggler while none is, and how soon is one found?

`python -m bench.straggler [--seeds 1..20] [--days 20] [--detect]`: fleets of streams that are not the detector's
model: inference where devices are busy at different times, with the day's season; training whose heavy-tailed
steps all share; devices that are always a little slower, hotter or on a worse link.
Prints a JSON line a kind: alarms in 30 d of the whole fleet, with the upper 95 % bound, beside what is promised.
"""

import argparse
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import log
from time import perf_counter

import numpy as np
import polars as pl
from scipy.special import gammaincinv

from detectors import straggler
from observe.schema import Evidence, Json, Monitor, Window

T0 = datetime(2026, 3, 2, tzinfo=UTC)
WINDOW, PER_DAY = timedelta(minutes=5), 288
PERIOD_S, SHARE = 7 * 86_400.0, 0.1 / 4  # one ticket a week, a quarter of the fleet's tenth
MONITOR = Monitor(
    "site/straggler/gpu", "site", "straggler", "", "gpu", "straggler", 900, "ticket", log(PERIOD_S / 900 / SHARE), SHARE
)
PROMISED = 30 * 86_400 / PERIOD_S * SHARE
KINDS = ("inference", "sessions", "training", "season")
Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def remembering(rng: np.random.Generator, shape: tuple[int, int], rho: float, tail: float | None = None) -> Floats:
    """AR(1) of variance 1 along the first axis; Student tails where `tail` says how heavy."""
    shocks = rng.standard_normal(shape) if tail is None else rng.standard_t(tail, shape) / np.sqrt(tail / (tail - 2))
    x = np.empty(shape)
    x[0] = shocks[0]
    for t in range(1, shape[0]):
        x[t] = rho * x[t - 1] + np.sqrt(1 - rho * rho) * shocks[t]
    return x


def load(rng: np.random.Generator, kind: str, t: int, g: int) -> Floats:
    """Busy share of each device, (t, g)."""
    day = 0.5 + 0.35 * np.sin(2 * np.pi * np.arange(t)[:, None] / PER_DAY + 0.3)
    if kind == "inference":  # a balancer that forgets slowly; bursts of its own on every device
        bursts = np.exp(0.6 * remembering(rng, (t, g), 0.85))
        return np.clip(day * bursts / np.exp(0.18), 0, 1)
    if kind == "sessions":  # each device is taken and given back: on for hours, idle for hours
        return np.clip(np.where(_sessions(rng, t, g), 0.9, 0.02) + 0.03 * rng.standard_normal((t, g)), 0, 1)
    if kind == "season":  # devices that follow the day more or less, by phase and depth
        depth, phase = rng.uniform(0.1, 0.4, g), rng.normal(0, 0.5, g)
        own = 0.55 + depth * np.sin(2 * np.pi * np.arange(t)[:, None] / PER_DAY + phase)
        return np.clip(own + 0.05 * remembering(rng, (t, g), 0.9), 0, 1)
    shared = 0.9 + 0.05 * remembering(rng, (t, 1), 0.9, 3.0)
    return np.clip(shared + 0.01 * remembering(rng, (t, g), 0.7, 3.0), 0, 1)


def _sessions(rng: np.random.Generator, t: int, g: int) -> Floats:
    on = np.zeros((t, g))
    for device in range(g):
        at, state = 0, rng.random() < 0.6
        while at < t:
            span = max(1, int(rng.lognormal(np.log(24 if state else 12), 1.0)))
            on[at : at + span, device] = state
            at, state = at + span, not state
    return on


def fleet(
    seed: int, kind: str, days: int, groups: int, size: int, drop: tuple[int, float] | None = None
) -> pl.DataFrame:
    """Devices in 5-minute windows.

    Args:
        seed: of the random numbers.
        kind: one of KINDS.
        days: length.
        groups: clusters of one workload each.
        size: devices of each.
        drop: window from which device 0 is slower, and by which share.
    """
    rng, t = np.random.default_rng(seed), days * PER_DAY
    parts = []
    for group in range(groups):
        busy = load(rng, kind, t, size)
        clock = np.where(busy > 0.05, 1755.0, 1200.0) * (1 + rng.normal(0, 0.004, size)) + 15 * remembering(
            rng, (t, size), 0.8, 4.0
        )
        own = rng.normal(1, 0.04, size)
        if drop is not None and group == 0:
            busy[drop[0] :, 0] *= 1 - drop[1]
            clock[drop[0] :, 0] *= 1 - drop[1]
        power = (90 + 560 * busy) * own + 12 * remembering(rng, (t, size), 0.8, 4.0)
        tensor = np.clip(0.6 * busy * own + 0.02 * rng.standard_normal((t, size)), 0, 1)
        temp = 34 + 0.055 * power + rng.normal(0, 3, size) + 1.5 * remembering(rng, (t, size), 0.98)
        parts.append(
            _frame(group, size, t, {"util": busy, "tensor": tensor, "power": power, "sm_clock": clock, "temp": temp})
        )
    return pl.concat(parts)


def _frame(group: int, size: int, t: int, numbers: dict[str, Floats]) -> pl.DataFrame:
    names = [f"GPU-{group:03d}-{i:03d}" for i in range(size)]
    ts = pl.Series("ts", np.repeat(np.arange(t), size)).cast(pl.Int64) * 300_000_000 + int(T0.timestamp() * 1e6)
    return pl.DataFrame({
        "ts": ts.cast(pl.Datetime("us", "UTC")), "device_id": names * t, **{k: v.ravel() for k, v in numbers.items()},
    }).with_columns(
        pl.lit(None, pl.String).alias("parent_uuid"), pl.lit(None, pl.String).alias("mig_profile"),
        pl.lit(f"c{group}").alias("cluster"), pl.lit("node-0").alias("node"), pl.lit(0, pl.Int64).alias("gpu_index"),
        pl.lit("H100").alias("sku"), pl.lit(None, pl.String).alias("workload"), pl.lit(None, pl.Float64).alias("dram"),
    )  # fmt: skip


def judged(
    frame: pl.DataFrame, days: int, monitor: Monitor = MONITOR, step: timedelta = timedelta(hours=6)
) -> Iterator[tuple[datetime, set[str]]]:
    """Devices that are behind at the end of every block."""
    state: dict[str, Json] = {}
    at = T0
    while at < T0 + timedelta(days=days):
        window = Window(at, at + step)
        rows = frame.filter(pl.col("ts").is_between(window.start, window.end, closed="left"))
        found = straggler.detect(Evidence((monitor,), window, pl.DataFrame(), {}, state, {"device_5m": rows}))
        state, at = dict(found.state), window.end
        for f in found.findings:
            if "counts" in f.details:  # the block's own finding, not that of one device
                yield f.window_end, set(f.details.get("devices", ()))


def alarms(frame: pl.DataFrame, days: int) -> int:
    """How often a device was newly said to be behind."""
    before: set[str] = set()
    count = 0
    for _, devices in judged(frame, days):
        count += len(devices - before)
        before = devices
    return count


def null(kind: str, seeds: range, days: int, groups: int, size: int) -> None:
    """Print alarms in 30 d of a fleet without stragglers; the two days of learning are left out."""
    found = [alarms(fleet(seed, kind, days, groups, size), days) for seed in seeds]
    month = len(seeds) * (days - 2) / 30
    upper = float(gammaincinv(sum(found) + 1, 0.95)) / month
    print(json.dumps({"name": f"straggler null {kind}", "devices": groups * size, "days": month * 30, "alarms": sum(found), "per_30d": round(sum(found) / month, 3),
                      "upper95": round(upper, 3), "promised": round(PROMISED, 3)}), flush=True)  # fmt: skip


def delay(kind: str, seeds: range, share: float, groups: int, size: int) -> None:
    """Print how soon a device is found that becomes `share` slower after four days."""
    begin, days = 4 * PER_DAY + 100, 6
    waits = []
    for seed in seeds:
        start = T0 + begin * WINDOW
        hits = (
            at
            for at, d in judged(fleet(seed, kind, days, groups, size, (begin, share)), days, step=timedelta(hours=3))
            if "GPU-000-000" in d and at > start
        )
        first = next(hits, None)
        waits.append((first - start).total_seconds() / 3600 if first else float("inf"))
    print(
        json.dumps(
            {
                "name": f"straggler {share:.0%} slower, {kind}",
                "found": int(np.isfinite(waits).sum()),
                "of": len(waits),
                "median_h": round(float(np.median(waits)), 2),
            }
        ),
        flush=True,
    )


def pace(devices: int) -> None:
    """Print how long one block of a large fleet takes."""
    frame = fleet(1, "inference", 6, devices // 8, 8)
    took, state = [], {}
    for block in range(6 * 96):
        window = Window(T0 + 3 * block * WINDOW, T0 + 3 * (block + 1) * WINDOW)
        rows = frame.filter(pl.col("ts").is_between(window.start, window.end, closed="left"))
        began = perf_counter()
        state = dict(
            straggler.detect(Evidence((MONITOR,), window, pl.DataFrame(), {}, state, {"device_5m": rows})).state
        )
        took.append(perf_counter() - began)
        if block > 480 + 12:
            break
    print(json.dumps({"name": f"straggler tick, {devices} devices", "median_s": round(float(np.median(took[-12:])), 3), "worst_s": round(max(took[-12:]), 3),
                      "state_kB": len(json.dumps(state)) // 1000}), flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", default="1..4")
    parser.add_argument("--days", type=int, default=12)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--groups", type=int, default=8)
    parser.add_argument("--size", type=int, default=8)
    parser.add_argument("--detect", action="store_true")
    parser.add_argument("--pace", type=int, default=0)
    args = parser.parse_args()
    first, last = (int(x) for x in args.seeds.split(".."))
    seeds = range(first, last + 1)
    if args.pace:
        pace(args.pace)
        return
    for kind in args.kinds.split(","):
        if args.detect:
            for share in (0.05, 0.1, 0.2, 0.5):
                delay(kind, seeds, share, args.groups, args.size)
        else:
            null(kind, seeds, args.days, args.groups, args.size)


if __name__ == "__main__":
    main()
