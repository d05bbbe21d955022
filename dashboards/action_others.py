"""What others did to models in the range: deploys, rollbacks and scalings that no action of ours asked for; did it help?

Source: our own; docs/actions.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dash import dcc, html

from dashboards import cards, words
from dashboards.action import VERDICTS
from dashboards.cards import Badge, Query
from dashboards.reader import Reader
from dashboards.scope import Scope

OTHERS: Final = """
select sent_at, model, what, who, incident_id, verdict, text from action_outcome
where not ours and ($model = '' or model = $model) and sent_at >= $start::TIMESTAMPTZ order by sent_at desc, change_id limit 100
"""
_HEADS: Final = ("Verdict", "What", "Model", "Who", "When (UTC)", "Incident then", "Did it help?")


def card(read: Reader, view: Scope) -> Any:
    """The changes and what became of them, the newest first; None when there were none."""
    rows = read(OTHERS, view.params).to_dicts()
    if not rows:
        return None
    table = html.Table([html.Thead(html.Tr([html.Th(h) for h in _HEADS])), html.Tbody([_line(r, view) for r in rows])])
    return cards.card(
        "Done by others",
        html.Div(table, className="report-table", tabIndex=0),
        sub="deploys, rollbacks and scalings that no action of ours asked for; judged alike, they stop nothing",
        sql=[Query(OTHERS, view.params)],
    )


def _line(row: Mapping[str, Any], view: Scope) -> Any:
    mark = cards.badge(Badge(VERDICTS.get(row["verdict"], "unknown"), row["verdict"]))
    chosen = row["incident_id"]
    incident = dcc.Link(chosen, href=view.link("/incidents", id=chosen)) if chosen else words.UNKNOWN
    cells = (
        mark, row["what"], row["model"], row["who"] or "nobody told", words.clock(row["sent_at"], view.now), incident,
        row["text"] or words.UNKNOWN,
    )  # fmt: skip
    return html.Tr([html.Td(cell) for cell in cells])
