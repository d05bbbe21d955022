"""The frame around every page: header, navigation, filters in the URL, theme, age of the data.

Everything that selects data is a plain link, so the URL is the whole state of a view.

Source: our own; Dash 4.4 on its FastAPI backend.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import dash
import dash_mantine_components as dmc
from dash import ALL, ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update

from dashboards import cards, navigation, pages
from dashboards.reader import CoreClient, SessionReader
from dashboards.scope import Scope, scope
from observe.clock import Clock
from observe.errors import ObserveError

COOKIE = "observe_session"
TICK_MS = 5_000  # how often a page asks whether there is new data
REDRAW_S = 20  # a page is drawn again for new data at most this often
STALE_S = 120.0  # data older than this is called stale
_log = logging.getLogger(__name__)


def build(core: CoreClient, clock: Clock, entries: Sequence[pages.Entry]) -> Dash:
    """The Dash application over one core."""
    app = Dash(
        "dashboards", backend="fastapi", title="Observe", update_title="", serve_locally=True, add_log_handler=False,
        assets_folder=str(Path(__file__).parent / "assets"), suppress_callback_exceptions=True, eager_loading=True,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}, {"name": "color-scheme", "content": "dark light"}],
    )  # fmt: skip
    app.index_string = app.index_string.replace("<html>", '<html lang="en">')
    app.layout = _layout
    _page_callback(app, core, clock, entries)
    _frame_callback(app, core, clock, entries)
    _tick_callback(app, core, clock)
    _browser_callbacks(app)
    return app


def _layout() -> Any:
    brand = dcc.Link([html.Span(className="mark"), html.Span("observe")], href="/", className="brand", title="Overview")
    burger = dmc.Burger(id="burger", size="sm", hiddenFrom="md", opened=False, **cards.aria("Navigation"))
    theme = html.Button(
        cards.icon("theme"),
        id="theme-toggle",
        className="icon-button",
        title="Dark or light",
        **cards.aria("Switch between dark and light"),
    )
    left = html.Div([burger, brand, html.Span(id="crumb", className="crumb")], className="header-left")
    right = html.Div(
        [html.Div(id="filters", className="filters wide"), html.Div("…", id="age", className="age"), theme],
        className="header-right",
    )
    skeleton = cards.skeleton([(12, 120), *[(3, 132)] * 4, (7, 320), (5, 320)])
    main = [html.Div(id="filters-narrow", className="filters narrow"), html.Div(skeleton, id="page")]
    shell = dmc.AppShell(
        [
            dmc.AppShellHeader(html.Div([left, right], className="header")),
            dmc.AppShellNavbar(html.Div(id="nav", className="nav")),
            dmc.AppShellMain(main, id="main"),
        ],
        id="shell", padding="md", header={"height": 52}, navbar={"width": 208, "breakpoint": "md", "collapsed": {"mobile": True}},
        transitionDuration=0,
    )  # fmt: skip
    stores = [
        dcc.Location(id="url", refresh=False), dcc.Store(id="theme", storage_type="local"), dcc.Store(id="look"),
        dcc.Store(id="seen", data=""), dcc.Store(id="beat", data=""), dcc.Interval(id="tick", interval=TICK_MS),
    ]  # fmt: skip
    return dmc.MantineProvider(
        [*stores, html.A("Skip to content", href="#main", className="skip"), shell], id="mantine", theme=_THEME
    )


_THEME = {
    "primaryColor": "blue",
    "defaultRadius": "md",
    "fontFamily": "inherit",
    "respectReducedMotion": True,
    "cursorType": "pointer",
}


def _params(path_parts: Mapping[str, str], search: str | None, theme: str, now: datetime) -> dict[str, str]:
    query = dict(parse_qsl((search or "").lstrip("?"))[:20])
    return {**query, **path_parts, "theme": theme, "now": now.isoformat()}


def _present(clock: Clock) -> datetime:
    """The clock's instant on the next whole ten seconds, so that pages opened together ask the same questions."""
    at = clock.now()
    return at + timedelta(seconds=10 - at.second % 10, microseconds=-at.microsecond)


def _page_callback(app: Dash, core: CoreClient, clock: Clock, entries: Sequence[pages.Entry]) -> None:
    @app.callback(
        Output("page", "children"), Input("url", "pathname"), Input("url", "search"), Input("look", "data"), Input("beat", "data"),
    )  # fmt: skip
    def draw(path: str, search: str, look: str | None, _beat: str) -> Any:
        found = pages.find(entries, path or "/")
        if not look or found is None:
            return no_update
        read = SessionReader(core, ctx.cookies.get(COOKIE, ""))
        try:
            return found[0].page(read, _params(found[1], search, look, _present(clock)))
        except ObserveError as error:
            return cards.grid([cards.failed(error)])


def _frame_callback(app: Dash, core: CoreClient, clock: Clock, entries: Sequence[pages.Entry]) -> None:
    @app.callback(
        Output("nav", "children"), Output("filters", "children"), Output("filters-narrow", "children"), Output("crumb", "children"),
        Input("url", "pathname"), Input("url", "search"), Input("beat", "data"),
    )  # fmt: skip
    def frame(path: str, search: str, _beat: str) -> Any:
        here = path or "/"
        found = pages.find(entries, here)
        view = scope(_params(found[1] if found else {}, search, "dark", _present(clock)))
        known = _known(core, view)
        filters = navigation.filters(view, here, known["cluster"])
        title = found[1].get("name", found[0].title) if found else ""
        return navigation.sidebar(entries, here, view, known), filters, filters, title


def _tick_callback(app: Dash, core: CoreClient, clock: Clock) -> None:
    @app.callback(
        Output("age", "children"), Output("age", "className"), Output("seen", "data"), Output("beat", "data"),
        Input("tick", "n_intervals"), State("seen", "data"),
    )  # fmt: skip
    def tick(n: int | None, seen: str) -> Any:
        try:
            mark = core.pulse(ctx.cookies.get(COOKIE, ""))
        except ObserveError:
            return "◌ no connection", "age stale", no_update, no_update
        words, class_name = navigation.age(mark, clock.now(), STALE_S)
        return words, class_name, *_turn(mark, seen, is_first=not n)


def _turn(mark: datetime | None, seen: str, *, is_first: bool) -> tuple[Any, Any]:
    """The data that was seen last, and the beat that draws the page again; the first look only finds what was just drawn."""
    if mark is None or (seen and (mark - datetime.fromisoformat(seen)).total_seconds() < REDRAW_S):
        return no_update, no_update
    at = mark.isoformat()
    return at, no_update if is_first and not seen else at


def _known(core: CoreClient, view: Scope) -> Mapping[str, Any]:
    read = SessionReader(core, ctx.cookies.get(COOKIE, ""))
    try:
        return navigation.known(read, view)
    except ObserveError as error:
        _log.warning("navigation without data error=%s", error)
        return {"cluster": [], "model": []}


def _browser_callbacks(app: Dash) -> None:
    clientside: Any = app.clientside_callback  # untyped in Dash

    def mine(name: str) -> ClientsideFunction:
        return ClientsideFunction("observe", name)

    clientside(
        mine("toggleTheme"),
        Output("theme", "data"),
        Input("theme-toggle", "n_clicks"),
        State("look", "data"),
        prevent_initial_call=True,
    )
    clientside(mine("asked"), Input("url", "pathname"), Input("url", "search"))
    clientside(mine("drawn"), Input("page", "children"), prevent_initial_call=True)
    clientside(mine("look"), Output("look", "data"), Output("mantine", "forceColorScheme"), Input("theme", "data"))
    clientside(
        mine("toggleNav"),
        Output("shell", "navbar"),
        Output("burger", "opened"),
        Input("burger", "opened"),
        Input("url", "pathname"),
        State("shell", "navbar"),
    )
    clientside(
        mine("brush"), Output("url", "search"), Input({"type": "brush", "index": ALL}, "relayoutData"), State("url", "search"), prevent_initial_call=True,
    )  # fmt: skip


assert dash.__version__ >= "4.4", "Dash 4.4 or newer: the FastAPI backend"
