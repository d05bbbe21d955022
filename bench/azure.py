"""The Azure code trace as gateway traffic at a 99.9 % objective: no page, with chance errors and with bursts of 3.

    python -m bench.azure FOLDER/AzureLLMInferenceTrace_code.csv

Source: Azure Public Dataset, LLM inference traces 2023 (CC-BY-4.0; Splitwise, ISCA 2024).
"""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from bench.slo_gate import fired, plain, walked


def requests_by_minute(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Minute of every request since the first, and requests by minute."""
    times = pl.read_csv(path, columns=["TIMESTAMP"])["TIMESTAMP"].str.head(26).str.to_datetime("%Y-%m-%d %H:%M:%S%.f")
    minute = (times.dt.epoch("s").to_numpy() - int(times.min().replace(tzinfo=UTC).timestamp())) // 60  # type: ignore[union-attr]
    return minute, np.bincount(minute)


def errors(minute: np.ndarray, burst: int, seed: int, share: float = 0.001) -> np.ndarray:
    """Bad requests by minute: a share of all requests fails, `burst` of them in a row."""
    starts = np.random.default_rng(seed).random(minute.size) < share / burst
    failing = np.zeros(minute.size, dtype=bool)
    for offset in range(burst):
        failing[offset:] |= starts[: minute.size - offset]
    return np.bincount(minute[failing], minlength=int(minute.max()) + 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trace", type=Path)
    parser.add_argument("--seeds", type=int, default=100)
    given = parser.parse_args()
    minute, n = requests_by_minute(given.trace)
    started = datetime.now(UTC)
    result: dict[str, object] = {
        "bench": "azure",
        "requests": int(n.sum()),
        "minutes": n.size,
        "variance_to_mean": round(float(n.var() / n.mean()), 1),
    }
    pages = 0
    for burst, share in (
        (1, 0.001),
        (3, 0.001),
        (3, 0.003),
    ):  # the last one does burn, three times too fast: told, not asserted
        found, bare = 0, 0
        for seed in range(given.seeds):
            bad = errors(minute, burst, seed, share)
            found += bool(fired(walked(n, bad)))
            bare += bool(plain(n, bad))
        result[f"share_{share}_bursts_of_{burst}"] = {"replays_with_a_page": found, "plain_rule": bare}
        pages += found if share == 0.001 else 0
    print(
        json.dumps({**result, "seeds": given.seeds, "seconds": round((datetime.now(UTC) - started).total_seconds(), 1)})
    )
    return 1 if pages else 0


if __name__ == "__main__":
    sys.exit(main())
