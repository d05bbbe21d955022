"""How long rows are kept, and which of them summaries still have to count.

A file of raw rows leaves when its time is over and every summary of a model over its table has come
past it; so history that is imported late is counted before it goes. Beyond the size cap it leaves
all the same, last.

Source: our own; ARCHITECTURE section 3, retention.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from observe.clock import Clock
from observe.store import Passed, Store
from observe.summaries.promises import of_attempts, sources
from observe.summaries.rows import Source, tables

if TYPE_CHECKING:
    from observe.schema import Json
    from observe.spec import Config

_NEVER: Final = datetime.min.replace(tzinfo=UTC)


def retain(store: Store, config: Config, clock: Clock) -> int:
    """Let files leave as the site says; how many left."""
    site = config.site.store
    keep = {table: timedelta(seconds=seconds) for table, seconds in site.retain_s.items()}
    longest = max(rate.period_s for rate in config.site.false_alarms.values())
    keep["incident"] = max(
        keep["incident"], timedelta(seconds=longest)
    )  # a false-alarm budget counts them for its period
    return store.retain(clock.now(), keep, site.size_bytes, site.reservoir, passed(store, config))


def passed(store: Store, config: Config) -> Mapping[str, Passed]:
    """By table key, how far all summaries of its rows have come; tables that nobody summarises are absent."""
    known = tables(store)
    every = [s for model in config.models.values() for s in sources(model, known, config.site.lateness_s)]
    every = [s for s in every if of_attempts(s) or s.of_predictions]
    marks = store.state([s.key for s in every])
    found: dict[str, Passed] = {}
    for source in every:
        mark = _mark(marks.get(source.key, {}))
        before = found.get(_table(source), mark)
        found[_table(source)] = Passed(min(mark.until, before.until), min(mark.seen, before.seen))
    return found


def _table(source: Source) -> str:
    return f"prediction:{source.model.name}" if source.of_predictions else "attempt"


def _mark(mark: Json) -> Passed:
    """What a source's mark says: summarised until, or known to have had no rows until then; never when it has none."""
    until, seen = mark.get("until", mark.get("none")), mark.get("seen")
    if until is None or seen is None:
        return Passed(_NEVER, _NEVER)
    return Passed(datetime.fromisoformat(until), datetime.fromisoformat(seen))
