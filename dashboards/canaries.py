"""Is the new version of a model worse than the old one beside it, and how many requests until that is known?

Source: our own; METHODS section 8.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from dash import html

from dashboards import cards, tables, words
from dashboards.cards import Badge, Query
from dashboards.reader import Reader
from dashboards.scope import Scope
from dashboards.states import severity_badge

NEWEST: Final = """
select subject, state, severity, note, window_end, details::VARCHAR as details from finding
where kind = 'canary' and model = $model and window_end >= $start::TIMESTAMPTZ and window_end <= $end::TIMESTAMPTZ
order by window_end desc limit 1
"""
_STALE: Final = timedelta(minutes=30)
_MUCH: Final = 1e4
_ENDS: Final = ("one of the two versions answers nobody any more", "watched every minute while both answer")


def canary_card(read: Reader, view: Scope, model: str) -> Any:
    """The newest comparison of two versions, question by question; None where there was none in the range."""
    params = {**view.params, "model": model}
    rows = read(NEWEST, params).to_dicts()
    if not rows:
        return None
    (row,) = rows
    details = json.loads(row["details"])
    over = view.now - row["window_end"] > _STALE
    asked = sorted(details["questions"].items(), key=lambda q: -q[1]["e_value"])
    columns = [
        tables.Column("question", "Question", "", 220), tables.Column("canary", f"In {row['subject']}", "", 150),
        tables.Column("baseline", "In the old version", "", 150),
        tables.Column("ratio", "Times as often (95 %)", "", 190, hint="an interval that holds at all times at once, however often it is looked at"),
        tables.Column("e_value", "E-value", "", 90, hint="100 of all questions together proves a difference; 1 says nothing"),
    ]  # fmt: skip
    return cards.card(
        f"Canary {row['subject']}",
        html.P(row["note"]),
        tables.grid(
            "canary", [_row(q, details.get("disagree")) for _, q in asked], columns, height=320 if len(asked) > 7 else 0
        ),
        *_averages(details.get("averages", {})),
        html.P(
            f"Judged until {words.clock(row['window_end'], view.now)} UTC; {_ENDS[0] if over else _ENDS[1]}.",
            className="sub",
        ),
        sub="Is the new version worse than the old one beside it?",
        mark=_mark(row, details["decision"]),
        sql=[Query(NEWEST, params)],
    )


def _mark(row: Mapping[str, Any], decision: str) -> Badge:
    if row["state"] == "alarm":
        return severity_badge(row["severity"])
    return {"good": Badge("ok", "as good"), "worse": Badge("info", "a little worse")}.get(
        decision, Badge("unknown", "not known yet")
    )


def _row(q: Mapping[str, Any], disagree: float | None) -> dict[str, Any]:
    (x, n), (y, m) = q["canary"], q["baseline"]
    low, high = q["ci"]
    known = f"{words.number(q['ratio'])} ({words.number(low)} – {words.number(high) if high is not None else 'any'})"
    pairs = n and not m and disagree is not None
    return {
        "question": q["words"], "canary": _share(x, n), "baseline": f"{words.share(disagree)} may be" if pairs else _share(y, m),
        "ratio": known if n and (m or pairs) else "–", "e_value": "> 10 k" if q["e_value"] > _MUCH else words.number(q["e_value"]),
    }  # fmt: skip


def _averages(known: Mapping[str, Mapping[str, Any]]) -> list[Any]:
    """The averages of both versions and by how much they differ, with an interval that holds at all times at once."""
    told = []
    for column, a in sorted(known.items()):
        low, high = a["ci"]
        moved = (
            f"{words.number(a['difference'])} ({words.number(low)} – {words.number(high)})"
            if low is not None
            else "too early to say by how much"
        )
        told.append(
            html.Li(
                f"{column} on average: {words.number(a['canary'])}, before {words.number(a['baseline'])}; difference {moved}"
            )
        )
    return [html.Ul(told, className="facts")] if told else []


def _share(events: float, rows: float) -> str:
    return f"{words.share(events / rows)} of {words.count(rows)}" if rows else "none answered"
