"""Evidence in which something happens, for every detector: several monitors, and an alarm on the way."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import labelled
import numpy as np
import polars as pl
from devices import training
from scipy.special import ndtr
from streams import (
    START,
    binning,
    drawn,
    level_monitors,
    levelled,
    pair_binning,
    paired,
    rate_monitor,
    rates,
    scored,
    shaped,
    wander,
)

from bench.answers import KINDS
from bench.performance import evidence as measured
from bench.skew import KINDS as TRAINED
from bench.skew import Change
from bench.skew import evidence as differing
from observe import summaries
from observe.app.evidence import Gathering
from observe.registry import plugin
from observe.schema import Batch, Evidence, Monitor, Window
from observe.schema.exchange import frame_schema
from observe.schema.outcomes import Summary
from observe.spec.burn import usable
from observe.spec.monitors import derive

HISTORY, JUDGED = 14 * 24, 36  # hours
CHANGED = HISTORY + 12


def level() -> Evidence:
    rng = np.random.default_rng(21)
    hours = HISTORY + JUDGED
    mu, after = wander(rng, hours, 2, tau=0.05), (np.arange(hours) >= CHANGED)[:, None]
    wide = 1 + 0.4 * after

    def counts(i: int) -> np.ndarray:
        if i == 2:
            return rng.multinomial(800, np.where(after, (0.5, 0.3, 0.15, 0.05), (0.6, 0.3, 0.05, 0.05)))
        m, s = (mu[:, :1] + 0.6 * after, 1.0) if i == 0 else (mu[:, 1:], wide)
        return drawn(rng, lambda e: ndtr((e - m) / s), 800)

    features = level_monitors(2)
    shares = scored(level_monitors(3)[2:], "share:a", "share:c")
    pair = replace(
        features[0], monitor_id="m/level/f0*f1/pair", measure="m/predictions/f0*f1", feature="f0 × f1", score="pair"
    )
    fast = replace(features[0], monitor_id="m/level/f0/location_fast", window_s=1800, min_effect=1.0)
    products = paired(rng.normal(0.3 + 0.4 * after[:, 0], 0.04), 800)
    bins = [
        binning("m/predictions/f0"),
        binning("m/predictions/f1"),
        levelled("m/predictions/f2", (0.6, 0.3, 0.05)),
        pair_binning(),
    ]
    monitors = (*features, *scored(features, "spread", "third", "fourth"), *shares, pair, fast)
    return Evidence(
        monitors,
        _span(HISTORY, hours),
        pl.concat([shaped(counts, hours, 3), products]),
        {b.binning_id: b for b in bins},
        {},
    )


def rate() -> Evidence:
    rng, windows = np.random.default_rng(22), 9 * 288
    n = rng.poisson(400, windows)
    bad = rng.poisson(n * np.where(np.arange(windows) >= windows - 150, 0.03, 0.004))
    calm = rng.poisson(n * 0.01)
    monitors = (
        rate_monitor(),
        replace(rate_monitor(measure="m/attempts/other"), monitor_id="m/rate/other/share", feature="other"),
    )
    rows = pl.concat([rates(bad, n), rates(calm, n, measure="m/attempts/other")])
    return Evidence(monitors, _span(8 * 24, 9 * 24), rows, {}, {})


def burn() -> Evidence:
    rng, minutes = np.random.default_rng(23), 2 * 1440
    monitors, frames = [], []
    for name, worst in (("fast", 0.05), ("fine", 0.0)):
        n = rng.poisson(60, minutes)
        share = np.where(np.arange(minutes) >= minutes - 300, worst, 0.0002)
        measure = f"m/slo/{name}"
        frames.append(rates(rng.binomial(n, share), n, 60, measure))
        tiers = [
            {"name": t.name, "severity": t.severity, "long_s": t.long_s, "short_s": t.short_s, "factor": t.factor(30 * 86_400), "gate_nats": t.gate_nats(1.0)}
            for t in usable(0.999, 30 * 86_400)
        ]  # fmt: skip
        params: dict[str, Any] = {"objective": 0.999, "window_s": 30 * 86_400, "tiers": tiers}
        monitors.append(
            Monitor(
                f"m/burn/{name}", "m", "burn", measure, name, "slo", 60, "page", 10.0, 0.5, None, "x budget", params
            )
        )
    return Evidence(tuple(monitors), _span(0, 48), pl.concat(frames), {}, {})


def gauge() -> Evidence:
    rng, n = np.random.default_rng(24), 120
    changed = np.arange(n) >= 100
    shared: dict[str, Any] = {"ts": _times(n), "cluster": ["eu"] * n}
    gpu = pl.DataFrame({**shared, "sku": ["H100"] * n, "devices": [16] * n, "throttled_devices": np.where(changed, 6.0, 0.0),
                        "sm_clock_mean": 1980 + rng.normal(0, 5, n), "saturated_devices": np.full(n, 4.0)})  # fmt: skip
    queue = pl.DataFrame(
        {**shared, "model_id": ["chat"] * n, "queue_mean": np.where(changed, 40.0, 2.0) + rng.normal(0, 0.2, n)}
    )
    monitors = tuple(
        Monitor(
            f"{model}/gauge/{kind}", model, "gauge", "", kind, "gauge", 300, "inform", 0.0, 0.0, params={"kind": kind}
        )
        for model, kind in (("site", "gpu"), ("chat", "queue"))
    )
    return Evidence(
        monitors,
        Window(START + timedelta(minutes=380), START + timedelta(minutes=600)),
        _none(),
        {},
        {},
        {"gpu_5m": gpu, "queue_5m": queue},
    )


def imbalance() -> Evidence:
    n = 24
    rows = [
        {"ts": START + timedelta(minutes=5 * i), "cluster": cluster, "sku": "H100", "devices": 64, "util_mean": util, "idle_devices": idle, "saturated_devices": busy}
        for i in range(n) for cluster, util, idle, busy in (("eu", 0.98, 0, 64), ("us", 0.06 if i > 8 else 0.7, 57 if i > 8 else 0, 0))
    ]  # fmt: skip
    monitor = Monitor("site/imbalance/gpu", "site", "imbalance", "", "gpu", "imbalance", 300, "ticket", 0.0, 0.1)
    return Evidence((monitor,), _span(0, 2), _none(), {}, {}, {"gpu_5m": pl.DataFrame(rows)})


def silence() -> Evidence:
    now = START + timedelta(hours=3)
    rows = [
        ("gpus", "http://a/m", 15.0, now, now),
        ("gpus", "http://b/m", 15.0, START, now),
        ("gate", "", 60.0, START, now),
    ]
    seen = pl.DataFrame(rows, ["collector", "target", "every_s", "last_ts", "now"], orient="row")
    monitors = tuple(
        Monitor(
            f"site/silence/{name}",
            "site",
            "silence",
            "",
            name,
            "silence",
            60,
            "ticket",
            0.0,
            0.1,
            params={"every_s": every},
        )
        for name, every in (("gpus", 15.0), ("gate", 60.0))
    )
    return Evidence(monitors, Window(now - timedelta(minutes=1), now), _none(), {}, {}, {"last_seen": seen})


def straggler() -> Evidence:
    rows = training(6, 3 * 288, slower=(2 * 288 + 144, 0.25))
    monitor = Monitor("site/straggler/gpu", "site", "straggler", "", "gpu", "straggler", 900, "ticket", 10.9, 0.01)
    return Evidence((monitor,), _span(0, 72), _none(), {}, {}, {"device_5m": rows})


def canary() -> Evidence:
    rng, n = np.random.default_rng(26), 120
    begins = np.arange(n) >= 60
    requests, old = np.where(begins, rng.poisson(40, n), 0), rng.poisson(360, n)
    shares = {"error": (0.01, 0.04), "latency:ttft_s:p90": (0.1, 0.1), "prediction:3": (0.1, 0.1)}
    rows = [
        {"model": model, "ts": START + timedelta(minutes=i), "canary": "v2", "question": question,
         "canary_x": int(rng.binomial(requests[i], worse if model == "chat" else share)), "canary_n": int(requests[i]),
         "baseline_x": int(rng.binomial(old[i], share)), "baseline_n": int(old[i]), "canary_sum": None, "baseline_sum": None}
        for model in ("chat", "fraud") for i in range(n) for question, (share, worse) in shares.items()
    ]  # fmt: skip
    rows += [
        {**row, "question": "mean:duration_s", "canary_sum": 1.2 * row["canary_n"] + i % 3, "baseline_sum": 1.0 * row["baseline_n"] + i % 5}
        for i, row in enumerate(rows) if row["question"] == "error"
    ]  # fmt: skip
    monitors = tuple(
        Monitor(f"{model}/canary/deployment", model, "canary", "", "deployment", "canary", 60, "ticket", 4.6, 0.0, None, "ratio",
                {"by": "deployment", "rollback_at": 2.0})
        for model in ("chat", "fraud")
    )  # fmt: skip
    return Evidence(monitors, _span(1, 2), _none(), {}, {}, {"canary_1m": pl.DataFrame(rows, infer_schema_length=None)})


def performance() -> Evidence:
    return measured(KINDS["iid"], 1, 11, 36, turned=0.2)


def estimate() -> Evidence:
    answers, truths = labelled.answers()
    site = labelled.config()
    with tempfile.TemporaryDirectory() as folder, labelled.opened(Path(folder)) as (store, clock):
        store.append(Batch("test", "answers", {"prediction:m": answers}))
        store.append(Batch("test", "truths", {"label": truths}))
        summaries.close(store, site, clock.now())
        asked = tuple(m for m in derive(site, {}) if m.detector == "estimate")
        until = summaries.closed_until(store)["m/estimate"]
        window = Window(until - timedelta(hours=4), until)
        since = min(plugin("observe.detectors", "estimate").since(m, {}, window) for m in asked)
        return Gathering(site, store).evidence(asked, window, since, clock.now())


def skew() -> Evidence:
    return differing(TRAINED["season"], 1, 3, 16, Change(shift=0.6))


EVIDENCE: Mapping[str, Callable[[], Evidence]] = {
    "level": level, "rate": rate, "burn": burn, "gauge": gauge, "imbalance": imbalance, "silence": silence,
    "straggler": straggler, "canary": canary, "performance": performance, "estimate": estimate, "skew": skew,
}  # fmt: skip


def split(rows: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Every summary as two of the same window, whose counts add up to it."""
    rng = np.random.default_rng(seed)
    some = rows.with_row_index("row")
    counts = [None if c is None else rng.binomial(np.array(c), 0.4).tolist() for c in rows["counts"].to_list()]
    first = {
        "counts": pl.Series(counts, dtype=rows.schema["counts"]),
        "n": pl.Series(
            [sum(c) if c is not None else n // 3 for c, n in zip(counts, rows["n"], strict=True)], dtype=pl.Int64
        ),
        "events": rows["events"] // 4,
        "value_sum": (rows["value_sum"] * 2**18).round() / 2**20,
    }
    part = some.with_columns(**first)
    rest = some.with_columns(
        **{name: rows[name] - column for name, column in first.items() if name != "counts"},
        counts=pl.Series([None if c is None else (np.array(w) - np.array(c)).tolist() for w, c in zip(rows["counts"].to_list(), counts, strict=True)], dtype=rows.schema["counts"]),
    )  # fmt: skip
    return pl.concat([part, rest]).sort("row").drop("row")


def _span(start_h: int, end_h: int) -> Window:
    return Window(START + timedelta(hours=start_h), START + timedelta(hours=end_h))


def _times(n: int) -> pl.Series:
    return pl.Series([START + timedelta(minutes=5 * i) for i in range(n)], dtype=pl.Datetime("us", "UTC"))


def _none() -> pl.DataFrame:
    return pl.DataFrame(schema=dict(frame_schema(Summary.table())))
