"""The Health page: one sentence first, what does not speak first, and nothing fine that is old or unknown."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
import world

from collectors import cloudevents, events, ndjson, otlp, spans
from collectors.mapping import load
from dashboards import doubts, health, pipeline
from dashboards.meanings import MEANING
from dashboards.reader import SessionReader
from dashboards.scope import scope

Ask = Callable[..., pl.DataFrame]


def shown(read: Any, after: timedelta = timedelta(seconds=12)) -> str:
    from plotly.utils import PlotlyJSONEncoder

    view = {"now": (world.NOW + after).isoformat(), "theme": "dark"}
    return json.dumps(health.page(read, view), cls=PlotlyJSONEncoder, ensure_ascii=False)


def sentence(sources: pl.DataFrame, parts: pl.DataFrame, doubted: pl.DataFrame, damages: int = 0) -> str:
    view = scope({"now": (world.NOW + timedelta(seconds=12)).isoformat()})
    return str(health.verdict(view, sources, parts, doubted, pl.DataFrame({"n": [damages]})))


@pytest.fixture
def fine(read: SessionReader) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """What the page reads, with all that is not fine taken out."""
    sources = read(health.SOURCES).filter(pl.col("state") == "ok")
    return sources, read(pipeline.PARTS), read(doubts.DOUBTS).filter(pl.col("level") == "hint")


def test_the_sentence_names_the_sources_that_do_not_speak(read: SessionReader) -> None:
    text = shown(read)

    assert "Not all of this screen can be trusted" in text
    assert "2 of 9 sources do not speak: gpus, litellm." in text
    assert text.index('"state": "failing"') < text.index('"state": "silent"') < text.index('"state": "never"')


def test_a_clock_that_runs_ahead_is_said_with_what_to_do(read: SessionReader) -> None:
    text = shown(read)

    assert "48 s ahead" in text
    assert "let ntpd or chrony set the clock of the sender" in text


def test_nothing_is_fine_when_the_service_says_nothing(read: SessionReader) -> None:
    text = shown(read, timedelta(hours=4))

    assert "Nobody knows whether this screen can be trusted" in text
    assert '"state": "ok"' not in text
    assert "badge ok" not in text


def test_all_is_well_only_when_nothing_is_wrong_or_doubtful(fine: Any) -> None:
    sources, parts, hints = fine
    behind = parts.with_columns(pl.when(part="judge").then(pl.lit("wrong")).otherwise(pl.col("state")).alias("state"))
    doubt = hints.with_columns(level=pl.lit("doubt"))

    assert "You can trust this screen'" in sentence(*fine)
    assert "You can trust this screen, with 2 doubts" in sentence(sources, parts, doubt)
    assert "Judging is behind (1 min" in sentence(sources, behind, hints)
    assert "3 damages of stored data" in sentence(*fine, damages=3)
    assert "Nobody knows yet" in sentence(sources, parts.clear(), hints)
    assert "Nothing is sent yet" in sentence(sources.clear(), parts, hints)


def test_every_reason_that_collectors_give_has_a_meaning() -> None:
    listed = [
        name.strip()
        for module in (spans, cloudevents, events, ndjson)
        for names in re.findall(r"^    ([a-z_]+(?:, [a-z_]+)*)  +\S", module.__doc__ or "", re.MULTILINE)
        for name in names.split(",")
    ]
    given = {*listed, *(name for names in otlp.FAULTS.values() for name in names), *load().ignore.values()}

    assert len(given) >= 18
    assert sorted(given - MEANING.keys()) == []


def test_every_reason_that_is_known_is_explained_and_commands_are_told(read: SessionReader) -> None:
    text = shown(read)

    for words in (
        "the same call told by an inner span",
        "was stored already",
        "acknowledge",
        "inc-burn",
        "0 marked false of 1 declared",
    ):
        assert words in text
