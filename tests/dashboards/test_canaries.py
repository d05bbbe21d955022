"""The card of a canary on its model's page: said in words, question by question, and nothing where there is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import core
import pytest
import world
from asked import EVIDENCE
from test_browser import visiting

from dashboards import canaries
from dashboards.reader import SessionReader
from dashboards.scope import scope
from detectors import canary

MODEL = "mistral-7b"


@pytest.fixture(scope="module", autouse=True)
def judged(seeded: core.Core) -> Iterator[None]:
    found = canary.detect(EVIDENCE["canary"]()).findings
    alarms = [f for f in found if f.model == "chat"][-1:]
    shown = [
        replace(f, model=MODEL, window_end=world.NOW - timedelta(minutes=1), finding_id="fnd-canary") for f in alarms
    ]
    with pytest.MonkeyPatch.context() as patch, seeded.store.change() as tx:
        patch.setattr("dashboards.results.FRESH_S", 0.0)
        tx.insert(shown)
    yield
    with seeded.store.change() as tx:
        tx.execute("delete from core.finding where finding_id = 'fnd-canary'")


def shown(read: SessionReader, model: str) -> str:
    from plotly.utils import PlotlyJSONEncoder

    view = scope({"now": (world.NOW + timedelta(seconds=12)).isoformat(), "name": model})
    made: Any = canaries.canary_card(read, view, model)
    return json.dumps(made, cls=PlotlyJSONEncoder, ensure_ascii=False)


def test_the_card_says_what_is_worse_and_by_how_much(read: SessionReader) -> None:
    said = shown(read, MODEL)

    for words in (
        "Canary v2",
        "v2 is worse: errors",
        "ttft_s beyond the old p90",
        "predictions in tenth 3 of 10",
        "duration_s on average: 1.2, before 1.01",
        "Times as often",
    ):
        assert words in said, words


def test_a_model_without_a_canary_has_no_card(read: SessionReader) -> None:
    assert shown(read, "reranker") == "null"


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_card_stands_on_the_page_of_its_model(browser: Any, face: str, theme: str) -> None:
    with visiting(browser, face, theme) as visit:
        page = visit.open(f"/model/{MODEL}")
        assert page.locator("h2:has-text('Canary v2')").count() == 1
