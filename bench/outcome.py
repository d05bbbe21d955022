"""How often is an action said to have helped that did nothing, and does the interval hold zero as often as it says?

Each replicate is a share of bad requests of 1 % by minute: AR(1) memory in its logarithm, a daily swing or none, about
30 requests a minute; nothing is ever done to it. The action stands at a random minute of the last day, or at the
end of that day's worst half hour, where an alarm would have put it.

    python -m bench.outcome --replicates 400 --seed 20261121
"""

import argparse

import numpy as np
from scipy.signal import lfilter

from detectors.outcome import DAY, Effect, Events, Span, effect

BUDGET = 0.01
RANDOM = (
    (3, 0.9, 0.5, 1.0),
    (3, 0.98, 0.8, 1.0),
    (3, 0.98, 0.8, 0.0),
    (14, 0.9, 0.5, 1.0),
    (14, 0.98, 0.8, 1.0),
    (14, 0.98, 0.8, 0.0),
)
WORST = ((14, 0.9, 0.5, 1.0), (14, 0.98, 0.8, 1.0), (14, 0.995, 0.8, 1.0))  # days, memory, spread, daily swing


def stream(rng: np.random.Generator, days: int, memory: float, spread: float, swing: float) -> Events:
    t = np.arange((days + 1) * DAY)
    wander = lfilter([1.0], [1.0, -memory], rng.normal(size=len(t)) * spread * np.sqrt(1 - memory**2))
    daily = swing * (np.sin(2 * np.pi * t / DAY + rng.uniform(0, 6.28)) + 0.5 * np.sin(4 * np.pi * t / DAY))
    n = rng.poisson(30 * np.exp(0.5 * np.sin(2 * np.pi * t / DAY)))
    return Events(t, n, rng.binomial(n, np.clip(BUDGET * np.exp(daily + wander), 0, 0.9)))


def worst(events: Events, days: int) -> int:
    bad, total = np.cumsum(events.bad), np.cumsum(events.total)
    at = np.arange(days * DAY + 90, (days + 1) * DAY - 70)
    return int(at[np.argmax((bad[at - 1] - bad[at - 31]) / (total[at - 1] - total[at - 31]))])


def judged(seed: int, case: tuple[int, float, float, float], *, alarmed: bool) -> Effect:
    rng = np.random.default_rng(seed)
    events = stream(rng, *case)
    at = worst(events, case[0]) if alarmed else case[0] * DAY + int(rng.integers(60, DAY - 70))
    return effect(events, Span(at - 60, at), Span(at + 5, at + 65), BUDGET)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=400)
    parser.add_argument("--seed", type=int, default=20261121)
    given = parser.parse_args()
    seeds = range(given.seed, given.seed + given.replicates)
    print("at     days memory swing  holds zero  helped   worse  no change  unknown")
    for alarmed, cases in ((False, RANDOM), (True, WORST)):
        for case in cases:
            found = [judged(seed, case, alarmed=alarmed) for seed in seeds]
            share = {v: np.mean([f.verdict == v for f in found]) for v in ("helped", "worse", "no change", "unknown")}
            held = np.mean([f.low <= 0 <= f.high for f in found])
            where = "worst " if alarmed else "random"
            told = f"{held:11.1%} {share['helped']:7.1%} {share['worse']:7.1%} {share['no change']:10.1%} {share['unknown']:8.1%}"
            print(f"{where} {case[0]:4d} {case[1]:6} {case[3]:5} {told}", flush=True)


if __name__ == "__main__":
    main()
