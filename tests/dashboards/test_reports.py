"""The Reports page: schedules and kept reports with their verdicts, and their files behind a session and a strict policy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import core
import drifted
import httpx
import pytest
import world
from test_browser import visiting

from dashboards import reports
from dashboards.reader import SessionReader, used
from dashboards.report_facts import gather
from observe.app.making import Asked, make
from observe.app.second_opinion import second_opinion
from observe.schema import KeptReport, Window
from observe.store import Store

PERIOD = Window(world.NOW - timedelta(days=1), world.NOW)
SLOT, EVIL = "weekly-20261120T1500Z", "hand-0123456789ab"
FAILED = KeptReport("monthly-20261101T0000Z", "monthly", "fraud", PERIOD.start, PERIOD.end, world.NOW, "unknown", "The report could not be made", (), "disk full")  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def kept(seeded: core.Core) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dashboards.results.FRESH_S", 0.0)  # what earlier tests read has no reports in it
        yield from _kept(seeded.store)


def _kept(store: Store) -> Iterator[None]:
    made = [
        make(
            store,
            Asked(report_id, name, "fraud", PERIOD, world.NOW, ("html", "md", "json"), False),
            store.path / "reports" / report_id,
        )
        for report_id, name in ((SLOT, "weekly"), (EVIL, None))
    ]
    with store.change() as tx:
        tx.insert([*made, FAILED])
        tx.set_setting(
            "reports",
            {
                "weekly": {
                    "model": "fraud",
                    "cron": "0 7 * * 1",
                    "timezone": "Europe/Berlin",
                    "last_s": 604800.0,
                    "format": ["html"],
                }
            },
        )
    yield
    with store.change() as tx:
        tx.execute("delete from core.report")
        tx.set_setting("reports", {})


def shown(read: Any) -> str:
    from plotly.utils import PlotlyJSONEncoder

    view = {"now": (world.NOW + timedelta(seconds=12)).isoformat(), "theme": "dark"}
    return json.dumps(reports.page(read, view), cls=PlotlyJSONEncoder, ensure_ascii=False)


@pytest.fixture
def signed_in(face: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=face, trust_env=False, timeout=30) as http:
        http.post("/login", data={"token": core.TOKEN}, headers={"Origin": face})
        yield http


def test_the_page_tells_verdict_last_run_next_slot_and_links(read: SessionReader) -> None:
    said = shown(read)

    for words in (
        "4 of 8 features drift, and the correlation of 1 pair changed: ",
        "23 Nov 06:00 UTC",
        "Europe/Berlin",
        f"/reports/{SLOT}/report.html",
        '"drift"',
        "hand",
    ):
        assert words in said, words


def test_a_report_that_failed_says_so_and_why(read: SessionReader) -> None:
    said = shown(read)

    assert '"failed"' in said
    assert "disk full" in said


def test_without_reports_the_page_says_how_to_have_one(tmp_path: Path) -> None:
    with drifted.drifted(tmp_path / "data") as store:
        said = shown(lambda sql, params=None: store.read(sql, used(sql, params)))

    assert "No report is made by itself" in said
    assert "reports: {weekly:" in said
    assert "observe report MODEL" in said


def test_a_file_needs_a_session(face: str) -> None:
    answer = httpx.get(f"{face}/reports/{SLOT}/report.html", trust_env=False)

    assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next=/reports/{SLOT}/report.html")


def test_files_come_with_a_policy_that_loads_and_runs_nothing(signed_in: httpx.Client) -> None:
    for name, kind in (("report.html", "text/html"), ("report.json", "application/json"), ("report.md", "text/plain")):
        answer = signed_in.get(f"/reports/{SLOT}/{name}")

        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script" not in policy


def test_nothing_but_files_of_reports_is_served(signed_in: httpx.Client) -> None:
    for path in ("nowhere/report.html", f"{SLOT}/LOCK", f"{SLOT}/..%2F..%2FLOCK", "..%2F..%2Fadmin.token", f"{SLOT}/"):
        assert signed_in.get(f"/reports/{path}").status_code == 404, path


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_page_and_its_report_show_in_a_browser_and_ask_nobody(browser: Any, face: str, theme: str) -> None:
    with visiting(browser, face, theme) as visit:
        page = visit.open("/reports")
        assert page.locator(".badge:has-text('drift')").count() >= 2
        page.goto(f"{face}/reports/{SLOT}/report.html")

        assert page.locator("h1").inner_text().startswith("fraud")
        assert page.locator("svg.chart").count() >= 6
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
            "rgb(13, 17, 23)" if theme == "dark" else "rgb(255, 255, 255)"
        )
        assert page.evaluate("window.pwned") is None
        assert (visit.complaints, visit.foreign) == ([], [])


@pytest.mark.browser
def test_the_reports_page_fits_a_phone(browser: Any, face: str) -> None:
    with visiting(browser, face, "light", width=420) as visit:
        page = visit.open("/reports")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        page.goto(f"{face}/reports/{SLOT}/report.html")

        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.slow
@pytest.mark.browser
def test_evidently_shows_its_page_without_a_request_and_out_of_reach_of_ours(
    browser: Any, face: str, seeded: core.Core, tmp_path: Path
) -> None:
    with drifted.drifted(tmp_path / "data") as store:
        facts = gather(store, "fraud", drifted.WEEK, drifted.END)
        told = second_opinion(store, facts, seeded.store.path / "reports" / SLOT / "evidently.html")
    assert told.why_not is None
    with visiting(browser, face) as visit:
        page = visit.page
        page.goto(f"{face}/reports/{SLOT}/evidently.html")
        page.wait_for_selector("text=Drifted Columns", timeout=60_000)

        assert page.evaluate("window.origin") == "null"
        assert page.evaluate("window.pwned") is None
        assert "script>window.pwned" in page.locator("body").inner_text().replace("›", ">")
        assert visit.foreign == []
