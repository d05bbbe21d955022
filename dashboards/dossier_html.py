"""A bundle's page: it stands alone and prints; no script, no request, dark or light as the reader's system.

Source: our own, after UX.md; TRUST section 2.
"""

from __future__ import annotations

from typing import Final

from dashboards import incident, palette, proof
from dashboards.dossier import Dossier, questions
from dashboards.dossier_text import (
    CAUSE_HEADS,
    DIFFERENCE_HEADS,
    action_lines,
    cause_rows,
    difference_rows,
    facts,
    headline,
    instant,
    narration,
    said_lines,
    sent_lines,
)
from dashboards.explained import verdict
from dashboards.markup import Markup, Part, table, tag
from dashboards.report_html import POLICY, badge, style
from dashboards.story_svg import STYLE, drawn

_MORE: Final = """
.verdict.page{border-left-color:var(--bad)}.badge.page{color:var(--bad)}blockquote{margin:10px 0 0;padding-left:12px;border-left:3px solid var(--info)}
td{white-space:normal}@media print{section,.story{break-inside:avoid}}
"""


def as_html(held: Dossier) -> str:
    """The whole page."""
    head = tag(
        "head", tag("meta", charset="utf-8"), Markup(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"/>'),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="dark light"), tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"{held.incident_id} · {headline(held.row)}"), tag("style", Markup(_style())),
    )  # fmt: skip
    body = tag("body", tag("main", _head(held), *_sections(held), _foot(held)))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _style() -> str:
    dark, light = palette.PALETTES["dark"].page, "#9A3412"  # UX.md: text needs more contrast on white
    bad = f":root{{--bad:{dark}}}@media (prefers-color-scheme:light),print{{:root{{--bad:{light}}}}}"
    return style() + bad + STYLE + _MORE


def _head(held: Dossier) -> Markup:
    row = held.row
    look = ("page" if row["severity"] == "page" else "ticket") if row["state"] == "open" else "unknown"
    return tag(
        "header",
        tag("p", f"Incident {held.incident_id} · as of {instant(held.as_of)} UTC", cls="dim"),
        tag("h1", headline(row), " ", badge(look, row["severity"] if row["state"] == "open" else "resolved")),
        tag("dl", [tag("div", tag("dt", k), tag("dd", v)) for k, v in facts(held)]),
        cls=f"verdict {look}",
    )  # fmt: skip


def _sections(held: Dossier) -> list[Markup]:
    parts: tuple[tuple[str, str, Part], ...] = (
        (
            "Impact",
            "counted since the onset",
            _list([incident.impact(r, named=len(held.row["models"] or ()) > 1) for r in held.impact]),
        ),
        ("Timeline", "UTC; shaded: the incident; amber: where its onset may lie", drawn(held.story)),
        ("Why", "", _why(held)),
        (
            "What differs in the bad requests",
            "share among bad against share among good",
            _rows(DIFFERENCE_HEADS, difference_rows(held.told)),
        ),
        (
            "Step by step",
            "UTC",
            _rows(("when", "what", ""), [(instant(s["ts"]), str(s["kind"]), str(s["words"])) for s in held.steps]),
        ),
        ("Evidence", "queries.sql gives the same numbers", _rows(proof.HEADS, [p.cells for p in held.proofs])),
        ("Actions taken", "", _list(action_lines(held))),
        ("Comments and commands", "", _list(said_lines(held))),
        ("Who was told", "", _list(sent_lines(held))),
        ("Open questions", "", _list(list(questions(held))) or tag("p", "None that can be seen from here.")),
    )
    return [_section(title, sub, body) for title, sub, body in parts if body]


def _why(held: Dossier) -> Part:
    mark = verdict(held.told)
    near = incident.cause_of(held.row)
    said = (
        held.told.text
        if held.told
        else f"Nearest signal: {near['note']}."
        if near
        else "No signal began near its onset."
    )
    others = [
        tag("blockquote", tag("p", f"written by {by}", cls="dim"), tag("p", words_)) for by, words_ in narration(held)
    ]
    return [
        tag("p", badge(mark.state, mark.word)),
        tag("p", said),
        _rows(CAUSE_HEADS, cause_rows(held.told)) or "",
        *others,
    ]


def _section(title: str, sub: str, body: Part) -> Markup:
    return tag("section", tag("h2", title), tag("p", sub, cls="dim") if sub else None, body)


def _list(lines: list[str]) -> Part:
    return None if not lines else tag("ul", [tag("li", line) for line in lines])


def _rows(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> Part:
    return table(heads, rows) if rows else None


def _foot(held: Dossier) -> Markup:
    return tag(
        "footer",
        "Scores of causes are correlation in time, place and share: no proof. The rows behind this page lie beside it as Parquet; "
        f"what users wrote or were answered is not among them. Rows as of {instant(held.as_of)} UTC.",
    )
