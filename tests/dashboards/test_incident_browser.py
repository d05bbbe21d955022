"""Incidents in a real browser: nothing is cut, nothing from data runs, nothing foreign is asked for."""

from __future__ import annotations

from typing import Any

import pytest
import world
from test_browser import visiting

pytestmark = pytest.mark.browser

CUT = """(name) => [...document.querySelectorAll(`.ag-center-cols-container .ag-cell[col-id="${name}"]`)]
  .filter(c => c.scrollWidth > c.clientWidth + 1 || c.getBoundingClientRect().right > document.documentElement.clientWidth).length"""

HEADS_CUT = """() => [...document.querySelectorAll('.ag-header-cell-text')].filter(h => h.scrollWidth > h.clientWidth + 1).length"""


@pytest.mark.parametrize("width", [1280, 1440])
def test_states_and_times_of_the_list_are_whole(browser: Any, face: str, width: int) -> None:
    with visiting(browser, face, "light", width) as visit:
        page = visit.open("/incidents")
        page.wait_for_selector('.ag-cell[col-id="since"]')

        assert [page.evaluate(CUT, name) for name in ("state", "since", "lasted", "id")] == [0, 0, 0, 0]
        assert page.evaluate(HEADS_CUT) == 0
        assert "14:02" in page.locator('.ag-cell[col-id="since"]').first.inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert visit.complaints == visit.foreign == []


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_an_incident_is_shown_whole_and_as_text(browser: Any, face: str, theme: str) -> None:
    with visiting(browser, face, theme) as visit:
        for chosen in ("inc-burn", "inc-drift"):
            page = visit.open(f"/incidents?id={chosen}")
            page.wait_for_timeout(300)
            assert page.locator("#page .failed").count() == 0
            assert page.evaluate("document.documentElement.scrollWidth") <= 1280
            assert page.evaluate("window.pwned") is None
            assert page.locator("img[src='x']").count() == 0
        page = visit.open("/incidents?id=inc-burn")
        text = page.locator("#page").inner_text()

        for words in ("Two GPUs in eu-west throttle.", "Likely causes", "written by tiny", world.XSS, "Who was told"):
            assert words in text
        assert page.locator(".js-plotly-plot .trace").count() > 4
        assert page.locator("a[href='/incidents/inc-burn/bundle']").count() == 1
        assert visit.complaints == visit.foreign == []


def test_an_incident_fits_a_phone(browser: Any, face: str) -> None:
    with visiting(browser, face, width=420) as visit:
        page = visit.open("/incidents?id=inc-burn")

        page.wait_for_function(
            "() => document.documentElement.scrollWidth <= 420"
        )  # once charts have taken the width there is
        assert page.locator(".chart-frame").count() > 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 420


def test_evidence_opens_the_sql_that_made_it(browser: Any, face: str) -> None:
    with visiting(browser, face) as visit:
        page = visit.open("/incidents?id=inc-burn")
        card = page.locator("section.card", has=page.locator("h2", has_text="Evidence")).first
        card.locator("tbody .quiet-button").first.click()
        page.wait_for_selector(".sql-drop pre")

        assert (
            "llama-70b-chat" in page.locator(".sql-drop pre").first.inner_text()
            or "inc-burn" in page.locator(".sql-drop pre").first.inner_text()
        )


def test_on_a_phone_what_happened_is_whole_and_leads_to_the_incident(browser: Any, face: str) -> None:
    with visiting(browser, face, "light", 390) as visit:
        page = visit.open("/incidents")
        link = page.locator('.ag-cell[col-id="summary"] a', has_text="ttft burns").first
        box = link.bounding_box()
        link.click()
        page.wait_for_url("**/incidents?id=inc-burn")

        objective = page.wait_for_selector("a.button:has-text('See the objective')")

        assert box["x"] + box["width"] <= 390
        assert objective.get_attribute("href").startswith("/slos?id=llama-70b-chat.ttft")
        assert visit.complaints == []
