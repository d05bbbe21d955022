"""What is muted, until when and why: found, shown and counted as ever, but nobody is told.

People mute an incident, an alert, a monitor, a model or everything (`*`), always with an end; the newest word
about one object counts. Files name maintenance, once or by the calendar.

Source: our own; docs/delivery.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from observe.schema import Alert, Command, Incident
from observe.spec.quiet import EVERYTHING, Mute, Names, Quiet

if TYPE_CHECKING:
    from observe.spec import Config
    from observe.spec.receiving import Maintenance

__all__ = ["EVERYTHING", "Mute", "Names", "Quiet", "calendar", "mutes", "named", "parts"]


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
    known = [named(alerts[i]) | {incident.incident_id} for i in incident.alerts if i in alerts]  # a part's alerts, too
    return known or [frozenset({EVERYTHING, incident.incident_id, incident.model})]


def calendar(config: Config) -> list[tuple[Maintenance, Names]]:
    """The maintenance that the files name, of the site and of models."""
    whole = [(m, frozenset(m.models) or frozenset({EVERYTHING})) for m in config.site.alerts.maintenance]
    of_models = [
        (m, frozenset({name}))
        for name, model in config.models.items()
        for m in (model.monitoring.maintenance if model.monitoring else ())
    ]
    return [*whole, *of_models]
