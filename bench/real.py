"""Real series lived through: latched alarms per 30 d and series, each with the level before and after.

    python -m bench.real FOLDER [--what azure,nab,changepoints] [--accept 7d]

FOLDER holds `azure-vm-noise`, `nab` and `river-changepoints`. The series are what they are: nobody knows which
alarms are false, so each is printed with the level in the week before and after, to be looked at. Every series has
the budget of one false alarm per 30 d. NAB's last two weeks: 7 d are fitted, and alarms are held against the
labelled windows. The change-point series come daily or slower: one value is an hour of the detectors' clock.

Source: Azure Public Dataset, vm-noise-data (CC-BY-4.0; TUNA, EuroSys 2025); Numenta Anomaly Benchmark (MIT);
Turing Change Point Dataset as river ships it (BSD-3).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from observe.app.backtest import Backtest, backtest, upper95
from observe.app.backtest_plan import DAY_S, Options
from observe.app.backtest_table import Table, read, tabulate
from observe.app.backtest_told import cells
from observe.errors import UsageError
from observe.spec.quantity import Rate, parse_duration


def azure(folder: Path, options: Options) -> Iterator[tuple[str, Backtest]]:
    """All benchmarks as columns of one table, with a budget of one per 30 d for each."""
    frames = []
    for path in sorted((folder / "azure-vm-noise").glob("*.csv")):
        rows = read(path, "starttime", ["value"]).rows
        frames.append(rows.rename({"value": path.name.partition("__long")[0]}))
    table = pl.concat(frames, how="diagonal")
    options = replace(options, given_budget=Rate(len(frames), 30.0 * DAY_S), cadence="series")
    yield "azure", backtest(tabulate(table, "ts"), options)[0]


def nab(folder: Path, options: Options) -> Iterator[tuple[str, Backtest]]:
    """Each series of two weeks by itself: 7 d to fit, the rest judged."""
    for path in sorted((folder / "nab" / "data").rglob("*.csv")):
        table = read(path, "timestamp")
        days = (table.rows["ts"][-1] - table.rows["ts"][0]).days
        yield path.stem, backtest(table, replace(options, fit_s=min(7, max(2, days // 2)) * float(DAY_S)))[0]


def changepoints(folder: Path, options: Options) -> Iterator[tuple[str, Backtest]]:
    """Values in their order, one an hour: their dates are days or more apart, and the detectors learn from 28 d."""
    for path in sorted((folder / "river-changepoints").glob("*.csv")):
        frame = pl.read_csv(path, infer_schema_length=None)
        hours = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=i) for i in range(frame.height)]
        table: Table = tabulate(frame.select(pl.Series("hour", hours), pl.all().exclude(frame.columns[0])), "hour")
        fit_d = min(14, frame.height // 24 // 2)
        try:
            yield path.stem, backtest(table, replace(options, fit_s=float(fit_d * DAY_S), cadence="series"))[0]
        except UsageError as error:
            print(f"### {path.stem}: {error}")


def labelled(folder: Path) -> Mapping[str, list[tuple[datetime, datetime]]]:
    """The windows that NAB's people marked, by series."""
    said = json.loads((folder / "nab" / "labels" / "combined_windows.json").read_text())
    return {Path(name).stem: [(_instant(a), _instant(b)) for a, b in windows] for name, windows in said.items()}


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def told(name: str, result: Backtest, windows: list[tuple[datetime, datetime]] | None) -> int:
    """Print one result; how many alarms lie outside the labelled windows."""
    count, series = len(result.alarms), len(result.states)
    rate = count * 30 / result.days / series
    print(
        f"### {name}: {count} alarms, {series} series, {result.days:.1f} d judged: {rate:.2f} per 30 d and series",
        flush=True,
    )
    for feature, share in result.judged.items():
        states = ", ".join(f"{state} {part:.0%}" for state, part in share.items())
        print(f"    {feature}: {states}; a day finds {result.min_detectable_24h[feature] or '?'} σ")
    outside = 0
    for a in result.alarms:
        inside = windows is None or any(low - timedelta(hours=2) <= a.at <= high for low, high in windows)
        outside += not inside
        mark = "" if windows is None else " [labelled]" if inside else " [not labelled]"
        print("    | " + " | ".join(cells(a)) + f" | {a.evidence_nats:.1f} nats |{mark}")
    return outside


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--what", default="azure,nab,changepoints")
    parser.add_argument("--accept", help="a person accepts the new level so long after an alarm, e.g. 7d")
    given = parser.parse_args()
    options = Options(accept_s=parse_duration(given.accept) if given.accept else None)
    for what in given.what.split(","):
        begun, alarms, days, outside = time.perf_counter(), 0, 0.0, 0
        labels = labelled(given.folder) if what == "nab" else {}
        for name, result in {"azure": azure, "nab": nab, "changepoints": changepoints}[what](given.folder, options):
            outside += told(name, result, labels.get(name) if what == "nab" else None)
            alarms, days = alarms + len(result.alarms), days + result.days * len(result.states)
        figure = {"alarms": alarms, "series_days": round(days), "per_30d_and_series": round(alarms * 30 / days, 4),
                  "upper95": round(upper95(alarms, days), 4), "outside_labels": outside if what == "nab" else None,
                  "accept": given.accept, "seconds": round(time.perf_counter() - begun)}  # fmt: skip
        print(json.dumps({"name": f"real series: {what}", **figure}))


if __name__ == "__main__":
    main()
