"""A drift report as JSON for programs and as Markdown for people who read text.

Source: our own; CommonMark 0.31 for what has to be escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from html import escape
from typing import Any, Final

from dashboards import words
from dashboards.palette import SIGNS
from dashboards.report import VERDICTS, Report, budget_lines, state_of
from dashboards.report_facts import Stream
from dashboards.report_verdict import told as said_of

SCHEMA: Final = "observe/report/v1"
_SPECIAL = re.compile(r"([\\`*\[\]|~]|(?<!\w)_|_(?!\w))")


def as_json(report: Report) -> str:
    """All facts as JSON; instants are ISO 8601 in UTC, shares 0-1."""
    facts, told = report.facts, report.said
    said: dict[str, Any] = {
        "schema": SCHEMA, "model": facts.model, "name": report.title or None,
        "period": {"from": facts.start, "to": facts.end}, "made_at": facts.made_at,
        "verdict": told.verdict, "headline": told.headline, "features": told.features, "pairs": told.pairs,
        "drifting": [_stream(s) for s in told.drifting], "drifted_and_over": [_stream(s) for s in told.over],
        "inform_only": [_stream(s) for s in told.informing],
        "not_judged": [{"feature": f, "why": why} for f, why in told.unjudged],
        "streams": [_stream(s) for s in facts.streams], "values": facts.values, "incidents": facts.incidents,
        "changes": facts.changes, "decisions": facts.decisions, "false_alarm_budget": facts.budget,
        "evidently": report.attached,
    }  # fmt: skip
    return json_text(said)


def json_text(said: Mapping[str, Any], opened: Collection[str] = ()) -> str:
    """Facts as a JSON text that may stand in a page; fields named in `opened` hold JSON as text."""
    return (
        json.dumps(_plain(said, opened), ensure_ascii=False, allow_nan=False, indent=1).replace("<", "\\u003c") + "\n"
    )


def _stream(stream: Stream) -> Mapping[str, Any]:
    return {**asdict(stream), "said": said_of(stream) if stream.effect is not None else stream.note}


def _plain(value: Any, opened: Collection[str]) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value), opened)
    if isinstance(value, Mapping):
        read = {k: json.loads(v) if k in opened and isinstance(v, str) else v for k, v in value.items()}
        return {str(k): _plain(v, opened) for k, v in read.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, opened) for v in value]
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, float) and not words.known(value):
        return None
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def as_markdown(report: Report) -> str:
    """The same for people; text from data is escaped."""
    facts, told = report.facts, report.said
    look, word = VERDICTS[told.verdict]
    lines = [
        f"# Drift of {text(facts.model)}", "",
        f"**{SIGNS[look]} {word}** — {text(told.headline)}.", "",
        f"Period {_at(facts.start)} to {_at(facts.end)}, made {_at(facts.made_at)}"
        + (f" as “{text(report.title)}”." if report.title else "."),
    ]  # fmt: skip
    for title, body in _sections(report):
        lines += ["", f"## {title}", "", *body]
    return "\n".join(lines) + "\n"


def _sections(report: Report) -> list[tuple[str, list[str]]]:
    facts, told = report.facts, report.said
    moved_lines = [line for s in (*told.drifting, *told.over) for line in _found(s)]
    parts = (
        ("What moved", moved_lines),
        ("For information only", [f"- {text(f'{s.feature} ({s.watched}): {s.note}')}" for s in told.informing]),
        ("Not judged", [f"- {text(f'{f}: {why}')}" for f, why in told.unjudged]),
        ("Every question", list(_table(STREAM_HEADS, [stream_cells(s) for s in facts.streams]))),
        ("Values", list(_table(VALUE_HEADS, list(value_rows(report))))),
        ("Incidents", [f"- {text(line)}" for line in incident_lines(report)]),
        ("Changes and decisions", [f"- {text(line)}" for line in change_lines(report)]),
        ("False alarms", [f"- {text(line)}" for line in budget_lines(facts)]),
        ("Evidently", list(_evidently(report))),
    )
    return [(title, body) for title, body in parts if body]


def _found(stream: Stream) -> Iterator[str]:
    head = f"- **{text(stream.feature)}**: {text(said_of(stream))}"
    yield head + (f", over since {_at(stream.ended)}" if stream.ended else "")
    yield from (f"  - {text(line)}" for line in finding_lines(stream))


STREAM_HEADS: Final = ("state", "feature", "watched", "effect", "95 % interval", "since (UTC)", "evidence, nats", "alarm at", "found within 24 h", "judged")  # fmt: skip
VALUE_HEADS: Final = ("feature", "rows", "missing", "before", "not finite", "levels not in the reference", "smallest – largest", "of the reference")  # fmt: skip


def stream_cells(stream: Stream) -> list[str]:
    """One line of the table of all questions."""
    look, word = state_of(stream)
    unit = "σ" if stream.unit == "sigma" else stream.unit or ""
    return [
        f"{SIGNS[look]} {word}", stream.feature, stream.watched, words.effect(stream.effect, stream.unit),
        words.interval(stream.ci_low, stream.ci_high),
        words.clock(stream.onset) if stream.onset and (stream.drifts or stream.ended) else "",
        words.number(stream.evidence_nats), words.number(stream.threshold_nats),
        _smallest(stream, unit),
        f"{words.count(stream.windows)} times, last {words.clock(stream.judged_at)}" if stream.windows else "never",
    ]  # fmt: skip


def _smallest(stream: Stream, unit: str) -> str:
    if stream.smallest is None:
        return words.UNKNOWN
    said = f"{words.number(stream.smallest, 2)} {unit}".strip()
    if stream.smallest_units is None:
        return said
    return f"{said} ({words.number(stream.smallest_units, 2)} {stream.user_unit}".rstrip() + ")"


def value_rows(report: Report) -> Iterator[list[str]]:
    """The table of values: missing, not finite, unseen, and the range."""
    for v in report.facts.values:
        unseen = (
            f"{words.share(v.unseen)} (reference {words.share(v.unseen_reference)})" if v.unseen is not None else ""
        )
        ranges = [
            f"{words.number(a)} – {words.number(b)}" if a is not None and b is not None else ""
            for a, b in ((v.low, v.high), (v.reference_low, v.reference_high))
        ]
        yield [
            v.feature, words.count(v.rows), words.share(v.missing), words.share(v.missing_before),
            words.count(v.not_finite), unseen, *ranges,
        ]  # fmt: skip


def finding_lines(stream: Stream) -> list[str]:
    """What is known of one change, a line each."""
    lines = [
        f"effect {words.effect(stream.effect, stream.unit)}, 95 % interval {words.interval(stream.ci_low, stream.ci_high)}"
    ]
    if stream.median_low is not None and stream.median_high is not None:
        lines.append(
            f"median {words.number(stream.median_from)} → {words.number(stream.median_to)} {stream.user_unit}".rstrip()
            + f", 95 % interval {words.number(stream.median_low)} to {words.number(stream.median_high)}"
        )
    if stream.onset is not None:
        sure = (
            f", at the earliest {_at(stream.onset_low)}, at the latest {_at(stream.onset_high)}"
            if stream.onset_low and stream.onset_high
            else ""
        )
        lines.append(f"since {_at(stream.onset)}{sure}")
    if stream.evidence_nats is not None:
        lines.append(
            f"evidence {words.number(stream.evidence_nats)} nats, an alarm needs {words.number(stream.threshold_nats)}"
        )
    if stream.psi is not None:
        lines.append(f"PSI {words.number(stream.psi, 2)}")
    return lines


def incident_lines(report: Report) -> list[str]:
    """Incidents of the model that were open in the period."""
    lines = []
    for i in report.facts.incidents:
        cause = json.loads(i["cause"])["note"] if i["cause"] else None
        ended = f", resolved {_at(i['resolved_at'])}" if i["resolved_at"] else ", open"
        near = f"; nearest signal: {cause}" if cause else ""
        lines.append(f"{_at(i['opened_at'])} {i['severity']} ({i['kind']}): {i['summary']}{ended}{near}")
    return lines


def change_lines(report: Report) -> list[str]:
    """What was changed on the platform, and what people decided, in order of time."""
    facts = report.facts
    found = [(c["ts"], _change(c)) for c in facts.changes]
    found += [
        (
            d["ts"],
            f"{d['actor']}: {d['verb'].replace('_', ' ')} {d['object']}"
            + (f", “{d['reason']}”" if d["reason"] else ""),
        )
        for d in facts.decisions
    ]
    return [f"{_at(ts)} {line}" for ts, line in sorted(found, key=lambda f: f[0])]


def _change(change: Mapping[str, Any]) -> str:
    step = f" {change['before'] or ''} → {change['after']}" if change["after"] else ""
    said = change["message"] or change["object_name"] or ""
    return f"{change['kind']}{step}{': ' if said else ''}{said}" + (f" ({change['actor']})" if change["actor"] else "")


def sample_line(report: Report) -> str:
    """What the sample is that Evidently saw."""
    a = report.attached
    assert a is not None
    return f"Evidently {a.version} compared {words.count(a.current_rows)} rows of the period with {words.count(a.reference_rows)} of the reference: {a.sampled}"


EVIDENTLY_NOTE: Final = (
    "Its defaults test each column on its own against a fixed threshold, with no false-alarm budget, and its headline says drift only when half of the columns do; "
    "where it differs from the verdict above, the verdict is what was calibrated."
)
COMPARED_HEADS: Final = ("column", "method", "value", "threshold", "says")


def compared_rows(report: Report) -> list[list[str]]:
    """What Evidently says of each column."""
    assert report.attached is not None
    says = {True: "drift", False: "no drift", None: words.UNKNOWN}
    return [
        [c.column, c.method, words.number(c.value), words.number(c.threshold), says[c.drifts]]
        for c in report.attached.columns
    ]


def _evidently(report: Report) -> Iterator[str]:
    attached = report.attached
    if attached is None:
        return
    if attached.why_not is not None:
        yield f"Not made: {text(attached.why_not)}."
        return
    yield f"{text(sample_line(report))}. {EVIDENTLY_NOTE}"
    yield ""
    yield from _table(COMPARED_HEADS, compared_rows(report))
    if attached.left_out:
        yield ""
        yield "Left out: " + "; ".join(f"{text(c)} ({why})" for c, why in attached.left_out) + "."


def _table(heads: Iterable[str], rows: Sequence[Iterable[str]]) -> Iterator[str]:
    names = list(heads) if rows else []
    if not names:
        return
    yield "| " + " | ".join(names) + " |"
    yield "|" + "---|" * len(names)
    for row in rows:
        yield "| " + " | ".join(text(cell) for cell in row) + " |"


def text(said: str) -> str:
    """Text that is only text in Markdown, also where HTML is let through."""
    clean = "".join(c if c.isprintable() else " " for c in said).encode(errors="replace").decode()
    return _SPECIAL.sub(r"\\\1", escape(clean, quote=False)).replace("://", ":&#47;/")


def _at(instant: datetime | None) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC" if instant else words.UNKNOWN
