"""What a chart draws of few values."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest
import world

from dashboards import compared, figures, fleet, traffic
from dashboards.palette import palette
from dashboards.requests import Requests, requests
from dashboards.scope import scope

NAN = float("nan")


@pytest.mark.parametrize(
    ("values", "dots"),
    [([0.4], [5]), ([1.0, NAN, 2.0, 3.0], [5, 0, 0, 0]), ([1.0, None, 2.0], [5, 0, 5])],
)
def test_a_value_without_neighbours_is_a_dot(values: list[float | None], dots: list[int]) -> None:
    for y in (values, figures.typed(pl.Series(values, dtype=pl.Float64))):
        line = figures.line([0.0] * len(values), y, "x", "#ffffff")

        assert line["mode"] == "lines+markers"
        assert line["marker"]["size"] == dots


def test_a_line_of_values_side_by_side_has_no_dots() -> None:
    assert figures.line([1, 2], figures.typed([0.1, 0.2]), "x", "#ffffff")["mode"] == "lines"
    assert figures.line([], figures.typed([]), "x", "#ffffff")["mode"] == "lines"


def test_a_fleet_whose_samples_lie_in_one_bucket_is_drawn_inside_the_chart(read: Any) -> None:
    start = world.NOW - timedelta(minutes=3)
    view = scope({"now": world.NOW.isoformat(), "from": start.isoformat(), "to": world.NOW.isoformat()})
    frame = read(fleet.BUSY, {**view.params, "bucket": 86400, "start": world.NOW - timedelta(minutes=30)})
    lines = fleet._series(frame, palette("dark"))
    drawn = str(fleet.busy_card(lambda sql, params=None: frame if sql == fleet.BUSY else read(sql, params), view))

    assert [line["marker"]["size"] for line in lines] == [[5], [5]]
    assert str(figures.instants(pl.Series([start.timestamp()]))["bdata"]) in drawn


def test_requests_that_fill_no_point_of_a_long_range_are_said_not_to(read: Any) -> None:
    view = scope({"now": world.NOW.isoformat(), "range": "30d"})
    hour = world.NOW - timedelta(hours=1)
    asked = requests(read, view, "llama-70b-chat", "ttft_s")
    today = pl.col("epoch") >= (hour.timestamp() // 86400) * 86400
    only = Requests(asked.frame.filter((pl.col("part") != "time") | today), asked.query)

    assert only.over_time.height == 1
    for card in (traffic.over_time_card(read, view, "llama-70b-chat", only), traffic.cost_card(view, "m", only, {})):
        assert "fill no whole 1 d yet" in str(card)


@pytest.mark.parametrize(("legend", "height"), [(False, 1), (True, 0)])
def test_the_name_of_a_reference_stands_above_a_chart_where_no_legend_does(legend: bool, height: int) -> None:
    view = scope({"now": world.NOW.isoformat()})
    spans = (
        compared.Span("reference", world.NOW - timedelta(days=30), world.NOW - timedelta(days=7)),
        compared.Span("accepted reference", world.NOW - timedelta(hours=2), world.NOW),
    )
    plain = figures.figure([], "dark", margin=figures.margins(46, 10, 8, 34), showlegend=legend)
    layout = compared.Compared(spans, compared.Query("", {})).drawn(plain, view)["layout"]

    assert [(n["y"], n["xanchor"]) for n in layout["annotations"]] == [(height, "left"), (height, "right")]
    assert layout["margin"]["t"] == 8 + 28 * height
