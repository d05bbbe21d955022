"""Two features together: how they were correlated before and are now, and what else of them moved.

Source: METHODS sections 2 and 3: the mean product of both features' normal scores, which is their rank
correlation while both are distributed as in the reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from dash import dcc, html

from dashboards import cards, distribution, feature, moved, words
from dashboards.cards import Query
from dashboards.reader import Reader, Value
from dashboards.scope import Scope

ROWS = """
select sum(n)::DOUBLE as n, sum(missing)::DOUBLE as missing, (sum(value_sum) / nullif(sum(n), 0))::DOUBLE as mean from summary
where measure = $measure and ts >= $from::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ
"""
_CLEAR: Final = 0.02  # a smaller change of a correlation is told as none


def pair_card(
    read: Reader,
    view: Scope,
    model: str,
    finding: Mapping[str, Any],
    drifts: Sequence[Mapping[str, Any]],
    span: int = 6,
) -> Any:
    """What is known of a pair: correlation before and now with its interval, rows, and whether either feature drifts itself."""
    joined = str(finding["monitor_id"]).removeprefix(f"{model}/level/").removesuffix("/pair")
    bins, query = distribution.bins_of(read, view, model, joined)
    onset = moved.since(finding)
    since = max(view.start, onset) if onset else view.start
    source = bins["source_table"] if bins else ""
    params: dict[str, Value] = {**view.params, "measure": f"{model}/{source}/{joined}", "from": since}
    counted = read(ROWS, params).row(0, named=True)
    rows = (counted["n"] or 0) + (counted["missing"] or 0)
    pairs = [
        *moved.facts(finding, None, "", view),
        ("rows with both", words.count(counted["n"])),
        ("rows without both", words.share((counted["missing"] or 0) / rows) if rows else None),
        (
            f"mean since {words.clock(since, view.now)}",
            words.number(counted["mean"], 2) if words.known(counted["mean"]) else None,
        ),
    ]
    body = [html.P(sentence(finding), className="verdict-line"), cards.facts(pairs)]
    body += [html.P(said, className="sub") for said in (_caution(finding, drifts),) if said]
    named = [str(x) for x in bins["levels"]] if bins and bins["levels"] else parts(finding)
    links = html.Div([_link(view, name) for name in named], className="choices")
    sub = f"pair · now since {words.clock(since, view.now)} UTC"
    return cards.card(
        [str(finding["subject"]), " together"], *body, links, sub=sub, mark=feature.badge(finding, view),
        sql=[query, Query(ROWS, params)], span=span,
    )  # fmt: skip


def parts(finding: Mapping[str, Any]) -> list[str]:
    """The two features of a pair."""
    return str(finding["subject"]).split(" × ")


def sentence(finding: Mapping[str, Any]) -> str:
    """What happened to the link between two features, in one sentence."""
    figure = moved.told(finding, None)
    both = " and ".join(parts(finding))
    if figure is None or figure.before is None or figure.now is None:
        return f"How {both} are correlated is not known yet: {finding['note']}"
    before, now = words.number(figure.before, 2), words.number(figure.now, 2)
    if moved.since(finding) is None or abs(figure.now - figure.before) < _CLEAR:
        return f"{both}: correlation {now} in the newest judged window, {before} expected"
    return f"{both} {_verb(figure.before, figure.now)}: their correlation was {before} and is {now}" + (
        f" (95 % {figure.interval})" if figure.interval else ""
    )


def _verb(before: float, now: float) -> str:
    if before * now < 0 and min(abs(before), abs(now)) > 0.1:
        return "turned round"
    return "hang together more closely" if abs(now) > abs(before) else "hang together less closely"


def _caution(finding: Mapping[str, Any], drifts: Sequence[Mapping[str, Any]]) -> str:
    """That a pair's mean product also moves with its features."""
    drifting = [name for name in parts(finding) if any(d["subject"] == name and d["state"] == "alarm" for d in drifts)]
    what = "The figure is the mean product of both features' scores against their references"
    if not drifting:
        return f"{what}: 1 is the same order, −1 the opposite one, 0 none."
    verb = "drifts itself" if len(drifting) == 1 else "drift themselves"
    return f"{what}, so it moves with either: {' and '.join(drifting)} {verb}, look there first."


def _link(view: Scope, name: str) -> Any:
    return dcc.Link(name, href=view.link("", feature=name), className="choice")
