"""How many replicas each model needs, decided every fifteen seconds and kept for whoever asks.

Every declared model is decided by itself: what its replicas carried in the past (learnt anew every hour), what comes
(a forecast over its cold start), and what is there now. What cannot be said is not said: without fresh rows, without
an envelope, or before anything is known of what a replica carries, the answer is a reason and no number.

Source: our own; docs/scaling.md.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from detectors import load
from detectors.load import Memory
from observe.app.arrived import arrived
from observe.app.carrying import Learnt, learnt
from observe.app.minutes import Minutes, floor, minutes
from observe.app.seeing import SCRAPED, Around, Unsure, around, basis, envelope_of, names_of, seen
from observe.app.starved import AGAIN, EVERY, compared
from observe.clock import Clock
from observe.schema import ChangeEvent, Window
from observe.schema.scaling import CapacityMatch, ScalingDecision
from observe.store import Store

if TYPE_CHECKING:
    from observe.spec import Config, Model
    from observe.telemetry import Telemetry

_LOG = logging.getLogger("observe.loads")
EVERY_S: Final = 15.0
FRESH: Final = timedelta(minutes=3)  # rows older than that say nothing about now
VALID: Final = timedelta(minutes=2)  # an answer older than that is told by nobody
RELEARN: Final = timedelta(hours=1)
RECENT: Final = timedelta(minutes=15)
LEARNING_S: Final = 2.0  # of one round; the rest waits for the next
UNKNOWN: Final = (
    "what a replica carries is not known: it was never seen at its limit by load, and the ModelSpec has no "
    "operations.scaling.targetRps"
)
KEPT: Final = timedelta(seconds=60)  # how often memory is written where nothing changed


@dataclass(frozen=True, slots=True)
class Answer:
    """What is told about one model: a number with its evidence, or why there is none."""

    decision: ScalingDecision

    @property
    def sure(self) -> bool:
        """Whether a number may be told."""
        return self.decision.sure

    def body(self) -> dict[str, Any]:
        """As JSON for a scaler."""
        d = self.decision
        said: dict[str, Any] = {"model": d.model, "as_of": d.ts.isoformat().replace("+00:00", "Z")}
        if not d.sure:
            return {**said, "error": d.said, "stale": d.binding == "stale"}
        desired = {"load_units": d.load_units, "replicas": d.replicas}
        return {**said, "desired": desired, "evidence": d.evidence, "stale": False}


@dataclass(frozen=True, slots=True)
class _Compared:
    """When idle devices were last looked for, for whom, and whether there were any."""

    at: datetime | None = None
    lacking: frozenset[str] = frozenset()
    found: bool = False


class Loads:
    """See the module; `tick` decides, `answer` tells."""

    def __init__(self, config: Config, store: Store, clock: Clock, telemetry: Telemetry | None = None) -> None:
        self._config, self._store, self._clock, self._telemetry = config, store, clock, telemetry
        self._learnt: dict[str, Learnt] = {}
        self._answers: dict[str, Answer] = {}
        self._memory: dict[str, Memory] | None = None
        self._written: dict[str, datetime] = {}
        self._reads: dict[str, datetime] = {}
        self._compared = _Compared()
        self._lock = Lock()

    def adopt(self, config: Config) -> None:
        """Go by another configuration; what was learnt of models that are still declared stays."""
        self._config = config
        self._answers = {name: a for name, a in self._answers.items() if name in config.models}

    def answer(self, model: str) -> Answer | None:
        """The newest answer; None for a model that nobody declared.

        An answer that is older than two minutes is told as stale.
        """
        if model not in self._config.models:
            return None
        now = self._clock.now()
        if self._config.models[model].spec is None:
            return Answer(_unsure(model, "unsure", "it has no ModelSpec: nothing bounds an answer", now))
        kept = self._answers.get(model)
        if kept is None:
            return Answer(_unsure(model, "unsure", "nothing has been decided yet; ask again in a minute", now))
        if now - kept.decision.ts > VALID:
            said = f"the newest decision is of {kept.decision.ts:%H:%M:%S}; nothing was decided since"
            return Answer(_unsure(model, "stale", said, now))
        return kept

    def read_by_scaler(self, model: str) -> None:
        """Note that a scaler has read the answer."""
        with self._lock:
            self._reads[model] = self._clock.now()

    def last_read(self, model: str) -> datetime | None:
        """When a scaler last read the answer, as far as this service knows."""
        return self._reads.get(model)

    def tick(self) -> None:
        """Decide for every model with a ModelSpec from one reading; the past is read anew for as many as time allows."""
        now = self._clock.now()
        if self._memory is None:
            self._memory = self._recall()
        begun = monotonic()
        rows: list[ScalingDecision] = []
        end = floor(now)
        named = {name: names_of(m) for name, m in self._config.models.items() if m.spec is not None}
        recent, about = minutes(self._store, named, Window(end - RECENT, end)), around(self._store, now)
        for name, model in sorted(self._config.models.items()):
            if model.spec is None:
                continue
            self._learn(model, now, may_learn=monotonic() - begun < LEARNING_S)
            try:
                decision = self._decided(model, recent[name], about, now)
            except Exception:  # noqa: BLE001 - one model must not stop the others; its answer grows stale
                self._failed(name)
                continue
            before = self._answers.get(name)
            self._answers[name] = Answer(decision)
            if before is None or _changed(before.decision, decision):
                rows.append(decision)
        self._keep([*rows, *self._matched(now), *self._arrived(now)], now)

    def _arrived(self, now: datetime) -> list[ChangeEvent]:
        """What scale actions asked for and model servers show now."""
        shown = {name: a.decision for name, a in self._answers.items() if a.sure}
        seen_now = {n: d.running for n, d in shown.items() if d.evidence.get("running_basis") == SCRAPED}
        running = {name: n for name, n in seen_now.items() if n is not None}
        return arrived(self._store, running, self._reads, now) if running else []

    def _matched(self, now: datetime) -> list[CapacityMatch]:
        """Idle devices beside models that lack replicas: every five minutes, sooner while none were found or others lack."""
        told = [a.decision for name, a in self._answers.items() if name in self._config.models]
        lacking = frozenset(d.model for d in told if d.sure and (d.replicas or 0) > (d.running or 0))
        last = self._compared
        wait = EVERY if last.found else AGAIN
        if not lacking or (lacking <= last.lacking and last.at is not None and now - last.at < wait):
            return []
        rows = compared(self._config, self._store, told, now)
        self._compared = _Compared(now, lacking, bool(rows))
        return rows

    def _learn(self, model: Model, now: datetime, *, may_learn: bool) -> None:
        """Read the past of a model anew; where that fails what was learnt before stays."""
        known = self._learnt.get(model.name)
        if may_learn and (known is None or now - known.at > RELEARN):
            try:
                self._learnt[model.name] = learnt(self._store, model, now)
            except Exception:  # noqa: BLE001 - as above
                self._failed(model.name)

    def _failed(self, model: str) -> None:
        """Tell and count the fault that is being handled."""
        if self._telemetry is not None:
            self._telemetry.stage_errors.labels("scaling").inc()
        _LOG.exception("event=scaling_failed stage=scaling model=%s", model)

    def _decided(self, model: Model, recent: Minutes, about: Around, now: datetime) -> ScalingDecision:
        known, memory = self._learnt.get(model.name), (self._memory or {}).get(model.name, Memory())
        try:
            if known is None:
                raise Unsure("its past has not been read yet; ask again in a minute")
            envelope = envelope_of(model, known.cold_start, self._config.site.prices)
            if recent.heard is None or now - recent.heard > FRESH:
                return _unsure(model.name, "stale", _silent(recent), now)
            carried = known.carried_by(model)
            unit = carried.unit if carried else "requests"
            coming = known.forecast(recent, unit)
            present = seen(model, recent, about, unit, envelope)
            answer = load.desired(present, carried, coming, envelope, memory, now.timestamp())
            if answer is None:
                raise Unsure(UNKNOWN)
        except Unsure as why:
            return _unsure(model.name, "unsure", str(why), now)
        assert self._memory is not None
        self._memory[model.name] = answer.memory
        told = load.evidence(answer, carried, coming, envelope)
        told["envelope"]["cold_start_basis"] = known.cold_start.basis
        told["running"] = present.replicas
        told["running_basis"] = basis(model.name, recent, about)
        told["seen"] = {
            "rate": present.rate,
            "waiting": present.waiting,
            "kv": present.kv,
            "gpu": present.gpu,
            "tokens": present.tokens,
        }
        return ScalingDecision(
            ts=now, model=model.name, sure=True, running=present.replicas, replicas=answer.replicas,
            load_units=round(answer.load_units, 4), binding=answer.binding, said=answer.said, evidence=told,
        )  # fmt: skip

    def _recall(self) -> dict[str, Memory]:
        keys = {f"scaling/{name}": name for name in self._config.models}
        found = self._store.state(list(keys))
        return {
            keys[k]: Memory(v.get("decided"), tuple((t, n) for t, n in v.get("wanted", ()))) for k, v in found.items()
        }

    def _keep(self, rows: list[ScalingDecision | CapacityMatch | ChangeEvent], now: datetime) -> None:
        assert self._memory is not None
        decided = [r for r in rows if isinstance(r, ScalingDecision)]
        changed = {r.model for r in decided}
        due = {n for n in self._memory if n in changed or now - self._written.get(n, now - 2 * KEPT) >= KEPT}
        if not rows and not due:
            return
        with self._store.change() as tx:
            if rows:
                tx.insert(rows)
            tx.set_states({f"scaling/{n}": _plain(self._memory[n], self._reads.get(n)) for n in sorted(due)})
        self._written |= dict.fromkeys(due, now)
        for row in decided:
            _LOG.info(
                "event=scaling model=%s replicas=%s binding=%s said=%s", row.model, row.replicas, row.binding, row.said
            )

    def exposition(self) -> bytes:
        """The answers as gauges; a model without a sure and fresh answer has no sample."""
        from observe.app.scaling_gauges import exposed

        told = {name: answer for name in self._config.models if (answer := self.answer(name)) is not None}
        return exposed({n: a.decision for n, a in told.items() if n in self._answers}, self._reads)


def _plain(memory: Memory, read_at: datetime | None) -> Mapping[str, Any]:
    kept = {"decided": memory.decided, "wanted": [list(pair) for pair in memory.wanted]}
    return kept if read_at is None else {**kept, "read_at": read_at.isoformat()}


def _silent(recent: Minutes) -> str:
    since = "in the last 15 min" if recent.heard is None else f"since {recent.heard:%H:%M}"
    return f"neither model servers nor a gateway told of it {since}"


def _changed(before: ScalingDecision, after: ScalingDecision) -> bool:
    return (before.sure, before.replicas, before.binding, before.running) != (
        after.sure,
        after.replicas,
        after.binding,
        after.running,
    )


def _unsure(model: str, binding: str, said: str, now: datetime) -> ScalingDecision:
    return ScalingDecision(
        ts=now, model=model, sure=False, running=None, replicas=None, load_units=None, binding=binding, said=said, evidence={}
    )  # fmt: skip
