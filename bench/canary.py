"""How often is a canary that is no worse called worse, and how soon is a worse one found? METHODS section 8.

Each replicate is a canary that runs for a week and is looked at every minute, with six hours of the old version
before it: a tenth of 500 requests a minute, 1 % errors. Nulls that are not the method's own model: a daily swing
of both sides, a wandering rate, bursts of three, an outage that hits both. Beside it stand a z-test each minute and
the sequential probability ratio test that knows the true ratio (thresholds: 1 % each).

    python -m bench.canary --replicates 400 --seed 20261121
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors import sequential
from detectors.sequential import GRID, Clumps, Counts

Floats = NDArray[np.float64]

PER_MINUTE, PART, SHARE = 500, 0.1, 0.01
BEFORE, WEEK = 360, 7 * 1440
WORSE, GOOD = np.log(100.0), np.log(20.0)


@dataclass(frozen=True)
class Kind:
    """How the share of errors goes, by minute, and how many come at once."""

    factor: Callable[[int, np.random.Generator], Floats]
    burst: int = 1


def _flat(t: int, rng: np.random.Generator) -> Floats:
    return np.ones(t)


def _swing(t: int, rng: np.random.Generator) -> Floats:
    return 1 + 0.9 * np.sin(2 * np.pi * (np.arange(t) / 1440 + rng.uniform()))


def _wander(t: int, rng: np.random.Generator) -> Floats:
    w = np.zeros(t)
    for i in range(1, t):
        w[i] = 0.99 * w[i - 1] + 0.5 * np.sqrt(1 - 0.99**2) * rng.standard_normal()
    return np.exp(w)


def _outage(t: int, rng: np.random.Generator) -> Floats:
    found, at = np.ones(t), int(rng.integers(BEFORE, t - 60))
    found[at : at + 30] = 50.0
    return found


KINDS = {
    "flat": Kind(_flat),
    "swing": Kind(_swing),
    "wander": Kind(_wander),
    "bursts of 3": Kind(_flat, 3),
    "outage of both": Kind(_outage),
}


def run(kind: Kind, ratio: float, minutes: int, rng: np.random.Generator) -> Counts:
    """Counts by minute; the canary begins after six hours."""
    share = np.clip(SHARE * kind.factor(BEFORE + minutes, rng), 0, 0.5)
    n = rng.poisson(PER_MINUTE * PART, share.size).astype(float) * (np.arange(share.size) >= BEFORE)
    m = rng.poisson(PER_MINUTE * (1 - PART), share.size).astype(float)
    x, y = (
        np.minimum(kind.burst * rng.poisson(k * s / kind.burst), k)
        for k, s in ((n, np.clip(share * ratio, 0, 1)), (m, share))
    )
    return Counts(x.astype(float), n, y.astype(float), m)


def paths(counts: Counts) -> tuple[Floats, Floats, Floats]:
    """Nats of "worse" and of "harmless" after each minute, and the sums by ratio, (T,), (T,), (T, G)."""
    clumps, phi = Clumps(), np.empty(counts.canary.size)
    for t, (y, m) in enumerate(zip(counts.baseline, counts.baseline_n, strict=True)):
        phi[t] = clumps.phi()
        clumps.add(y, m)
    ll = np.cumsum(sequential.gained(counts, phi), axis=0)[BEFORE:]
    at = [int(np.abs(GRID - r).argmin()) for r in sequential.RATIOS]
    top = ll[:, at].max(axis=1)
    worse = top + np.log(np.exp(ll[:, at] - top[:, None]).mean(axis=1))
    return worse, -ll[:, int(np.abs(GRID - sequential.HARMLESS).argmin())], ll


def first(nats: Floats, need: float) -> float:
    """Minutes until `need`, infinite when never."""
    over = nats >= need
    return float(over.argmax() + 1) if over.any() else np.inf


def z_test(counts: Counts) -> float:
    """Minutes until a one-sided z-test of the counts so far says 1 %, looked at every minute from the tenth on."""
    x, n, y, m = (np.cumsum(v[BEFORE:]) for v in (counts.canary, counts.canary_n, counts.baseline, counts.baseline_n))
    p = (x + y) / (n + m)
    z = (x / n - y / m) / np.sqrt(np.maximum(p * (1 - p) * (1 / n + 1 / m), 1e-12))
    return first(np.where(np.arange(z.size) >= 9, z, 0.0), 2.3263)


def nulls(replicates: int, seed: int) -> None:
    """Print how often unchanged canaries were called worse."""
    print(
        "| no worse, for a week | called worse | z-test each minute | called good | median h until then | interval ever left out 1 |\n|---|---|---|---|---|---|"
    )
    for i, (name, kind) in enumerate(KINDS.items()):
        wrong, tested, good, apart = [], [], [], 0
        for k in range(replicates):
            counts = run(kind, 1.0, WEEK, np.random.default_rng([seed, 0, i, k]))
            worse, harmless, ll = paths(counts)
            wrong.append(first(worse, WORSE) < np.inf)
            tested.append(z_test(counts) < np.inf)
            good.append(first(harmless, GOOD))
            top = ll.max(axis=1)
            apart += bool((top + np.log(np.exp(ll - top[:, None]).mean(axis=1)) >= np.log(20.0)).any())
        print(
            f"| {name} | {np.mean(wrong):.1%} of {replicates} | {np.mean(tested):.1%} | {np.mean(np.isfinite(good)):.1%} | {np.median(good) / 60:.1f} | {apart / replicates:.1%} |",
            flush=True,
        )


def worse(replicates: int, seed: int) -> None:
    """Print how soon worse canaries are found, beside the test that knows by how much."""
    print(
        "\n| times as many errors | found | median min | test that knows the ratio | ratio of the two | called good | interval holds it at a day |\n|---|---|---|---|---|---|---|"
    )
    for i, ratio in enumerate((1.25, 1.5, 2.0, 3.0, 5.0)):
        late, best, good, held = [], [], [], 0
        for k in range(replicates):
            rng = np.random.default_rng([seed, 1, i, k])
            counts = run(KINDS["flat"], ratio, 1440, rng)
            nats, harmless, ll = paths(counts)
            late.append(first(nats, WORSE))
            best.append(first(ll[:, int(np.abs(GRID - ratio).argmin())], WORSE))
            good.append(first(harmless, GOOD) < late[-1])
            _, low, high = sequential.interval(ll[-1])
            held += low <= ratio <= high
        print(
            f"| {ratio:g} | {np.mean(np.isfinite(late)):.1%} | {np.median(late):g} | {np.median(best):g} | {np.median(late) / np.median(best):.2f} | {np.mean(good):.1%} | {held / replicates:.1%} |",
            flush=True,
        )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=400)
    parser.add_argument("--seed", type=int, default=20_261_121)
    given = parser.parse_args()
    nulls(given.replicates, given.seed)
    worse(given.replicates // 2, given.seed)
    print(json.dumps({"name": "canary", "replicates": given.replicates, "seed": given.seed}))


if __name__ == "__main__":
    main()
