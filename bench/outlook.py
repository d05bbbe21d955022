"""The forecast of an error budget: how often its intervals hold the hour at which the budget really ends.

Streams and questions are those of `tests/support/budgets.py`; an answer "not before the end" counts as right when it
was so. Seeds are never used for tuning.

    python -m bench.outlook --replicates 400 --seed 20261121
"""

import argparse
import json

import numpy as np
from budgets import STREAMS, Case, calendar, rolling


def line(name: str, burn: float, cases: list[Case]) -> dict[str, object]:
    """One row: coverage, misses on both sides, and how wide the 95 % interval is, where it ends."""
    early = float(np.mean([c.truth < c.said.low[95] for c in cases]))
    widths = [c.said.high[95] - c.said.low[95] for c in cases if np.isfinite(c.said.high[95]) and c.said.low[95] > 0]
    return {
        "stream": name, "burn": burn, "cover_95": round(float(np.mean([c.covered(95) for c in cases])), 3),
        "cover_80": round(float(np.mean([c.covered(80) for c in cases])), 3), "earlier_than_95": round(early, 3),
        "really_gone": round(float(np.mean([np.isfinite(c.truth) for c in cases])), 2),
        "said_never": round(float(np.mean([not np.isfinite(c.said.low[95]) for c in cases])), 2),
        "median_width_h": round(float(np.median(widths)), 1) if widths else None,
    }  # fmt: skip


def main() -> None:
    """All streams."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=400)
    parser.add_argument("--seed", type=int, default=20_261_121)
    given = parser.parse_args()
    for name, stream in STREAMS.items():
        for period, burns in ((calendar, (0.9, 1.3, 2.5)), (rolling, (0.9,))):
            for burn in burns:
                cases = [period(stream, burn, given.seed + i) for i in range(given.replicates)]
                print(json.dumps({"period": period.__name__, **line(name, burn, cases)}), flush=True)


if __name__ == "__main__":
    main()
