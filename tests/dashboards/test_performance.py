"""The performance section of a model's page: by labels, before labels, and what stands behind both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from labelled import T0, N, answers, config, found, opened

from dashboards import performance
from dashboards.reader import used
from dashboards.scope import scope
from observe.schema import Batch
from observe.store import Store

NOW = T0 + timedelta(hours=34)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    rows, labels = answers()
    folder: Path = tmp_path_factory.mktemp("performance")
    with opened(folder) as (held, clock):
        held.append(Batch("t", "1", {"prediction:m": rows, "label": labels.head(N * 9 // 10)}))
        held.append(Batch("t", "2", {"label": labels.head(10)}))  # sent again
        asked = config(slices=["region"])
        findings = [f for name in ("performance", "estimate") for f in found(held, clock, asked, name)]
        with held.change() as tx:
            tx.insert(findings)
        yield held


def shown(store: Store, name: str = "m", **facts: Any) -> str:
    from plotly.utils import PlotlyJSONEncoder

    def read(sql: str, params: Any = None) -> pl.DataFrame:
        return store.read(sql, used(sql, params or {}))

    made = performance.section(read, scope({"now": NOW.isoformat(), "name": name}), name, facts)  # type: ignore[arg-type]
    return json.dumps(made, cls=PlotlyJSONEncoder, ensure_ascii=False)


def test_the_section_tells_labels_coverage_and_the_estimate_of_today(store: Store) -> None:
    text = shown(store)

    for words in (
        "accuracy 0.", "on the labels of 2 Mar 00:00", "90 % of these predictions have one", "without labels",
        "Do scores mean what they say?", "AUC 0.", "When do labels come?", "2 h", "Where is it worst?", "region = eu", "reference 2 Mar", "AUC informs: no alarm comes from it", "Slices inform: no alarm comes from them", "auc 0.", "not told apart",
        "This card could",
    ):  # fmt: skip
        assert (words in text) is (words != "This card could"), words


def test_every_number_has_its_sql(store: Store) -> None:
    text = shown(store)

    assert text.count('"SQL"') >= 4
    assert "from performance where model = 'm'" in text


def test_a_model_without_labels_and_without_estimates_has_no_section(store: Store) -> None:
    assert shown(store, "nobody") == "[]"


def test_where_performance_is_declared_and_nothing_is_known_it_says_what_is_missing(store: Store) -> None:
    text = shown(store, "nobody", performance={"task": "classification", "delay_s": 86_400.0})

    assert "No performance is known yet" in text
    assert "1 d after their predictions" in text


def test_a_regression_is_told_in_its_error(tmp_path: Path) -> None:
    rows, labels = answers()
    labels = labels.with_columns(value=pl.col("value_num").cast(pl.String))
    with opened(tmp_path) as (held, clock):
        held.append(Batch("t", "1", {"prediction:m": rows, "label": labels}))
        asked = config(task="regression", positive=None, unit="EUR", tolerance=0.4, slices=["region"])
        findings = [f for name in ("performance", "estimate") for f in found(held, clock, asked, name)]
        with held.change() as tx:
            tx.insert(findings)
        text = shown(held)

    assert "mean absolute error 0.399 (0.392 – 0.405)" in text
    assert "Within tolerance" in text
    assert "region = eu" in text
    assert "Do scores mean" not in text
    assert "This card could" not in text
