"""The parts that pages are made of: card, skeleton, error inside a card, badge, stat, verdict, SQL behind a number.

Everything a person sees is text; nothing from data becomes HTML.

Source: our own, after UX.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import dash_mantine_components as dmc
from dash import dcc, html

from dashboards.figures import Figure
from dashboards.palette import SIGNS
from dashboards.reader import Value, used, written_out
from observe.errors import AccessError, ObserveError

Component = Any  # Dash has no typed base that mypy can follow
Children = Any
HIDDEN: dict[str, Any] = {"aria-hidden": "true"}  # said already by the word beside it
_log = logging.getLogger(__name__)
_workers = ThreadPoolExecutor(16, thread_name_prefix="card")
_askers = ThreadPoolExecutor(8, thread_name_prefix="ask")  # its own threads: a card may ask, never wait for a card


@dataclass(frozen=True, slots=True)
class Badge:
    """A state as sign, word and colour together."""

    state: str  # ok | ticket | page | unknown | info
    word: str


@dataclass(frozen=True, slots=True)
class Query:
    """A query and the parameters it was asked with: what "SQL" shows."""

    sql: str
    params: Mapping[str, Value] = field(default_factory=dict)


def aria(label: str) -> dict[str, Any]:
    """The attribute that names a part for a screen reader."""
    return {"aria-label": label}


def icon(name: str) -> Component:
    """A drawn sign of `assets/icons.css`, coloured as the text around it; hidden from screen readers."""
    return html.Span(className=f"icon icon-{name}", **HIDDEN)


def badge(mark: Badge) -> Component:
    """A state as people see it."""
    return html.Span(
        [html.Span(SIGNS[mark.state], className="sign", **HIDDEN), mark.word], className=f"badge {mark.state}"
    )


def source(queries: Sequence[Query]) -> Component:
    """The button that shows and copies the SQL a card was made from."""
    texts = [written_out(q.sql, used(q.sql, q.params)) + ";" for q in queries]
    button = html.Button(
        "SQL", className="quiet-button", title="The SQL that made it", **aria("Show the SQL that made it")
    )
    blocks = [
        html.Div([html.Pre(t), dcc.Clipboard(content=t, className="copy", title="Copy")], className="sql-block")
        for t in texts
    ]
    return dmc.Popover(
        [
            dmc.PopoverTarget(button, boxWrapperProps={"className": "inline"}),
            dmc.PopoverDropdown(blocks, className="sql-drop"),
        ],
        position="bottom-end",
        width="min(640px, 92vw)",
        shadow="md",
        withRoles=False,
    )


def card(
    title: Children,
    *body: Children,
    sub: Children = None,
    mark: Badge | None = None,
    sql: Sequence[Query] = (),
    tools: Sequence[Component] = (),
    span: int = 12,
    **extra: Any,
) -> Component:
    """A titled box on the grid.

    Args:
        title: what it shows.
        body: its content.
        sub: the question it answers, or the finding in one line.
        mark: its state.
        sql: the queries that made it.
        tools: further buttons.
        span: columns of twelve.
        extra: attributes of the section.
    """
    right = [*tools, *([source(sql)] if sql else []), *([badge(mark)] if mark else [])]
    heading = html.Div([html.H2(title), *([html.P(sub, className="sub")] if sub else [])], className="card-title")
    head = html.Header([heading, html.Div(right, className="card-tools")] if right else [heading])
    return html.Section([head, *body], className=f"card span-{span} {extra.pop('className', '')}".strip(), **extra)


def graph(figure: Figure, height: int, label: str, brush: str = "") -> Component:
    """A figure of fixed height; `brush` names a time chart whose selection sets the page's range."""
    if brush:
        figure["layout"].setdefault("dragmode", "zoom")
    props: dict[str, Any] = {"id": {"type": "brush", "index": brush}} if brush else {}
    config: Any = {"displayModeBar": False, "responsive": True, "doubleClick": False, "showTips": False}
    chart = dcc.Graph(figure=figure, config=config, style={"height": f"{height}px"}, className="chart", **props)
    return html.Div(chart, role="img", className="chart-frame", **aria(label))


def empty(words: str, hint: str = "", height: int = 120) -> Component:
    """What a card says when there is nothing to draw, and what would change that."""
    return html.Div(
        [
            html.Span("◌", className="empty-sign", **HIDDEN),
            html.P(words),
            *([html.P(hint, className="sub")] if hint else []),
        ],
        className="empty",
        style={"minHeight": f"{height}px"},
    )


def failed(error: ObserveError, span: int = 12) -> Component:
    """An error inside its card: what happened, why, and what to do next."""
    if isinstance(error, AccessError) and error.http_status == 401:
        nexts: Component = html.A("Sign in again", href="/login", className="button")
    else:
        nexts = html.P("The rest of the page is unaffected. It is tried again with the next data.", className="sub")
    what = html.Div([icon("warning"), html.Strong("This card could not be filled")], className="failed-head")
    return html.Section(
        [what, html.Pre(str(error), className="reason"), nexts], className=f"card failed span-{span}", role="alert"
    )


def skeleton(heights: Sequence[tuple[int, int]]) -> Component:
    """Grey boxes of the coming cards' true size: (columns of twelve, height in px) each."""
    boxes = [html.Div(dmc.Skeleton(height=h, radius=8), className=f"span-{s}") for s, h in heights]
    return html.Div(boxes, className="grid", **aria("Loading"))


def together(*asks: Callable[[], Any]) -> list[Any]:
    """What each of `asks` answers, asked at the same time; the first error is raised."""
    return [waiting.result() for waiting in [_askers.submit(ask) for ask in asks]]


def gather(*makers: Callable[[], Component], spans: Sequence[int] = ()) -> list[Component]:
    """Cards made side by side, in order; one that fails says so in its own place."""
    waiting = [_workers.submit(maker) for maker in makers]
    return [_settled(future.result, (list(spans) + [12] * len(makers))[i]) for i, future in enumerate(waiting)]


def grid(cards: Sequence[Component]) -> Component:
    """Cards on twelve columns, one column on a phone."""
    return html.Div([c for c in cards if c is not None], className="grid")


def stat(
    label: str, value: str, sub: Children, mark: Badge | None, trend: str = "", sql: Sequence[Query] = ()
) -> Component:
    """One number that matters, with its state, what stands behind it and how it went."""
    image = (
        html.Img(src=trend, className="trend", alt=f"{label} over the range")
        if trend
        else html.Div(className="trend none")
    )
    head = html.Header(
        [
            html.H2(label),
            html.Div([*([source(sql)] if sql else []), *([badge(mark)] if mark else [])], className="card-tools"),
        ]
    )
    return html.Section(
        [head, html.P(value, className="figure"), html.P(sub, className="sub"), image], className="card stat span-3"
    )


def facts(pairs: Sequence[tuple[str, Children]]) -> Component:
    """Short label and value pairs in a row that wraps."""
    return html.Dl([html.Div([html.Dt(k), html.Dd(v)]) for k, v in pairs if v not in (None, "")], className="facts")


def _settled(result: Callable[[], Component], span: int) -> Component:
    try:
        return result()
    except ObserveError as error:
        _log.warning("card failed error=%s", error)
        return failed(error, span)
    except (KeyError, ValueError, TypeError, ZeroDivisionError) as error:
        _log.exception("card failed")
        return failed(
            ObserveError(f"{type(error).__name__}: {error}. This is a fault of the page; the data is not affected."),
            span,
        )
