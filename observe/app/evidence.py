"""What a detector is shown: summaries since its state needs them, binnings, state, and frames of the fleet.

Everything is read up to what has closed in event time, so rows that are already stored but lie
after it change nothing.

Source: our own; ARCHITECTURE section 1.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from observe import summaries
from observe.app.accepting import accepted
from observe.app.canaries import Canaries
from observe.app.hearing import last_seen
from observe.app.labelling import labelled
from observe.app.trained import trained
from observe.schema import Binning, Evidence, Monitor, Window
from observe.schema.exchange import nouns
from observe.store import Store

if TYPE_CHECKING:
    from observe.spec import Config

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SLOW: Final = (
    "rate",
    "level",
    "performance",
    "estimate",
    "straggler",
    "skew",
)  # fit noise models; a day's refit must not hold up a page
_FRAME_HISTORY: Final = timedelta(hours=24)  # what gauge and imbalance may look back
_CATCH_UP: Final = timedelta(days=2)  # how far back five-minute drift streams begin on an imported past
_FRAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "imbalance": ("gpu_5m",),
    "gauge": ("gpu_5m", "queue_5m"),
    "straggler": ("device_5m",),
}
SUMMARIES: Final = (
    "select * exclude (ingested_at) from summary"
    " where list_contains($m, measure) and ts >= $from and ts < $to and not late order by measure, ts"
)
_NEWEST: Final = (
    "select arg_max(binning_id, version) as binning_id from binning"
    " where list_contains($m, model || '/' || source_table || '/' || feature) group by model, source_table, feature"
)
_BINNINGS: Final = 1_000  # kept in mind, at most: 20 MB
_DIGITS: Final = 9  # significant ones kept of a mean: in its last ones it depends on the order of its rows


def floor(at: datetime, seconds: int) -> datetime:
    """The latest multiple of `seconds` since the epoch that is not after `at`."""
    return EPOCH + timedelta(seconds=int((at - EPOCH).total_seconds()) // seconds * seconds)


class Gathering:
    """Reads evidence out of a store."""

    def __init__(self, config: Config, store: Store) -> None:
        self._config, self._store = config, store
        self._canaries = Canaries(store)
        self._wait = timedelta(seconds=config.site.lateness_s["gpu"])
        late = config.site.lateness_s
        self._rows_wait = timedelta(seconds=max(late["attempts"], late["predictions"]))
        self._since: datetime | None = None  # from when on silence is asked about
        self._made: Mapping[str, Binning] = {}  # replaced, never changed: two threads ask

    def closed(self, monitors: Iterable[Monitor], now: datetime) -> dict[str, datetime]:
        """Up to when what each monitor reads is complete, by monitor id."""
        until = summaries.closed_until(self._store)
        return {
            m.monitor_id: until.get(summaries.source_of(m), EPOCH) if m.measure else now - self._waits(m.detector)
            for m in monitors
        }

    def _waits(self, detector: str) -> timedelta:
        """How long rows of what a detector without summaries reads may still come."""
        return self._rows_wait if detector == "canary" else self._wait

    def first(self, monitors: Sequence[Monitor], now: datetime) -> dict[str, datetime]:
        """Where monitors that have never judged begin.

        A drift question begins where its reference ends, for the reference is what it is judged by; rates
        and quick streams at most two days ago, as history only teaches them. Others begin at their first
        summary, those without summaries with the fleet's recent past.
        """
        if not monitors:
            return {}
        rows = self._store.read(
            "select measure, min(s.ts) as begun, max(reference_to) as referred, max(s.ts) as newest"
            " from summary s left join binning using (binning_id) where list_contains($m, measure) group by measure",
            {"m": sorted({m.measure for m in monitors if m.measure})},
        )
        spans = {measure: times for measure, *times in rows.iter_rows()}
        return {
            m.monitor_id: floor(start, m.window_s)
            for m in monitors
            if (start := self._begin(m, spans.get(m.measure), now))
        }

    def _begin(self, monitor: Monitor, span: Sequence[datetime | None] | None, now: datetime) -> datetime | None:
        if not monitor.measure:
            recent = self._wait if monitor.detector == "silence" else _FRAME_HISTORY
            return now - recent - timedelta(seconds=300)
        begun, referred, newest = span or (None, None, None)
        if begun is None or newest is None or monitor.detector not in SLOW:
            return begun
        start = min(referred, newest) if referred else begun
        catches_up = monitor.params.get("fast") or monitor.detector in ("rate", "skew")
        return max(start, newest - _CATCH_UP) if catches_up else start

    def evidence(self, monitors: Sequence[Monitor], window: Window, since: datetime, now: datetime) -> Evidence:
        """What these monitors of one detector are shown about `window`, summaries from `since` on."""
        state = self._store.state([m.monitor_id for m in monitors])
        measures = sorted({m.measure for m in monitors if m.measure})
        rows = self._store.read(
            SUMMARIES,
            {"m": measures, "from": since, "to": window.end},
            Window(since, window.end),
        )
        return Evidence(
            tuple(monitors),
            window,
            rows,
            self._binnings(rows, measures if monitors[0].detector in SLOW else ()),
            state,
            self._frames(monitors, window, since, now),
            accepted=accepted(self._store, [m.monitor_id for m in monitors]) if monitors[0].detector in SLOW else {},
            expected=self._expected(monitors),
        )

    def _expected(self, monitors: Sequence[Monitor]) -> dict[str, tuple[Window, ...]]:
        """Announced changes by model."""
        watched = {m.model: self._config.models[m.model].monitoring for m in monitors if m.model in self._config.models}
        drifts = {name: m.drift for name, m in watched.items() if m is not None and m.drift is not None}
        return {
            n: tuple(Window(c.start, c.end) for c in d.expected_changes)
            for n, d in drifts.items()
            if d.expected_changes
        }

    def _binnings(self, rows: pl.DataFrame, measures: Collection[str]) -> Mapping[str, Binning]:
        """Those that rows were counted with, and the newest of each measure without rows: its state is told in them."""
        counted = rows.select("measure", "binning_id").drop_nulls().unique()  # never all columns: counts are many
        found = set(counted["binning_id"])
        if silent := sorted({*measures} - set(counted["measure"])):
            found |= set(self._store.read(_NEWEST, {"m": silent})["binning_id"])
        ids, known = sorted(found), self._made
        if lacking := [i for i in ids if i not in known]:  # a binning never changes
            read = self._store.read("select * from binning where list_contains($ids, binning_id)", {"ids": lacking})
            few = len(known) + len(lacking) <= _BINNINGS
            kept = known if few else {i: known[i] for i in ids if i in known}
            self._made = known = {**kept, **{b.binning_id: b for b in nouns(Binning, read)}}
        return {i: known[i] for i in ids if i in known}

    def _frames(
        self, monitors: Sequence[Monitor], window: Window, since: datetime, now: datetime
    ) -> dict[str, pl.DataFrame]:
        detector = monitors[0].detector
        if detector == "canary":
            return {"canary_1m": self._canaries.frame(monitors, window)}
        if detector == "skew":
            return {"training": trained(self._store, monitors)}
        if detector == "estimate":
            return {"labelled": labelled(self._store, monitors, window)}
        if detector == "silence":
            self._since = self._since or now
            return {"last_seen": last_seen(self._config, self._store, now, self._since)}
        span = {"from": min(since, window.start), "to": window.end}
        frames = {}
        for name in _FRAMES.get(detector, ()):
            sql = f"select * from {name} where ts >= $from and ts < $to order by all"
            rows = self._store.read(sql, span, Window(span["from"], window.end))
            frames[name] = rows.with_columns(pl.col(pl.Float64).round_sig_figs(_DIGITS))
        return frames
