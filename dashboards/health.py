"""Can I trust this screen? Sources, the pipeline behind them, the detectors, and what is doubtful in what is sent.

Everything is told for the newest minute the service wrote about itself; when that is old, nothing here is fine.

Source: our own, after UX.md. `observe doctor` says the same from the same views.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import polars as pl
from dash import html

from dashboards import cards, doubts, pipeline, tables, watching, words
from dashboards.cards import Badge, Query
from dashboards.meanings import MEANING
from dashboards.palette import SIGNS
from dashboards.reader import Reader
from dashboards.scope import Scope, scope

PATH, TITLE, ICON, ORDER = "/health", "Health", "health", 90
QUESTION = "Can I trust this screen?"
SKELETON = ((12, 110), (12, 300), *[(3, 138)] * 8, (6, 260), (6, 260), (12, 260), (12, 240))

SOURCES = """
select source, target, way, state, judged_at, last_heard, allowed_s, last_rows, lag_s, offered_1h, stored_1h, rejected_1h, errors_1h, last_error
from source_health
order by case state when 'failing' then 0 when 'silent' then 1 when 'never' then 2 else 3 end, errors_1h desc, source, target limit 2000
"""
REJECTS = "select source, reason, n_1h, n_24h, last_at, example from reject_reason order by n_1h desc, n_24h desc, reason limit 200"
AUDIT = "select ts, actor, role, verb, object, reason from command order by ts desc limit 20"
AGENT = "push/"  # how the target begins that stands for one agent's part of what is sent to us
AHEAD_S = -5.0  # a lag below this is a clock that runs ahead


def page(read: Reader, params: Mapping[str, str]) -> Any:
    """The whole page of one view."""
    view = scope(params)
    known = cards.together(
        lambda: read(SOURCES), lambda: read(pipeline.PARTS), lambda: read(doubts.DOUBTS), lambda: read(pipeline.DAMAGES)
    )
    sources, parts, doubted, damages = known
    age = pipeline.age(parts, view.now)
    fresh = age is not None and age <= pipeline.STALE
    made = cards.gather(
        lambda: verdict(view, sources, parts, doubted, damages), lambda: source_table(view, sources),
        lambda: rejects(read, view), lambda: watching.detectors(read, view), lambda: watching.budget(read, fresh),
        lambda: doubts.card(doubted, view), lambda: audit(read),
        spans=(12, 12, 5, 8, 4, 12, 12),
    )  # fmt: skip
    head, table, refused, judged, budget, doctor, tail = made
    return cards.grid([head, table, *pipeline.stats(read, view, parts), doctor, judged, budget, refused, tail])


# --- the sentence -----------------------------------------------------------------------------------


def verdict(
    view: Scope, sources: pl.DataFrame, parts: pl.DataFrame, doubted: pl.DataFrame, damages: pl.DataFrame
) -> Any:
    """The one sentence that matters, and what it rests on."""
    age = pipeline.age(parts, view.now)
    queries = [Query(pipeline.PARTS), Query(SOURCES), Query(doubts.DOUBTS), Query(pipeline.DAMAGES)]
    if age is None:
        why = "The service has written nothing about itself yet; it does so once a minute while it runs."
        return _said(Badge("unknown", "unknown"), "Nobody knows yet whether this screen can be trusted", [why], queries)
    if age > pipeline.STALE:
        why = f"The service last wrote about itself {words.span(age)} ago. What you see may stand still: look whether it runs, and at its log."
        return _said(Badge("unknown", "stale"), "Nobody knows whether this screen can be trusted", [why], queries)
    wrong = [*_of_sources(sources), *_of_parts(parts), *_of_damages(damages)]
    doubtful = doubted.filter(pl.col("level") == "doubt").height
    basis = _basis(view, sources, parts)
    if wrong:
        worst = Badge("page", "wrong") if any(state == "page" for state, _ in wrong) else Badge("ticket", "doubt")
        return _said(
            worst, "Not all of this screen can be trusted", [*(text for _, text in sorted(wrong)), basis], queries
        )
    if doubtful:
        some = f"You can trust this screen, with {doubtful} {'doubt' if doubtful == 1 else 'doubts'} about what is sent"
        return _said(
            Badge("info", "doubts"),
            some,
            [basis, *(f"{r['source']}: {r['what']}." for r in doubted.head(1).iter_rows(named=True))],
            queries,
        )
    never = not sources.filter(pl.col("state") == "ok").height
    if never:
        return _said(Badge("unknown", "no source"), "Nothing is sent yet", [basis], queries)
    return _said(Badge("ok", "ok"), "You can trust this screen", [basis], queries)


def _said(mark: Badge, title: str, lines: Sequence[str], queries: Sequence[Query]) -> Any:
    head = html.H1([html.Span(SIGNS[mark.state], className="sign"), title])
    first, rest = lines[0], lines[1:]
    return html.Section(
        [
            html.Div([cards.source(queries), cards.badge(mark)], className="card-tools"),
            head,
            html.P(first, className="verdict-line"),
            *(
                [html.Ul([html.Li(line) for line in rest])]
                if len(rest) > 1
                else [html.P(t, className="sub") for t in rest]
            ),
        ],
        className=f"verdict {mark.state} span-12",
        role="status",
    )


def _of_sources(sources: pl.DataFrame) -> list[tuple[str, str]]:
    bad = sources.filter(pl.col("state").is_in(["failing", "silent"]))
    if bad.is_empty():
        return []
    names = list(dict.fromkeys(_spoken(r["source"], r["target"]) for r in bad.iter_rows(named=True)))
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    gone = bad.height == sources.filter(pl.col("state") != "never").height
    text = f"{bad.height} of {sources.height} sources {'does' if bad.height == 1 else 'do'} not speak: {shown}."
    return [("page" if gone else "ticket", text)]


def _spoken(source: str, target: str) -> str:
    """A source in a sentence; an agent of one that is sent to us by its own name.

    >>> _spoken("gpus", "http://a/metrics"), _spoken("exposition", "push/eu-west/gpu-1")
    ('gpus', 'exposition eu-west/gpu-1')
    """
    return f"{source} {target.removeprefix(AGENT)}" if target.startswith(AGENT) else source


def _of_parts(parts: pl.DataFrame) -> list[tuple[str, str]]:
    bad = parts.filter(pl.col("state").is_in(["doubt", "wrong"]))
    return [
        ("page" if r["state"] == "wrong" else "ticket", f"{pipeline.sentence(r)}: {r['todo']}.")
        for r in bad.iter_rows(named=True)
    ]


def _of_damages(damages: pl.DataFrame) -> list[tuple[str, str]]:
    n = int(damages["n"].sum() or 0)
    return (
        [("page", f"{words.count(n)} damages of stored data were found: observe verify tells what is missing.")]
        if n
        else []
    )


def _basis(view: Scope, sources: pl.DataFrame, parts: pl.DataFrame) -> str:
    """What an answer rests on: how many speak, and up to when everything is judged."""
    speaking = sources.filter(pl.col("state") == "ok").height
    never = sources.filter(pl.col("state") == "never").height
    judged = parts.filter((pl.col("part") == "judge") & pl.col("age_s").is_not_null())
    until = ""
    if judged.height:
        at = judged["judged_at"][0] - timedelta(seconds=judged["age_s"][0])
        until = f" Everything quick is judged up to {words.clock(at, view.now)} UTC."
    quiet = f" {never} have never been heard." if never > 1 else " One has never been heard." if never else ""
    return f"{speaking} of {sources.height} sources speak.{quiet}{until}"


# --- cards ------------------------------------------------------------------------------------------


def source_table(view: Scope, sources: pl.DataFrame) -> Any:
    """Every source and target, those that do not speak first."""
    title, sub = (
        "Sources",
        "each target that is read and each way in, what does not speak first; counts are of the last hour",
    )
    if sources.is_empty():
        none = cards.empty(
            "No source is declared",
            "Name collectors in the site's configuration; `observe init` writes an example.",
            180,
        )
        return cards.card(title, none, sql=[Query(SOURCES)])
    stale = view.now - sources["judged_at"][0] > pipeline.STALE
    rows = [
        {**_row(r, view), "state": "stale" if stale and r["state"] == "ok" else r["state"]}
        for r in sources.iter_rows(named=True)
    ]
    columns = [
        tables.Column("state", "State", "state", 110), tables.Column("source", "Source", "", 140),
        tables.Column("age", "Heard", "span", 105, "how long ago it was last heard"), tables.Column("target", "Target", "", 230),
        tables.Column("lag", "Lag", "", 105, "age of the newest row when it came; a clock that runs ahead is said to"),
        tables.Column("stored", "Rows", "count", 95, "stored in the last hour"), tables.Column("rejected", "Not stored", "count", 108, "offered and not stored in the last hour; the reasons stand below"),
        tables.Column("errors", "Errors", "count", 95, "tries that failed in the last hour"), tables.Column("error", "Last error", "", 230, "of the last day"),
    ]  # fmt: skip
    height = 44 + tables.ROW_PX * len(rows)
    grid = tables.grid("sources", rows, columns, height=min(460, height) if height > 460 else 0)
    return cards.card(title, grid, sub=sub, tools=[tables.csv_button("sources")], sql=[Query(SOURCES)])


def _row(row: Mapping[str, Any], view: Scope) -> Mapping[str, Any]:
    heard = row["last_heard"]
    return {
        "source": row["source"], "target": "sent to us" if row["target"] == "push" else row["target"].removeprefix(AGENT),
        "age": max(0.0, (view.now - heard).total_seconds()) if heard else None, "lag": _lag(row["lag_s"]),
        "stored": row["stored_1h"], "rejected": row["rejected_1h"], "errors": row["errors_1h"], "error": row["last_error"] or "",
    }  # fmt: skip


def _lag(seconds: float | None) -> str:
    if seconds is None:
        return words.UNKNOWN
    return f"{words.span(-seconds)} ahead" if seconds < AHEAD_S else words.span(max(0.0, seconds))


def rejects(read: Reader, view: Scope) -> Any:
    """What was offered and not stored, by reason."""
    frame = read(REJECTS)
    title, query = "Not stored, by reason", [Query(REJECTS)]
    if frame.is_empty():
        none = cards.empty("Nothing was refused in the last day", "Every item that a source offered was stored.", 160)
        return cards.card(title, none, sql=query, span=12)
    rows = [
        {
            **r,
            "last_at": r["last_at"].isoformat(),
            "means": MEANING.get(r["reason"].partition(":")[0], ""),
            "example": r["example"] or "",
        }
        for r in frame.iter_rows(named=True)
    ]
    columns = [
        tables.Column("reason", "Reason", "", 150), tables.Column("source", "Source", "", 140), tables.Column("n_1h", "Last hour", "count", 95),
        tables.Column("n_24h", "Last day", "count", 95), tables.Column("last_at", "Newest (UTC)", "clock", 135), tables.Column("means", "What it means", "", 230),
        tables.Column("example", "What one looked like", "", 280, "names stay; text, words and numbers are left out"),
    ]  # fmt: skip
    height = 44 + tables.ROW_PX * len(rows)
    grid = tables.grid("rejects", rows, columns, height=min(320, height) if height > 320 else 0)
    return cards.card(
        title, grid, sub="items that sources offered", tools=[tables.csv_button("rejects")], sql=query, span=12
    )


def audit(read: Reader) -> Any:
    """Who did what, the newest first."""
    frame = read(AUDIT)
    title, query = "What people did", [Query(AUDIT)]
    if frame.is_empty():
        none = cards.empty(
            "Nobody has done anything yet",
            "Acknowledgements, mutes, approvals, tokens and reloads are kept here, in a chain of hashes.",
            120,
        )
        return cards.card(title, none, sql=query)
    rows = [{**r, "ts": r["ts"].isoformat(), "verb": r["verb"].replace("_", " ")} for r in frame.iter_rows(named=True)]
    columns = [
        tables.Column("ts", "When (UTC)", "clock", 140), tables.Column("actor", "Who", "", 120), tables.Column("role", "Role", "", 90),
        tables.Column("verb", "What", "", 120), tables.Column("object", "On", "", 220), tables.Column("reason", "Why", "", 260),
    ]  # fmt: skip
    return cards.card(
        title, tables.grid("audit", rows, columns), sub="the newest 20 commands; observe verify checks that none was changed",
        tools=[tables.csv_button("audit")], sql=query,
    )  # fmt: skip
