"""What there is to tell at this moment, read from the store: alerts, what became of incidents, what is muted.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from alerts import alertmanager, explaining, grouping, muting, notices, outbox
from observe.schema import Alert, Command, Incident
from observe.schema.exchange import nouns

if TYPE_CHECKING:
    from alerts.muting import Mute, Quiet
    from alerts.notices import Notice
    from observe.spec import Config
    from observe.store import Store

_SIZES: Final = "select (select count(*) from core.alert), (select count(*) from core.incident), (select count(*) from core.explanation), (select count(*) from core.command)"
_FIRING: Final = "select * from alert where state = 'firing' or changed_at > $since"
_ROWS: Final = """
select * from core.incident where incident_id in (select incident_id from incident where state = 'open' or changed_at > $since)
order by changed_at"""
_THEIRS: Final = "select * from alert where incident_id in (select incident_id from incident where state = 'open' or changed_at > $since)"
_PARTS: Final = """
select * from incident where part_of is not null and (state = 'open' or changed_at > $since)
or incident_id in (select part_of from incident where part_of is not null and (state = 'open' or changed_at > $since))"""
_COMMANDS: Final = "select * from command where verb in ('mute', 'unmute', 'acknowledge') order by ts, command_id"


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything that is known when it is decided whom to tell what."""

    alerts: Sequence[Alert]  # that fire, or have ended within the last day
    told: Mapping[str, Sequence[Notice]]  # by incident, when somebody is told of incidents
    of_incidents: Mapping[str, Alert]  # alerts of these incidents, by id
    quiet: Quiet
    is_quieted: bool  # whether anybody has ever muted anything


class Reading:
    """Reads the store again only when something was appended; a look at a quiet store costs one count."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: tuple[object, ...] = ()
        self._alerts: Sequence[Alert] = ()
        self._told: Mapping[str, Sequence[Notice]] = {}
        self._theirs: Mapping[str, Alert] = {}
        self._mutes: Sequence[Mute] = ()

    def standing(self, config: Config, now: datetime) -> Standing:
        """What the store and the files say now; only one thread may ask."""
        has_receivers = bool(config.site.alerts.receivers)
        seen = (*self._store.read(_SIZES).row(0), has_receivers)
        if seen != self._seen:
            self._read(now, has_receivers)
            self._seen = seen
        calendar = muting.calendar(config)
        quiet = muting.Quiet(self._mutes, calendar)
        return Standing(self._alerts, self._told, self._theirs, quiet, bool(self._mutes or calendar))

    def _read(self, now: datetime, has_receivers: bool) -> None:
        commands: list[Command] = nouns(Command, self._store.read(_COMMANDS))
        self._mutes = muting.mutes([c for c in commands if c.verb != "acknowledge"])
        self._alerts = nouns(Alert, self._store.read(_FIRING, {"since": now - alertmanager.KEPT}))
        self._mutes = [*self._mutes, *self._inhibited(now)]
        self._told, self._theirs = {}, {}
        if has_receivers:
            since = {"since": now - outbox.LOOK_BACK}
            rows = nouns(Incident, self._store.read(_ROWS, since))
            self._told = notices.notices(rows, [c for c in commands if c.verb == "acknowledge"])
            self._theirs = {a.alert_id: a for a in nouns(Alert, self._store.read(_THEIRS, since))}

    def _inhibited(self, now: datetime) -> list[Mute]:
        """Parts of an incident that is told, while one as loud fires there; what people muted of that one is of its parts, too."""
        rows = nouns(Incident, self._store.read(_PARTS, {"since": now - outbox.LOOK_BACK}))
        heads = {i.incident_id for i in rows if i.state == "open"}
        muted = {m.object for m in self._mutes if m.start <= now < m.end}
        made = [replace(m, object=i.incident_id) for m in self._mutes for i in rows if i.part_of == m.object]
        for part, head in grouping.quiet(rows, self._alerts).items():
            if head.incident_id in heads and not muted & {head.incident_id, head.model, muting.EVERYTHING}:
                made.append(explaining.mute(next(i for i in rows if i.incident_id == part), head))
        return made
