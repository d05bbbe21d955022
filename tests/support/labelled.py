"""A model with labels, small enough for a test: 30 hours of answers, each label two hours late."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from observe import summaries
from observe.app.evidence import Gathering
from observe.clock import EventClock
from observe.registry import plugin
from observe.schema import Finding, Window
from observe.spec import Config, Model, Monitoring, Site
from observe.spec.monitors import derive
from observe.store import Store

T0 = datetime(2026, 3, 2, tzinfo=UTC)
HOURS, PER_HOUR = 30, 100
N = HOURS * PER_HOUR
STAMP = pl.Datetime("us", "UTC")


def config(**performance: object) -> Config:
    """A site with model `m`, whose scores are of class 1 and whose labels come within three hours."""
    said = {"positive": "1", "delay": "3h", **performance}
    watched = Monitoring.model_validate({"metadata": {"name": "m"}, "performance": said})
    return Config(Site(), {"m": Model("m", monitoring=watched)})


def answers() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Predictions, and their labels."""
    rng = np.random.default_rng(4)
    ts = pl.Series([T0 + timedelta(seconds=3600 / PER_HOUR * i) for i in range(N)], dtype=STAMP)
    score = rng.beta(2, 2, N)
    truth = (rng.random(N) < score).astype(int)
    ids = [f"p{i}" for i in range(N)]
    rows = {
        "ts": ts, "prediction_id": ids, "item_idx": [0] * N, "score": score, "prediction": np.where(score >= 0.5, "1", "0"),
        "region": np.where(np.arange(N) % 2 == 0, "eu", "us"),
    }  # fmt: skip
    labels = {
        "ts": ts + timedelta(hours=2), "model_id": ["m"] * N, "prediction_id": ids, "item_idx": [0] * N, "revision": [0] * N,
        "value": truth.astype(str), "value_num": truth.astype(float), "quality": [0] * N,
    }  # fmt: skip
    return pl.DataFrame(rows), pl.DataFrame(labels)


@contextmanager
def opened(path: Path) -> Iterator[tuple[Store, EventClock]]:
    """A store four hours after the last answer."""
    clock = EventClock(T0 + timedelta(hours=34))
    store = Store.open(path / "data", clock, threads=1, memory="500MB")
    try:
        yield store, clock
    finally:
        store.close()


def found(store: Store, clock: EventClock, config: Config, detector: str) -> tuple[Finding, ...]:
    """What a detector says about the newest hour it can know."""
    summaries.close(store, config, clock.now())
    asked = [m for m in derive(config, {}) if m.detector == detector]
    until = summaries.closed_until(store)[f"m/{detector}"]
    window = Window(until - timedelta(hours=1), until)
    since = min(plugin("observe.detectors", detector).since(m, {}, window) for m in asked)
    gathered = Gathering(config, store).evidence(asked, window, since, clock.now())
    findings: tuple[Finding, ...] = plugin("observe.detectors", detector).detect(gathered).findings
    return findings
