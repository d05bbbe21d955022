"""Headings inside a page, and the links beside them that choose what the cards below are about.

Source: our own, after UX.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import dcc, html

from dashboards.cards import Badge
from dashboards.palette import SIGNS
from dashboards.scope import Scope


def section(title: str, name: str, links: Sequence[Any] = ()) -> Any:
    """A heading across the page; `name` is its anchor."""
    return html.Div([html.H2(title), *links], className="section-title span-12", id=name)


def choices(view: Scope, key: str, options: Sequence[tuple[str, str, Badge]], chosen: str, **kept: str) -> list[Any]:
    """Links that set `key` in the URL, each with its state; `kept` are further parts of the URL."""
    return [
        dcc.Link(
            [html.Span(SIGNS[mark.state], className=f"sign {mark.state}", title=mark.word), html.Span(label)],
            href=view.link("", **kept, **{key: value}), className="choice on" if value == chosen else "choice",
        )
        for value, label, mark in options
    ]  # fmt: skip
