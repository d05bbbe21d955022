"""Which features drift, the ones that moved most against what matters first, and which go with the first.

An effect is held against the smallest one that was declared to matter (`minEffect`), so a location in σ and
a share in pp can stand in one list; of equals the stronger evidence leads. A rate has no `minEffect`: its
rise is held against 1.5 times, the smallest rise that is looked for. "Goes with" is said only where the pair
is watched and correlated before anything moved; of pairs that are not watched nothing is known.

Source: our own; METHODS sections 1, 3 and 5.
Assumes: correlation says what tends to move together, not what causes what.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dash import dcc, html

from dashboards import cards, feature, moved, words
from dashboards.cards import Query
from dashboards.incident import FAMILY
from dashboards.moved import Finding
from dashboards.scope import Scope

Link = Callable[[str, str], str]
TOGETHER: Final = 0.5  # correlation before, from which a feature is said to go with another
RISE: Final = 1.5  # the smallest rise of a rate that is looked for
SHOWN: Final = 12
UNSURE: Final = frozenset({"learning", "too_few", "unknown", "not_identifiable", "expected"})
INCIDENT: Final = f"""
select f.monitor_id, f.subject, f.detector, f.state, f.severity, f.effect, f.unit, f.ci_low, f.ci_high, f.onset, f.onset_low, f.onset_high, f.n,
  f.note, f.window_end, f.details::VARCHAR as details, f.evidence_nats, f.threshold_nats
from finding f
where f.kind = 'drift' and f.state = 'alarm' and f.window_end > $opened::TIMESTAMPTZ - interval 1 day
  and f.monitor_id in (select key from alert where incident_id in {FAMILY})
qualify row_number() over (partition by f.monitor_id order by f.window_end desc) = 1
"""
_USUAL: Final = (0.1, "sigma")  # what matters where nothing was declared in a feature's unit
_SCALE: Final = math.sqrt(2.0)  # deviation of a squared normal score: turns a spread's score into a ratio


@dataclass(frozen=True, slots=True)
class Drifting:
    """One feature or pair that drifts: its leading finding, and how many of its questions alarm."""

    subject: str
    finding: Finding
    times: float | None  # effect over the smallest that matters
    strength: float  # evidence over what an alarm needs
    alarms: int
    with_first: float | None = None  # correlation with the first of the list, before anything moved

    @property
    def pair(self) -> bool:
        """Whether it is about two features together."""
        return moved.pair(self.finding)


def features(drifts: Sequence[Finding]) -> list[str]:
    """Features that are watched: neither pairs nor failed requests are any."""
    found = dict.fromkeys(str(d["subject"]) for d in drifts if not moved.pair(d) and not _errors(d))
    return list(found)


def _errors(finding: Finding) -> bool:
    return bool(finding["detector"] == "rate") and moved.score(finding) == "share"


def times(finding: Finding, declared: Mapping[str, Any] | None) -> float | None:
    """The effect as a multiple of the smallest one that matters; None where either is not known.

    Args:
        finding: with its effect.
        declared: the model's `drift`, as published.
    """
    effect = finding["effect"]
    if not words.known(effect):
        return None
    if finding["detector"] == "rate":
        return abs(math.log(effect)) / math.log(RISE) if effect > 0 else None
    least = declared_least(declared, str(finding["subject"]))
    if least is None:
        return None
    value, unit = least
    known = moved.details(finding)
    if moved.score(finding) == "location" and unit == "%":
        units, middle = known.get("unit_effect"), known.get("median_from")
        return None if units is None or not middle else abs(units / middle) / (value / 100)
    return _in_unit(finding, effect, value, unit)


def _in_unit(finding: Finding, effect: float, value: float, unit: str) -> float | None:
    if finding["unit"] in {"%": ("pp", "correlation"), "pp": ("σ", "sigma", "ratio", "correlation")}.get(unit, ()):
        value, unit = _USUAL  # declared in the unit of another kind of feature
    sigma = value / 100 if unit == "%" else value
    if finding["unit"] == "ratio":
        return abs(effect**2 - 1) / _SCALE / sigma
    if finding["unit"] == "pp":
        p = moved.details(finding).get("share_from")
        least = value if unit == "pp" else None if p is None else 100 * value * math.sqrt(p * (1 - p))
        return abs(effect) / least if least else None
    return abs(effect) / sigma


def declared_least(declared: Mapping[str, Any] | None, name: str) -> tuple[float, str] | None:
    """The smallest effect of a feature that matters and its unit: sigma | % | pp; None where none is declared."""
    if not declared:
        return None
    own = next((f.get("min_effect") for f in declared.get("features") or () if f.get("name") == name), None)
    found = own or declared.get("min_effect") or {}
    return (float(found["value"]), str(found.get("unit") or "sigma")) if found.get("value") else None


def ranked(drifts: Sequence[Finding], declared: Mapping[str, Any] | None) -> list[Drifting]:
    """What drifts, first what moved most; pairs among them.

    Args:
        drifts: the newest finding of each monitor of one model.
        declared: the model's `drift`, as published.
    """
    by_subject: dict[str, list[Drifting]] = {}
    for d in drifts:
        if d["state"] == "alarm" and not _errors(d):
            strength = (d["evidence_nats"] or 0.0) / (d["threshold_nats"] or 1.0)
            by_subject.setdefault(str(d["subject"]), []).append(
                Drifting(str(d["subject"]), d, times(d, declared), strength, 1)
            )
    best = [_best(found) for found in by_subject.values()]
    found = sorted(best, key=lambda f: (f.pair, -(f.times or 0.0), -f.strength, f.subject))
    return [_beside(f, found[0], drifts) for f in found]


def _best(found: Sequence[Drifting]) -> Drifting:
    first = min(found, key=lambda f: (-(f.times or 0.0), -f.strength))
    return Drifting(first.subject, first.finding, first.times, first.strength, len(found))


def _beside(it: Drifting, first: Drifting, drifts: Sequence[Finding]) -> Drifting:
    rows = it.finding["detector"] == "rate" or first.finding["detector"] == "rate"  # missing values have no correlation
    both = None if rows else correlation(drifts, first.subject, it.subject)
    return Drifting(it.subject, it.finding, it.times, it.strength, it.alarms, both)


def effect(finding: Finding) -> str:
    """The effect as a column has room for: what a pair's unit is says its question."""
    return words.effect(finding["effect"], finding["unit"]).removesuffix(" correlation")


def correlation(drifts: Sequence[Finding], one: str, other: str) -> float | None:
    """How two features were correlated before anything moved; None where their pair is not watched."""
    names = {f"{one} × {other}", f"{other} × {one}"}
    found = next((d for d in drifts if d["subject"] in names and moved.pair(d)), None)
    told = moved.told(found, None) if found is not None else None
    return told.before if told else None


def summary(drifts: Sequence[Finding], found: Sequence[Drifting], where: str = "") -> str:
    """`2 of 8 watched features drift; amount moved most`, and which of them go with it."""
    watched, moving = features(drifts), [f for f in found if not f.pair]
    verb = "drifts" if len(moving) == 1 else "drift"
    told = f"{len(moving)} of {len(watched)} watched features {verb}{where}"
    unsure = sum(all(d["state"] in UNSURE for d in drifts if d["subject"] == name) for name in watched)
    if unsure:
        told += f" ({unsure} not judged yet)"
    pairs = len(found) - len(moving)
    if pairs:
        told += f", and the correlation of {pairs} pair{'s' if pairs > 1 else ''} changed"
    together = [f.subject for f in moving[1:] if abs(f.with_first or 0.0) >= TOGETHER]
    if together:
        told += f"; {', '.join(together[:4])} {'goes' if len(together) == 1 else 'go'} with {moving[0].subject}"
    return told


def card(
    view: Scope,
    drifts: Sequence[Finding],
    declared: Mapping[str, Any] | None,
    sql: Sequence[Query],
    link: Link,
    where: str = "",
) -> Any:
    """The features that drift, in order; None where none does.

    Args:
        view: the page's range.
        drifts: the newest finding of each monitor of one model.
        declared: the model's `drift`, as published.
        sql: the queries behind `drifts`.
        link: the address of a feature's page, from the feature and the question.
        where: what the list is of, when it is not the whole model.
    """
    found = ranked(drifts, declared)
    if not found:
        return None
    rows = [_row(place, f, found, view, link) for place, f in enumerate(found[:SHOWN], 1)]
    more = [html.P(f"and {len(found) - SHOWN} more", className="sub")] if len(found) > SHOWN else []
    note = html.P(
        "Ordered by effect over the smallest that matters (minEffect; of a rate 1.5×), then by evidence; pairs last. "
        "Correlations are those of watched pairs before the change; they say what moves together, not why.",
        className="legend",
    )
    return cards.card(
        "What explains the drift?",
        html.Ol(rows, className="ranking"),
        *more,
        note,
        sub=summary(drifts, found, where),
        sql=sql,
    )


def _row(place: int, it: Drifting, found: Sequence[Drifting], view: Scope, link: Link) -> Any:
    d = it.finding
    named = dcc.Link(it.subject, href=link(it.subject, moved.score(d)), className="subject")
    beside = [html.Span(part, className="dim") for part in _beside_words(it, found)]
    pairs = [
        ("since", moved.onset(d, view)), ("effect", effect(d)),
        ("of what matters", f"{words.number(it.times, 2)}×" if it.times is not None else words.UNKNOWN), ("evidence", moved.evidence(d)),
    ]  # fmt: skip
    what = html.Div(
        [cards.badge(feature.badge(d, view)), named, html.Span(str(d["note"]), className="text"), *beside],
        className="what",
    )
    return html.Li([html.Span(str(place), className="place"), what, cards.facts(pairs)])


def _beside_words(it: Drifting, found: Sequence[Drifting]) -> Iterator[str]:
    first = found[0]
    if it.alarms > 1:
        yield f"{it.alarms} of its questions alarm"
    if it.pair:
        mine = [f.subject for f in found if not f.pair and f.subject in it.subject.split(" × ")]
        if mine:
            yield f"moves with {' and '.join(mine)}, which {'drifts itself' if len(mine) == 1 else 'drift themselves'}"
    elif it is not first and it.subject != first.subject and it.with_first is not None:
        goes = "goes with" if abs(it.with_first) >= TOGETHER else "moves apart from"
        yield f"{goes} {first.subject} (correlation {words.number(it.with_first, 2)} before)"
