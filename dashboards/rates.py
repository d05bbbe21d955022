"""How a model's watched shares stand: failed requests, missing values, each against what is normal for it.

Source: METHODS section 5. A share has no distribution to draw: a line says it all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dash import html

from dashboards import cards, feature, report_facts, states, words
from dashboards.cards import Query
from dashboards.scope import Scope

Finding = Mapping[str, Any]


def only_rates(drifts: Sequence[Finding]) -> bool:
    """Whether nothing but failed requests is watched: no feature that has a page of its own."""
    return bool(drifts) and all(d["detector"] == "rate" and watch(d) == "share" for d in drifts)


def watch(finding: Finding) -> str:
    """What one monitor watches of its subject, in words.

    >>> watch({"monitor_id": "fraud/level/amount/location_fast", "subject": "amount"})
    'location, fast'
    >>> watch({"monitor_id": "fraud/level/card/share:gold_plus", "subject": "card"})
    'share:gold_plus'
    """
    return report_facts.watched(str(finding["monitor_id"]), str(finding["subject"]))


def name(finding: Finding) -> str:
    """The share in words.

    >>> name({"subject": "error", "monitor_id": "chat/rate/error/share"}), name({"subject": "age", "monitor_id": "fraud/rate/age/missing"})
    ('failed requests', 'age missing')
    """
    kind = watch(finding)
    if kind == "share":
        return "failed requests" if finding["subject"] == "error" else str(finding["subject"])
    return f"{finding['subject']} {kind}"


def shares(finding: Finding) -> tuple[float | None, float | None]:
    """The share of the newest judged window and the normal one, 0-1; None where not known yet."""
    details = json.loads(finding["details"] or "{}")
    return details.get("share"), details.get("share_from")


def rates_card(view: Scope, model: str, drifts: Sequence[Finding]) -> Any:
    """One line a share: its state, where it stands, what is normal, and how far the evidence is from an alarm."""
    mark = states.worst([feature.badge(d, view) for d in drifts])
    lines = html.Div([_line(d, view) for d in drifts], className="rates")
    query = Query(feature.NEWEST, {**view.params, "model": model})
    sub = "newest judged window against normal · bar: evidence on its way to an alarm"
    return cards.card("Rates", lines, sub=sub, mark=mark, sql=[query])


def _line(finding: Finding, view: Scope) -> Any:
    now, normal = shares(finding)
    evidence, needed = finding["evidence_nats"], finding["threshold_nats"]
    done = max(0.0, min(1.0, evidence / needed)) if words.known(evidence) and needed else 0.0
    bar = html.Div(
        className=f"bar {'bad' if finding['state'] == 'alarm' else 'good'}", style={"width": f"{done * 100:.1f}%"}
    )
    pairs = [
        ("now", f"{words.share(now)} of {words.count(finding['n'])}"), ("normal", words.share(normal)),
        ("judged", f"{words.span(view.now - finding['window_end'])} ago"),
        ("evidence", f"{words.number(evidence)} of {words.number(needed)} nats"),
    ]  # fmt: skip
    what = html.Div([cards.badge(feature.badge(finding, view)), html.Strong(name(finding))], className="what")
    return html.Div([what, cards.facts(pairs), html.Div(bar, className="track")], className="rate")
