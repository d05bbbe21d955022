"""What receivers are told of an incident: that it opened, got worse, was taken, ended, came back, became part of another.

Made anew from the rows of the incident each time, so they are the same after a restart: a notice is known by the
row that brought it. Receivers are told of incidents, for in them the false-alarm budget is declared.

Source: our own; docs/delivery.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

from alerts.incidents import RANK, identity
from observe.schema import Command, Incident, withheld

if TYPE_CHECKING:
    from observe.spec.receiving import ReceiverSpec

Kind = Literal["opened", "raised", "grown", "reopened", "acknowledged", "resolved", "joined", "test"]
OPENING: Final = ("opened", "raised", "grown", "reopened")  # what asks for somebody
ENDING: Final = ("resolved", "joined")  # after which nothing more is told of it: it is over, or told in another


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to be told about one incident."""

    notice_id: str
    kind: Kind
    at: datetime
    incident: Incident  # as it was then
    until: datetime | None = None  # when this episode of the incident ended; None while it lasts
    by: str = ""  # who took it
    reason: str = ""
    new: tuple[str, ...] = ()  # models that it concerns from now on


@dataclass(frozen=True, slots=True)
class Receiver:
    """Somebody of the site's file who is told."""

    name: str
    spec: ReceiverSpec

    @property
    def url(self) -> str:
        """How rows and people name it; its address may be a secret."""
        return f"{self.spec.type}:{self.name}"

    def hears(self, notice: Notice) -> bool:
        """Whether it wants to hear of that incident."""
        incident = notice.incident
        about, mine = concerned(incident), frozenset(self.spec.models)
        if incident.severity not in self.spec.severities or (mine and not about & mine):
            return False
        return notice.kind != "grown" or bool(mine and not (about - frozenset(notice.new)) & mine)

    def message_id(self, notice: Notice) -> str:
        """The idempotency key: this notice, to this receiver."""
        return f"{self.name}-{notice.notice_id}"


def concerned(incident: Incident) -> frozenset[str]:
    """Every model it concerns."""
    return frozenset((incident.model, *(incident.models or ())))


def leaving(incident: Incident) -> Incident:
    """The row without the text of log messages, which may quote users: notices leave the house."""
    quoted = withheld.log_notes([incident.cause])
    if not quoted or incident.cause is None:
        return incident
    cause = {**incident.cause, "subject": "log", "note": withheld.quiet(str(incident.cause.get("note") or ""))}
    suggestion = withheld.without_logs(incident.suggestion, quoted) if incident.suggestion else incident.suggestion
    return replace(
        incident, cause=cause, suggestion=suggestion, summary=withheld.without_logs(incident.summary, quoted)
    )


def notices(rows: Iterable[Incident], commands: Iterable[Command] = ()) -> dict[str, list[Notice]]:
    """By incident, everything to be told about it in order of time.

    Args:
        rows: every row of these incidents, not only the newest.
        commands: those with verb `acknowledge`.
    """
    histories: dict[str, list[Incident]] = defaultdict(list)
    for row in rows:
        histories[row.incident_id].append(row)
    taken: dict[str, list[Command]] = defaultdict(list)
    for command in commands:
        taken[command.object].append(command)
    return {i: _ended(_told(sorted(h, key=lambda r: r.changed_at), taken[i])) for i, h in histories.items()}


def _told(rows: Sequence[Incident], taken: Sequence[Command]) -> list[Notice]:
    made: list[Notice] = []
    before: Incident | None = None
    for row in rows:
        kind = _kind(before, row)
        if kind is not None:
            new = concerned(row) - concerned(before) if before is not None else frozenset()
            notice_id = _id(kind, row.incident_id, row.changed_at)
            made.append(Notice(notice_id, kind, row.changed_at, leaving(row), new=tuple(sorted(new))))
        before = row
    for command in taken:
        then = next((r for r in reversed(rows) if r.changed_at <= command.ts), None)
        if then is not None and then.state == "open" and not then.part_of:
            notice_id = _id("acknowledged", then.incident_id, command.ts)
            made.append(
                Notice(notice_id, "acknowledged", command.ts, leaving(then), None, command.actor, command.reason or "")
            )
    return sorted(made, key=lambda n: n.at)


def _kind(before: Incident | None, row: Incident) -> Kind | None:
    """What a row tells that the one before did not; of what was over when it was found nobody is told, nor of a part."""
    if row.part_of:
        return "joined" if before is not None and before.state == "open" and not before.part_of else None
    if before is None:
        return "opened" if row.state == "open" else None
    if row.state != before.state:
        return "resolved" if row.state == "resolved" else "reopened"
    if row.state != "open":
        return None
    if RANK[row.severity] > RANK[before.severity]:
        return "raised"
    return "grown" if concerned(row) - concerned(before) else None  # to those whose models were not in it


def _ended(told: Sequence[Notice]) -> list[Notice]:
    """The notices with the end of their episode."""
    made: list[Notice] = []
    end: datetime | None = None
    for notice in reversed(told):
        end = notice.at if notice.kind in ENDING else end
        made.append(replace(notice, until=end))
        if notice.kind in ("opened", "reopened"):
            end = None
    return made[::-1]


def _id(kind: str, incident_id: str, at: datetime) -> str:
    return identity("ntc", kind, incident_id, at.isoformat())
