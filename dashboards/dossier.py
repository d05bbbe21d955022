"""Everything a bundle tells of one incident, read once; and the questions that nobody has answered yet.

Source: our own; docs/incidents-bundle.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from dashboards import aftermath, explained, incident, proof, story, words
from dashboards.incident import Explained, Row
from dashboards.proof import Proof
from dashboards.reader import SLACK, Reader, Value, used
from dashboards.report_facts import Rows
from dashboards.story import Story
from observe.errors import UsageError
from observe.schema import Window, withheld

HISTORY: Final = """
select changed_at, state, severity, since, opened_at, resolved_at, summary, effect, unit, ci_low, ci_high, evidence_nats, cause::VARCHAR as cause, suggestion
from core.incident where incident_id = $id order by changed_at limit 500
"""
DOUBTFUL: Final = 0.3  # probability that none of the signals explains it, from which that is a question


@dataclass(frozen=True, slots=True)
class Dossier:
    """One incident with everything that is known of it, as of an instant."""

    row: Row
    as_of: datetime
    told: Explained | None
    history: Sequence[Row]
    alerts: Sequence[Row]
    impact: Sequence[Row]
    proofs: Sequence[Proof]
    steps: Sequence[Row]
    said: Sequence[Row]
    done: Sequence[Row]
    sent: Sequence[Row]
    narrated: Row | None
    story: Story

    @property
    def incident_id(self) -> str:
        """Which incident it is."""
        return str(self.row["incident_id"])


def reader(rows: Rows) -> Reader:
    """A page's way of reading over whatever answers SQL: parameters that a text does not name are left out."""

    def read(sql: str, params: Mapping[str, Value] | None = None) -> Any:
        held = used(sql, params)
        start, end = held.get("start"), held.get("end")
        span = Window(start - SLACK, end + SLACK) if isinstance(start, datetime) and isinstance(end, datetime) else None
        return rows.read(sql, held, span)

    return read


def gathered(read: Reader, incident_id: str, as_of: datetime) -> Dossier:
    """Everything about one incident.

    Args:
        read: answers SQL.
        incident_id: which one.
        as_of: the present; an open incident lasts until then.

    Raises:
        UsageError: there is no such incident.
    """
    from dashboards.incident_head import NARRATED

    row = incident.found(read, incident_id)
    if row is None:
        raise UsageError(f"there is no incident {incident_id!r}; observe incidents lists them")
    asked = incident.during(row, as_of)

    def rows(sql: str) -> list[dict[str, Any]]:
        return read(sql, asked).to_dicts()

    return Dossier(
        row, as_of, _told(read, incident_id), rows(HISTORY), rows(incident.ALERTS), rows(incident.IMPACT),
        proof.proofs(read, row, as_of), rows(incident.STEPS), rows(aftermath.SAID)[::-1], rows(aftermath.DONE)[::-1],
        rows(aftermath.TOLD)[::-1], next(iter(rows(NARRATED)), None), story.told(read, row, as_of),
    )  # fmt: skip


def _told(read: Reader, incident_id: str) -> Explained | None:
    """Its explanation without tags and keys: a bundle leaves."""
    told = incident.explained(read, incident_id)
    if told is None:
        return None
    causes = [{**c, "why": [withheld.without_values(str(w)) for w in c.get("why") or ()]} for c in told.causes]
    text = withheld.without_values(told.text, told.differs)
    return replace(told, text=text, causes=causes, differs=withheld.open_differs(told.differs))


def questions(held: Dossier) -> Iterator[str]:
    """What is still open about it, as sentences."""
    row, told = held.row, held.told
    if row["state"] == "open":
        yield f"It is still open, for {incident.lasted(row, held.as_of)}."
    yield from _unknown(told)
    if not any(s["verb"] == "note" for s in held.said):
        yield "Nobody has written down what was seen and done."
    if row["suggestion"] and not held.done:
        yield f"Was it acted on? Suggested was: {row['suggestion']}."
    for action in held.done:
        yield from _undecided(action)
    lost = [s for s in held.sent if s["state"] in ("refused", "dead", "waiting")]
    if lost:
        yield f"Who was not told? {len(lost)} of {len(held.sent)} messages were not taken."


def _undecided(action: Row) -> Iterator[str]:
    """Whether an action is to be done, or whether it helped."""
    name, verdict = f"{action['kind']} {action['target']}", aftermath.outcome(action).get("verdict")
    if action["state"] == "proposed":
        yield f"Is it to be done? {name} is proposed."
    elif action["state"] in ("approved", "sent", "acknowledged", "succeeded") and verdict in (None, "unknown"):
        yield f"Did it help? {name} is {action['state']}, its outcome is not known."


def _unknown(told: Explained | None) -> Iterator[str]:
    if told is None:
        yield "Why did it happen? It is not yet explained."
    elif told.verdict != "cause":
        yield f"Why did it happen? {explained.said(told.verdict).capitalize()}."
    elif words.known(told.unexplained) and (told.unexplained or 0.0) >= DOUBTFUL:
        yield f"Is the likeliest cause the true one? {words.share(told.unexplained, 0)} are left for none of the signals."
