"""Pairs of features: the strongest are watched, their products summed exactly, window by window."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from detectors import scores
from observe import summaries
from observe.clock import EventClock
from observe.schema import Batch, Binning
from observe.spec import Config, Model, Monitoring, Site
from observe.store import Store
from observe.summaries.products import MOST, normal_scores, strongest

T0 = datetime(2026, 3, 2, tzinfo=UTC)
N = 12_000


def predictions(seed: int = 4, **more: np.ndarray) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.lognormal(3, 1, N)
    ts = pl.Series([T0 + timedelta(seconds=9 * i) for i in range(N)], dtype=pl.Datetime("us", "UTC"))
    columns = {"age": age, "amount": age * rng.lognormal(0, 0.5, N), "items": rng.poisson(2, N) * 1.0, **more}
    return pl.DataFrame({"ts": ts, "prediction_id": [f"p{i}" for i in range(N)], "country": ["DE"] * N, **columns})


def closed(path: Path, rows: pl.DataFrame, **drift: object) -> Store:
    watched = Monitoring.model_validate({"metadata": {"name": "m"}, "drift": {"source": "predictions", **drift}})
    store = Store.open(path / "data", EventClock(T0 + timedelta(hours=31)), threads=1, memory="500MB")
    store.append(Batch("t", "1", {"prediction:m": rows}))
    summaries.close(store, Config(Site(), {"m": Model("m", monitoring=watched)}), T0 + timedelta(hours=31))
    return store


def test_scores_are_those_the_detectors_use() -> None:
    counts = tuple(np.random.default_rng(1).integers(0, 500, 64).tolist())

    assert np.abs(normal_scores(counts) - scores.weights(np.array(counts, float))).max() < 2**-10


def test_the_mean_product_is_the_correlation_of_normal_scores(tmp_path: Path) -> None:
    store = closed(tmp_path, predictions())
    rows = store.read("select n, value_sum from summary where measure = 'm/predictions/age*amount'")
    pairs = store.read("select feature, levels from binning where kind = 'pair' order by feature").rows()
    store.close()

    assert pairs[0] == ("age*amount", ["age", "amount"])
    assert rows["n"].sum() == N
    assert rows["value_sum"].sum() / N == pytest.approx(1 / np.sqrt(1 + 0.25), abs=0.02)


def test_rows_that_lack_one_of_a_pair_count_for_neither_and_are_told_missing(tmp_path: Path) -> None:
    half = np.where(np.arange(N) % 2 == 0, np.nan, 1.0) * np.random.default_rng(2).normal(size=N)
    store = closed(tmp_path, predictions(items=half))
    sql = "select sum(n)::BIGINT, sum(missing)::BIGINT from summary where measure = 'm/predictions/age*items'"
    found = store.read(sql).row(0)
    store.close()

    assert found == (N // 2, N // 2)


def test_pairs_with_the_score_come_first_and_there_are_never_more_than_ten(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    more = {f"x{i}": rng.normal(size=N) for i in range(6)}
    store = closed(tmp_path, predictions(score=rng.uniform(size=N), **more), features=["score", "age", "amount", *more])
    pairs = store.read("select feature from binning where kind = 'pair'")["feature"].to_list()
    store.close()

    assert len(pairs) == MOST
    assert "age*amount" in pairs
    assert sum("score" in name.split("*") for name in pairs) >= 5


def test_features_that_never_vary_make_no_pair() -> None:
    constant, moving = pl.Series("a", [2.0] * 9), pl.Series("b", np.arange(9.0))
    bins = [
        Binning(
            f"m/predictions/{name}@1",
            "m",
            "predictions",
            name,
            "numeric",
            1,
            (1.0, 5.0),
            None,
            counts,
            None,
            T0,
            T0,
            T0,
        )
        for name, counts in (("a", (0, 9, 0)), ("b", (1, 4, 4)))
    ]

    assert strongest(pl.DataFrame([constant, moving]), bins, []) == []
