"""Does performance by labels keep its false-alarm budget, how soon is a loss found, and how good are estimates?

    python -m bench.performance null   [--kinds iid season ...] [--models 40] [--seed 20261121]
    python -m bench.performance delay  [--models 40] [--seed 20261122]
    python -m bench.performance cbpe   [--replicates 400] [--seed 20261123]
    python -m bench.performance ppi    [--replicates 1000] [--seed 20261124]
    python -m bench.performance peer --python ENV/bin/python [--replicates 60] [--seed 20261125]

`null`: models with 28 d of hourly labels, then 30 d in which a model is as good as ever and only what it is asked moves;
each model declares 1 false alarm in 30 d for its three streams together (accuracy, calibration, log_loss), judged with
daily refits. `delay`: from the same history, a day into judging some truths are turned round so that accuracy falls by
2 or 5 pp; windows until the first alarm of any stream, and of a covariate shift of the same size, where nothing about
the model changed. `cbpe`: error of the estimate without labels and coverage of its interval, when only what is asked
moved, and when the world did. `ppi`: coverage and width of the mean with part of the labels beside the labels alone.
`peer`: NannyML's CBPE at its defaults beside ours on the same rows; `bench.peers` tells how its environment is made.

Seeds from 20261121 on are for reporting; tuning used 1..999.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import timedelta
from math import log

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtri

from bench.answers import KINDS, START, Hours, Kind, answered, latent, losses, many, summed
from detectors import performance, strata
from detectors.strata import Estimated, Losses
from observe.app.backtest import upper95
from observe.schema import Detected, Evidence, Monitor, Window
from observe.spec.performance import Performance, of_performance

Floats = NDArray[np.float64]
HISTORY_H, NULL_H, BINS = 28 * 24, 30 * 24, 64
SAID = Performance(positive="1", slices=())


def monitors(model: str) -> list[Monitor]:
    """The streams of one model at one false alarm in 30 d for all of them."""
    asked = list(of_performance(model, SAID))
    weights = sum(weight for _, _, weight in asked)
    return [
        replace(m, threshold_nats=log(NULL_H * sides * weights / weight), params={**m.params, "sides": sides})
        for m, sides, weight in asked
    ]


def evidence(kind: Kind, models: int, seed: int, hours: int, turned: float = 0.0, moved: float = 0.0) -> Evidence:
    """Many models to be judged from the end of the history on; changes begin a day into it."""
    rng = np.random.default_rng(seed)
    total = HISTORY_H + hours
    changed = np.arange(total) >= HISTORY_H + 24
    means = latent(kind, total, models, rng) + moved * changed[:, None]
    names = [f"m{i}" for i in range(models)]

    def one(name: str) -> list:
        rows = answered(kind, means[:, int(name[1:])], 500, rng, turned * changed)
        use = rows.labelled
        return [summed(name, metric, rows.hour[use], values[use], total) for metric, values in losses(rows).items()]

    found, binnings = many(names, one)
    asked = tuple(m for name in names for m in monitors(name))
    window = Window(START + timedelta(hours=HISTORY_H), START + timedelta(hours=total))
    return Evidence(asked, window, found, binnings, {})


def judged(kind: Kind, models: int, seed: int, hours: int, turned: float = 0.0, moved: float = 0.0) -> Detected:
    """All findings about them."""
    return performance.detect(evidence(kind, models, seed, hours, turned, moved))


def alarms(found: Detected) -> dict[str, list[int]]:
    """Hours from the end of the history at which each monitor's alarms were raised."""
    raised: dict[str, list[int]] = {}
    before: dict[str, bool] = {}
    for f in found.findings:
        on = f.state == "alarm"
        if on and not before.get(f.monitor_id):
            at = int((f.window_end - START).total_seconds()) // 3600 - HISTORY_H
            raised.setdefault(f.monitor_id, []).append(at)
        before[f.monitor_id] = on
    return raised


def null(options: argparse.Namespace) -> None:
    for name in options.kinds or KINDS:
        found = judged(KINDS[name], options.models, options.seed, NULL_H)
        raised = alarms(found)
        by_metric = {
            metric: sum(len(v) for k, v in raised.items() if k.endswith(metric))
            for metric in ("accuracy", "calibration", "log_loss")
        }
        count = sum(by_metric.values())
        inform = len({f.monitor_id for f in found.findings if f.state == "inform_only"})
        told({
            "name": f"performance null {name}", "figure": count / options.models, "unit": "false alarms per model and 30 d, 1 declared",
            "upper95": round(upper95(count, 30.0 * options.models), 3), "by": by_metric, "informed_only": inform, "models": options.models, "seed": options.seed,
        })  # fmt: skip


def delay(options: argparse.Namespace) -> None:
    accuracy = 1 - float(answered(KINDS["iid"], np.zeros(400), 500, np.random.default_rng(1)).wrong.mean())
    for name in options.kinds or ("iid", "season", "ar.9"):
        for loss in (0.02, 0.05):
            turned = loss / (2 * accuracy - 1)
            found = judged(KINDS[name], options.models, options.seed, 24 + 7 * 24, turned=turned)
            first = {m: [a - 24 for a in v if a > 24] for m, v in alarms(found).items()}
            by_model: dict[str, int] = {}
            for m, at in first.items():
                model = m.partition("/")[0]
                if at:
                    by_model[model] = min(at[0], by_model.get(model, 10**6))
            delays = sorted(by_model.values())
            told({
                "name": f"performance delay {name}, accuracy -{100 * loss:.0f} pp", "figure": float(np.median(delays)) if 2 * len(delays) > options.models else None,
                "unit": "hours of 500 labels until the first alarm, median of all models", "found_24h": sum(d <= 24 for d in delays) / options.models,
                "found_7d": len(delays) / options.models, "models": options.models, "seed": options.seed,
            })  # fmt: skip
    found = judged(KINDS["iid"], options.models, options.seed, 24 + 7 * 24, moved=0.25)
    raised = {m: v for m, v in alarms(found).items() if any(a > 24 for a in v)}
    of = {metric: sum(k.endswith(metric) for k in raised) for metric in ("accuracy", "calibration", "log_loss")}
    told({
        "name": "performance, covariate shift of .25 sigma, model unchanged", "figure": of["calibration"], "unit": "of the models with an alarm of calibration",
        "others": of, "models": options.models, "seed": options.seed,
    })  # fmt: skip


def binned(rows: Hours, use: NDArray[np.bool_]) -> Losses:
    """Labelled rows by bin of the score."""
    at = np.minimum((rows.score[use] * BINS).astype(np.int64), BINS - 1)
    n = np.bincount(at, minlength=BINS).astype(np.float64)
    wrong = np.bincount(at, weights=rows.wrong[use], minlength=BINS)
    return Losses(n, wrong, wrong)


def cbpe(options: argparse.Namespace) -> None:
    cases = {
        "nothing moved": (0.0, 0.0), "covariate shift -.5 sigma": (-0.5, 0.0), "covariate shift -1 sigma": (-1.0, 0.0),
        "concept drift, accuracy -2 pp": (0.0, 0.02), "concept drift, accuracy -5 pp": (0.0, 0.05),
    }  # fmt: skip
    for case, (moved, loss) in cases.items():
        rng = np.random.default_rng(options.seed)
        errors, covered, width = [], [], []
        for _ in range(options.replicates):
            past = answered(Kind(), np.zeros(7 * 24), 100, rng)
            now = answered(Kind(), np.full(24, moved), 100, rng, turned=loss / 0.7)
            found = strata.stratified(binned(past, past.labelled), binned(now, now.labelled).n)
            assert found is not None
            truth = float(now.wrong.mean())
            errors.append(truth - found.value)
            covered.append(found.low <= truth <= found.high)
            width.append(found.high - found.low)
        told({
            "name": f"CBPE, {case}", "figure": round(100 * float(np.sqrt(np.mean(np.square(errors)))), 3), "unit": "pp, root mean square error of accuracy",
            "bias_pp": round(-100 * float(np.mean(errors)), 3), "coverage": round(float(np.mean(covered)), 3), "width_pp": round(100 * float(np.mean(width)), 2),
            "replicates": options.replicates, "seed": options.seed,
        })  # fmt: skip


def ppi(options: argparse.Namespace) -> None:
    cases = {
        "iid": (Kind(), 0.0),
        "season": (KINDS["season"], 0.0),
        "ar.9": (KINDS["ar.9"], 0.0),
        "iid, concept drift -5 pp": (Kind(), 0.05),
    }
    for case, (kind, loss) in cases.items():
        rng = np.random.default_rng(options.seed)
        kept: list[tuple[Estimated, Estimated, float]] = []
        for _ in range(options.replicates):
            mean = latent(kind, 8 * 24, 1, rng)[:, 0]
            rows = answered(kind, mean, 100, rng, turned=np.where(np.arange(mean.size) >= 7 * 24, loss / 0.7, 0.0))
            today = rows.hour >= 7 * 24
            some = today & (rng.uniform(size=today.size) < 0.2)
            past, now, every = binned(rows, ~today), binned(rows, some), binned(rows, today).n
            own, both = strata.powered(Losses(*[np.zeros(BINS)] * 3), now, every), strata.powered(past, now, every)
            assert own is not None
            assert both is not None
            expected = kind_mean(rows, today, mean, loss / 0.7)
            kept.append((own, both, expected))
        for label, at in (("labels alone", 0), ("prediction-powered", 1)):
            found = [k[at] for k in kept]
            hit = np.array([f.low <= k[2] <= f.high for f, k in zip(found, kept, strict=True)])  # type: ignore[attr-defined]
            told({
                "name": f"{label}, {case}", "figure": round(float(hit.mean()), 4), "unit": "coverage of 95 % intervals",
                "two_se": round(2 * float(np.sqrt(0.95 * 0.05 / hit.size)), 4), "gate_met": bool(hit.mean() >= 0.95 - 2 * np.sqrt(0.95 * 0.05 / hit.size)),
                "width_pp": round(100 * float(np.mean([f.high - f.low for f in found])), 3), "replicates": options.replicates, "seed": options.seed,
            })  # fmt: skip


NANNYML = """
import sys, warnings; warnings.filterwarnings("ignore")
import nannyml as nml, pandas as pd
past, now = (pd.read_parquet(f"{sys.argv[1]}/{name}.parquet") for name in ("past", "now"))
size = int(sys.argv[2])
asked = nml.CBPE(problem_type="classification_binary", y_pred_proba="score", y_pred="answer", y_true="truth", metrics=["accuracy"], chunk_size=size)
found = asked.fit(past).estimate(now.drop(columns=["truth"])).filter(period="analysis").to_df()["accuracy"]
found[["value", "lower_confidence_boundary", "upper_confidence_boundary"]].to_parquet(f"{sys.argv[1]}/found.parquet")
"""


def peer(options: argparse.Namespace) -> None:
    size = 2_000
    for case, (moved, loss) in {
        "nothing moved": (0.0, 0.0),
        "covariate shift -1 sigma": (-1.0, 0.0),
        "concept drift, accuracy -5 pp": (0.0, 0.05),
    }.items():
        rng = np.random.default_rng(options.seed)
        past = answered(Kind(), np.zeros(7 * 24), 100, rng)
        nows = [answered(Kind(), np.full(24, moved), 120, rng, turned=loss / 0.7) for _ in range(options.replicates)]
        seen = [Hours(*(v[:size] for v in (n.hour, n.score, n.truth, n.labelled))) for n in nows]
        truths = np.array([1 - n.wrong.mean() for n in seen])
        ours = [strata.stratified(binned(past, past.labelled), binned(n, n.labelled).n) for n in seen]
        mine = np.array([[1 - e.value, 1 - e.high, 1 - e.low] for e in ours if e is not None])
        for who, found in (("ours", mine), ("NannyML", theirs(options.python, past, seen, size))):
            told({
                "name": f"CBPE of {who}, {case}", "figure": round(100 * float(np.sqrt(np.mean((found[:, 0] - truths) ** 2))), 3), "unit": "pp, root mean square error of accuracy",
                "coverage": round(float(np.mean((found[:, 1] <= truths) & (truths <= found[:, 2]))), 3), "width_pp": round(100 * float(np.mean(found[:, 2] - found[:, 1])), 2),
                "replicates": options.replicates, "seed": options.seed,
            })  # fmt: skip


def theirs(python: str, past: Hours, nows: list[Hours], size: int) -> Floats:
    """Estimates of NannyML with their interval, one a row."""
    with tempfile.TemporaryDirectory() as folder:
        for name, parts in (("past", [past]), ("now", nows)):
            score, truth = (np.concatenate([getattr(p, what) for p in parts]) for what in ("score", "truth"))
            rows = {"score": score, "answer": (score >= 0.5).astype(np.int64), "truth": truth.astype(np.int64)}
            pl.DataFrame(rows).write_parquet(f"{folder}/{name}.parquet")
        subprocess.run([python, "-c", NANNYML, folder, str(size)], check=True, capture_output=True)
        return pl.read_parquet(f"{folder}/found.parquet").select(pl.all().exclude("^__.*$")).to_numpy()


def kind_mean(rows: Hours, today: NDArray[np.bool_], mean: Floats, turned: float) -> float:
    """The share of wrong answers that the model has on average on what was asked of it today's hours."""
    grid = ndtri((np.arange(4_000) + 0.5) / 4_000)
    score = 1 / (1 + np.exp(1.5 - 3.0 * (mean[7 * 24 :, None] + grid)))
    wrong = np.minimum(score, 1 - score).mean(axis=1)
    n = np.bincount(rows.hour[today] - 7 * 24, minlength=24)
    plain = float(n @ wrong / n.sum())
    return plain + turned * (1 - 2 * plain)


def told(row: dict) -> None:
    """One JSON line."""
    print(json.dumps({**row, "command": "python -m bench.performance " + " ".join(sys.argv[1:])}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("null", "delay", "cbpe", "ppi", "peer"))
    parser.add_argument("--kinds", nargs="*")
    parser.add_argument("--models", type=int, default=40)
    parser.add_argument("--replicates", type=int, default=400)
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--python", help="of an environment that has NannyML")
    options = parser.parse_args()
    {"null": null, "delay": delay, "cbpe": cbpe, "ppi": ppi, "peer": peer}[options.what](options)


if __name__ == "__main__":
    main()
