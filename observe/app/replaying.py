"""Stored event time lived through again: rows handed over in order, a clock moved, the stages run as in the service.

Rows go from one store to a fresh one in blocks, ordered by event time. Rows of a block may lie
there before the clock reaches them: every stage reads closed windows only, so none is seen early.
The clock stops wherever a five-minute window that got rows closes, and for three days after it once an
hour. Changes of the platform are handed over when they happened. Silence is not asked about: it is
about when rows arrived, which the past does not tell.

Source: our own; ARCHITECTURE section 3, Time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, cast

from observe.app.declaring import declared
from observe.app.evidence import SLOW, floor
from observe.app.remembering import Remembering
from observe.app.stages import QUICK, Judging, Stages
from observe.clock import EventClock
from observe.registry import plugin
from observe.schema import TABLES, Batch, Detected, Evidence, Window
from observe.store import Store
from observe.summaries.promises import BAD, PULLED, TOTAL
from observe.telemetry import Telemetry

if TYPE_CHECKING:
    import polars as pl

    from observe.spec import Config

ASKED: Final = tuple(name for name in (*QUICK, *SLOW) if name != "silence")
_FLEET: Final = ("imbalance", "gauge")
STEP: Final = timedelta(minutes=5)
_GAP: Final = timedelta(hours=1)  # how often the clock stops where nothing came
_REMEMBERED: Final = timedelta(days=3)  # after which nothing that came matters to an SLO any more
_BLOCK: Final = timedelta(days=1)  # handed over at once, at most
_ROWS: Final = 50_000  # of one batch
_TABLES: Final = ("attempt", "gpu_sample", "serving_sample", "label", "metric_sample")
_FIXED: Final = frozenset(c.name for c in TABLES["prediction"].columns)
_WHICH: Final[Mapping[str, str]] = {"metric_sample": f"metric in ('{TOTAL}', '{BAD}')"}  # nothing else of it is judged


class InProcess:
    """Detectors in this process."""

    def detect(self, name: str, evidence: Evidence) -> Detected:
        """What detector `name` says about `evidence`."""
        found: Detected = plugin("observe.detectors", name).detect(evidence)
        return found


@dataclass(frozen=True, slots=True)
class Replayed:
    """How much was lived through."""

    rows: int
    stops: int
    window: Window


class Replaying:
    """One replay from a store into a fresh one.

    Args:
        config: what is watched, and how long windows wait for late rows.
        past: where rows are read.
        scratch: an empty store that goes by `clock`.
        clock: moved by the replay.
    """

    def __init__(self, config: Config, past: Store, scratch: Store, clock: EventClock) -> None:
        self._config, self._past, self._scratch, self._clock = config, past, scratch, clock
        self._telemetry = Telemetry()
        self._kept = Remembering(scratch, clock)  # all that stages ask of a store
        self._stages = Stages(config, cast("Store", self._kept), clock, self._telemetry)
        self._relations = [*_TABLES, *(f"prediction:{m}" for m in sorted(past.features()))]
        self._wait = timedelta(seconds=max(config.site.lateness_s.values()))

    def run(
        self, window: Window, judging: Judging | None = None, moved: Callable[[datetime], None] = lambda at: None
    ) -> Replayed:
        """Live through `window`.

        Args:
            window: event time, half-open.
            judging: who runs detectors; this process when None.
            moved: told each instant the clock is moved to.
        """
        asked = judging or InProcess()
        self._scratch.declare(self._config.numbers)
        for key, value in declared(self._config).items():
            self._scratch.set_setting(key, value)
        self._describe_devices()
        self._recall_answers()
        filled = self._filled(window)
        detectors = [name for name in ASKED if name not in _FLEET or self._holds_fleet(window)]
        blocks, changes = _blocks(filled, window), self._rows("change_event", window)
        rows = stops = done = 0
        for at in _stops(filled, window, self._wait):
            while done < len(blocks) and blocks[done].start < at:
                self._scratch.seal(self._clock.now())
                rows += self._hand_over(blocks[done])
                done += 1
            self._clock.set(at)
            rows += self._hand_over_changes(changes, at)
            changes = changes.filter(changes["ts"] >= at)
            self._stages.tick(detectors, asked, at)
            moved(at)
            stops += 1
        self._kept.flush()
        self._scratch.seal(self._clock.now())
        self._telemetry.close()
        return Replayed(rows, stops, window)

    def _holds_fleet(self, window: Window) -> bool:
        """Whether there is anything that the detectors of the fleet read."""
        sql = "select (select count(*) from gpu_sample) + (select count(*) from serving_sample) as n"
        return bool(self._past.read(sql, window=window).item())

    def _describe_devices(self) -> None:
        """What each GPU is does not depend on the time."""
        devices = self._past.read("select * from gpu_device")
        if devices.height:
            self._kept.append(Batch("replay", "gpu_device", {"gpu_device": devices}))

    def _recall_answers(self) -> None:
        """How far a Prometheus was asked about an SLO says how far its counts are whole."""
        known = self._past.read("select key, value from core.state where starts_with(key, $asked)", {"asked": PULLED})
        if known.height:
            with self._kept.change() as tx:
                tx.set_states({key: json.loads(value) for key, value in known.iter_rows()})

    def _sql(self, key: str) -> str:
        """The relation that holds the rows of a table that are judged."""
        if key in _WHICH:
            return f"(select * from {key} where {_WHICH[key]})"
        if not key.startswith("prediction:"):
            return key
        names = dict(self._past.read("select model, name from core.model_table").iter_rows())
        return 'predictions."{}"'.format(names[key.partition(":")[2]].replace('"', '""'))

    def _filled(self, window: Window) -> list[datetime]:
        """The five-minute windows that have rows, in order."""
        params = {"from": window.start, "to": window.end}
        found: set[datetime] = set()
        for key in self._relations:
            sql = f"select distinct time_bucket(interval 5 minute, ts) as ts from {self._sql(key)} where ts >= $from and ts < $to"
            found.update(self._past.read(sql, params, window)["ts"].to_list())
        return sorted(found)

    def _hand_over(self, block: Window) -> int:
        """The rows of a block, by event time; how many."""
        given = 0
        for key in self._relations:
            for i, part in enumerate(self._rows(key, block).iter_slices(_ROWS)):
                self._kept.append(Batch("replay", f"{key}/{block.start.isoformat()}/{i}", {key: part}))
                given += part.height
        return given

    def _hand_over_changes(self, changes: pl.DataFrame, at: datetime) -> int:
        """What changed before `at`; how much."""
        part = changes.filter(changes["ts"] < at)
        if part.height:
            self._kept.append(Batch("replay", f"change_event/{at.isoformat()}", {"change_event": part}))
        return part.height

    def _rows(self, key: str, block: Window) -> pl.DataFrame:
        """Rows of one table; features under the names they were sent by."""
        sql = f"select * exclude (ingested_at) from {self._sql(key)} where ts >= $from and ts < $to order by ts"
        rows = self._past.read(sql, {"from": block.start, "to": block.end}, block)
        if not key.startswith("prediction:"):
            return rows
        names = self._past.read(
            "select column_name, feature from core.feature_column where model = $model",
            {"model": key.partition(":")[2]},
        )
        known = {column: feature for column, feature in names.iter_rows() if column in rows.columns}
        kept = [
            c for c in rows.columns if c in _FIXED or c in known
        ]  # a column that no feature goes to any more is past
        return rows.select(kept).rename(known)


def _blocks(filled: Sequence[datetime], window: Window) -> list[Window]:
    """Stretches of event time that are handed over at once; those without rows are left out."""
    starts = sorted({floor(at, int(_BLOCK.total_seconds())) for at in filled})
    return [Window(max(start, window.start), min(start + _BLOCK, window.end)) for start in starts]


def _stops(filled: Sequence[datetime], window: Window, wait: timedelta) -> list[datetime]:
    """Where the clock stops: where each window with rows closes, and every hour for three days after one."""
    stops = {at + STEP + wait for at in filled}
    last = window.end + wait + STEP
    for at, following in zip(filled, [*filled[1:], last], strict=True):
        quiet = min(following - at - STEP, _REMEMBERED)
        stops.update(at + STEP + wait + _GAP * i for i in range(1, int(quiet / _GAP) + 1))
    return sorted(at for at in stops if at <= last)
