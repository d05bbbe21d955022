"""What is muted, until when and why: found, shown and counted as ever, but nobody is told.

People mute an incident, an alert, a monitor, a model or everything (`*`), always with an end; the newest word
about one object counts. Files name maintenance, once or by the calendar.

Source: our own; docs/delivery.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from observe.schema import Alert, Command, Incident

if TYPE_CHECKING:
    from observe.spec import Config
    from observe.spec.receiving import Maintenance

EVERYTHING: Final = "*"
_MOST: Final = 1000  # mutes that follow one another without a gap; enough is enough

Names = frozenset[str]  # everything that one alert may be muted by


@dataclass(frozen=True, slots=True)
class Mute:
    """One object muted by a person for a while, half-open."""

    object: str
    start: datetime
    end: datetime
    why: str


def mutes(commands: Iterable[Command]) -> list[Mute]:
    """What people muted; a later word about the same object ends the earlier one.

    Args:
        commands: those with verb `mute` (its end in `parameters.until`) or `unmute`, in order of time.
    """
    made: list[Mute] = []
    newest: dict[str, int] = {}
    for command in commands:
        if (i := newest.pop(command.object, None)) is not None:
            made[i] = replace(made[i], end=max(made[i].start, min(made[i].end, command.ts)))
        until = command.parameters.get("until")
        if command.verb == "mute" and (end := _instant(until)) is not None:
            newest[command.object] = len(made)
            made.append(Mute(command.object, command.ts, end, f"{command.actor}: {command.reason or ''}".rstrip(": ")))
    return made


def _instant(text: object) -> datetime | None:
    """An end as it was written down; None for words of before mutes acted, which say none."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def named(alert: Alert) -> Names:
    """Everything by which an alert can be muted."""
    return frozenset({EVERYTHING, alert.alert_id, alert.incident_id, alert.key, alert.model})


def parts(incident: Incident, alerts: Mapping[str, Alert]) -> list[Names]:
    """The same of an incident, one for each of its alerts: it is muted while all of them are."""
    known = [named(alerts[i]) for i in incident.alerts if i in alerts]
    return known or [frozenset({EVERYTHING, incident.incident_id, incident.model})]


@dataclass(frozen=True, slots=True)
class Quiet:
    """Everything that is muted at any time."""

    muted: Sequence[Mute] = ()
    calendar: Sequence[tuple[Maintenance, Names]] = field(default=())  # and the models it is about

    def until(self, names: Names, at: datetime) -> tuple[datetime, str] | None:
        """Until when an alert that is muted at an instant stays so, and why; None when it is not."""
        found = [(m.end, f"muted by {m.why}") for m in self.muted if m.object in names and m.start <= at < m.end]
        for maintenance, models in self.calendar:
            if names & models and (end := maintenance.until(at)) is not None:
                found.append((end, f"maintenance: {maintenance.why}"))
        return max(found, default=None)

    def free(self, each: Sequence[Names], at: datetime) -> datetime:
        """The first instant from `at` on at which not all of these alerts are muted."""
        for _ in range(_MOST):
            ends = [found[0] for names in each if (found := self.until(names, at)) is not None]
            if len(ends) < len(each):
                return at
            at = min(ends)
        return at

    def why(self, each: Sequence[Names], at: datetime) -> str:
        """Why these alerts are muted at an instant; "" when they are not."""
        found = [self.until(names, at) for names in each]
        told = [f[1] for f in found if f is not None]
        return told[0] if told and len(told) == len(found) else ""


def calendar(config: Config) -> list[tuple[Maintenance, Names]]:
    """The maintenance that the files name, of the site and of models."""
    whole = [(m, frozenset(m.models) or frozenset({EVERYTHING})) for m in config.site.alerts.maintenance]
    of_models = [
        (m, frozenset({name}))
        for name, model in config.models.items()
        for m in (model.monitoring.maintenance if model.monitoring else ())
    ]
    return [*whole, *of_models]
