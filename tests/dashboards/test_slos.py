"""The objectives' pages: least budget first, unknown never among the fine, forecasts with their intervals."""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import core
import polars as pl
import pytest
import world

from dashboards import burndown, catalogue, differs, model, slo, slo_burn, slo_words, slos
from dashboards.reader import CoreClient, SessionReader
from dashboards.scope import scope

NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)


def written(page: Any) -> str:
    from plotly.utils import PlotlyJSONEncoder

    return json.dumps(page, cls=PlotlyJSONEncoder, ensure_ascii=False)


def shown(read: Any, **params: str) -> str:
    view = {"now": (world.NOW + timedelta(seconds=12)).isoformat(), "theme": "dark", **params}
    return written(slos.page(read, view))


def rows(read: Any, **params: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def walk(part: Any) -> None:
        if isinstance(part, dict):
            found.extend(part.get("rowData") or ())
            for value in part.values():
                walk(value)
        elif isinstance(part, list):
            for value in part:
                walk(value)

    walk(json.loads(shown(read, **params)))
    return found


def row(**given: Any) -> dict[str, Any]:
    return {
        "state": "ok", "window_kind": "rolling", "window_s": 2592000.0, "objective": 0.99, "budget_left": 0.4, "budget_low": 0.3,
        "budget_high": 0.5, "forecast_until": NOW + timedelta(days=30), "forecast_basis": "the last days", "exhausted_at": None,
        "exhausted_low": None, "exhausted_high": None, "found_24h": 3.0, "found_1h": None, "gaps_s": 0, **given,
    }  # fmt: skip


def test_the_least_budget_stands_first_and_what_cannot_be_judged_last(read: SessionReader) -> None:
    table = rows(read)
    left = [r["left"] for r in table]

    assert [r["state"] for r in table][-1] == "too few"
    assert left[:-1] == sorted(left[:-1])
    assert left[-1] is None


def test_states_and_models_filter_the_table(read: SessionReader) -> None:
    assert {r["state"] for r in rows(read, state="page")} == {"page"}
    assert {r["model"] for r in rows(read, model="mistral-7b")} == {"mistral-7b"}
    assert "No objective in this state" in shown(read, state="spent", model="reranker")


def test_an_old_judgement_is_unknown_and_shows_no_number(read: SessionReader) -> None:
    table = rows(read, now=(world.NOW + timedelta(hours=2)).isoformat(), model="mistral-7b")

    assert [(r["state"], r["left"], r["burn"], r["gone"]) for r in table] == [("stale", None, None, "–")]


def test_one_objective_tells_budget_forecast_power_alarms_and_bad_requests(read: SessionReader) -> None:
    text = shown(read, id="llama-70b-chat.ttft")

    for said in ("Burn by window", "fires at", "even spend", "forecast, 95 %", "If the burn goes on as since its onset", "A burn of 2.6× and more",
                 "without data", "incident since 14:02", "Newest bad requests", "Alarms of this period"):  # fmt: skip
        assert said in text, said
    assert "could not be filled" not in text


def test_the_model_page_shows_the_burn_of_the_objectives_own_page(read: SessionReader) -> None:
    view = {
        "now": (world.NOW + timedelta(seconds=12)).isoformat(),
        "theme": "dark",
        "name": "llama-70b-chat",
        "slo": "ttft",
    }
    text = written(model.page(read, view))
    told = [re.findall(r"Burn of [^\"]* by window: [^\"]*", t) for t in (text, shown(read, id="llama-70b-chat.ttft"))]

    assert told[0] == told[1] != []
    assert "fires at" in text


def test_burns_are_marked_by_the_tiers_of_the_objectives_own_period() -> None:
    week, month = (slo_burn.factors(0.99, days * 86_400.0) for days in (7, 30))
    minutes = slo_burn.factors(0.99, 30 * 86_400.0, tickets_only=True)

    assert [f for f, _, _ in week["1h"]] == [pytest.approx(3.36)]
    assert [f for f, _, _ in month["1h"]] == [pytest.approx(14.4)]
    assert {severity for of in minutes.values() for _, severity, _ in of} == {"ticket"}


def test_an_objective_over_minutes_names_minutes_and_compares_no_requests(read: SessionReader) -> None:
    found = read(slo.STATUS, {"model": "llama-70b-chat"}).to_dicts()[0] | {"counted": "minutes"}
    one = slo.Slo(found, {"name": "price", "kind": "cost", "events": "minutes"})
    view = scope({"now": world.NOW.isoformat()})
    text = written([differs.differs_card(read, view, one), slos._hero(one, view), slos._sees(view, one)])

    assert "What differs in the bad minutes?" in text
    assert "It counts minutes: no request of this model is good or bad by it" in text
    assert "of minutes bad" in text
    assert "More minutes" in text
    assert "requests bad" not in text


def test_a_failed_request_is_bad_and_what_does_not_count_is_neither(read: SessionReader) -> None:
    bad = catalogue.bad_request(
        {"kind": "latency", "column": "ttft_s", "threshold_s": 0.8, "total_sql": "team_id = 'a'"}
    )
    rows = "(values ('error', null, 'a'), ('ok', 0.9, 'a'), ('ok', 0.1, 'a'), ('ok', null, 'a'), ('error', 1, 'b')) as t(status, ttft_s, team_id)"

    assert read(f"select {bad} as bad from {rows}")["bad"].to_list() == [True, True, False, None, None]


def test_the_page_of_one_objective_stays_small(read: SessionReader) -> None:
    assert len(gzip.compress(shown(read, id="llama-70b-chat.ttft").encode())) < 60_000


def test_an_objective_nobody_knows_says_so(read: SessionReader) -> None:
    assert "There is no objective nobody.x" in shown(read, id="nobody.x")


def test_a_declared_objective_that_was_never_judged_is_listed_as_unknown(tmp_path: Any) -> None:
    with (
        core.lake(tmp_path / "data", {"collector_run": world.run_row()}, world.SETTINGS) as store,
        core.served(core.Core(store).app) as url,
    ):
        client = CoreClient(url, core.FACE_KEY)
        read = SessionReader(client, client.session({"token": core.TOKEN}))
        table, one = rows(read), shown(read, id="llama-70b-chat.ttft")
        client.close()

    assert {r["state"] for r in table} == {"not judged"}
    assert "It was not judged yet" in one


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"budget_left": -0.2}, "spent"),
        ({}, "not before 20 Dec"),
        ({"exhausted_low": NOW + timedelta(hours=5)}, "no; not before 20:00"),
        ({"exhausted_at": NOW + timedelta(hours=2), "exhausted_low": NOW + timedelta(minutes=50)}, "in 2 h (50 min – never)"),
        ({"state": "too_few", "budget_left": -0.2}, "–"),
        ({"forecast_until": None}, "–"),
    ],
)  # fmt: skip
def test_when_a_budget_is_gone_is_said_with_its_interval(given: dict[str, Any], said: str) -> None:
    assert slo_words.gone(row(**given), NOW) == said


def test_what_alarms_cannot_see_is_said_plainly() -> None:
    told = " ".join(slo_words.blind(row()))

    assert "A burn of 3× and more is found within a day" in told
    assert "it would spend the whole budget in 10 d" in told
    assert "not even a total outage of a day" in " ".join(slo_words.blind(row(found_24h=None)))


def test_the_line_ends_at_what_was_judged_also_where_old_summaries_are_gone(read: SessionReader) -> None:
    judged = row(judged_at=world.NOW, budget_events=1000.0, budget_left=0.4)
    ends = [
        read(burndown.BUDGET, burndown.params("mistral-7b/slo/ttft", judged, end))["budget_left"][-1]
        for end in (world.NOW + timedelta(seconds=12), world.NOW - timedelta(days=1))
    ]

    assert ends[0] == pytest.approx(0.4)
    assert ends[1] != pytest.approx(0.4)


def test_a_span_without_data_is_found_by_its_usual_traffic(tmp_path: Any) -> None:
    minutes = [world.NOW - timedelta(minutes=600 - i) for i in range(600) if not 300 <= i < 360]
    summary = pl.DataFrame({"ts": pl.Series(minutes, dtype=pl.Datetime("us", "UTC"))}).with_columns(
        pl.lit(60).alias("window_s"), pl.lit("m/slo/a").alias("measure"), pl.lit("m").alias("model"),
        pl.lit(10).cast(pl.Int64).alias("n"), pl.lit(0).cast(pl.Int64).alias("events"),
    )  # fmt: skip
    asked = burndown.params("m/slo/a", {"window_s": 86400.0, "objective": 0.99}, world.NOW)
    with core.lake(tmp_path / "data", {"summary": summary}, {}) as store:
        found = store.read(burndown.BUDGET, asked).filter(pl.col("lost") > 0)

    assert found["lost"].to_list() == [3600.0]
    assert found["lost_from"].to_list() == [(world.NOW - timedelta(minutes=300)).timestamp()]
