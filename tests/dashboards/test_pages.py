"""What the pages say: the same as the views, honest when there is little or old data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import core
import pytest
import world

from dashboards import drift, feature, incidents, pages
from dashboards.reader import CoreClient, SessionReader, Value
from dashboards.scope import scope

ENTRIES = {e.path: e for e in pages.load()}
PAGES = {incidents.PATH: incidents.page, **{p: e.page for p, e in ENTRIES.items()}}


def shown(read: Any, path: str, **params: str) -> str:
    from plotly.utils import PlotlyJSONEncoder

    view = {"now": (world.NOW + timedelta(seconds=12)).isoformat(), "theme": "dark", **params}
    return json.dumps(PAGES[path](read, view), cls=PlotlyJSONEncoder, ensure_ascii=False)


def test_every_page_says_what_it_answers_and_shows_no_failed_card(read: SessionReader) -> None:
    for path, entry in ENTRIES.items():
        assert entry.question.endswith("?")
        assert "could not be filled" not in shown(read, path, name="fraud")


def test_the_overview_names_the_worst_incident_its_nearest_signal_and_what_to_do(read: SessionReader) -> None:
    text = shown(read, "/")

    for words in ("ttft burns its budget", "2 GPUs in eu-west throttle", "scale vllm-chat from 4 to 6", "amount moved"):
        assert words in text


def test_the_overview_finds_what_bad_requests_share(read: SessionReader) -> None:
    text = shown(read, "/")

    assert "acme" in text
    assert "only bad" in text


def test_the_overview_says_which_action_was_proposed_for_the_worst_incident(read: SessionReader) -> None:
    assert "scale keda:vllm-chat 4 → 6 (proposed, dry run)" in shown(read, "/")


def test_bad_requests_are_compared_since_the_onset_while_an_incident_is_open(read: SessionReader) -> None:
    text = shown(read, "/model/<name>", name="llama-70b-chat")

    assert f"since {world.DEPLOY:%H:%M} UTC" in text.split("What differs")[1][:900]


def test_a_model_with_shares_only_shows_them_in_one_card(read: SessionReader) -> None:
    text = shown(read, "/model/<name>", name="mistral-7b")

    for words in ("failed requests", "1.2 % of 80", "0.31 %", "1.2 of 12 nats"):
        assert words in text
    for words in ("No reference yet", "Effect over time", "Every watched feature"):
        assert words not in text


def test_the_drift_heat_map_is_coloured_where_a_feature_moved(read: SessionReader) -> None:
    frame = read(
        drift.HEAT, {"start": world.NOW - timedelta(days=1), "end": world.NOW, "bucket": 3600, "model": "", "rows": 10}
    )

    assert set(frame["model"]) == {"fraud"}
    assert frame.filter(subject="amount", alarm=True)["sigma"].min() > 0.3
    assert frame.filter(subject="amount")["sigma"].min() < 0.1


def test_stale_findings_are_not_ok(read: SessionReader) -> None:
    text = shown(read, "/", now=(world.NOW + timedelta(hours=1)).isoformat())

    assert '"className": "badge ok"' not in text
    assert "stale" in text


def test_an_objective_with_too_few_requests_is_not_judged(read: SessionReader) -> None:
    text = shown(read, "/model/<name>", name="reranker")

    assert "41 requests in 30 d: too few" in text
    assert '"className": "badge ok"' not in text


def test_an_incident_shows_what_came_before_and_after_it(read: SessionReader) -> None:
    text = shown(read, "/incidents", id="inc-burn")

    for words in ("deploy v42", "2 GPUs in eu-west throttle", "page on ttft", "scale keda:vllm-chat"):
        assert words in text


def test_incidents_are_listed_with_how_long_they_lasted(read: SessionReader) -> None:
    text = shown(read, "/incidents")

    assert "2 open" in text
    assert '"lasted": 21312.0' in text  # 5 h 55 min, as a number so that it sorts


def test_a_model_nobody_knows_says_so(read: SessionReader) -> None:
    assert "No traffic, no objective and no drift finding" in shown(read, "/model/<name>", name="nobody")


def test_a_model_nobody_knows_is_not_said_to_be_seen(read: SessionReader) -> None:
    assert "Seen in the data" not in shown(read, "/model/<name>", name="nobody")
    assert "Seen in the data; no ModelSpec declares it." in shown(read, "/model/<name>", name="reranker")


def test_a_list_of_incidents_under_a_cluster_says_that_it_is_of_all_clusters(read: SessionReader) -> None:
    assert "of all clusters, not only us-east" in shown(read, "/incidents", cluster="us-east")
    assert "of all clusters, not only us-east" in shown(read, "/incidents", cluster="us-east", model="nobody")
    assert "of all clusters, not only us-east" in shown(read, "/", cluster="us-east")
    assert not any("of all clusters" in shown(read, path) for path in ("/", "/incidents"))


def test_the_reference_and_the_onset_of_a_chart_do_not_lie_over_each_other(read: SessionReader) -> None:
    seen = scope({"now": world.NOW.isoformat()})
    found = next(
        d for d in read(feature.NEWEST, {**seen.params, "model": "fraud"}).to_dicts() if d["subject"] == "amount"
    )
    figures = [f for f in _figures(feature.effect_card(read, seen, "fraud", found, 0.1)) if f]
    heights = {n["text"]: n["y"] for n in figures[0]["layout"]["annotations"]}

    assert heights["onset"] == 0
    assert [y for text, y in heights.items() if "reference" in text] == [1]


def _figures(part: Any) -> list[Any]:
    return [getattr(c, "figure", None) for c in part._traverse()]


def test_the_fleet_counts_idle_devices_and_their_cost(read: SessionReader) -> None:
    text = shown(read, "/gpu")

    assert "6 / 24" in text
    assert "$418 / day" in text  # 6 idle × 2.90 USD/h × 24 h


@pytest.mark.parametrize(
    "query",
    [
        {"range": "nonsense"},
        {"from": "x", "to": "y"},
        {"from": "2026-11-20T10:00:00Z", "to": "2026-11-20T09:00:00Z"},
        {"cluster": "'; drop"},
    ],
)
def test_a_url_that_makes_no_sense_still_shows_a_page(read: SessionReader, query: Mapping[str, str]) -> None:
    assert "could not be filled" not in shown(read, "/gpu", **query)


def test_a_card_whose_query_fails_leaves_the_others_alone(read: SessionReader) -> None:
    def half(sql: str, params: Mapping[str, Value] | None = None) -> Any:
        return read("select * from missing_table" if "grouping sets" in sql else sql, params)

    text = shown(half, "/")

    assert text.count("could not be filled") == 1
    assert "missing_table" in text
    assert "What differs" in text


def test_an_empty_store_shows_pages_that_say_what_to_do(tmp_path: Any) -> None:
    with (
        core.lake(tmp_path / "data", {"collector_run": world.run_row()}, {}) as store,
        core.served(core.Core(store).app) as url,
    ):
        client = CoreClient(url, core.FACE_KEY)
        empty = SessionReader(client, client.session({"token": core.TOKEN}))
        texts = [shown(empty, path, name="x") for path in ENTRIES]
        client.close()

    assert all("could not be filled" not in t for t in texts)
    assert "Nothing is watched yet" in "".join(texts)


def test_a_page_of_a_day_stays_small(read: SessionReader) -> None:
    import gzip

    sizes = {path: len(gzip.compress(shown(read, path, name="llama-70b-chat").encode())) for path in ENTRIES}

    assert max(sizes.values()) < 150_000, sizes
