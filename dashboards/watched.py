"""Every watched feature of a model: how many drift, how small a shift would be seen, and each one's newest judgement.

Source: METHODS sections 3 to 5.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from dashboards import cards, feature, ranking, rates, states, tables, words
from dashboards.cards import Badge, Query
from dashboards.scope import Scope

_NONE: Final = Badge("unknown", "no data")


def numbers(
    view: Scope, name: str, drifts: Sequence[Mapping[str, Any]], declared: Mapping[str, Any] | None = None
) -> list[Any]:
    """Three numbers of a model whose features are watched; pairs are not features."""
    query = [Query(feature.NEWEST, {**view.params, "model": name})]
    by_feature = {
        s: states.worst([feature.badge(d, view) for d in drifts if d["subject"] == s]) for s in ranking.features(drifts)
    }
    leading = dict.fromkeys(r.subject for r in ranking.ranked(drifts, declared))
    alarmed = [s for s in (*leading, *by_feature) if by_feature.get(s, _NONE).state in ("page", "ticket")]
    alarmed = list(dict.fromkeys(alarmed))
    unsure = sum(mark.state == "unknown" for mark in by_feature.values())
    found = sorted(x for x in (_smallest(d) for d in drifts) if x)
    sees = f"{words.number(found[len(found) // 2], 2)} σ" if found else words.UNKNOWN
    return [
        cards.stat("Features drifting", f"{len(alarmed)} / {len(by_feature) - unsure}", ", ".join(alarmed[:3]) or "none alarmed", Badge("ticket", "ticket") if alarmed else None, "", query),
        cards.stat("Not judged yet", str(unsure), "learning, stale or too few rows" if unsure else "every feature is judged", Badge("unknown", "learning") if unsure else None, "", query),
        cards.stat("Smallest shift seen in 24 h", sees, "of a location, found with 90 % at the declared budget; median feature", None, "", query),
    ]  # fmt: skip


def _smallest(finding: Mapping[str, Any]) -> float | None:
    """Of a location judged hourly: other questions have other units."""
    if finding["detector"] != "level" or rates.watch(finding) != "location":
        return None
    found = json.loads(finding["details"] or "{}").get("min_detectable_24h")
    return float(found) if words.known(found) else None


def table(view: Scope, name: str, drifts: Sequence[Mapping[str, Any]]) -> Any:
    """The newest judgement of each monitor; alarms first."""
    rows = [
        {"state": feature.badge(d, view).word, "feature": d["subject"], "watch": rates.watch(d), "effect": _effect(d), "interval": words.interval(d["ci_low"], d["ci_high"]),
         "onset": d["onset"].isoformat() if d["onset"] and d["state"] == "alarm" else None,
         "n": d["n"], "evidence": d["evidence_nats"], "needs": d["threshold_nats"], "note": d["note"]}
        for d in drifts
    ]  # fmt: skip
    columns = [
        tables.Column("state", "State", "state", 110), tables.Column("feature", "Feature", "", 130, tip="note"), tables.Column("watch", "Watched", "", 120), tables.Column("effect", "Effect", "", 100, tip="note"),
        tables.Column("interval", "95 % interval", "", 125), tables.Column("onset", "Since (UTC)", "clock", 150), tables.Column("n", "Rows", "count", 80, "in the newest judged window"),
        tables.Column("evidence", "Evidence", "number", 95, "nats"), tables.Column("needs", "Alarm at", "number", 95, "nats"),
    ]  # fmt: skip
    params = {**view.params, "model": name}
    return cards.card(
        "Every watched feature",
        tables.grid("drift", rows, columns, height=min(460, 44 + tables.ROW_PX * len(rows))),
        sub="Newest judgement of each · rest on a feature to read it; what is surely there and too small to be told is ok",
        tools=[tables.csv_button("drift")],
        sql=[Query(feature.NEWEST, params)],
    )


def _effect(finding: Mapping[str, Any]) -> str:
    now, normal = rates.shares(finding) if finding["detector"] == "rate" else (None, None)
    if now is None:
        return ranking.effect(finding)
    return f"{words.share(now)} ({words.share(normal)})"
