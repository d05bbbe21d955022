"""Incidents in other words, where the site names an assistant: asked once for each state, kept beside our own words.

It hurts nothing: it has a thread of its own, asks at most once a minute, and what fails is tried again later and
then left. Pages, notices and bundles stand without it.

Source: our own; docs/incident-summary.md.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from alerts import digest
from observe.clock import Clock
from observe.errors import ObserveError
from observe.schema import Explanation, Incident, Narration
from observe.schema.exchange import nouns
from observe.store import Store

if TYPE_CHECKING:
    from observe.spec import Config

_LOG = logging.getLogger("observe.narrating")
LOOK_S: Final = 15.0
APART: Final = timedelta(minutes=1)  # between two requests
TRIES: Final = 5  # for one state of an incident
PAUSE: Final = timedelta(minutes=2)  # after the first failure, doubled by each
RECENT: Final = timedelta(days=1)  # what has been over for longer is not put into words any more
_OF: Final = """
incident_id in (select incident_id from explanation) and severity in ('page', 'ticket') and (state = 'open' or resolved_at > $since)
"""
_INCIDENTS: Final = f"select * from incident where {_OF} order by changed_at desc, incident_id limit 50"
_EXPLAINED: Final = f"select * from explanation where incident_id in (select incident_id from incident where {_OF})"
_WRITTEN: Final = "select distinct incident_id, about from core.narration"


@dataclass(frozen=True, slots=True)
class _Failed:
    tries: int
    again: datetime


class Narrating:
    """Asks the site's assistant about incidents it has not been asked about yet."""

    def __init__(self, config: Config, store: Store, clock: Clock) -> None:
        self._config, self._store, self._clock = config, store, clock
        self._failed: dict[str, _Failed] = {}
        self._free_at: datetime | None = None  # when the next request may be made

    def adopt(self, config: Config) -> None:
        """Go by another configuration from now on."""
        self._config = config

    def tick(self) -> None:
        """Ask about the one incident that changed last and was not asked about, if it is time."""
        spec, now = self._config.site.assistant, self._clock.now()
        if spec is None or (self._free_at is not None and now < self._free_at):
            return
        found = self._next(spec.model, now)
        if found is None:
            return
        incident, explanation, about = found
        self._free_at = now + APART
        try:
            words = digest.written(digest.facts(incident, explanation), spec)
        except ObserveError as error:
            self._postpone(about, now, error)
            return
        kept = Narration(incident.incident_id, about, self._clock.now(), spec.model, words.text, words.refused)
        with self._store.change() as tx:
            tx.insert([kept])
        _LOG.info("event=narrated incident_id=%s refused=%s", incident.incident_id, words.refused or "no")

    def _next(self, model: str, now: datetime) -> tuple[Incident, Explanation, str] | None:
        since = {"since": now - RECENT}
        explained = {e.incident_id: e for e in nouns(Explanation, self._store.read(_EXPLAINED, since))}
        if not explained:
            return None
        written = set(self._store.read(_WRITTEN).iter_rows())
        for incident in nouns(Incident, self._store.read(_INCIDENTS, since)):
            explanation = explained.get(incident.incident_id)
            if explanation is None or explanation.verdict == "too little":
                continue
            about = digest.about(incident, explanation, model)
            if (incident.incident_id, about) not in written and self._may(about, now):
                return incident, explanation, about
        return None

    def _may(self, about: str, now: datetime) -> bool:
        failed = self._failed.get(about)
        return failed is None or (failed.tries < TRIES and now >= failed.again)

    def _postpone(self, about: str, now: datetime, error: ObserveError) -> None:
        tries = self._failed[about].tries + 1 if about in self._failed else 1
        self._failed[about] = _Failed(tries, now + PAUSE * 2 ** (tries - 1))
        if len(self._failed) > 1000:
            self._failed.pop(next(iter(self._failed)))
        _LOG.warning("event=not_narrated tries=%s error=%s", tries, error)
