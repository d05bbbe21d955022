"""Summaries of 1M rows x 60 features from Parquet, against DuckDB's scan of the same columns.

Floor: min, max and sum of every column in one query. Beside it: the same counts in SQL by DuckDB's own
`histogram` with boundaries. Prints one JSON line; ratios are of the median of the repetitions.

    python bench/summaries.py [--rows 1000000] [--features 60] [--repeat 5]
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter

import duckdb
import numpy as np
import polars as pl

from observe.schema import Binning
from observe.summaries import Grid, count

T0 = datetime(2026, 3, 2, tzinfo=UTC)
K = 256


def table(rows: int, features: int, path: Path) -> None:
    """A day of rows: log-normal, normal rounded to three digits, and counts, in turn."""
    rng = np.random.default_rng(1)
    draws: tuple[Callable[[], np.ndarray], ...] = (
        lambda: rng.lognormal(3, 1, rows), lambda: np.round(rng.normal(0, 1, rows), 3), lambda: rng.poisson(50, rows) * 1.0,
    )  # fmt: skip
    step = 86_400_000_000 // rows
    ts = pl.Series(np.arange(rows) * step + int(T0.timestamp()) * 1_000_000).cast(pl.Datetime("us", "UTC"))
    db = duckdb.connect()
    db.register("frame", pl.DataFrame({"ts": ts, **{f"f{i}": draws[i % 3]() for i in range(features)}}))
    db.execute(f"COPY frame TO '{path}' (FORMAT parquet, COMPRESSION zstd)")  # as the store seals


def binnings(path: Path, features: int) -> list[Binning]:
    result = []
    sample = pl.read_parquet(path, n_rows=50_000)
    for i in range(features):
        inner = np.unique(np.quantile(sample[f"f{i}"].to_numpy(), np.arange(1, K) / K, method="inverted_cdf"))
        edges = tuple(inner.tolist())
        result.append(
            Binning(
                f"m/predictions/f{i}@1",
                "m",
                "predictions",
                f"f{i}",
                "numeric",
                1,
                edges,
                None,
                (),
                None,
                None,
                None,
                T0,
            )
        )
    return result


def timed(runs: dict[str, Callable[[], object]], repeat: int) -> dict[str, float]:
    """Median seconds of each, taken in turns so that a disturbed moment hits all."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeat):
        for name, run in runs.items():
            start = perf_counter()
            run()
            seconds[name].append(perf_counter() - start)
    return {name: median(values) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=60)
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        table(given.rows, given.features, path)
        db = duckdb.connect(config={"threads": 2})
        db.execute("SET TimeZone='UTC'")
        bins, names = binnings(path, given.features), [f"f{i}" for i in range(given.features)]
        columns, day = ", ".join(names), Grid(T0, 300, 288)
        scan = ", ".join(f"min({f}), max({f}), sum({f})" for f in names)
        own = ", ".join(f"histogram({f}, {list(b.edges or ())}::DOUBLE[])" for f, b in zip(names, bins, strict=True))
        parts = [Grid(T0 + timedelta(hours=h), 300, 72) for h in range(0, 24, 6)]

        def through_store() -> object:
            """As the service does it: a bounded number of rows at a time out of DuckDB, then counted."""
            sql = f"SELECT ts, {columns} FROM '{path}' WHERE ts >= $from AND ts < $to"
            return [
                count(
                    db.sql(sql, params={"from": g.start, "to": g.start + timedelta(hours=6)}).pl(), g, bins, threads=2
                )
                for g in parts
            ]

        seconds = timed({
            "scan": lambda: db.execute(f"SELECT {scan} FROM '{path}'").fetchall(),
            "read": lambda: db.sql(f"SELECT ts, {columns} FROM '{path}'").pl(),
            "summaries": through_store,
            "file": lambda: count(pl.read_parquet(path), day, bins, threads=2),
            "histogram_sql": lambda: db.sql(f"SELECT time_bucket(INTERVAL 5 MINUTE, ts) AS w, {own} FROM '{path}' GROUP BY 1").pl(),
        }, given.repeat)  # fmt: skip
    ratios = {f"{name}_ratio": round(s / seconds["scan"], 2) for name, s in seconds.items() if name != "scan"}
    print(
        json.dumps(
            {
                "bench": "summaries",
                "rows": given.rows,
                "features": given.features,
                **{k: round(v, 3) for k, v in seconds.items()},
                **ratios,
            }
        )
    )


if __name__ == "__main__":
    main()
