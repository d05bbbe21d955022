"""Links around a page: the sidebar with every model's state, the range and cluster filters, the age of the data.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

import dash_mantine_components as dmc
from dash import dcc, html

from dashboards import cards, pages, words
from dashboards.palette import SIGNS
from dashboards.reader import Reader
from dashboards.scope import RANGES, Scope

MODELS_SHOWN = 14  # in the sidebar, those that need someone first
CLUSTERS = """
select distinct cluster from gpu_device where cluster is not null order by 1 limit 50
"""
MODELS = """
with judged as (
  select model, kind, state, severity from finding
  where model <> 'site' and window_end > $now::TIMESTAMPTZ - interval 3 hours
  qualify row_number() over (partition by monitor_id order by window_end desc) = 1
), seen as (
  select model_id as model from attempt_1h where ts >= $now::TIMESTAMPTZ - interval 1 day and model_id is not null group by 1
  union select model_id from attempt where ts >= $now::TIMESTAMPTZ - interval 3 hours and model_id is not null
)
select model, coalesce(min(case when state is null then 4 when state <> 'alarm' then 3 when severity = 'page' then 0 when severity = 'ticket' then 1 else 2 end), 4) as rank,
  bool_or(state in ('ok', 'alarm')) and not coalesce(bool_or(kind = 'slo' and state not in ('ok', 'alarm')), false) as sure
from (select model, kind, state, severity from judged union all select model, null, null, null from seen)
group by model order by rank, model
"""


def known(read: Reader, view: Scope) -> Mapping[str, Any]:
    """Clusters, and models with how much they need someone."""
    return {"cluster": read(CLUSTERS)["cluster"].to_list(), "model": read(MODELS, view.params).to_dicts()}


def sidebar(entries: Sequence[pages.Entry], path: str, view: Scope, known: Mapping[str, Any]) -> list[Any]:
    """The pages, then the models, then the way out."""
    links = [
        _link(e.title, e.icon, view.link(e.path), path == e.path or (path.startswith(e.path + "/") and e.path != "/"))
        for e in entries
        if not e.named
    ]
    named = next((e for e in entries if e.named), None)
    rows: list[Any] = []
    if named is not None and known["model"]:
        rows = [
            html.H2("Models", className="nav-title"),
            *[_model(m, named.path, path, view) for m in known["model"][:MODELS_SHOWN]],
        ]
    leave = html.Form(
        html.Button([cards.icon("leave"), "Sign out"], type="submit", className="nav-link"),
        action="/logout",
        method="post",
    )
    return [html.Nav([*links, *rows], **cards.aria("Pages")), html.Div(leave, className="nav-foot")]


def filters(view: Scope, path: str, clusters: Sequence[str]) -> list[Any]:
    """The range and the cluster, as links; an absolute range shows its instants."""
    ranges = [
        dcc.Link(
            name,
            href=view.link(path, range=name, to=None, **{"from": None}),
            className="seg on" if name == view.range_name else "seg",
            title=f"Last {name}",
        )
        for name in RANGES
    ]
    parts: list[Any] = []
    if not view.range_name:
        words_ = f"{words.clock(view.start, view.end)} – {words.clock(view.end, view.start)} UTC"
        parts.append(
            dcc.Link(
                [words_, html.Span("×", className="clear")],
                href=view.link(path, to=None, **{"from": None}),
                className="chip",
                title="Back to the last 24 h",
            )
        )
    if clusters:
        items = [dmc.MenuItem(c or "all clusters", href=view.link(path, cluster=c or None)) for c in ["", *clusters]]
        button = html.Button(
            [view.cluster or "all clusters", cards.icon("down")], className="pick", **cards.aria("Cluster")
        )
        parts.append(
            dmc.Menu(
                [dmc.MenuTarget(button, boxWrapperProps={"className": "inline"}), dmc.MenuDropdown(items)],
                position="bottom-end",
                width=200,
            )
        )
    return [*parts, html.Div(ranges, className="segments", role="group", **cards.aria("Time range"))]


def age(mark: datetime | None, now: datetime, stale_s: float) -> tuple[str, str]:
    """How old the newest stored row is, and the class that colours it."""
    if mark is None:
        return "◌ no data yet", "age stale"
    old = max(0.0, (now - mark).total_seconds())
    return (f"● {words.span(old)} ago", "age") if old <= stale_s else (f"▲ stale · {words.span(old)}", "age stale")


def _link(label: str, name: str, href: str, active: bool) -> Any:
    return dcc.Link([cards.icon(name), label], href=href, className="nav-link on" if active else "nav-link")


def _model(row: Mapping[str, Any], pattern: str, path: str, view: Scope) -> Any:
    state = ("page", "ticket", "info", "ok", "unknown")[row["rank"]]
    if state == "ok" and not row["sure"]:
        state = "unknown"
    href = pattern.replace("<name>", quote(row["model"], safe=""))
    active = path == href
    label = html.Span(row["model"], className="nav-name")
    return dcc.Link(
        [html.Span(SIGNS[state], className=f"sign {state}", title=state), label],
        href=view.link(href),
        className="nav-link small on" if active else "nav-link small",
    )
