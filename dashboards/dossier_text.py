"""A bundle's words: JSON for programs, Markdown for a ticket or a postmortem.

Source: our own; CommonMark 0.31 for what has to be escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from dashboards import aftermath, differs, explained, incident, proof, proposal, words
from dashboards.cards import Query
from dashboards.dossier import Dossier, questions
from dashboards.incident import Explained, Row
from dashboards.palette import SIGNS
from dashboards.reader import used, written_out
from dashboards.report_text import json_text, text

SCHEMA: Final = "observe/incident/v1"
_JSON_FIELDS: Final = ("cause", "about", "parameters", "outcome")


def as_json(held: Dossier) -> str:
    """Everything as JSON; instants are ISO 8601 in UTC, shares 0-1, effects in their unit."""
    said: dict[str, Any] = {
        "schema": SCHEMA, "as_of": held.as_of, "incident": held.row, "history": held.history, "alerts": held.alerts,
        "explanation": asdict(held.told) if held.told else None, "impact": held.impact, "steps": held.steps,
        "actions": held.done, "commands": held.said, "deliveries": held.sent, "written_by_a_model": held.narrated,
        "evidence": [{**dict(zip(proof.HEADS, p.cells, strict=True)), "sql": sql(p.query)} for p in held.proofs],
        "open_questions": list(questions(held)),
    }  # fmt: skip
    return json_text(said, _JSON_FIELDS)


def sql(query: Query) -> str:
    """A query as a person can run it."""
    return written_out(query.sql, used(query.sql, query.params))


def queries(held: Dossier) -> str:
    """Every query of the evidence and of the timeline, to be run with `observe sql`."""
    parts = [f"-- {' '.join(p.cells[0].split())}\n{sql(p.query)};" for p in held.proofs]
    parts += [f"-- timeline\n{sql(q)};" for q in held.story.queries]
    return "\n\n".join(parts) + "\n"


def as_markdown(held: Dossier) -> str:
    """The same for people; text from data is escaped."""
    row = held.row
    mark = "●" if row["state"] != "open" else SIGNS.get(row["severity"], "▲")
    lines = [
        f"# {mark} {text(headline(row))}",
        "",
        f"{text(held.incident_id)} · as of {instant(held.as_of)} · times are UTC",
    ]
    for title, body in _sections(held):
        lines += ["", f"## {title}", "", *body]
    return "\n".join(lines) + "\n"


def headline(row: Row) -> str:
    """What happened, to whom."""
    named = incident.whose(row)
    return str(row["summary"]) if named == "site" else f"{named}: {row['summary']}"


def _sections(held: Dossier) -> list[tuple[str, Sequence[str]]]:
    parts: tuple[tuple[str, Sequence[str]], ...] = (
        ("What happened", [f"- **{name}**: {text(value)}" for name, value in facts(held)]),
        ("Impact", [f"- {text(incident.impact(r, named=len(held.row['models'] or ()) > 1))}" for r in held.impact]),
        ("Why", _why(held)),
        ("What differs in the bad requests", _table(DIFFERENCE_HEADS, difference_rows(held.told))),
        ("Timeline", [f"- {instant(s['ts'])} **{text(s['kind'])}** {text(str(s['words']))}" for s in held.steps]),
        ("Evidence", _table(proof.HEADS, [p.cells for p in held.proofs])),
        ("Actions taken", [f"- {text(line)}" for line in action_lines(held)]),
        ("Comments and commands", [f"- {text(line)}" for line in said_lines(held)]),
        ("Who was told", [f"- {text(line)}" for line in sent_lines(held)]),
        ("Open questions", [f"- {text(q)}" for q in questions(held)] or ["None that can be seen from here."]),
    )
    return [(title, body) for title, body in parts if body]


def facts(held: Dossier) -> list[tuple[str, str]]:
    """What, since when, how long, how much, how sure."""
    row = held.row
    said = [
        ("state", f"{row['state']}, {row['severity']}"), ("model", incident.whose(row)), ("about", incident.about(row)), ("since", incident.since(row, None)),
        ("opened", instant(row["opened_at"])), ("over", instant(row["resolved_at"]) if row["resolved_at"] else ""),
        ("lasted", incident.lasted(row, held.as_of)), ("taken by", row["taken_by"] or ""), ("how much", incident.strength(row)),
        ("evidence", f"{words.number(row['evidence_nats'])} nats" if words.known(row["evidence_nats"]) else ""), ("suggested", row["suggestion"] or ""),
    ]  # fmt: skip
    return [(name, str(value)) for name, value in said if value and value != words.UNKNOWN]


def _why(held: Dossier) -> list[str]:
    told = held.told
    if told is None:
        near = incident.cause_of(held.row)
        return [
            f"Not yet explained. Nearest signal: {text(str(near['note']))}."
            if near
            else "Not yet explained; no signal began near its onset."
        ]
    table = _table(CAUSE_HEADS, cause_rows(told))
    ours = [text(told.text), *([""] if table else []), *table]
    return ours + [
        line for by, words_ in narration(held) for line in ("", f"> *written by {text(by)}*: {text(words_)}")
    ]


def narration(held: Dossier) -> list[tuple[str, str]]:
    """The words of a model with its name, where there are any that may be shown."""
    row = held.narrated
    return [(str(row["model"]), " ".join(str(row["text"]).split()))] if row and row["text"] else []


CAUSE_HEADS: Final = ("cause", "score", "kind", "onset", "reasons")
DIFFERENCE_HEADS: Final = ("dimension", "value", "of bad", "of good", "ratio", "at least", "corrected")


def cause_rows(told: Explained | None) -> list[tuple[str, ...]]:
    """Ranked causes, and what is left for none of them."""
    if told is None:
        return []
    made: list[tuple[str, ...]] = [
        (str(c.get("note") or c.get("subject") or ""), words.share(float(c.get("score") or 0.0), 0), str(c.get("kind") or ""),
         words.clock(explained.at(c.get("onset"))), "; ".join(str(w) for w in c.get("why") or ()))
        for c in told.causes
    ]  # fmt: skip
    rest: list[tuple[str, ...]] = (
        [("none of these", words.share(told.unexplained, 0), "", "", "")] if words.known(told.unexplained) else []
    )
    return made + rest


def difference_rows(told: Explained | None) -> list[tuple[str, ...]]:
    """What bad requests share that good ones do not."""
    made: list[tuple[str, ...]] = []
    for d in map(explained.difference, told.differs if told else ()):
        ratio = f"{words.number(d['lift'], 2)}×" if words.known(d["lift"]) else "only bad"
        low = f"{words.number(d['lift_low'], 2)}×" if words.known(d["lift_low"]) else words.UNKNOWN
        p = differs.p_value(float(d["p"])) if words.known(d["p"]) else words.UNKNOWN
        made.append(
            (d["dimension"], d["level"], words.share(d["share_bad"]), words.share(d["share_good"]), ratio, low, p)
        )
    return made


def action_lines(held: Dossier) -> list[str]:
    """What was proposed and done, and what became of it; one line each."""
    return [
        f"{words.clock(a['changed_at'])} {proposal.sentence(a)}: {a['reason']}{'. ' if aftermath.became(a) else ''}{aftermath.became(a)}"
        for a in held.done
    ]


def said_lines(held: Dossier) -> list[str]:
    """What people said and did, one line each."""
    return [
        f"{words.clock(s['ts'])} {s['actor']}: {s['verb'].replace('_', ' ')}{' — ' + s['reason'] if s['reason'] else ''}"
        for s in held.said
    ]


def sent_lines(held: Dossier) -> list[str]:
    """Who was told, one line each."""
    return [
        f"{words.clock(s['tried_at'])} {s['url']}: {s['notice'] or ''} {s['state']}{' (' + s['error'] + ')' if s['error'] else ''}"
        for s in held.sent
    ]


def instant(at: datetime) -> str:
    """An instant with its date."""
    return f"{at:%Y-%m-%d %H:%M}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(' '.join(text(cell).split()) for cell in row)} |" for row in rows]
    return [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}", *lines] if lines else []
