"""Time-weighted SLOs: pages while bad states come exactly as often as the budget allows, and the delay of a real outage.

An SLO over minutes has one event a minute, and a bad state lasts: an hour of it is sixty bad minutes and one thing that
happened. States begin at random and last exponentially; the share of bad minutes is the budget's. Asked is how often that
pages with a burst factor of at least 1 (as for requests) and of at least an hour, and after how long a state that
stays is found. Seeds from 20261121 on are never used for tuning.

    python -m bench.minutes --replicates 100 --seed 20261121
"""

import argparse
import json

import numpy as np

from bench.slo_gate import fired, params, upper
from detectors.errorbudget import Minutes
from detectors.lanes import Walk

DAY, DAYS = 1_440, 30


def states(rng: np.random.Generator, minutes: int, share: float, lasts: float) -> np.ndarray:
    """Bad minutes as 1: bad states last `lasts` minutes on average and make up `share` of the time."""
    bad, at = np.zeros(minutes, dtype=np.int64), 0.0
    while at < minutes:
        at += rng.exponential(lasts * (1 - share) / share)
        end = at + rng.exponential(lasts)
        bad[int(at) : int(end)] = 1
        at = end
    return bad


def walked(bad: np.ndarray, objective: float, floor: float, units: int = 1) -> Walk:
    """The detector over these minutes."""
    given = {**params(), "objective": objective, "phi_floor": floor}
    walk = Walk(given, Minutes.of(0, np.full(bad.size, units, dtype=np.int64), bad), 0, {})
    walk.to(bad.size)
    return walk


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for objective in (0.99, 0.95):
        for lasts in (5.0, 30.0, 180.0):
            for floor in (1.0, 60.0):
                rngs = [np.random.default_rng(given.seed + i) for i in range(given.replicates)]
                drawn = [states(rng, DAYS * DAY, 1 - objective, lasts) for rng in rngs]
                walks = [walked(bad, objective, floor) for bad in drawn]
                pages = sum(len(fired(walk)) for walk in walks)
                tickets = sum(len(fired(walk, "ticket")) for walk in walks)
                print(json.dumps({"objective": objective, "state_lasts_min": lasts, "phi_floor": floor, "pages_per_30d": pages / given.replicates,
                                  "upper": round(upper(pages, given.replicates), 3), "tickets_per_30d": tickets / given.replicates}), flush=True)  # fmt: skip
        for floor in (1.0, 60.0):
            bad = np.zeros(8 * DAY, dtype=np.int64)
            bad[4 * DAY :] = 1
            walk = walked(bad, objective, floor)
            found = {s: [at - 4 * DAY for at in fired(walk, s)][:1] for s in ("page", "ticket")}
            print(json.dumps({"objective": objective, "phi_floor": floor, "outage_found_after_min": found}), flush=True)


if __name__ == "__main__":
    main()
