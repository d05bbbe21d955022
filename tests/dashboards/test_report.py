"""What a drift report says, in every format: the verdict first, and unknown never as fine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import drifted
import pytest

from dashboards.report import Attached, Compared, Report, assemble
from dashboards.report_html import as_html
from dashboards.report_text import as_json, as_markdown, text
from dashboards.report_verdict import said
from observe.clock import EventClock
from observe.schema import Window
from observe.store import Store

MADE = drifted.END + timedelta(minutes=20)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with drifted.drifted(tmp_path_factory.mktemp("report") / "data") as store:
        yield store


@pytest.fixture(scope="module")
def report(store: Store) -> Report:
    return assemble(store, "fraud", drifted.WEEK, MADE, "weekly")


def test_a_planted_shift_is_the_headline_with_size_in_the_features_own_unit_and_onset(report: Report) -> None:
    assert report.said.verdict == "drift"
    assert "1 of 4 features drifts: amount +0.50 σ (median 50 → 55 EUR) since 20 Nov 12:00 UTC" in report.said.headline


@pytest.mark.parametrize("written", [as_html, as_json, as_markdown])
def test_every_format_tells_verdict_effect_onset_evidence_and_what_was_not_judged(report: Report, written) -> None:  # type: ignore[no-untyped-def]
    said = written(report)

    for words in ("drift", "amount", "median 50 → 55 EUR", "0.45", "2026-11-20", "21", "14.5", "0.08", "age", "learning", "never_sent"):  # fmt: skip
        assert words in said, words


def test_json_is_whole_and_plain(report: Report) -> None:
    said = json.loads(as_json(report))

    [moved] = said["drifting"]
    assert (moved["feature"], moved["onset"], moved["median_low"] < 55 < moved["median_high"]) == (
        "amount",
        "2026-11-20T12:00:00Z",
        True,
    )
    assert {u["feature"] for u in said["not_judged"]} == {"age", "never_sent"}
    assert [v["missing"] for v in said["values"] if v["feature"] == "age"] == [pytest.approx(30 / 330)]


def test_reference_and_now_are_drawn_on_the_same_bins_from_the_onset_on(report: Report) -> None:
    drawn = report.drawn[0].distribution

    assert drawn is not None
    assert drawn.edges is not None
    assert len(drawn.edges) - 1 == len(drawn.reference) == len(drawn.current)
    assert sum(drawn.reference) == pytest.approx(sum(drawn.current)) == pytest.approx(1)
    assert (drawn.since, drawn.rows) == (drifted.SHIFT, 300 * 66)


def test_nothing_found_is_quiet_only_for_what_was_judged(tmp_path: Path) -> None:
    with drifted.drifted(tmp_path / "data", moved=False) as store:
        said = assemble(store, "fraud", drifted.WEEK, MADE).said

    assert said.verdict == "quiet"
    assert said.headline == "No drift was found in 2 of 4 features; 2 could not be judged: age; never_sent"


def test_a_period_without_judgements_is_unknown(store: Store) -> None:
    before = Window(drifted.WEEK.start - timedelta(days=7), drifted.WEEK.start)

    said = assemble(store, "fraud", before, MADE).said

    assert (said.verdict, said.drifting) == ("unknown", ())
    assert "Nobody can say whether fraud drifted" in said.headline


def test_where_no_service_has_run_nobody_is_told_to_declare_what_may_be_declared(tmp_path: Path) -> None:
    with closing(Store.open(tmp_path / "data", EventClock(MADE))) as empty:
        made = assemble(empty, "fraud", drifted.WEEK, MADE)

    assert "no service has judged these data yet; start observe up" in made.said.headline
    assert "Monitoring" not in as_html(made)


def test_a_judgement_that_stopped_before_the_end_is_stale_and_not_fine(tmp_path: Path) -> None:
    period = Window(drifted.WEEK.start, drifted.END + timedelta(hours=12))
    with drifted.drifted(tmp_path / "data", moved=False) as store:
        said = assemble(store, "fraud", period, period.end).said

    assert said.verdict == "unknown"
    assert dict(said.unjudged)["amount"] == "not judged up to the end of the period"


@pytest.mark.parametrize(("hours", "verdict"), [(2, "quiet"), (100, "unknown")])
def test_a_last_hour_without_rows_is_no_news_and_days_without_are_unknown(
    tmp_path: Path, hours: int, verdict: str
) -> None:
    with drifted.drifted(tmp_path / "data", moved=False) as store:
        with store.change() as tx:
            tx.execute(
                "update core.finding set state = 'unknown', n = 0 where window_end > $since::timestamptz",
                {"since": drifted.END - timedelta(hours=hours)},
            )
        found = assemble(store, "fraud", drifted.WEEK, MADE)

    assert found.said.verdict == verdict
    assert [s.windows for s in found.facts.streams if s.feature == "amount"] == [168 - hours]


def test_a_drift_that_is_over_is_still_told(store: Store) -> None:
    with store.change() as tx:
        tx.execute(
            "insert into core.finding by name select * replace ('ok' as state, 'again' as finding_id, $end::timestamptz as window_end, null as onset)"
            " from core.finding where finding_id = 'fnd-amount-168'",
            {"end": drifted.END + timedelta(hours=1)},
        )
    said = assemble(store, "fraud", Window(drifted.WEEK.start, drifted.END + timedelta(hours=1)), MADE).said

    assert said.verdict == "drift"
    assert said.headline.startswith("No feature drifts any more; 1 of 4 did in this period: amount +0.50 σ")


def test_a_pair_whose_correlation_changed_is_counted_as_a_pair(report: Report) -> None:
    first = report.facts.streams[0]
    pair = replace(first, feature="age × amount", watched="pair", note="correlation of age × amount 0.90 → 0.10")

    told = said(replace(report.facts, streams=(first, pair, *report.facts.streams[1:])))

    assert told.headline.startswith("1 of 4 features drifts, and the correlation of 1 pair changed: amount +0.50 σ")
    assert (told.features, told.pairs, told.judged) == (4, 1, report.said.judged)


def test_names_from_data_are_only_text_in_every_format(report: Report) -> None:
    opinion = Attached(
        None, 100, 100, "all", (Compared(drifted.EVIL, "KS p_value", 0.2, 0.1, drifts=False),), (("<b>", "x"),), "0"
    )
    attached = replace(report, attached=opinion)

    for written in (as_html(attached, "evidently.html"), as_json(attached)):
        assert "<script" not in written
    assert "<" not in as_markdown(attached)
    assert "\\|" in as_markdown(attached)


def test_the_page_asks_for_nothing_and_runs_nothing(report: Report) -> None:
    page = as_html(report, "evidently.html")

    assert "default-src 'none'" in page
    assert re.findall(r"<(?:script|img|iframe|link|object|embed)\b|\son\w+=|url\(|@import|https?://", page) == []
    assert re.findall(r'href="([^"]*)"', as_html(replace(report, attached=Attached(None)), "e.html")) == ["e.html"]


def test_markdown_keeps_a_name_as_it_is_written() -> None:
    assert text("device_age_d") == "device_age_d"
    assert text("a|b *c* <d> [e](http://f)") == "a\\|b \\*c\\* &lt;d&gt; \\[e\\](http:&#47;/f)"


def test_a_missing_opinion_says_why_and_the_rest_stands(report: Report) -> None:
    attached = replace(report, attached=Attached("Evidently failed: MemoryError"))

    for written in (as_html(attached), as_markdown(attached), as_json(attached)):
        assert "MemoryError" in written
        assert "median 50 → 55 EUR" in written
