"""The pages in a real browser: they render, stay here, keep data as text, and fit a phone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import core
import pytest
import world

pytestmark = pytest.mark.browser
PATHS = (
    "/", "/gpu", "/model/llama-70b-chat", "/model/fraud", "/model/reranker", "/health", "/incidents?id=inc-drift", "/actions", "/actions?id=act-2",
    "/slos", "/slos?id=llama-70b-chat.ttft", "/model/fraud?feature=country&watch=share:US", "/model/fraud?feature=amount%20×%20n_items",
)  # fmt: skip

DRAWN = """() => document.querySelectorAll('#page .dash-graph').length === document.querySelectorAll('#page .dash-graph .main-svg:first-child').length
  && document.querySelectorAll('#page .grid-table').length === document.querySelectorAll('#page .ag-root').length"""


class Visit:
    """One signed-in tab and everything it asked for or complained about."""

    def __init__(self, page: Any, face: str) -> None:
        self.page, self.face = page, face
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        page.on("console", lambda m: self.complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: self.complaints.append(str(e)))
        page.on("request", lambda r: None if r.url.startswith((face, "data:", "blob:")) else self.foreign.append(r.url))

    def open(self, path: str, ready: str = "#page .card, #page .verdict") -> Any:
        self.page.goto(self.face + path)
        self.page.wait_for_selector(ready)
        self.page.wait_for_function(DRAWN)
        return self.page


@contextmanager
def visiting(browser: Any, face: str, theme: str = "dark", width: int = 1280) -> Iterator[Visit]:
    context = browser.new_context(color_scheme=theme, viewport={"width": width, "height": 900})
    context.set_default_timeout(120_000)  # ms; a busy machine is not a fault of the page
    visit = Visit(context.new_page(), face)
    try:
        visit.page.goto(face + "/login")
        visit.page.fill("#token", core.TOKEN)
        visit.page.click("button[type=submit]")
        visit.page.wait_for_url(face + "/")
        yield visit
    finally:
        context.close()


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_every_page_renders_without_errors_or_foreign_requests(browser: Any, face: str, theme: str) -> None:
    with visiting(browser, face, theme) as visit:
        for path in PATHS:
            page = visit.open(path)
            assert page.locator("#page .failed").count() == 0, path
            assert page.locator("html").get_attribute("data-mantine-color-scheme") == theme

        assert visit.complaints == []
        assert visit.foreign == []


def test_names_from_data_stay_text(browser: Any, face: str) -> None:
    with visiting(browser, face) as visit:
        for path in ("/health", "/", "/model/fraud?feature=" + quote(world.XSS), "/model/" + quote(world.XSS, safe="")):
            page = visit.open(path)
            page.wait_for_timeout(300)
            assert page.evaluate("window.pwned") is None
            assert page.locator("img[src='x']").count() == 0
        assert world.XSS in page.locator("#page").inner_text()


def test_the_header_stays_one_line_on_a_phone(browser: Any, face: str) -> None:
    with visiting(browser, face, width=420) as visit:
        page = visit.open("/")
        boxes = [page.locator(s).bounding_box() for s in (".brand", "#age", "#theme-toggle")]
        middles = [b["y"] + b["height"] / 2 for b in boxes]

        assert max(middles) - min(middles) < 4
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_health_page_fits_a_phone(browser: Any, face: str) -> None:
    with visiting(browser, face, "light", width=420) as visit:
        page = visit.open("/health")

        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert "predictions/<img" in page.locator(".grid-table").first.inner_text()


@pytest.mark.parametrize(("path", "width"), [("/slos", 420), ("/slos?id=llama-70b-chat.ttft", 420), ("/slos", 1440)])
def test_the_pages_of_objectives_fit_phones_and_screens(browser: Any, face: str, path: str, width: int) -> None:
    with visiting(browser, face, "light", width=width) as visit:
        page = visit.open(path)

        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert visit.complaints == []


def test_an_objective_is_reached_by_keyboard_and_by_its_row(browser: Any, face: str) -> None:
    with visiting(browser, face) as visit:
        page = visit.open("/slos")
        assert page.locator(".left-cell .sure").count() == 3
        page.locator(".slo-filters a.choice", has_text="page").focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/slos?state=page")
        page.locator(".ag-center-cols-container a", has_text="ttft").first.click()
        page.wait_for_url("**/slos?id=llama-70b-chat.ttft")
        page.wait_for_selector(".chart-frame[aria-label^='Burn of llama-70b-chat']")

        assert page.url == face + "/slos?id=llama-70b-chat.ttft"


def test_the_theme_is_kept_after_a_reload(browser: Any, face: str) -> None:
    with visiting(browser, face, "dark") as visit:
        page = visit.open("/")
        page.click("#theme-toggle")
        page.wait_for_selector("html[data-mantine-color-scheme=light]")
        page = visit.open("/")

        assert page.locator("html").get_attribute("data-mantine-color-scheme") == "light"


def test_a_range_link_changes_the_url_and_the_page_keeps_it(browser: Any, face: str) -> None:
    with visiting(browser, face) as visit:
        page = visit.open("/?cluster=eu-west")
        page.click("#filters a:has-text('6h')")
        page.wait_for_url("**/?cluster=eu-west&range=6h")
        page.click("#nav a[href*='range=6h']:has-text('GPU fleet')")
        page.wait_for_url("**/gpu?cluster=eu-west&range=6h")

        assert page.url == face + "/gpu?cluster=eu-west&range=6h"


def test_brushing_a_chart_sets_the_range(browser: Any, face: str) -> None:
    with visiting(browser, face) as visit:
        page = visit.open("/gpu", ready="#page .js-plotly-plot .xy")
        box = page.locator(".chart-frame[aria-label^='Utilisation by cluster'] .nsewdrag").bounding_box()
        page.mouse.move(box["x"] + 200, box["y"] + 60)
        page.mouse.down()
        page.mouse.move(box["x"] + 420, box["y"] + 70, steps=6)
        page.mouse.up()
        page.wait_for_url("**/gpu?from=2026-11-*")

        page.wait_for_selector("#filters .chip")
        chosen = parse_qs(urlsplit(page.url).query)

        assert datetime.fromisoformat(chosen["from"][0]) < datetime.fromisoformat(chosen["to"][0])


def test_every_card_can_show_the_sql_that_made_it(browser: Any, face: str) -> None:
    with visiting(browser, face) as visit:
        page = visit.open("/")
        card = page.locator("section.card", has_text="Error budget").first
        card.hover()
        card.locator("button[aria-label^='Show the SQL']").click()

        assert "llama-70b-chat/slo/ttft" in page.locator(".sql-block").first.inner_text()


def test_a_link_from_elsewhere_finds_the_session_again(browser: Any, face: str) -> None:
    with visiting(browser, face) as visit:
        visit.page.goto(face + "/login?next=" + quote("/gpu?range=6h", safe=""))
        visit.page.wait_for_url(face + "/gpu?range=6h")

        assert visit.page.url == face + "/gpu?range=6h"
        assert visit.page.locator("#token").count() == 0  # nobody is asked to log in again


def test_new_data_is_drawn_without_dimming_what_is_shown_and_another_range_dims(browser: Any, face: str) -> None:
    with visiting(browser, face) as visit:
        page = visit.open("/slos")
        page.wait_for_function("() => document.documentElement.dataset.asked === undefined")
        page.evaluate("() => { document.getElementById('page').style.transition = 'none'; }")
        waiting = "() => { const p = document.getElementById('page'); p.dataset.dashIsLoading = 'true'; return getComputedStyle(p).opacity; }"

        assert page.evaluate(waiting) == "1"
        page.route("**/_dash-update-component?*", lambda route: None)  # what is asked for does not come
        page.click("#filters a:has-text('6h')")
        page.wait_for_url("**/slos?range=6h")
        page.wait_for_function(f"() => ({waiting})() === '0.55'")


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_card_before_the_door_holds_its_button_and_one_can_read_it(browser: Any, face: str, theme: str) -> None:
    with visiting(browser, face, theme) as visit:
        page = visit.open("/nowhere", ".door-card")
        card, button = (page.locator(name).bounding_box() for name in (".door-card", ".door-card .button"))
        ink = page.locator(".door-card .button").evaluate("e => getComputedStyle(e).color")

        assert button["x"] + button["width"] <= card["x"] + card["width"] - 20
        assert ink == {"dark": "rgb(4, 18, 31)", "light": "rgb(255, 255, 255)"}[theme]
