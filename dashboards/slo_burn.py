"""How fast a budget burns in each window, with its interval, against what would alarm.

Source: Google SRE Workbook, "Alerting on SLOs", table 5-8; intervals as the detector gave them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from dash import html

from dashboards import cards, figures, slo, words
from dashboards.cards import Query
from dashboards.palette import Palette, palette
from dashboards.reader import Value
from dashboards.scope import Scope
from observe.spec.burn import usable

WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
_SECONDS: Final = {"5m": 300, "30m": 1800, "1h": 3600, "2h": 7200, "6h": 21600, "1d": 86400, "3d": 259200}
_LEAST: Final = 0.05  # left end of the log axis


def burn_card(view: Scope, one: slo.Slo, span: int = 5) -> Any:
    """Seven windows on one log axis: rate, 95 % interval, and the factors at which tiers fire."""
    row = one.row
    lows, highs = (json.loads(row[name]) if row.get(name) else {} for name in ("burn_low", "burn_high"))
    known = [w for w in WINDOWS if words.known(row[f"burn_{w}"]) and (not lows or words.known(lows.get(w)))]
    asked: dict[str, Value] = {"model": row["model"]}
    title, sub = "Burn by window", "times as fast as allowed; 1× spends the budget exactly in its period"
    if not known or row["state"] in ("too_few", "unknown"):
        return cards.card(
            title,
            cards.empty(f"No {one.events} to tell a burn from", one.row["note"] or "", 240),
            sub=sub,
            sql=[Query(slo.STATUS, asked)],
            span=span,
        )
    figure = _figure(view, one, known, lows, highs)
    chart = cards.graph(
        figure,
        266,
        f"Burn of {one.name} by window: " + ", ".join(f"{w} {words.number(row[f'burn_{w}'])} times" for w in known),
    )
    note = html.P(
        "A tier fires when both its windows pass its mark and what was bad is more than chance explains. Bars are 95 %.",
        className="legend",
    )
    return cards.card(title, chart, note, sub=sub, sql=[Query(slo.STATUS, asked)], span=span)


def factors(objective: float, window_s: float, tickets_only: bool = False) -> dict[str, list[tuple[float, str, str]]]:
    """By window: the factors that must be passed in it, with severity and tier."""
    found: dict[str, list[tuple[float, str, str]]] = {w: [] for w in WINDOWS}
    for tier in usable(objective, window_s):
        for window, seconds in _SECONDS.items():
            if seconds in (tier.long_s, tier.short_s):
                found[window].append((tier.factor(window_s), "ticket" if tickets_only else tier.severity, tier.name))
    return found


def _figure(
    view: Scope, one: slo.Slo, known: list[str], lows: Mapping[str, Any], highs: Mapping[str, Any]
) -> figures.Figure:
    p, shown, row = palette(view.theme), known[::-1], one.row
    burns = [max(_LEAST, float(row[f"burn_{w}"])) for w in shown]
    marks = [
        (f, w, severity, name)
        for w, of in factors(row["objective"], row["window_s"], bool(one.declared.get("tickets_only"))).items()
        for f, severity, name in of
        if w in known
    ]
    error = {
        "type": "data", "symmetric": False, "color": p.dim, "thickness": 1.5, "width": 4,
        "array": [max(0.0, float(highs.get(w) or b) - b) for w, b in zip(shown, burns, strict=True)],
        "arrayminus": [max(0.0, b - max(_LEAST, float(lows.get(w) or 0.0))) for w, b in zip(shown, burns, strict=True)],
    }  # fmt: skip
    seen: figures.Trace = {
        "type": "scatter", "mode": "markers", "x": burns, "y": shown, "error_x": error, "name": "burn",
        "marker": {"size": 9, "color": [_colour(row, w, marks, p) for w in shown]},
        "customdata": [[words.number(row[f"burn_{w}"]), words.number(lows.get(w)), words.number(highs.get(w))] for w in shown],
        "hovertemplate": "%{y}: %{customdata[0]}× (%{customdata[1]} to %{customdata[2]})<extra></extra>",
    }  # fmt: skip
    asked: figures.Trace = {
        "type": "scatter", "mode": "markers", "x": [m[0] for m in marks], "y": [m[1] for m in marks], "name": "fires at",
        "marker": {"symbol": "line-ns", "size": 14, "line": {"width": 2.5, "color": [p.page if m[2] == "page" else p.ticket for m in marks]}},
        "customdata": [[m[3], words.number(m[0])] for m in marks], "hovertemplate": "%{customdata[0]} fires at %{customdata[1]}×<extra></extra>",
    }  # fmt: skip
    top = max([20.0, *burns, *(m[0] for m in marks), *(float(highs.get(w) or 0) for w in shown)])
    ticks = [t for t in (0.1, 1, 10, 100, 1000, 10_000) if t <= top * 1.2]
    xaxis = {
        "type": "log", "range": [math.log10(_LEAST * 0.9), math.log10(top * 1.3)], "tickvals": ticks, "ticktext": [f"{t:g}×" for t in ticks], "fixedrange": True,
    }  # fmt: skip
    even = {
        "type": "line",
        "x0": 1,
        "x1": 1,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "line": {"color": p.dim, "width": 1, "dash": "dash"},
    }
    yaxis = {
        "type": "category",
        "categoryarray": shown,
        "categoryorder": "array",
        "showgrid": True,
        "range": [-0.6, len(shown) - 0.4],
    }
    return figures.figure(
        [asked, seen],
        view.theme,
        xaxis=xaxis,
        yaxis=yaxis,
        shapes=[even],
        margin=figures.margins(40, 14, 26, 30),
        showlegend=True,
    )


def _colour(row: Mapping[str, Any], window: str, marks: list[tuple[float, str, str, str]], p: Palette) -> str:
    """The colour of the worst mark a window has passed."""
    passed = {severity for factor, w, severity, _ in marks if w == window and float(row[f"burn_{window}"]) >= factor}
    return p.page if "page" in passed else p.ticket if "ticket" in passed else p.series[0]
