"""How is this model, all in one? What it is, what is open about it, its objectives, its drift, its cost.

Source: our own, after UX.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dash import dcc, html

from dashboards import (
    cards,
    catalogue,
    differs,
    distribution,
    drift,
    feature,
    latency,
    slo,
    states,
    tables,
    traffic,
    words,
)  # fmt: skip
from dashboards.cards import Badge, Query
from dashboards.palette import SIGNS
from dashboards.reader import Reader
from dashboards.scope import Scope, scope

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
    chosen = next((s for s in slos if s.row["slo"] == view.query.get("slo")), slos[0] if slos else None)
    asked = requests(read, view, name, column_of(chosen))
    stats = traffic.totals(read, view, name, asked, facts)
    watched = _watched(view, name, drifts) if drifts and len(stats) < 4 else []
    if not (facts or slos or drifts or stats):
        return cards.grid([_hero(name, facts, []), _nothing(name)])
    marks = [s.badge(view.now) for s in slos] + [feature.badge(d, view) for d in drifts]
    parts = [_hero(name, facts, marks), *cards.gather(lambda: _incidents(read, view, name)), *stats, *watched]
    parts += _slo_section(read, view, name, slos, facts) if slos or len(stats) > 1 else []
    parts += _drift_section(read, view, name, drifts, facts) if drifts else []
    return cards.grid([*parts, *cards.gather(lambda: _actions(read, view, name))])


def _hero(name: str, facts: Mapping[str, Any], marks: list[Badge]) -> Any:
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
    known = (
        cards.facts([(k, str(v) if v is not None else None) for k, v in pairs])
        if facts
        else html.P("Seen in the data; no ModelSpec declares it.", className="sub")
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
    boxes = []
    for row in rows[:3]:
        is_open = row["state"] == "open"
        mark = states.severity_badge(row["severity"]) if is_open else Badge("unknown", "resolved")
        cause = json.loads(row["cause"]) if row["cause"] else None
        lines = cards.facts([
            ("since", f"{words.clock(row['since'], view.now)} UTC · {words.span((row['resolved_at'] or view.now) - row['since'])}"),
            ("effect", words.effect(row["effect"], row["unit"])), ("nearest signal", cause["note"] if cause else "none within 30 min of the onset"),
            ("suggested", row["suggestion"] if is_open else None),
        ])  # fmt: skip
        title = html.H1([html.Span(SIGNS[mark.state], className="sign"), row["summary"]])
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


def _choices(view: Scope, path: str, key: str, options: Sequence[tuple[str, str, Badge]], chosen: str) -> list[Any]:
    return [
        dcc.Link([html.Span(SIGNS[mark.state], className=f"sign {mark.state}", title=mark.word), html.Span(label)], href=view.link(path, **{key: value}), className="choice on" if value == chosen else "choice")
        for value, label, mark in options
    ]  # fmt: skip


def _slo_section(read: Reader, view: Scope, name: str, slos: list[slo.Slo], facts: Mapping[str, Any]) -> list[Any]:
    bare = cards.gather(
        lambda: traffic.over_time_card(read, view, name),
        lambda: traffic.cost_card(read, view, name, facts),
        spans=(7, 5),
    )
    if not slos:
        return [html.Div(html.H2("Traffic"), className="section-title span-12"), *bare]
    chosen = next((s for s in slos if s.row["slo"] == view.query.get("slo")), slos[0])
    links = _choices(view, "", "slo", [(s.row["slo"], s.title, s.badge(view.now)) for s in slos], chosen.row["slo"])
    if chosen.row["state"] == "too_few":
        few = cards.gather(lambda: slo.budget_card(read, view, chosen, span=12))
        return [html.Div([html.H2("Service level"), *links], className="section-title span-12", id="slo"), *few, *bare]
    made = cards.gather(
        lambda: slo.budget_card(read, view, chosen), lambda: traffic.burns_card(read, view, chosen), lambda: differs.differs_card(read, view, chosen),
        lambda: latency.latency_card(read, view, chosen), spans=(7, 5, 7, 5),
    )  # fmt: skip
    return [html.Div([html.H2("Service level"), *links], className="section-title span-12", id="slo"), *made, *bare]


def _drift_section(
    read: Reader, view: Scope, name: str, drifts: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]
) -> list[Any]:
    seen = list(dict.fromkeys(d["subject"] for d in drifts))
    chosen = view.query.get("feature") if view.query.get("feature") in seen else seen[0]
    finding = min(
        (d for d in drifts if d["subject"] == chosen), key=lambda d: (d["detector"] != "level", d["state"] != "alarm")
    )
    options = [(f, f, states.worst([feature.badge(d, view) for d in drifts if d["subject"] == f])) for f in seen[:12]]
    links = _choices(view, "", "feature", options, str(chosen))
    material = _material(facts, str(chosen))
    made = cards.gather(
        lambda: distribution.distribution_card(read, view, name, finding), lambda: feature.effect_card(read, view, name, finding, material),
        lambda: drift.heat_card(read, view, name, span=12, rows=20), spans=(6, 6, 12),
    )  # fmt: skip
    return [
        html.Div([html.H2("Drift"), *links], className="section-title span-12", id="drift"),
        *made,
        _drift_table(view, name, drifts),
    ]


def _material(facts: Mapping[str, Any], name: str) -> float | None:
    declared = facts.get("drift") or {}
    own = next((f.get("min_effect") for f in declared.get("features") or () if f.get("name") == name), None)
    found = own or declared.get("min_effect") or {}
    return float(found["value"]) if found.get("unit") in ("sigma", "σ") else None


def _watched(view: Scope, name: str, drifts: Sequence[Mapping[str, Any]]) -> list[Any]:
    query = [Query(feature.NEWEST, {**view.params, "model": name})]
    by_feature = {
        s: states.worst([feature.badge(d, view) for d in drifts if d["subject"] == s])
        for s in dict.fromkeys(d["subject"] for d in drifts)
    }
    alarmed = [s for s, mark in by_feature.items() if mark.state in ("page", "ticket")]
    unsure = sum(mark.state == "unknown" for mark in by_feature.values())
    found = sorted(x for x in (json.loads(d["details"] or "{}").get("min_detectable_24h") for d in drifts) if x)
    sees = f"{words.number(found[len(found) // 2], 2)} σ" if found else words.UNKNOWN
    return [
        cards.stat("Features drifting", f"{len(alarmed)} / {len(by_feature) - unsure}", ", ".join(alarmed[:3]) or "none alarmed", Badge("ticket", "ticket") if alarmed else None, "", query),
        cards.stat("Not judged yet", str(unsure), "learning, stale or too few rows" if unsure else "every feature is judged", Badge("unknown", "learning") if unsure else None, "", query),
        cards.stat("Smallest shift seen in 24 h", sees, "found with 90 % at the declared budget; median feature", None, "", query),
    ]  # fmt: skip


def _drift_table(view: Scope, name: str, drifts: Sequence[Mapping[str, Any]]) -> Any:
    rows = [
        {"state": feature.badge(d, view).word, "feature": d["subject"], "detector": d["detector"], "effect": words.effect(d["effect"], d["unit"]), "size": abs(d["effect"]) if words.known(d["effect"]) else None,
         "interval": words.interval(d["ci_low"], d["ci_high"]), "onset": d["onset"].isoformat() if d["onset"] and d["state"] == "alarm" else None,
         "n": d["n"], "evidence": d["evidence_nats"], "needs": d["threshold_nats"], "note": d["note"]}
        for d in drifts
    ]  # fmt: skip
    columns = [
        tables.Column("state", "State", "state", 110), tables.Column("feature", "Feature", "", 150), tables.Column("detector", "Kind", "", 80), tables.Column("effect", "Effect", "", 100),
        tables.Column("interval", "95 % interval", "", 130), tables.Column("onset", "Since (UTC)", "clock", 150), tables.Column("n", "Rows", "count", 80, "in the newest judged window"),
        tables.Column("evidence", "Evidence", "number", 100, "nats"), tables.Column("needs", "Alarm at", "number", 95, "nats"), tables.Column("note", "Note", "", 260),
    ]  # fmt: skip
    params = {**view.params, "model": name}
    return cards.card(
        "Every watched feature",
        tables.grid("drift", rows, columns, height=min(460, 44 + tables.ROW_PX * len(rows))),
        sub="Newest judgement of each",
        tools=[tables.csv_button("drift")],
        sql=[Query(feature.NEWEST, params)],
    )


def _actions(read: Reader, view: Scope, name: str) -> Any:
    params = {**view.params, "model": name}
    rows = [
        {**r, "changed_at": r["changed_at"].isoformat(), "parameters": _pairs(r["parameters"])}
        for r in read(ACTIONS, params).iter_rows(named=True)
    ]
    if not rows:
        return None
    columns = [
        tables.Column("kind", "Do", "", 80), tables.Column("target", "Target", "", 160), tables.Column("parameters", "With", "", 140), tables.Column("mode", "Mode", "", 90),
        tables.Column("state", "State", "", 100), tables.Column("reason", "Because", "", 160), tables.Column("changed_at", "When (UTC)", "clock", 140),
    ]  # fmt: skip
    return cards.card(
        "Actions",
        tables.grid("actions", rows, columns),
        sub="What was proposed to the scaler and the trainer",
        tools=[tables.csv_button("actions")],
        sql=[Query(ACTIONS, params)],
    )


def _pairs(text: str | None) -> str:
    return ", ".join(f"{k} {v}" for k, v in json.loads(text or "{}").items())
