"""Which rows should a training after a drift learn from? Made worlds, where the answer can be asked many times.

25 columns, 500 rows a day, 200 days, a truth that a ridge cannot quite learn (products of columns). `concept`: four
coefficients change on a day between 80 and 150; `covariate`: three columns move there; `season`: columns and base rate
move with the year. Ours learns two days after each drift at the earliest: from rows since the change alone, or with
older ones that count as much as they help (`observe.app.backtest_retraining.weighed`), once so many rows are there.
Figures are the error beside never training again, mean and worst over seeds. A year of real flights (`bench.retraining`)
says otherwise: there rows of two days, however many, are too few, and older ones help most as they are.

    python -m bench.retraining_worlds [--seeds 4] [--seed 21] [--worlds concept,covariate,season]

Source: our own; seeds 1..999 are for deciding, others for reporting.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

import numpy as np

from observe.app import backtest_retraining as retraining
from observe.app.backtest_retraining import DAY, Asked, Drift, Rows

DAYS, PER_DAY, COLUMNS, TAUGHT = 200, 500, 25, 59
ROWS = (10_000, 4_000, 2_000, 1_000)  # since the change, before a training


def world(kind: str, seed: int) -> tuple[Rows, tuple[Drift, ...]]:
    """A world, and the drifts that are known of it."""
    rng = np.random.default_rng(seed)
    n = DAYS * PER_DAY
    ts = np.sort(rng.integers(0, DAYS * DAY, n)).astype(np.int64)
    day, change = ts / DAY, int(rng.uniform(80, 150))
    season = np.sin(2 * np.pi * day / 365 + rng.uniform(0, 2 * np.pi))
    swing = rng.normal(0, 0.8, COLUMNS) * (rng.random(COLUMNS) < 0.4)
    x = rng.normal(size=(n, COLUMNS)) + season[:, None] * swing
    slopes, products = rng.normal(0, 0.5, COLUMNS), rng.normal(0, 0.15, (COLUMNS, COLUMNS))
    products *= rng.random((COLUMNS, COLUMNS)) < 0.15
    struck, late = rng.permutation(COLUMNS)[:4], day >= change
    if kind == "covariate":
        x[:, struck[:3]] += 1.5 * rng.choice([-1.0, 1.0]) * late[:, None]
    score = x @ slopes - 1 + np.einsum("ij,jk,ik->i", x, products, x)
    if kind == "concept":
        score += late * (x[:, struck] @ rng.normal(0, 0.7, 4) + rng.normal(0, 0.5))
    if kind == "season":
        score += season * rng.normal(0, 0.8)
    known = np.sort(rng.uniform(65, DAYS - 10, 5)) if kind == "season" else np.array([change + 2.0])
    drifts = tuple(Drift(int(at * DAY), int((at - 2) * DAY)) for at in known)
    y = (rng.random(n) < 1 / (1 + np.exp(-score))).astype(np.float64)
    return Rows(ts, x, y), drifts


def lived(kind: str, seed: int) -> dict[str, float]:
    """The error of each policy beside never training again, in percent."""
    rows, drifts = world(kind, seed)
    asked, span = Asked(TAUGHT * DAY), TAUGHT * DAY
    [first] = retraining.by_calendar(rows, asked, DAYS * DAY, span)
    never = retraining.lived("never", rows, [first]).error
    made = {"monthly": retraining.by_calendar(rows, asked, 30 * DAY, span)}
    for enough in ROWS:
        alone = replace(asked, enough=enough)
        made[f"new rows, {enough:,}"] = retraining.ours(rows, alone, drifts, "drift", first)
        weighed = replace(alone, span=span, weighed=True)
        made[f"older ones weighed, {enough:,}"] = retraining.ours(rows, weighed, drifts, "drift", first)
    return {name: 100 * (retraining.lived(name, rows, t).error / never - 1) for name, t in made.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--worlds", default="concept,covariate,season")
    given = parser.parse_args()
    for kind in given.worlds.split(","):
        found = [lived(kind, seed) for seed in range(given.seed, given.seed + given.seeds)]
        print(f"| {kind}: policy | beside never, mean | worst |\n|---|---|---|")
        means = {name: [each[name] for each in found] for name in found[0]}
        for name, values in means.items():
            print(f"| {name} | {np.mean(values):+.1f} % | {max(values):+.1f} % |", flush=True)
        told = {name: round(float(np.mean(values)), 2) for name, values in means.items()}
        print(json.dumps({"name": f"retraining_worlds/{kind}", **told, "seed": given.seed, "seeds": given.seeds}))


if __name__ == "__main__":
    main()
