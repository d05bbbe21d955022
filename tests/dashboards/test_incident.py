"""The page of one incident: why, timeline, evidence whose SQL gives the same numbers, what was done."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import world

from dashboards import hand, incident, incidents, proof, slos, story, story_figure, tables
from dashboards.reader import SessionReader, used, written_out
from dashboards.scope import scope

AT = world.NOW + timedelta(seconds=12)


def shown(read: SessionReader, chosen: str, **more: str) -> str:
    from plotly.utils import PlotlyJSONEncoder

    view = {"now": AT.isoformat(), "theme": "dark", "id": chosen, **more}
    return json.dumps(incidents.page(read, view), cls=PlotlyJSONEncoder, ensure_ascii=False)


def row(read: SessionReader, chosen: str) -> Any:
    found = incident.found(read, chosen)
    assert found is not None
    return found


def test_an_explained_incident_says_why_with_scores_and_reasons(read: SessionReader) -> None:
    text = shown(read, "inc-burn")

    for words in (
        "Two GPUs in eu-west throttle.",
        "likely cause",
        "serves 92 % of the bad requests",
        "81 %",
        "none of these",
        "7 %",
    ):
        assert words in text
    assert "could not be filled" not in text


def test_what_differs_shows_both_shares_their_ratio_its_bound_and_its_corrected_p(read: SessionReader) -> None:
    text = shown(read, "inc-burn").split("What differs in the bad requests?")[1]

    for words in ("acme", "75 %", "5 %", "15×", "≥ 9.1×", "p < 0.001"):
        assert words in text


def test_one_that_is_not_explained_yet_says_so_and_shows_its_nearest_signal(read: SessionReader) -> None:
    text = shown(read, "inc-drift")

    assert "not yet explained" in text
    assert "No signal began within 30 min" in text
    assert "could not be filled" not in text


def test_words_of_a_model_are_marked_as_its_own(read: SessionReader) -> None:
    text = shown(read, "inc-burn")

    assert "written by tiny" in text
    assert text.index("Two GPUs in eu-west throttle.") < text.index("Two GPUs slow down 300 requests.")


def test_every_line_of_evidence_gives_the_same_numbers_when_its_sql_is_run(read: SessionReader) -> None:
    found = proof.proofs(read, row(read, "inc-burn"), AT)

    assert len(found) >= 2
    for line in found:
        again = read(written_out(line.query.sql, used(line.query.sql, line.query.params))).row(0, named=True)
        n = again["n"]
        assert line.cells[4] in (f"{n:,}", proof.words.count(n))
        if "bad" in again:
            assert f"{again['bad']:,} bad" in line.cells[1]
        else:
            assert line.cells[1] == proof.words.effect(again["effect"], again["unit"])


def test_the_timeline_has_a_lane_for_each_measure_on_one_axis(read: SessionReader) -> None:
    told = story.told(read, row(read, "inc-burn"), AT)
    figure = story_figure.drawn(told, "dark")

    assert [lane.title for lane in told.lanes][:3] == ["bad share", "requests a minute", "GPU busy"]
    assert {e.row for e in told.events} >= {"changes", "alerts", "actions", "people"}
    assert told.start < world.DEPLOY < told.end
    axes = [name for name in figure["layout"] if name.startswith("yaxis")]
    assert len(axes) == len(told.lanes) + 1
    assert next(s for s in figure["layout"]["shapes"] if s["type"] == "rect")["x0"] == world.DEPLOY.timestamp() * 1000


def test_lanes_follow_the_measure_that_alarmed(read: SessionReader) -> None:
    told = story.told(read, row(read, "inc-drift"), AT)

    assert told.lanes[0].title == "evidence ÷ needed"
    assert told.lanes[0].allowed == 1.0


def test_who_was_told_and_what_people_said_stand_on_the_page(read: SessionReader) -> None:
    text = shown(read, "inc-burn")

    for words in (
        "webhook:ops",
        "not now",
        "waiting",
        "ada",
        "took it",
        "act-comment",
        "Seen before",
        "inc-past",
        "1 h 30 min",
    ):
        assert words in text
    assert "/incidents/inc-burn/bundle" in text


def test_who_has_one_in_hand_is_a_column_only_where_somebody_has(read: SessionReader) -> None:
    rows = read(incidents.LIST, {"start": world.NOW - timedelta(days=2), "model": "", "now": AT}).to_dicts()
    view = scope({"now": AT.isoformat()})

    assert [c.name for c in incidents.listed(rows, {}, view)[1]].count("handled") == 1
    free = [r for r in rows if r["incident_id"] != "inc-burn"]
    assert "handled" not in [c.name for c in incidents.listed(free, {}, view)[1]]


@pytest.mark.parametrize(
    ("known", "shown"),
    [
        ({"verdict": "too little"}, ("no clear cause: too little evidence", "no signal near it, few bad requests")),
        ({"verdict": "no clear cause"}, ("no clear cause", "no change, no signal near it")),
        ({"verdict": "no clear cause", "likely": "deploy v42", "score": 0.31}, ("no clear cause", "nearest, 31 %: deploy v42")),
        ({"verdict": "cause", "likely": "deploy v42", "score": 0.81}, ("deploy v42", "likely cause, 81 %")),
        ({"verdict": None}, ("not yet explained", "")),
    ],
)  # fmt: skip
def test_why_is_said_in_words_with_what_it_rests_on(
    read: SessionReader, known: dict[str, Any], shown: tuple[str, str]
) -> None:
    first = read(incidents.LIST, {"start": world.NOW - timedelta(days=2), "model": "", "now": AT}).to_dicts()[0]
    row = {**first, "cause": None, "likely": None, "score": None, "told": "Both sentences.", **known}
    cells, columns = incidents.listed([row], {}, scope({"now": AT.isoformat()}))

    assert (cells[0]["cause"], cells[0]["cause_more"]) == shown
    assert [c.tip for c in columns if c.name == "cause"] == ["told"]


def test_an_incident_leads_to_its_objective_and_the_objective_to_its_open_incident(read: SessionReader) -> None:
    assert '"/slos?id=llama-70b-chat.ttft"' in shown(read, "inc-burn")
    view = {"now": AT.isoformat(), "theme": "dark", "id": "llama-70b-chat.ttft"}
    assert "/incidents?id=inc-burn" in str(slos.page(read, view))
    assert "/slos?id=" not in shown(read, "inc-drift")


def test_the_list_has_room_on_a_laptop_with_every_column(read: SessionReader) -> None:
    rows = read(incidents.LIST, {"start": world.NOW - timedelta(days=2), "model": "", "now": AT}).to_dicts()
    columns = incidents.listed(rows, {}, scope({"now": AT.isoformat()}))[1]

    assert "handled" in [c.name for c in columns]
    assert sum(c["minWidth"] for c in tables.grid("x", [], columns).columnDefs) <= 1006  # of 1280


def test_states_and_clocks_are_never_cut() -> None:
    grid = tables.grid(
        "x",
        [],
        [
            tables.Column("a", "A", "state", 112),
            tables.Column("b", "B", "clock", 142),
            tables.Column("c", "C", "", 200),
        ],
    )

    assert [c["minWidth"] for c in grid.columnDefs] == [112, 142, 160]


def test_nothing_is_muted_where_nobody_muted_anything(read: SessionReader) -> None:
    rows = read(incidents.LIST, {"start": world.NOW - timedelta(days=2), "model": "", "now": AT}).to_dicts()

    assert hand.muted_until(read, rows, scope({"now": AT.isoformat()})) == {}
