"""The skew card of a model's page, and the time that charts are compared with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bench.skew import KINDS as WORLDS
from bench.skew import Change, binned, evidence
from dashboards import skew
from dashboards.compared import Compared, Span, compared
from dashboards.reader import used
from dashboards.scope import scope
from detectors import skew as detector
from observe.clock import EventClock
from observe.schema import ReferenceWindow
from observe.store import Store

NOW = datetime(2026, 1, 25, 1, tzinfo=UTC)  # 20 days are served


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder: Path = tmp_path_factory.mktemp("skew")
    held = Store.open(folder / "data", EventClock(NOW), threads=1, memory="500MB")
    found = detector.detect(evidence(WORLDS["season"], 1, 5, 20, Change(shift=0.6)))
    spoken = ReferenceWindow(
        "ref-1", "m0", "inc-1", None, "chg-1", "v2", NOW - timedelta(days=40), NOW - timedelta(days=30), 100, "human", "accepted", "ada", "", NOW,
    )  # fmt: skip
    try:
        with held.change() as tx:
            tx.insert(list(found.findings))
            tx.insert([binned("m0", 0)])
            tx.insert([spoken])
        yield held
    finally:
        held.close()


def shown(store: Store, name: str = "m0", **facts: Any) -> str:
    from plotly.utils import PlotlyJSONEncoder

    made = skew.section(reader(store), scope({"now": NOW.isoformat(), "name": name}), name, facts)
    return json.dumps(made, cls=PlotlyJSONEncoder, ensure_ascii=False)


def reader(store: Store) -> Any:
    def read(sql: str, params: Any = None) -> pl.DataFrame:
        return store.read(sql, used(sql, params or {}))

    return read


def test_the_card_names_file_days_and_what_differs_first(store: Store) -> None:
    text = shown(store)

    assert "train.parquet, 673 k rows, content f1 · beside what was served 11 Jan 00:00 – 25 Jan 00:00 UTC" in text
    assert text.index("higher by 0.5") < text.index("as in training")
    assert "This card could" not in text
    assert "questions could be judged; the others are unknown, not fine" in text


def test_a_named_file_that_nothing_was_compared_with_is_unknown(store: Store) -> None:
    text = shown(store, "nobody", drift={"skew": "train.parquet"})

    assert "train.parquet was not compared with anything yet" in text
    assert shown(store, "nobody") == "[]"


def test_a_chart_is_told_which_time_it_is_compared_with(store: Store) -> None:
    found = compared(reader(store), scope({"now": NOW.isoformat()}), "m0", "f0")

    assert [s.words for s in found.spans] == ["reference 5 Jan – 5 Jan", "accepted reference v2 16 Dec – 26 Dec"]


def test_a_reference_inside_the_chart_is_a_band_and_one_before_it_a_word_at_its_edge() -> None:
    view = scope({"now": NOW.isoformat(), "range": "7d"})
    inside = Span("reference", NOW - timedelta(days=5), NOW - timedelta(days=3))
    before = Span("reference", NOW - timedelta(days=40), NOW - timedelta(days=20))
    drawn = Compared((inside, before), None).drawn(
        {"data": [], "layout": {"shapes": [{"type": "line"}], "margin": {"t": 8}}}, view
    )  # type: ignore[arg-type]

    assert [s["type"] for s in drawn["layout"]["shapes"]] == ["rect", "line"]
    assert [n["text"] for n in drawn["layout"]["annotations"]] == [
        "reference 20 Jan – 22 Jan",
        "◂ reference 16 Dec – 5 Jan",
    ]
