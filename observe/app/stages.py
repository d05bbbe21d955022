"""The stages in order: summarise, detect, decide. Each reads rows, runs a pure function, appends rows.

A stage that is killed between windows neither skips nor repeats one: findings and the detector's
state are one transaction, and the state says up to when it has judged.

Source: our own; ARCHITECTURE section 1.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from alerts import policy
from observe import summaries
from observe.app.detecting import Detecting
from observe.clock import Clock
from observe.errors import ObserveError
from observe.registry import plugin
from observe.schema import (
    Action,
    Alert,
    Binning,
    ChangeEvent,
    Detected,
    Evidence,
    Finding,
    Incident,
    Json,
    Monitor,
    Window,
)
from observe.schema.exchange import nouns
from observe.spec.monitors import derive
from observe.store import Store
from observe.telemetry import Telemetry

if TYPE_CHECKING:
    from observe.spec import Config

_LOG = logging.getLogger("observe.stages")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FRAME_LATENESS: Final = timedelta(seconds=30)  # GPU samples; ARCHITECTURE section 3, Time
_FRAME_HISTORY: Final = timedelta(hours=24)  # what gauge and imbalance may look back
QUICK: Final = ("burn", "silence", "imbalance", "gauge")  # seconds matter
SLOW: Final = ("rate", "level")  # fit noise models; a day's refit must not hold up a page
_CATCH_UP: Final = timedelta(days=2)  # how far back five-minute drift streams begin on an imported past
_TOGETHER: Final = 60  # monitors judged in one call: bounds what is read at once
_FRAMES: Final[Mapping[str, tuple[str, ...]]] = {"imbalance": ("gpu_5m",), "gauge": ("gpu_5m", "queue_5m")}


def floor(at: datetime, seconds: int) -> datetime:
    """The latest multiple of `seconds` since the epoch that is not after `at`."""
    return _EPOCH + timedelta(seconds=int((at - _EPOCH).total_seconds()) // seconds * seconds)


class Stages:
    """Each call runs its stages once over all that has come since; a stage that fails is counted, the others go on."""

    def __init__(self, config: Config, store: Store, clock: Clock, telemetry: Telemetry) -> None:
        self._config, self._store, self._clock, self._telemetry = config, store, clock, telemetry
        self._unsummarised: Mapping[str, str] = {}
        self._made: datetime = store.read("select max(made_at) as at_most from finding").item() or _EPOCH

    def tick(self, detectors: Sequence[str], detecting: Detecting, now: datetime) -> None:
        """Summarise, ask these detectors, decide."""
        self._attempt("summarise", partial(self._summarise, now))
        self.detect(detectors, detecting, now)
        self._attempt("decide", partial(self._decide, now))

    def detect(self, detectors: Sequence[str], detecting: Detecting, now: datetime) -> None:
        """Ask these detectors about every window that has closed; may run beside `tick` with others."""
        monitors = self._monitors()
        for detector in detectors:
            group = [m for m in monitors if m.detector == detector]
            self._attempt(f"detect.{detector}", partial(self._detect, detecting, group, now))

    def _attempt(self, stage: str, run: Callable[[], None]) -> None:
        try:
            with self._telemetry.stage(stage):
                run()
        except ObserveError as error:
            self._telemetry.stage_errors.labels(stage).inc()
            _LOG.warning("event=stage_failed stage=%s error=%s", stage, error)
        except Exception:  # noqa: BLE001 - the supervisor loop: one stage must not stop the others
            self._telemetry.stage_errors.labels(stage).inc()
            _LOG.exception("event=stage_failed stage=%s", stage)

    def _summarise(self, now: datetime) -> None:
        failures = summaries.close(self._store, self._config, now).failures
        for source, why in failures.items():
            self._telemetry.stage_errors.labels("summarise").inc()
            if self._unsummarised.get(source) != why:  # counted each time, told once
                _LOG.warning("event=summarise_failed source=%s error=%s", source, why)
        self._unsummarised = failures

    def _monitors(self) -> tuple[Monitor, ...]:
        rows = self._store.read(
            "select model, feature, arg_max(kind, version) as kind from binning group by all order by all"
        )
        features: dict[str, dict[str, str]] = defaultdict(dict)
        for model, feature, kind in rows.iter_rows():
            features[model][feature] = kind
        return derive(self._config, features, self._settled(features))

    def _settled(self, features: Mapping[str, Mapping[str, str]]) -> Mapping[str, Sequence[str]]:
        """The features among which the budget is divided today; later ones draw on the reserve until tomorrow."""
        today = self._clock.now().date().isoformat()
        frozen = self._store.state(["budget"]).get("budget", {})
        if frozen.get("day") != today or not frozen["features"]:
            frozen = {"day": today, "features": {model: sorted(names) for model, names in features.items()}}
            with self._store.change() as tx:
                tx.set_state("budget", frozen)
        return frozen["features"]  # type: ignore[no-any-return]

    # --- detect ---------------------------------------------------------------------------------

    def _detect(self, detecting: Detecting, monitors: Sequence[Monitor], now: datetime) -> None:
        if not monitors:
            return
        detector = monitors[0].detector
        closed = self._closed(monitors, now)
        judged = self._store.judged_until()
        first = self._first([m for m in monitors if m.monitor_id not in judged], now)
        due: dict[str, Window] = {}
        for monitor in monitors:
            start = judged.get(monitor.monitor_id) or first.get(monitor.monitor_id)
            end = floor(closed.get(monitor.monitor_id, _EPOCH), monitor.window_s)
            if start is not None and end > start:
                due[monitor.monitor_id] = Window(start, end)
        for (window, since), group in self._grouped(detector, [m for m in monitors if m.monitor_id in due], due):
            for i in range(0, len(group), _TOGETHER):  # what is wrong with some must not keep others from being judged
                part = group[i : i + _TOGETHER]
                self._attempt(f"detect.{detector}", partial(self._judge, detecting, part, window, since, now))

    def _grouped(
        self, detector: str, monitors: Sequence[Monitor], due: Mapping[str, Window]
    ) -> list[tuple[tuple[Window, datetime], list[Monitor]]]:
        """Monitors by the window they are due for and from when they want summaries, oldest window first."""
        if not monitors:
            return []
        states = self._store.state([m.monitor_id for m in monitors])
        since = plugin("observe.detectors", detector).since
        groups: dict[tuple[Window, datetime], list[Monitor]] = defaultdict(list)
        for m in monitors:
            window = due[m.monitor_id]
            groups[window, since(m, states.get(m.monitor_id, {}), window)].append(m)
        return sorted(groups.items(), key=lambda item: (item[0][0].start, item[0][1]))

    def _judge(
        self, detecting: Detecting, monitors: Sequence[Monitor], window: Window, since: datetime, now: datetime
    ) -> None:
        detector = monitors[0].detector
        found = detecting.detect(detector, self._evidence(monitors, window, since, now))
        self._commit(detector, monitors, window, found)

    def _closed(self, monitors: Iterable[Monitor], now: datetime) -> dict[str, datetime]:
        until = summaries.closed_until(self._store)
        return {
            m.monitor_id: until.get(m.measure.rpartition("/")[0], _EPOCH) if m.measure else now - _FRAME_LATENESS
            for m in monitors
        }

    def _first(self, monitors: Sequence[Monitor], now: datetime) -> dict[str, datetime]:
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
            m.monitor_id: floor(start, m.window_s) for m in monitors if (start := _begin(m, spans.get(m.measure), now))
        }

    def _evidence(self, monitors: Sequence[Monitor], window: Window, since: datetime, now: datetime) -> Evidence:
        state = self._store.state([m.monitor_id for m in monitors])
        measures = sorted({m.measure for m in monitors if m.measure})
        rows = self._store.read(
            "select * exclude (ingested_at) from summary where list_contains($m, measure) and ts >= $from and ts < $to and not late"
            " order by measure, ts",
            {"m": measures, "from": since, "to": window.end},
            Window(since, window.end),
        )
        return Evidence(
            tuple(monitors),
            window,
            rows,
            self._binnings(rows),
            state,
            self._frames(monitors[0].detector, window, since, now),
        )

    def _binnings(self, rows: pl.DataFrame) -> Mapping[str, Binning]:
        ids = rows["binning_id"].drop_nulls().unique().to_list()
        if not ids:
            return {}
        found = self._store.read("select * from binning where list_contains($ids, binning_id)", {"ids": ids})
        return {b.binning_id: b for b in nouns(Binning, found)}

    def _frames(self, detector: str, window: Window, since: datetime, now: datetime) -> dict[str, pl.DataFrame]:
        if detector == "silence":
            return {"last_seen": self._last_seen(now)}
        span = {"from": min(since, window.start), "to": window.end}
        return {
            name: self._store.read(
                f"select * from {name} where ts >= $from and ts < $to order by all",
                span,
                Window(span["from"], window.end),
            )
            for name in _FRAMES.get(detector, ())
        }

    def _last_seen(self, now: datetime) -> pl.DataFrame:
        """When every target of every collector was last heard; what has never been heard is there with NULL."""
        pulled = self._store.read(
            "select collector, target, max(ts) as at_last from collector_run where ok group by all"
        )
        stored = self._store.read(
            "select collector, max(ts) as at_last from collector_run where ok and stored > 0 group by all"
        )
        pushed = self._store.read("select source, max(committed_at) as at_last from core.batch group by all")
        runs = {(collector, target): at for collector, target, at in pulled.iter_rows()}
        files, sources = dict(stored.iter_rows()), dict(pushed.iter_rows())
        rows: list[tuple[str, str, float, datetime | None, datetime]] = []
        for name, c in sorted(self._config.site.collectors.items()):
            if c.type == "prometheus":
                rows += [(name, target, float(c.every_s), runs.get((name, target)), now) for target in c.targets]
            elif c.path is not None:
                rows.append((name, "", float(c.every_s), files.get(name), now))
            else:
                rows.append((name, "", float(c.every_s), _newest(sources, c.type), now))
        time = pl.Datetime("us", "UTC")
        types: dict[str, Any] = {
            "collector": pl.String,
            "target": pl.String,
            "every_s": pl.Float64,
            "last_ts": time,
            "now": time,
        }
        return pl.DataFrame(rows, types, orient="row")

    def _commit(self, detector: str, monitors: Sequence[Monitor], window: Window, found: Detected) -> None:
        with self._store.change() as tx:
            # read under the writer lock and never backwards: `decide` goes by it and must miss none
            now = self._made = max(self._clock.now(), self._made + timedelta(microseconds=1))
            findings = [replace(f, made_at=now) for f in found.findings]
            if findings:
                tx.insert(findings)
            tx.set_states({m.monitor_id: found.state.get(m.monitor_id, {}) for m in monitors}, window.end)
        for f in findings:
            self._telemetry.findings.labels(detector, f.state).inc()
        self._telemetry.watermark.labels(f"detect.{detector}").set(window.end.timestamp())

    # --- decide ---------------------------------------------------------------------------------

    def _decide(self, now: datetime) -> None:
        mark: Json = self._store.state(["policy"]).get("policy", {})
        until = datetime.fromisoformat(mark["until"]) if "until" in mark else _EPOCH
        fresh = nouns(
            Finding,
            self._store.read(
                "select * from finding where made_at > $u order by made_at, window_end, finding_id", {"u": until}
            ),
        )
        if not fresh:
            return
        decision = policy.decide(
            findings=fresh,
            open_alerts=nouns(Alert, self._store.read("select * from alert where state = 'firing'")),
            open_incidents=nouns(Incident, self._store.read("select * from incident where state = 'open' or changed_at > $t", {"t": now - timedelta(days=1)})),
            changes=self._changes(fresh),
            signals=nouns(Finding, self._store.read(
                "select * from finding where state = 'alarm' and kind in ('gpu', 'queue', 'imbalance') and window_end > $t order by window_end",
                {"t": now - timedelta(days=2)})),
            config=self._config,
            now=now,
            actions=nouns(Action, self._store.read('select * from action where changed_at > $t', {"t": now - timedelta(days=30)})),
        )  # fmt: skip
        with self._store.change() as tx:
            for rows in (decision.alerts, decision.incidents, decision.actions):
                if rows:
                    tx.insert(list(rows))
            tx.set_state("policy", {"until": max(f.made_at for f in fresh).isoformat()})
        for incident in decision.incidents:
            _LOG.info(
                "event=incident id=%s state=%s severity=%s summary=%s",
                incident.incident_id,
                incident.state,
                incident.severity,
                incident.summary,
            )

    def _changes(self, findings: Sequence[Finding]) -> list[ChangeEvent]:
        onsets = [f.onset or f.window_start for f in findings if f.state == "alarm"]
        if not onsets:
            return []
        rows = self._store.read(
            "select * from change_event where ts >= $from and ts < $to order by ts",
            {"from": min(onsets) - timedelta(hours=6), "to": max(onsets) + timedelta(hours=1)},
        )
        return nouns(ChangeEvent, rows)


def _begin(monitor: Monitor, span: Sequence[datetime | None] | None, now: datetime) -> datetime | None:
    if not monitor.measure:
        recent = _FRAME_LATENESS if monitor.detector == "silence" else _FRAME_HISTORY
        return now - recent - timedelta(seconds=300)
    begun, referred, newest = span or (None, None, None)
    if begun is None or newest is None or monitor.detector not in SLOW:
        return begun
    start = min(referred, newest) if referred else begun
    return max(start, newest - _CATCH_UP) if monitor.params.get("fast") or monitor.detector == "rate" else start


def _newest(sources: Mapping[str, datetime], kind: str) -> datetime | None:
    """When rows of a pushed kind were last stored: `otlp`, `litellm`, or `predictions/<model>` of any model."""
    return max((at for source, at in sources.items() if source.partition("/")[0] == kind), default=None)
