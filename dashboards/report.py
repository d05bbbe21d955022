"""A drift report as a whole: facts, verdict, drawings, and what Evidently says of a sample.

Source: our own, after UX.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dashboards import words
from dashboards.report_charts import Course, Distribution, course, distribution
from dashboards.report_facts import JUDGED, Facts, Rows, Stream, gather
from dashboards.report_verdict import Said, said
from observe.schema import Window

DRAWN: Final = 12  # features at most
BESIDE: Final = 4  # features that are drawn when fewer moved: those with the largest effect


@dataclass(frozen=True, slots=True)
class Compared:
    """What Evidently says of one column."""

    column: str
    method: str
    value: float | None
    threshold: float | None
    drifts: bool | None


@dataclass(frozen=True, slots=True)
class Attached:
    """Evidently's report of a sample, or why there is none."""

    why_not: str | None
    reference_rows: int = 0
    current_rows: int = 0
    sampled: str = ""
    columns: tuple[Compared, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()  # column and why
    version: str = ""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is drawn of one feature."""

    stream: Stream
    distribution: Distribution | None
    course: Course | None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is written down, in whatever format."""

    facts: Facts
    said: Said
    drawn: tuple[Drawn, ...]
    attached: Attached | None = None  # None when nobody asked for it
    title: str = ""  # name of the schedule, if any


def assemble(rows: Rows, model: str, period: Window, made_at: datetime, title: str = "") -> Report:
    """Read, judge and choose what is drawn."""
    facts = gather(rows, model, period, made_at)
    told = said(facts)
    drawn = tuple(Drawn(s, distribution(rows, facts, s), course(rows, facts, s)) for s in _chosen(facts, told))
    return Report(facts, told, drawn, None, title)


def _chosen(facts: Facts, told: Said) -> list[Stream]:
    """Every feature that moved, then those with the largest effect, up to a few."""
    chosen: dict[str, Stream] = {s.feature: s for s in (*told.drifting, *told.over, *told.informing)}
    still = (s for s in facts.streams if s.state in JUDGED and s.unit in ("σ", "sigma") and s.feature in facts.bins)
    for stream in sorted(still, key=lambda s: -abs(s.effect or 0.0)):
        if len(chosen) >= BESIDE:
            break
        chosen.setdefault(stream.feature, stream)
    return list(chosen.values())[:DRAWN]


STATES: Final[Mapping[str, tuple[str, str]]] = {  # state of a stream -> look, word
    "alarm": ("ticket", "drifts"), "ok": ("ok", "ok"), "inform_only": ("info", "inform only"), "learning": ("unknown", "learning"),
    "not_identifiable": ("unknown", "not identifiable"), "too_few": ("unknown", "too few"), "unknown": ("unknown", "unknown"),
    "expected": ("unknown", "announced change"), "stale": ("unknown", "stale"),
}  # fmt: skip
VERDICTS: Final[Mapping[str, tuple[str, str]]] = {
    "drift": ("ticket", "drift"), "quiet": ("ok", "quiet"), "unknown": ("unknown", "unknown"),
}  # fmt: skip


def state_of(stream: Stream) -> tuple[str, str]:
    """Look and word of a stream's state."""
    if stream.ended is not None and stream.state == "ok":
        return "info", "drifted, ok again"
    return STATES.get(stream.state, ("unknown", stream.state))


def budget_lines(facts: Facts) -> list[str]:
    """The site's promise, what it spent, and what this model's incidents of the period were of it."""
    lines = []
    for row in facts.budget:
        opened = [
            i for i in facts.incidents if i["severity"] == row["severity"] and facts.start <= i["opened_at"] < facts.end
        ]
        marked = {d["object"] for d in facts.decisions if d["verb"] == "false_alarm"}
        wrong = sum(i["incident_id"] in marked for i in opened)
        allowed = (
            f"{words.count(row['declared'])} {'false alarm is' if row['declared'] == 1 else 'false alarms are'} allowed"
        )
        lines.append(
            f"{row['severity']}: {allowed} per {words.span(row['period_s'])} on the whole site, where {words.count(row['notified'])} "
            f"notified in the last {words.span(row['period_s'])}, {words.count(row['false_marked'])} of them marked as false; "
            f"of {facts.model}, {len(opened)} notified in this report's period, {wrong} marked as false in it"
        )
    return lines
