"""The evidence of an incident, line by line, each with the SQL that gives the same numbers.

Source: our own, after UX.md: "every number opens the query that made it".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from dash import html

from dashboards import cards, incident, words
from dashboards.cards import Query
from dashboards.incident import ALARM, ALARMS, IMPACT, Row
from dashboards.reader import Reader
from dashboards.scope import Scope

SHOWN: Final = 12
HEADS: Final = ("What", "How much", "95 % interval", "Evidence", "Rows", "Judged (UTC)")


@dataclass(frozen=True, slots=True)
class Proof:
    """One line of evidence: its cells after `HEADS`, and the query that gives them."""

    cells: tuple[str, ...]
    query: Query


def proofs(read: Reader, row: Row, now: datetime, today: datetime | None = None) -> list[Proof]:
    """Everything that speaks for an incident: what it cost, then what alarmed, strongest first.

    Args:
        read: answers SQL.
        row: the incident.
        now: the present; an open incident lasts until then.
        today: whose date need not be said; None says every date.
    """
    span = incident.during(row, now)
    paid = read(IMPACT, span).to_dicts()
    alarms = read(ALARMS, span).to_dicts()
    return [*(_paid(r, Query(IMPACT, span), today) for r in paid if r["n"]), *(_alarm(r, today) for r in alarms)]


def _paid(row: Row, query: Query, now: datetime | None) -> Proof:
    """What an objective has lost since the onset."""
    spent = f", {words.share(row['budget_spent'])} of its budget" if words.known(row["budget_spent"]) else ""
    cells = (
        f"{row['model']} · {row['slo']}: since the onset", f"{row['bad']:,} bad ({words.share(row['share'])}){spent}",
        _wilson(row["bad"], row["n"]), "counted", f"{row['n']:,}", f"{words.clock(_time(query, 'start'), now)} – {words.clock(_time(query, 'end'), now)}",
    )  # fmt: skip
    return Proof(cells, query)


def _time(query: Query, name: str) -> datetime | None:
    value = query.params[name]
    return value if isinstance(value, datetime) else None


def _wilson(bad: float, n: float) -> str:
    """Wilson's 95 % interval of a share; requests that fail together make it too narrow."""
    if not n:
        return words.UNKNOWN
    p, z = bad / n, 1.96
    middle, half = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    scale = 1 + z * z / n
    return f"{words.share(max(0.0, (middle - half) / scale))} to {words.share(min(1.0, (middle + half) / scale))}"


def _alarm(row: Row, now: datetime | None) -> Proof:
    """What one monitor found in its newest window that alarmed."""
    nats = (
        "counted"
        if row["evidence_nats"] is None
        else f"{words.number(row['evidence_nats'])} of {words.number(row['threshold_nats'])} nats"
    )
    when = f"{words.clock(row['window_start'], now)} – {words.clock(row['window_end'], now)}"
    cells = (
        str(row["note"]), words.effect(row["effect"], row["unit"]), words.interval(row["ci_low"], row["ci_high"]), nats,
        words.count(row["n"]), when,
    )  # fmt: skip
    return Proof(cells, Query(ALARM, {"finding": row["finding_id"]}))


def card(read: Reader, row: Row, view: Scope) -> Any:
    """The list of evidence."""
    found = proofs(read, row, view.now, view.now)
    if not found:
        none = cards.empty(
            "No finding of it is kept any more", "Findings are kept as long as `store.retain` says.", 120
        )
        return cards.card("Evidence", none, sql=[Query(ALARMS, incident.during(row, view.now))])
    head = html.Thead(html.Tr([*(html.Th(h) for h in HEADS), html.Th(html.Span("SQL", className="unseen"))]))
    table = html.Table([head, html.Tbody([_tr(p) for p in found[:SHOWN]])])
    more = f" · {len(found) - SHOWN} more in SQL" if len(found) > SHOWN else ""
    sub = f"each line's SQL gives the same numbers{more}"
    queries = [Query(IMPACT, incident.during(row, view.now)), Query(ALARMS, incident.during(row, view.now))]
    return cards.card("Evidence", html.Div(table, className="report-table", tabIndex=0), sub=sub, sql=queries)


def _tr(proof: Proof) -> Any:
    first, *rest = proof.cells
    cells: Sequence[Any] = [html.Td(html.Div(first, className="report-said")), *(html.Td(c) for c in rest)]
    return html.Tr([*cells, html.Td(cards.source([proof.query]))])
