"""The words of a notice: one title, a few facts, one link; every channel says the same.

Source: our own; docs/delivery.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote

from alerts import wording
from alerts.incidents import identity
from alerts.notices import Notice
from observe.schema import Incident

SIGNS: Final[Mapping[str, str]] = {"page": "■", "ticket": "▲"}
_HEADS: Final[Mapping[str, str]] = {
    "opened": "{severity}", "raised": "now a {severity}", "reopened": "{severity} again", "acknowledged": "taken by {by}",
    "resolved": "resolved", "grown": "{severity}", "joined": "told in {within} from now on", "test": "TEST, nothing is wrong",
}  # fmt: skip
_TEST: Final = "this is a test of Observe; nobody needs to do anything"
_LINE: Final = 300  # characters of one text from the outside


def title(notice: Notice) -> str:
    """What happened, in one line."""
    incident = notice.incident
    sign = "●" if notice.kind in ("resolved", "joined", "test") else SIGNS.get(incident.severity, "▲")
    head = _HEADS[notice.kind].format(severity=incident.severity, by=notice.by, within=incident.part_of)
    named = wording.whose(incident)
    return line(f"{sign} {head}: {named + ': ' if named else ''}{incident.summary}")


def facts(notice: Notice) -> list[tuple[str, str]]:
    """What is known about it, as name and value; what is not known is left out."""
    incident = notice.incident
    effect = wording.effect(incident.effect, incident.unit, incident.ci_low, incident.ci_high)
    cause = str(incident.cause.get("note", "")) if incident.cause else ""
    about = str(incident.about["says"]) if incident.about else ""
    said = [
        ("model", wording.whose(incident) or incident.model), ("about", about), ("since", wording.said(incident.since)),
        ("ended", wording.said(incident.resolved_at) if incident.resolved_at and notice.kind == "resolved" else ""),
        ("effect", effect), ("nearest signal", cause), ("suggested", incident.suggestion or ""),
        ("taken by", notice.by), ("why", notice.reason), ("incident", incident.incident_id),
    ]  # fmt: skip
    return [(name, line(value)) for name, value in said if value]


def line(text: str) -> str:
    """Text from the outside as one short line without control characters."""
    clean = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(clean.split())[:_LINE]


def plain(notice: Notice, link: str) -> str:
    """All of it as text."""
    rows = [f"{name}: {value}" for name, value in facts(notice)]
    return "\n".join([title(notice), "", *rows, *(["", link] if link else [])])


def link(notice: Notice, home: str | None) -> str:
    """The incident's page; "" when the site names no address."""
    if not home or notice.kind == "test":
        return str(home or "")
    return f"{str(home).rstrip('/')}/incidents?id={quote(notice.incident.incident_id, safe='')}"


def trial(now: datetime, by: str) -> tuple[Notice, Notice]:
    """A message that says it is a test, and what ends it where things must be ended."""
    incident = Incident(
        incident_id=identity("test", now.isoformat()), kind="slo", model=wording.SITE, severity="ticket", state="open", since=now,
        opened_at=now, resolved_at=None, summary=_TEST, effect=None, unit=None, ci_low=None, ci_high=None, evidence_nats=None,
        cause=None, alerts=(), suggestion=None, changed_at=now,
    )  # fmt: skip
    first = Notice(identity("ntc", "test", now.isoformat()), "test", now, incident, by=by)
    end = now + timedelta(seconds=1)
    over = replace(incident, state="resolved", resolved_at=end, changed_at=end)
    return first, Notice(identity("ntc", "test over", now.isoformat()), "resolved", end, over)
