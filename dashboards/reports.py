"""What do I send my boss or auditor? Schedules with their next run, and every report that is kept, with its verdict.

Source: our own, after UX.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from dash import dcc, html

from dashboards import cards, words
from dashboards.cards import Badge, Query
from dashboards.reader import Reader
from dashboards.report import VERDICTS
from dashboards.scope import Scope, scope
from observe.spec.schedule import upcoming

PATH, TITLE, ICON, ORDER = "/reports", "Reports", "report", 70
QUESTION = "What do I send my boss or auditor?"
SKELETON = ((12, 200), (12, 400))

SCHEDULES: Final = "select value::VARCHAR as value from core.setting where key = 'reports'"
LAST: Final = """
select name, report_id, made_at, verdict, summary, files, error from report where name is not null
qualify row_number() over (partition by name order by period_to desc) = 1
"""
LIST: Final = """
select report_id, name, model, period_from, period_to, made_at, verdict, summary, files, error from report
where $model = '' or model = $model order by made_at desc, report_id limit 200
"""
_HOW: Final = 'reports: {weekly: {model: NAME, cron: "0 7 * * 1", timezone: Europe/Berlin, last: 7d}}'
_WORDS: Final = {"report.html": "HTML", "report.md": "Markdown", "report.json": "JSON", "evidently.html": "Evidently"}


def page(read: Reader, params: Mapping[str, str]) -> Any:
    """The whole page of one view."""
    view = scope(params)
    made = cards.gather(lambda: schedules(read, view), lambda: kept(read, view), spans=(12, 12))
    return cards.grid(made)


def schedules(read: Reader, view: Scope) -> Any:
    """What is made by itself: when last, with what verdict, and when next."""
    told = read(SCHEDULES)
    declared = json.loads(told["value"][0] or "{}") if told.height else {}
    query = [Query(SCHEDULES), Query(LAST)]
    title, sub = (
        "Schedules",
        "made once the last windows before its slot are judged",
    )
    if not declared:
        none = cards.empty("No report is made by itself", "Write into observe.yaml:", 90)
        how = html.Pre(_HOW, className="reason")
        return cards.card(title, none, how, sub="what is made by itself", sql=query)
    last = {r["name"]: r for r in read(LAST).iter_rows(named=True)}
    lines = [_schedule(name, spec, last.get(name), view) for name, spec in sorted(declared.items())]
    return cards.card(title, html.Ul(lines, className="reports"), sub=sub, sql=query)


def _schedule(name: str, spec: Mapping[str, Any], last: Mapping[str, Any] | None, view: Scope) -> Any:
    following = upcoming(spec["cron"], spec["timezone"], view.now)
    pairs = [
        ("model", dcc.Link(spec["model"], href=view.link(f"/model/{quote(spec['model'], safe='')}"))),
        ("when", f"{spec['cron']} ({spec['timezone']})"), ("tells of the last", words.span(spec["last_s"])),
        ("last run", f"{words.clock(last['made_at'], view.now)} UTC" if last else "not yet"),
        ("next slot", f"{words.clock(following, view.now)} UTC" if following else "never"),
    ]  # fmt: skip
    head = [html.Strong(name), cards.badge(verdict(last) if last else Badge("unknown", "not made yet"))]
    said = html.P(last["summary"], className="report-said") if last else None
    return html.Li([html.Div(head, className="lead"), said, cards.facts(pairs), links(last) if last else None])


def verdict(report: Mapping[str, Any]) -> Badge:
    """The verdict of a report as people see it; one that failed says so."""
    if not report["files"]:
        return Badge("unknown", "failed")
    return Badge(*VERDICTS.get(report["verdict"], VERDICTS["unknown"]))


def links(report: Mapping[str, Any]) -> Any:
    """Its files, to be opened beside this page."""
    base = f"/reports/{quote(report['report_id'], safe='')}/"
    return html.Div(
        [
            html.A(_WORDS.get(name, name), href=base + quote(name, safe=""), target="_blank", rel="noopener", className="choice")
            for name in report["files"]
        ],
        className="report-links",
    )  # fmt: skip


def kept(read: Reader, view: Scope) -> Any:
    """Every report that is kept, newest first."""
    rows = read(LIST, view.params).to_dicts()
    title, query = "Kept reports", [Query(LIST, view.params)]
    if not rows:
        hint = "Make one now: observe report MODEL --last 7d -o report.html"
        return cards.card(title, cards.empty("No report was made yet", hint, 160), sql=query)
    table = html.Table([html.Thead(html.Tr([html.Th(h) for h in _HEADS])), html.Tbody(_lines(rows, view))])
    return cards.card(
        title,
        html.Div(table, className="report-table", tabIndex=0),
        sub="verdict first; a report is never changed after it was made",
        sql=query,
    )


_HEADS: Final = ("Verdict", "Model", "What it says", "Period (UTC)", "Made (UTC)", "By", "Files")


def _lines(rows: Sequence[Mapping[str, Any]], view: Scope) -> list[Any]:
    lines = []
    for r in rows:
        said = [html.Span(r["summary"]), html.Span(r["error"], className="sub") if r["error"] else None]
        period = f"{words.clock(r['period_from'])} – {words.clock(r['period_to'])}"
        cells = (
            cards.badge(verdict(r)), dcc.Link(r["model"], href=view.link(f"/model/{quote(r['model'], safe='')}")),
            html.Div(said, className="report-said"), period, words.clock(r["made_at"], view.now), r["name"] or "hand", links(r),
        )  # fmt: skip
        lines.append(html.Tr([html.Td(cell) for cell in cells]))
    return lines
