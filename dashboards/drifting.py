"""The drift section of a model's page: what explains it, then one feature by one of its questions.

`?feature=` names the feature or pair, `?watch=` the question as a monitor's id has it; without them it is the
feature that drifts most, by the question that says so.

Source: our own, after UX.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from dash import html

from dashboards import (
    apart,
    course,
    distribution,
    drift,
    feature,
    levels,
    moved,
    pairs,
    ranking,
    rates,
    sections,
    states,
    watched,
)
from dashboards.cards import Query
from dashboards.moved import Finding
from dashboards.reader import Reader
from dashboards.scope import Scope

Part = tuple[int, Callable[[], Any]]  # columns of twelve, and what makes the card
CHOICES: Final = 12  # features offered; the table below has the others
_ORDER: Final = ("location", "spread", "third", "fourth", "pair", "missing", "unseen")


def section(
    read: Reader, view: Scope, name: str, drifts: Sequence[Finding], facts: Mapping[str, Any]
) -> tuple[Any, list[Part]]:
    """Title with the choice of features, and the cards."""
    if rates.only_rates(drifts):
        return None, [(12, lambda: rates.rates_card(view, name, drifts))]
    declared = facts.get("drift")
    ranks = ranking.ranked(drifts, declared)
    offered = subjects(drifts, [r.subject for r in ranks])
    chosen = view.query.get("feature", "")
    chosen = chosen if chosen in offered else offered[0]
    asked = questions(drifts, chosen)
    finding = _finding(
        asked, view.query.get("watch", ""), next((r.finding for r in ranks if r.subject == chosen), None)
    )
    links = [
        *sections.choices(view, "feature", [(s, s, _mark(drifts, s, view)) for s in offered[:CHOICES]], chosen),
        *_watches(asked, finding, chosen, view),
    ]
    query = [Query(feature.NEWEST, {**view.params, "model": name})]
    explained: list[Part] = [(12, lambda: ranking.card(view, drifts, declared, query, _address(view)))] if ranks else []
    return sections.section("Drift", "drift", links), [
        *explained, *_cards(read, view, name, finding, (drifts, facts)),
        (12, lambda: drift.heat_card(read, view, name, span=12, rows=20)), (12, lambda: watched.table(view, name, drifts)),
    ]  # fmt: skip


def _address(view: Scope) -> ranking.Link:
    return lambda subject, watch: view.link("", feature=subject, watch=watch)


def subjects(drifts: Sequence[Finding], first: Sequence[str] = ()) -> list[str]:
    """Features and pairs that can be looked at: what drifts first, then features, then pairs."""
    own = ranking.features(drifts)
    both = [str(d["subject"]) for d in drifts if moved.pair(d)]
    return list(dict.fromkeys([*first, *own, *both]))


def questions(drifts: Sequence[Finding], subject: str) -> list[Finding]:
    """The findings of one feature, in the order in which people ask."""
    mine = [d for d in drifts if d["subject"] == subject]
    by_score: dict[str, Finding] = {}
    for d in sorted(
        mine, key=lambda d: (d["state"] != "alarm", moved.fast(d))
    ):  # the quick one only where it alone alarms
        by_score.setdefault(moved.score(d), d)
    return sorted(by_score.values(), key=lambda d: (_place(moved.score(d)), moved.score(d)))


def _place(score: str) -> int:
    return _ORDER.index(score) if score in _ORDER else _ORDER.index("missing")


def _finding(asked: Sequence[Finding], watch: str, leading: Finding | None) -> Finding:
    """The question that is shown: the one asked for, else the one that leads, else the first."""
    named = next((d for d in asked if moved.score(d) == watch), None)
    return named or leading or asked[0]


def _mark(drifts: Sequence[Finding], subject: str, view: Scope) -> Any:
    return states.worst([feature.badge(d, view) for d in drifts if d["subject"] == subject])


def _watches(asked: Sequence[Finding], finding: Finding, chosen: str, view: Scope) -> list[Any]:
    if len(asked) < 2:
        return []
    options = [(moved.score(d), moved.name(d), feature.badge(d, view)) for d in asked]
    links = sections.choices(view, "watch", options, moved.score(finding), feature=chosen)
    return [html.Div([html.Span(f"asked of {chosen}"), *links], className="watches")]


def _cards(
    read: Reader, view: Scope, name: str, finding: Finding, around: tuple[Sequence[Finding], Mapping[str, Any]]
) -> list[Part]:
    """The cards of one question: a pair has no distribution, a category has levels, a number distances."""
    drifts, facts = around
    if moved.pair(finding):
        return [
            (6, lambda: pairs.pair_card(read, view, name, finding, drifts)),
            (6, lambda: course.course_card(read, view, name, finding)),
        ]
    unit = _unit(facts, str(finding["subject"]))
    rate = finding["detector"] == "rate"
    right: Part = (
        (6, lambda: course.course_card(read, view, name, finding)) if rate
        else (6, lambda: feature.effect_card(read, view, name, finding, material(facts, finding)))
    )  # fmt: skip
    return [
        (6, lambda: distribution.distribution_card(read, view, name, finding, unit=unit)), right,
        (12, lambda: apart.apart_card(read, view, name, finding, unit=unit)),
        (12, lambda: levels.levels_card(read, view, name, finding, drifts, span=12)),
    ]  # fmt: skip


def _unit(facts: Mapping[str, Any], name: str) -> str:
    declared = facts.get("drift") or {}
    return next((str(f["unit"]) for f in declared.get("features") or () if f.get("name") == name and f.get("unit")), "")


def material(facts: Mapping[str, Any], finding: Finding) -> float | None:
    """The smallest effect that matters, in the unit the effect is drawn in; None where it has another one."""
    found = ranking.declared_least(facts.get("drift"), str(finding["subject"]))
    if found is None:
        return None
    value, unit = found
    drawn = {"σ": "sigma", "sigma": "sigma", "pp": "pp"}.get(str(finding["unit"]))
    return value if drawn == ("sigma" if unit == "σ" else unit) else None
