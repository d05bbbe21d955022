"""Starved models beside idle devices, as the fleet page shows them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import world
from core import lake

from dashboards import matches, tables
from dashboards.scope import scope
from observe.schema import CapacityMatch, ScalingDecision
from observe.schema.exchange import nouns_frame

LAPTOP_PX = 1006  # inside a card of the whole width, where the window has 1280
VIEW = scope({"now": world.NOW.isoformat()})
FITS = CapacityMatch(
    ts=world.NOW - timedelta(minutes=2), model="chat", starved="has 2, needs 4: requests wait", replicas_short=2, cluster="us-east",
    sku="NVIDIA H100 80GB HBM3", idle=8, fits="yes", replicas=2, devices_each=4, why="the declared product, 4 a replica", rtt_s=0.085,
    saved_usd_h=24.0, idle_usd_h=24.0,
)  # fmt: skip
SHORT = ScalingDecision(
    ts=world.NOW - timedelta(minutes=2), model="chat", sure=True, running=2, replicas=4, load_units=3.1, binding="forecast",
    said="60 requests/s are expected", evidence={},
)  # fmt: skip


def shown(folder: Path, **tables: pl.DataFrame) -> str:
    from plotly.utils import PlotlyJSONEncoder

    with lake(folder / "data", tables, {}) as store:

        def read(sql: str, params: Mapping[str, Any] | None = None, window: Any = None) -> pl.DataFrame:
            return store.read(sql, {k: v for k, v in (params or {}).items() if f"${k}" in sql})

        return json.dumps(matches.card(read, VIEW), cls=PlotlyJSONEncoder, ensure_ascii=False)


def test_a_match_says_what_fits_how_far_it_is_and_what_it_saves(tmp_path: Path) -> None:
    text = shown(tmp_path, capacity_match=nouns_frame([FITS]))

    for words in ("has 2, needs 4: requests wait", "us-east", "85 ms", "$24", "the declared product, 4 a replica"):
        assert words in text


def test_a_row_says_how_many_devices_idle_and_how_many_replicas_they_hold() -> None:
    assert matches._told(asdict(FITS))["devices"] == "8 × H100 80GB HBM3"
    for replicas, said in ((2, "yes, 2 replicas"), (1, "yes, 1 replica"), (None, "yes, replicas not known")):
        assert matches._told({**asdict(FITS), "replicas": replicas})["fits"] == said


def test_the_columns_have_room_on_a_laptop() -> None:
    columns = tables.grid("x", [], matches.COLUMNS).columnDefs

    assert sum(c["minWidth"] for c in columns) <= LAPTOP_PX


def test_only_the_newest_round_is_shown(tmp_path: Path) -> None:
    old = replace(FITS, ts=world.NOW - timedelta(minutes=7), cluster="ap-south")

    assert "ap-south" not in shown(tmp_path, capacity_match=nouns_frame([FITS, old]))


def test_a_model_that_lacks_replicas_while_nothing_idles_is_named(tmp_path: Path) -> None:
    text = shown(tmp_path, scaling_decision=nouns_frame([SHORT]))

    assert "chat: more replicas are needed; no idle devices were found" in text


def test_nothing_is_shown_while_nobody_lacks_anything(tmp_path: Path) -> None:
    assert shown(tmp_path) == "null"
