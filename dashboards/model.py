"""How is this model, all in one? What it is, what is open about it, its objectives, its drift, its cost.

Source: our own, after UX.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dash import dcc, html

from dashboards import (
    accepted,
    canaries,
    cards,
    catalogue,
    differs,
    drifting,
    feature,
    latency,
    pages,
    performance,
    proposal,
    rates,
    sections,
    skew,
    slo,
    slo_burn,
    states,
    tables,
    traffic,
    watched,
    words,
)  # fmt: skip
from dashboards.cards import Badge, Query
from dashboards.palette import SIGNS
from dashboards.reader import Reader
from dashboards.requests import Requests, column_of, requests
from dashboards.scope import Scope, scope
from observe.spec.normal import advised

Part = tuple[int, Callable[[], Any]]  # columns of twelve, and what makes the card
PATH, TITLE, ICON, ORDER = "/model/<name>", "Model", "model", 20
QUESTION = "How is this model, all in one?"
SKELETON = ((12, 64), (12, 110), (3, 110), (3, 110), (3, 110), (3, 110), (7, 340), (5, 340), (12, 300))

INCIDENTS = """
select incident_id, kind, severity, state, since, opened_at, resolved_at, summary, effect, unit, ci_low, ci_high, cause::VARCHAR as cause, suggestion
from incident where model = $model and (state = 'open' or resolved_at >= $start::TIMESTAMPTZ)
order by state, case severity when 'page' then 0 when 'ticket' then 1 else 2 end, opened_at desc limit 10
"""
ACTIONS = """
select action_id, incident_id, kind, target, mode, state, reason, parameters::VARCHAR as parameters, changed_at from action where model = $model order by changed_at desc limit 20
"""


def page(read: Reader, params: Mapping[str, str]) -> Any:
    """One model's page."""
    view, name = scope(params), params["name"]
    wanted = {**view.params, "model": name}
    declared, status, found = cards.together(
        lambda: catalogue.catalogue(read), lambda: read(slo.STATUS, wanted), lambda: read(feature.NEWEST, wanted)
    )
    facts = declared.models.get(name, {})
    slos = [slo.Slo(r, declared.slo(name, r["slo"])) for r in status.iter_rows(named=True)]
    drifts = found.to_dicts()
    slo_title, slo_cards = _slo_section(read, view, name, slos, facts)
    drift_title, drift_cards = drifting.section(read, view, name, drifts, facts) if drifts else (None, [])
    chosen = _chosen(view, slos)
    stats, opened, acted, compared, *made = cards.gather(
        lambda: traffic.totals(read, view, name, requests(read, view, name, column_of(chosen)), facts), lambda: _incidents(read, view, name),
        lambda: _actions(read, view, name), lambda: canaries.canary_card(read, view, name), *(maker for _, maker in [*slo_cards, *drift_cards]),
        spans=(12, 12, 12, 12, *(span for span, _ in [*slo_cards, *drift_cards])),
    )  # fmt: skip
    numbers = stats if isinstance(stats, list) else [stats]
    if not (facts or slos or drifts or numbers):
        return cards.grid([_hero(name, None, []), _nothing(name)])
    marks = [s.badge(view.now) for s in slos] + [feature.badge(d, view) for d in drifts]
    more = (
        watched.numbers(view, name, drifts, facts.get("drift"))
        if drifts and len(numbers) < 2 and not rates.only_rates(drifts)
        else []
    )
    parts = [_hero(name, facts, marks), opened, *numbers, *more]
    parts += [slo_title, *made[: len(slo_cards)]] if slos or len(numbers) > 1 else []
    parts += performance.section(read, view, name, facts)
    parts += skew.section(read, view, name, facts)
    parts += [drift_title, *made[len(slo_cards) :]] if drifts else []
    return cards.grid([*parts, compared, acted])


def _chosen(view: Scope, slos: Sequence[slo.Slo]) -> slo.Slo | None:
    return next((s for s in slos if s.row["slo"] == view.query.get("slo")), slos[0] if slos else None)


def _hero(name: str, declared: Mapping[str, Any] | None, marks: list[Badge]) -> Any:
    """Its name, its state and what is declared of it; None where it is known neither declared nor seen."""
    facts = declared or {}
    labels = facts.get("labels") or {}
    replicas = (
        f"{facts['min_replicas']} – {facts['max_replicas']}"
        if facts.get("min_replicas") is not None and facts.get("max_replicas") is not None
        else None
    )
    accelerator = (
        f"{facts.get('accelerator_count') or 1} × {facts['accelerator_type']}"
        if facts.get("accelerator_type")
        else None
    )
    limit, target = facts.get("target_cost_per_1k_tokens_usd"), facts.get("target_latency_p95_s")
    pairs = [
        ("version", facts.get("version")), ("team", labels.get("team")), ("accelerator", accelerator), ("replicas", replicas),
        ("latency target p95", words.seconds(target) if target else None), ("cost envelope", f"{words.dollars(limit * 1000)} per 1 M tokens" if limit else None),
        ("also called", ", ".join(facts.get("aliases") or ()) or None),
    ]  # fmt: skip
    said = [(k, str(v)) for k, v in pairs if v is not None]
    known = (
        cards.facts(said)
        if said
        else html.P("Seen in the data; no ModelSpec declares it.", className="sub")
        if not facts and declared is not None
        else None
    )
    return html.Div(
        [html.H1([html.Span(name), *([cards.badge(states.worst(marks))] if marks else [])]), known],
        className="hero span-12",
    )


def _nothing(name: str) -> Any:
    return cards.card(
        "Nothing is known of this model",
        cards.empty(
            f"No traffic, no objective and no drift finding for “{name}” in this range",
            "Check the name, or choose a longer range.",
            200,
        ),
    )


def _incidents(read: Reader, view: Scope, name: str) -> Any:
    params = {**view.params, "model": name}
    rows = read(INCIDENTS, params).to_dicts()
    if not rows:
        return None
    boxes, advice = [], accepted.suggestions(read, [r for r in rows[:3] if r["state"] == "open"])
    for row in rows[:3]:
        is_open = row["state"] == "open"
        mark = states.severity_badge(row["severity"]) if is_open else Badge("unknown", "resolved")
        cause = json.loads(row["cause"]) if row["cause"] else None
        lines = cards.facts([
            ("since", f"{words.clock(row['since'], view.now)} UTC · {words.span((row['resolved_at'] or view.now) - row['since'])}"),
            ("effect", words.effect(row["effect"], row["unit"])), ("nearest signal", cause["note"] if cause else "none that explains it clearly"),
            ("suggested", _suggested(row, advice[row["incident_id"]], view) if is_open else None),
        ])  # fmt: skip
        what = row["summary"]
        if pages.installed("incidents"):
            what = dcc.Link(what, href=view.link("/incidents", id=row["incident_id"]))
        title = html.H1([html.Span(SIGNS[mark.state], className="sign"), what])
        boxes.append(
            html.Section(
                [
                    html.Div([cards.source([Query(INCIDENTS, params)]), cards.badge(mark)], className="card-tools"),
                    title,
                    lines,
                ],
                className=f"verdict {mark.state}",
            )
        )
    return html.Div(boxes, className="span-12 stack")


def _suggested(row: Mapping[str, Any], advice: str | None, view: Scope) -> Any:
    """What to do; what can be accepted leads to the incident, where the button is."""
    if not advised(advice) or not pages.installed("incidents"):
        return advice
    return dcc.Link(advice, href=view.link("/incidents", id=row["incident_id"]))


def _slo_section(
    read: Reader, view: Scope, name: str, slos: list[slo.Slo], facts: Mapping[str, Any]
) -> tuple[Any, list[Part]]:
    chosen = _chosen(view, slos)

    def folded() -> Requests:
        return requests(read, view, name, column_of(chosen))

    bare: list[Part] = [
        (7, lambda: traffic.over_time_card(read, view, name, folded())), (5, lambda: traffic.cost_card(view, name, folded(), facts)),
    ]  # fmt: skip
    if chosen is None:
        return sections.section("Traffic", "slo"), bare
    links = sections.choices(view, "slo", [(s.row["slo"], s.title, s.badge(view.now)) for s in slos], chosen.row["slo"])
    title = sections.section("Service level", "slo", links)
    if chosen.row["state"] == "too_few":
        return title, [(12, lambda: slo.budget_card(read, view, chosen, span=12)), *bare]
    judged: list[Part] = [
        (7, lambda: slo.budget_card(read, view, chosen)), (5, lambda: slo_burn.burn_card(view, chosen)),
        (7, lambda: differs.differs_card(read, view, chosen)), (5, lambda: latency.latency_card(read, view, chosen)),
    ]  # fmt: skip
    return title, [*judged, *bare]


def _actions(read: Reader, view: Scope, name: str) -> Any:
    params = {**view.params, "model": name}
    rows = [
        {
            **r,
            "changed_at": r["changed_at"].isoformat(),
            "parameters": proposal.change(r["parameters"]),
            "mode": proposal.mode(r["mode"]),
        }
        for r in read(ACTIONS, params).iter_rows(named=True)
    ]
    if not rows:
        return None
    columns = [
        tables.Column("kind", "Do", "", 70), tables.Column("target", "Target", "said", 160), tables.Column("parameters", "With", "said", 240),
        tables.Column("mode", "Mode", "said", 100), tables.Column("state", "State", "", 100), tables.Column("reason", "Because", "said", 280), tables.Column("changed_at", "When (UTC)", "clock", 140),
    ]  # fmt: skip
    return cards.card(
        "Actions",
        tables.two_lines(tables.grid("actions", rows, columns)),
        sub="What was proposed to the scaler and the trainer",
        tools=[tables.csv_button("actions")],
        sql=[Query(ACTIONS, params)],
    )
