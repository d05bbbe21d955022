"""What an SLO cannot see: the burn said to be found in nine of ten cases, given to the detector itself.

Minutes are drawn: four days at half the budget (the burst factor is learnt there), then the burn the detector names
for an hour or a day, and shares of it. METHODS section 6, gates of one false page a year and 26 tickets. Seeds are
never used for tuning.

    python -m bench.power --replicates 100 --seed 20261121
"""

import argparse
import json

import numpy as np

from bench.slo_gate import OBJECTIVE, params
from detectors.errorbudget import Minutes
from detectors.lanes import Walk, tiers_of
from detectors.sensitivity import Traffic, smallest

BUDGET = 1 - OBJECTIVE
DAY, BEFORE = 1_440, 4 * 1_440


def draw(rate: float, share: np.ndarray, burst: int, rng: np.random.Generator) -> Minutes:
    """Minutes of independent requests that fail `burst` at a time."""
    n = rng.poisson(rate, share.size)
    return Minutes.of(
        0, n, np.minimum(n, burst * rng.binomial(n, share / burst)) if burst > 1 else rng.binomial(n, share)
    )


def named(rate: float, burst: int, minutes: int, seed: int) -> float:
    """The burn that is said to be found, from four ordinary days."""
    walk = Walk(params(), draw(rate, np.full(BEFORE, BUDGET / 2), burst, np.random.default_rng(seed)), 0, {})
    walk.to(BEFORE)
    seen = Traffic(
        np.array([rate]), np.array([BUDGET / 2]), np.array([walk.marks[-1].phi]), np.array([BEFORE / 60]), BUDGET
    )
    return float(smallest(tiers_of(params()), seen, minutes)[0])


def found(rate: float, burst: int, minutes: int, burn: float, seed: int) -> bool:
    """Whether any tier fires while a burn lasts."""
    share = np.full(BEFORE + minutes, BUDGET / 2)
    share[BEFORE:] = min(1.0, burn * BUDGET)
    walk = Walk(params(), draw(rate, share, burst, np.random.default_rng(seed)), 0, {})
    walk.to(share.size)
    return any(m.minute > BEFORE and x.firing is not None and x.firing.at > BEFORE for m in walk.marks for x in m.lanes)


def main() -> None:
    """All traffics."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--seed", type=int, default=20_261_121)
    given = parser.parse_args()
    for rate, burst in ((1, 1), (10, 1), (100, 1), (1000, 1), (10, 3), (100, 3)):
        for minutes in (DAY, 60):
            said = float(np.nanmedian([named(rate, burst, minutes, given.seed + i) for i in range(9)]))
            shares = {
                times: float(
                    np.mean(
                        [
                            found(rate, burst, minutes, said * times, given.seed + 100 + i)
                            for i in range(given.replicates)
                        ]
                    )
                )
                for times in (0.7, 1.0, 1.4)
            }
            print(json.dumps({"rate": rate, "bursts_of": burst, "minutes": minutes, "burn_said": round(said, 2),
                              **{f"found_at_{t}": s for t, s in shares.items()}}), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
