"""The stages in order: summarise, detect, decide. Each reads rows, runs a pure function, appends rows.

A stage that is killed between windows neither skips nor repeats one: findings and the detector's
state are one transaction, and the state says up to when it has judged.

Source: our own; ARCHITECTURE section 1.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from alerts import permits, policy
from observe import summaries
from observe.app import training
from observe.app.calling import Ending
from observe.app.evidence import EPOCH, Gathering, floor
from observe.app.explaining import EXPLAINED_NOW, SIGNALS, Explaining
from observe.app.hearing import pushed
from observe.app.referenced import referenced
from observe.clock import Clock
from observe.errors import ObserveError
from observe.registry import plugin
from observe.schema import (
    Action,
    Alert,
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
QUICK: Final = ("burn", "silence", "imbalance", "gauge", "canary")  # seconds matter
_RUNNING: Final = """
select model, running from (from scaling_decision qualify row_number() over (partition by model order by ts desc) = 1)
where running is not null and (evidence ->> '$.running_basis') = 'scraped'"""
FRESH: Final = "select * from finding where made_at > $u order by made_at, window_end, finding_id"
_TOGETHER: Final = 480  # monitors judged in one call
_FEW: Final = 60  # where a call of many fails, so many are tried apart
_HISTORY: Final = timedelta(
    days=450
)  # of all their measures together: bounds what is read at once, 285 MB of 5-minute summaries


class Judging(Protocol):
    """Whoever runs detectors: a process of its own, or this one."""

    def detect(self, name: str, evidence: Evidence) -> Detected:
        """What detector `name` says about `evidence`."""
        ...


Closing = Callable[["Config", datetime], summaries.Closed]  # whoever makes summaries: likewise


class Stages:
    """Each call runs its stages once over all that has come since; a stage that fails is counted, the others go on."""

    def __init__(
        self, config: Config, store: Store, clock: Clock, telemetry: Telemetry, close: Closing | None = None
    ) -> None:
        self._close: Closing = close or partial(summaries.close, store)
        self._config, self._store, self._clock, self._telemetry = config, store, clock, telemetry
        self._gathering, self._explaining = Gathering(config, store), Explaining(config, store)
        self._next, self._orphans = config, True  # alerts may fire whose question is not asked any more
        self._unsummarised: Mapping[str, str] = {}
        self._derived: tuple[object, tuple[Monitor, ...]] = (None, ())  # monitors, and what they were derived from
        self._behind: frozenset[str] | None = None  # sources whose past is still being summarised; None: not known yet
        self._made: datetime = store.read("select max(made_at) as at_most from finding").item() or EPOCH

    def tick(self, detectors: Sequence[str], detecting: Judging, now: datetime) -> None:
        """Summarise, ask these detectors, decide; all by one configuration."""
        if self._next is not self._config:
            self._config, self._gathering, self._orphans = self._next, Gathering(self._next, self._store), True
            self._explaining.adopt(self._next)
        self._attempt("summarise", partial(self._summarise, now))
        self.detect(detectors, detecting, now)
        self._attempt("decide", partial(self._decide, now))
        self._attempt("explain", partial(self._explain, now))

    def detect(self, detectors: Sequence[str], detecting: Judging, now: datetime) -> None:
        """Ask these detectors about every window that has closed; may run beside `tick` with others."""
        monitors = self._monitors()
        for detector in detectors:
            group = [m for m in monitors if m.detector == detector]
            self._attempt(f"detect.{detector}", partial(self._detect, detecting, group, now))

    def adopt(self, config: Config) -> None:
        """Go by another configuration from the next tick on."""
        self._next = config

    def _attempt(self, stage: str, run: Callable[[], None]) -> bool:
        """Whether it went well."""
        try:
            with self._telemetry.stage(stage):
                run()
            return True
        except Ending:
            return False
        except ObserveError as error:
            self._telemetry.stage_errors.labels(stage).inc()
            _LOG.warning("event=stage_failed stage=%s error=%s", stage, error)
        except Exception:  # noqa: BLE001 - the supervisor loop: one stage must not stop the others
            self._telemetry.stage_errors.labels(stage).inc()
            _LOG.exception("event=stage_failed stage=%s", stage)
        return False

    def _summarise(self, now: datetime) -> None:
        closed = self._close(self._config, now)
        failures, self._behind = closed.failures, closed.behind
        for source, why in failures.items():
            self._telemetry.stage_errors.labels("summarise").inc()
            if self._unsummarised.get(source) != why:  # counted each time, told once
                _LOG.warning("event=summarise_failed source=%s error=%s", source, why)
        self._unsummarised = failures
        for source, until in summaries.closed_until(self._store).items():
            self._telemetry.watermark.labels(f"summarise.{source}").set(until.timestamp())

    def _monitors(self) -> tuple[Monitor, ...]:
        config, (features, levels) = self._config, referenced(self._store)
        settled, ways = self._settled(features), pushed(self._store)
        known, monitors = self._derived
        if known != (asked := (id(config), features, settled, levels, ways)):
            monitors = derive(config, features, settled, levels, ways)
            self._derived = (asked, monitors)
        return monitors

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

    def _detect(self, detecting: Judging, monitors: Sequence[Monitor], now: datetime) -> None:
        if not monitors:
            return
        detector = monitors[0].detector
        closed = self._gathering.closed(monitors, now)
        judged = self._store.judged_until()
        first = self._gathering.first([m for m in monitors if m.monitor_id not in judged and self._known(m)], now)
        due: dict[str, Window] = {}
        for monitor in monitors:
            start = judged.get(monitor.monitor_id) or first.get(monitor.monitor_id)
            end = floor(closed.get(monitor.monitor_id, EPOCH), monitor.window_s)
            if start is not None and end > start:
                due[monitor.monitor_id] = Window(start, end)
        for (window, since), group in self._grouped(detector, [m for m in monitors if m.monitor_id in due], due):
            judge = partial(self._judge, detecting, window=window, since=since, now=now)
            for part in _parts(group, window.end - since):
                self._ask(detector, part, judge)

    def _ask(self, detector: str, part: Sequence[Monitor], judge: Callable[[Sequence[Monitor]], None]) -> None:
        """All at once, or few at a time where that fails: what is wrong with one must not keep the others from being judged."""
        if not self._attempt(f"detect.{detector}", partial(judge, part)) and len(part) > _FEW:
            for i in range(0, len(part), _FEW):
                self._attempt(f"detect.{detector}", partial(judge, part[i : i + _FEW]))

    def _known(self, monitor: Monitor) -> bool:
        """Whether the past of its source is summarised: where a monitor begins hangs on all of it."""
        if not monitor.measure:
            return True
        return self._behind is not None and summaries.source_of(monitor) not in self._behind

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
        self, detecting: Judging, monitors: Sequence[Monitor], window: Window, since: datetime, now: datetime
    ) -> None:
        detector = monitors[0].detector
        found = detecting.detect(detector, self._gathering.evidence(monitors, window, since, now))
        self._commit(detector, monitors, window, found)

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
        until = datetime.fromisoformat(mark["until"]) if "until" in mark else EPOCH
        fresh = nouns(
            Finding,
            self._store.read(FRESH, {"u": until}),
        )
        if not fresh and not self._orphans:
            return
        decision = policy.decide(
            findings=fresh,
            open_alerts=nouns(Alert, self._store.read("select * from alert where state = 'firing'")),
            open_incidents=nouns(Incident, self._store.read("select * from incident where state = 'open' or changed_at > $t", {"t": now - timedelta(days=1)})),
            changes=self._changes(fresh),
            signals=[*nouns(Finding, self._store.read(SIGNALS, {"since": now - timedelta(days=2)})), *training.performance(self._store, self._config, now)],
            config=self._config,
            now=now,
            actions=nouns(Action, self._store.read('select * from action where changed_at > $t', {"t": now - max(timedelta(days=30), permits.memory(self._config))})),
            explained=frozenset(self._store.read(EXPLAINED_NOW)["incident_id"]),
            running=dict(self._store.read(_RUNNING).iter_rows()),
        )  # fmt: skip
        explained = self._explaining.opening(decision, now)
        asked = training.proposed(self._store, self._config, decision.actions, now)
        with self._store.change() as tx:
            for rows in (decision.alerts, explained.incidents, asked, explained.explanations):
                if rows:
                    tx.insert(list(rows))
            tx.set_state("policy", {"until": max((f.made_at for f in fresh), default=until).isoformat()})
        self._orphans = False
        for incident in explained.incidents:
            _LOG.info(
                "event=incident id=%s state=%s severity=%s summary=%s",
                incident.incident_id,
                incident.state,
                incident.severity,
                incident.summary,
            )

    def _explain(self, now: datetime) -> None:
        """Look again at what is open."""
        explained = self._explaining.again(now)
        if explained.incidents or explained.explanations:
            with self._store.change() as tx:
                for rows in (explained.incidents, explained.explanations):
                    if rows:
                        tx.insert(list(rows))

    def _changes(self, findings: Sequence[Finding]) -> list[ChangeEvent]:
        onsets = [f.onset or f.window_start for f in findings if f.state == "alarm"]
        if not onsets:
            return []
        rows = self._store.read(
            "select * from change_event where ts >= $from and ts < $to order by ts",
            {"from": min(onsets) - timedelta(hours=6), "to": max(onsets) + timedelta(hours=1)},
        )
        return nouns(ChangeEvent, rows)


def _parts(monitors: Sequence[Monitor], span: timedelta) -> Iterator[list[Monitor]]:
    """Monitors in their order, so many that one call reads `_HISTORY` at most, and one measure in any case."""
    part: list[Monitor] = []
    measures: set[str] = set()
    for m in monitors:
        many = len(measures) + (m.measure not in measures)
        if part and (len(part) == _TOGETHER or (many > 1 and many * span > _HISTORY)):
            yield part
            part, measures = [], set()
        part.append(m)
        measures.add(m.measure)
    if part:
        yield part
