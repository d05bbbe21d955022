"""A store in which one feature of the model `fraud` moved at noon, as the stages would have left it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl

from observe.clock import EventClock
from observe.schema import Batch, Binning, Finding, Window
from observe.store import Store

END = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)  # Monday 7:00 in Berlin
WEEK = Window(END - timedelta(days=7), END)
SHIFT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SCRIPT = "</script><script>window.pwned=1</script>"
EVIL = f"{SCRIPT}|**x**"
MODELS = {
    "fraud": {"drift": {"features": [{"name": "amount", "unit": "EUR"}, {"name": "age"}, {"name": "never_sent"}]}}
}
EDGES = tuple(float(e) for e in np.linspace(-2.4, 2.4, 15))


@contextmanager
def drifted(path: Path, moved: bool = True, clock: EventClock | None = None) -> Iterator[Store]:
    """The store, open while the block runs; `moved` false: nothing happened."""
    store = Store.open(path, clock or EventClock(END + timedelta(minutes=20)))
    try:
        if not store.read("select 1 from finding limit 1").height:
            fill(store, moved)
        yield store
    finally:
        store.close()


def fill(store: Store, moved: bool) -> None:
    rng = np.random.default_rng(7)
    store.append(Batch("observe", "summaries", {"summary": pl.DataFrame(list(summaries(rng, moved)))}))
    store.append(Batch("predictions/fraud", "rows", {"prediction:fraud": predictions(rng, moved)}))
    with store.change() as tx:
        tx.insert([binning(f) for f in ("amount", "age", EVIL)])
        tx.insert(list(findings(moved)))
        tx.set_setting("models", MODELS)
        tx.set_setting(
            "false_alarms", {"page": {"count": 1, "period_s": 7776000}, "ticket": {"count": 1, "period_s": 604800}}
        )


def centre(feature: str, at: datetime, moved: bool) -> float:
    return 0.5 if feature == "amount" and moved and at >= SHIFT else 0.0


def binning(feature: str) -> Binning:
    mass = np.histogram(np.random.default_rng(1).normal(size=20_000), [-9, *EDGES, 9])[0]
    quantiles = tuple(50 + 10 * NormalDist().inv_cdf(min(max(k / 100, 0.003), 0.997)) for k in range(101))
    edges = tuple(50 + 10 * e for e in EDGES)
    return Binning(
        f"fraud/predictions/{feature}@1", "fraud", "predictions", feature, "numeric", 1, edges, None, tuple(int(x) for x in mass),
        quantiles, WEEK.start - timedelta(days=20), WEEK.start - timedelta(days=3), WEEK.start - timedelta(days=3),
    )  # fmt: skip


def summaries(rng: np.random.Generator, moved: bool) -> Iterator[Mapping[str, Any]]:
    for feature in ("amount", "age", EVIL):
        for hour in range(7 * 24):
            at = WEEK.start + timedelta(hours=hour)
            counts = np.histogram(rng.normal(centre(feature, at, moved), 1, 300), [-9, *EDGES, 9])[0]
            yield {
                "ts": at, "window_s": 3600, "measure": f"fraud/predictions/{feature}", "model": "fraud",
                "binning_id": f"fraud/predictions/{feature}@1", "n": 300, "counts": [int(c) for c in counts],
                "missing": 30 if feature == "age" else 0, "nan": 0, "inf": 0, "low": 20.0, "high": 80.0,
            }  # fmt: skip


def predictions(rng: np.random.Generator, moved: bool) -> pl.DataFrame:
    begin, n = WEEK.start - timedelta(days=20), 3000
    spans = [(begin + i * timedelta(days=17) / n, False) for i in range(n)]
    spans += [(WEEK.start + i * timedelta(days=7) / n, moved) for i in range(n)]
    at = [t for t, _ in spans]
    value = [50 + 10 * (rng.normal() + centre("amount", t, m)) for t, m in spans]
    return pl.DataFrame({
        "prediction_id": [f"p{i}" for i in range(2 * n)], "ts": pl.Series(at, dtype=pl.Datetime("us", "UTC")), "amount": value,
        "age": np.where(rng.uniform(size=2 * n) < 0.1, np.nan, rng.normal(40, 9, 2 * n)), EVIL: rng.choice(["a", SCRIPT], 2 * n),
    })  # fmt: skip


def findings(moved: bool) -> Iterator[Finding]:
    for feature in ("amount", "age", EVIL):
        for hour in range(1, 7 * 24 + 1):
            end = WEEK.start + timedelta(hours=hour)
            alarm = feature == "amount" and moved and end > SHIFT + timedelta(hours=2)
            state = "alarm" if alarm else "learning" if feature == "age" else "ok"
            effect = centre(feature, end - timedelta(minutes=1), moved) or 0.01
            details = {"median_from": 50.0, "median_to": 55.0, "psi": 0.2} if alarm else {}
            yield Finding(
                f"fnd-{feature}-{hour}", f"fraud/level/{feature}/location", "level", "fraud", "drift", feature, end - timedelta(hours=1), end,
                state, "ticket", 21.0 if alarm else 0.3, 14.5, effect, "σ", effect - 0.05, effect + 0.05, SHIFT if alarm else None,
                SHIFT - timedelta(hours=1) if alarm else None, SHIFT + timedelta(hours=1) if alarm else None, 300,
                f"{feature} moved" if alarm else "as expected", {"min_detectable_24h": 0.08, **details}, end,
            )  # fmt: skip
