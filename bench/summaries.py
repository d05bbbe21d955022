"""Summaries of 1M rows x 60 features from Parquet, against DuckDB's scan of the same columns.

Floor: min, max and sum of every column in one query. `summaries` is what the service does with sealed rows,
`hot` what it does with others, a bounded number of rows at a time both; `file` reads and counts everything at once.
Beside it: the same counts in SQL by DuckDB's own `histogram` with boundaries. Prints one JSON line: medians of the
repetitions, s of wall and of processor time, and their ratios to those of the floor.

    python bench/summaries.py [--rows 1000000] [--features 60] [--repeat 5]
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import duckdb
import numpy as np
import polars as pl

from observe.schema import Binning
from observe.store import sealed
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


def timed(runs: dict[str, Callable[[], object]], repeat: int) -> dict[str, tuple[float, float]]:
    """Median seconds of wall and of processor time, taken in turns so that a disturbed moment hits all."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(repeat):
        for name, run in runs.items():
            start = perf_counter(), process_time()
            run()
            seconds[name].append((perf_counter() - start[0], process_time() - start[1]))
    return {name: (median(w for w, _ in taken), median(c for _, c in taken)) for name, taken in seconds.items()}


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

        wanted = [(name, pl.Float64, name) for name in names]

        def of_sealed(start: datetime, end: datetime) -> pl.DataFrame:
            rows = sealed.read([path], wanted, start, end)
            assert rows is not None
            return rows

        def of_hot(start: datetime, end: datetime) -> pl.DataFrame:
            sql = f"SELECT ts, {columns} FROM '{path}' WHERE ts >= $from AND ts < $to"
            return db.sql(sql, params={"from": start, "to": end}).pl()

        def in_parts(read: Callable[[datetime, datetime], pl.DataFrame]) -> object:
            return [count(read(g.start, g.start + timedelta(hours=6)), g, bins) for g in parts]

        taken = timed({
            "scan": lambda: db.execute(f"SELECT {scan} FROM '{path}'").fetchall(),
            "read": lambda: [of_sealed(g.start, g.start + timedelta(hours=6)) for g in parts],
            "summaries": lambda: in_parts(of_sealed),
            "hot": lambda: in_parts(of_hot),
            "file": lambda: count(pl.read_parquet(path), day, bins),
            "histogram_sql": lambda: db.sql(f"SELECT time_bucket(INTERVAL 5 MINUTE, ts) AS w, {own} FROM '{path}' GROUP BY 1").pl(),
        }, given.repeat)  # fmt: skip
    floor, figures = taken["scan"], {"bench": "summaries", "rows": given.rows, "features": given.features}
    for name, (wall, processor) in taken.items():
        figures |= {name: round(wall, 3), f"{name}_processor": round(processor, 3)}
        if name != "scan":
            ratios = round(wall / floor[0], 2), round(processor / floor[1], 2)
            figures |= {f"{name}_ratio": ratios[0], f"{name}_processor_ratio": ratios[1]}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
