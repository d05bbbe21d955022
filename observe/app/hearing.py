"""When every source was last heard, target by target and sender by sender: what `silence` is shown.

Source: our own; ARCHITECTURE section 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from collectors.cardinality import OTHER
from observe.app.senders import PUSH
from observe.app.targets import MAX_TARGETS
from observe.schema import Window
from observe.spec.collecting import PUSHED_EVERY_S
from observe.spec.monitors import PAGES, no_data, undeclared
from observe.spec.promised import PROMETHEUS
from observe.store import Store

if TYPE_CHECKING:
    from observe.spec import CollectorSpec, Config

PUSHED: Final = "pushed"  # state: since when something is pushed, by way in
_SHOWN: Final = timedelta(days=2)  # how long a sender is shown that says nothing; judged it is for a day
_TOLD_S: Final = 60.0  # senders are told once a minute, so none is due sooner
_TIME: Final = pl.Datetime("us", "UTC")
_TYPES: Final[Mapping[str, Any]] = {
    "collector": pl.String, "target": pl.String, "every_s": pl.Float64, "last_ts": _TIME, "now": _TIME,
    "sender": pl.Boolean, "removed_ts": _TIME, "since": _TIME,
}  # fmt: skip
_STORED: Final = "select collector, max(ts) as at_last from collector_run where ok and stored > 0 group by all"
_PULLED: Final = "select collector, target, max(ts) as at_last from collector_run where ok group by all"
_BATCHES: Final = "select source, max(committed_at) as at_last from core.batch group by all"
_REMOVED: Final = """
select coalesce(node, object_name) as node, max(ts) as ts from change_event
where kind = 'node_remove' and ts > $since and not starts_with(coalesce(message, ''), 'NodeNotReady') group by 1
"""

_COUNTED: Final = """
select measure, max(ts) + interval 1 minute as ts from summary
where list_contains($measures, measure) and ts > $since and n > 0 and not late group by 1
"""

Row = tuple[str, str, float, datetime | None, datetime, bool, datetime | None, datetime]


def pushed(store: Store) -> frozenset[str]:
    """Ways in by which agents have pushed pages."""
    return frozenset(store.state([PUSHED]).get(PUSHED, {}))


def last_seen(config: Config, store: Store, now: datetime, since: datetime) -> pl.DataFrame:
    """When every target of every collector was last heard; what has never been heard is there with NULL.

    Args:
        config: which sources there are.
        store: what came of them.
        now: the present.
        since: from when on this service listens; who was silent while it was stopped is not to blame.
    """
    runs = {(collector, target): at for collector, target, at in store.read(_PULLED).iter_rows()}
    files, batches = dict(store.read(_STORED).iter_rows()), dict(store.read(_BATCHES).iter_rows())
    sources = {**files, **batches}  # batches are forgotten after a day, runs after a month
    removed = dict(store.read(_REMOVED, {"since": now - _SHOWN}).iter_rows())
    rows: list[Row] = []
    for name, spec in sorted(config.site.collectors.items()):
        every = float(spec.every_s)
        rows += [
            (name, target, every, at, now, False, None, since) for target, at in _own(name, spec, runs, files, sources)
        ]
        if spec.type == PAGES:
            rows += [(name, *row, now, True, gone, since) for row, gone in _senders(every, runs, removed, now)]
    if undeclared(config, pushed(store)):
        rows.append((PAGES, "", PUSHED_EVERY_S, _newest(sources, PAGES), now, False, None, since))
        rows += [(PAGES, *row, now, True, gone, since) for row, gone in _senders(PUSHED_EVERY_S, runs, removed, now)]
    rows += _of_slos(config, store, now, since)
    return pl.DataFrame(rows, _TYPES, orient="row")


def _of_slos(config: Config, store: Store, now: datetime, since: datetime) -> Iterator[Row]:
    """When each SLO whose missing data is told had its newest event."""
    asked = [
        (f"{model.name}/slo/{slo.name}", no_data(model.name, slo))
        for model in config.models.values()
        for slo in (model.monitoring.slos if model.monitoring else ())
        if slo.no_data_s
    ]
    if not asked:
        return
    params = {"measures": [measure for measure, _ in asked], "since": now - _SHOWN}
    newest = dict(store.read(_COUNTED, params, Window(now - _SHOWN, now)).iter_rows())
    for measure, name in asked:
        yield name, "", _TOLD_S, newest.get(measure), now, False, None, since


def _own(
    name: str,
    spec: CollectorSpec,
    runs: Mapping[tuple[str, str], datetime],
    files: Mapping[str, datetime],
    sources: Mapping[str, datetime],
) -> Iterator[tuple[str, datetime | None]]:
    """Targets of a collector, and when each was last heard; replicas that say the same are one."""
    if spec.type == PROMETHEUS:
        yield "", max((at for (collector, _), at in runs.items() if collector == name), default=None)
    elif spec.targets:
        yield from ((target, runs.get((name, target))) for target in spec.targets)
    elif spec.path is not None or spec.type == "nvml":
        yield "", files.get(name)
    else:
        yield "", _newest(sources, spec.type)


def _senders(
    every: float, runs: Mapping[tuple[str, str], datetime], removed: Mapping[str, datetime], now: datetime
) -> list[tuple[tuple[str, float, datetime], datetime | None]]:
    """Those who pushed pages lately, the newest of them, and when each node was taken out."""
    told = {
        target.removeprefix(f"{PUSH}/"): at for (way, target), at in runs.items() if way == PAGES and target != PUSH
    }
    known = sorted(((at, name) for name, at in told.items() if name != OTHER and now - at <= _SHOWN), reverse=True)
    return [((name, max(every, _TOLD_S), at), removed.get(name.rpartition("/")[2])) for at, name in known[:MAX_TARGETS]]


def _newest(sources: Mapping[str, datetime], kind: str) -> datetime | None:
    """When rows of a pushed kind were last stored: `otlp`, `litellm`, or `predictions/<model>` of any model."""
    return max((at for source, at in sources.items() if source.partition("/")[0] == kind), default=None)
