"""Is a source silent for longer than it ever is?

A target may be silent for three of its intervals, or for as long as it usually is: the largest age
of its newest row is kept for each of the last 48 hours, and 1.5 times their 90 % quantile is allowed
once six hours are known. Hours in which it was silent too long teach nothing, nor does the silence that
lasts. A collector is as well
as its worst target, which the finding names.

Sources that push have one row without a target. One that has never sent anything is `unknown`:
nobody has connected it yet. One that speaks by day only is given an `every` that spans its night.
Where each sender is known by name it has a row of its own beside it (`sender`): it may be silent for
three intervals, is told while the source as a whole is heard, and is no longer expected when it was
silent for a day or its node was taken out. Of what nobody declared (`lapses_s`) nothing is expected
any more after that long.

Where a time is declared (`allowed_s`: the data of an SLO) nothing is learned: so long it may be silent.

Files come when a job has run, and say nothing of a rhythm before they have come three times in
different hours; theirs is learned from whole pauses alone, also from those that were too long.

The frame `last_seen` has one row per (collector, target): `collector`; `target`, the address that is
pulled, "" for what is pushed and for files; `every_s`; `last_ts`, the newest pull that succeeded, for
what is pushed and for files the newest time rows were stored, None for never; `now`. Where they are
known: `sender`, whether it is one of those behind a pushed source; `removed_ts`, when its node was taken
out; `since`, from when on anybody listened: before that nobody could be heard.
The state of a monitor is `{"targets": {target: memory}, "senders": [those that are silent]}`.

Source: our own; a counted fact, not a test.
Assumes: the source is meant to speak all the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any, Final

from detectors.identity import finding_id
from observe.schema import Detected, Evidence, Finding, Json, Monitor, Window

INTERVALS: Final = 3.0  # silent intervals that are always allowed
USUAL: Final = 1.5  # times the usual silence
_HOURS: Final = 48
_FEWEST: Final = 6  # hours before the usual silence is believed
_PAUSES: Final = 2  # pauses between files, in different hours, before they are judged
_EVERY: Final = 5  # minutes between findings of an unchanged state
_NAMED: Final = 20  # silent targets or senders listed in a finding
GONE_S: Final = 86_400.0  # a sender that was silent for so long is no longer expected


@dataclass(frozen=True, slots=True)
class _Judged:
    """One target now: how long it has been silent, and how long it may be (s; None: not known)."""

    target: str
    every: float
    last: datetime | None
    age: float
    allowed: float | None
    memory: Mapping[str, Any]
    sender: bool = False

    @property
    def silent(self) -> bool:
        return self.allowed is not None and self.age > self.allowed

    @property
    def badness(self) -> tuple[bool, bool, float]:
        """Sorts targets: silent ones last, those that have spoken after those that have not."""
        return self.silent, self.last is not None, self.age / self.allowed if self.allowed else 0.0


def since(monitor: Monitor, state: Json, window: Window) -> datetime:
    """Nothing of the past is wanted: the state holds it."""
    return window.start


def detect(evidence: Evidence) -> Detected:
    """Judge every source now.

    Args:
        evidence: frame `last_seen`, see above; a monitor's `feature` is the collector it asks about, its
            `params` say whether that one pushes (`push`) and has but its own `rhythm`.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in evidence.frames["last_seen"].iter_rows(named=True):
        rows.setdefault(row["collector"], []).append(row)
    findings: list[Finding] = []
    state: dict[str, Json] = {}
    for monitor in evidence.monitors:
        before = evidence.state.get(monitor.monitor_id, {})
        mine = rows.get(monitor.feature)
        if not mine:
            state[monitor.monitor_id] = before
            continue
        known, quiet = before.get("targets", {}), before.get("senders", ())
        judged = [_judge(monitor, row, known.get(row.get("target") or "", {})) for row in mine if not row.get("sender")]
        senders = [_sender(row, quiet) for row in mine if row.get("sender") and not _is_gone(row)]
        told = _Told(judged, senders, sorted(row["target"] for row in mine if row.get("sender") and _is_gone(row)))
        silent = sorted(s.target for s in senders if s.silent)
        memory: Json = {"targets": {j.target: j.memory for j in judged}}
        state[monitor.monitor_id] = {**memory, "senders": silent} if silent else memory
        was = {target for target, memory in known.items() if memory["silent"]} | set(quiet)
        changed = not known or was != {j.target for j in (*judged, *senders) if j.silent}
        if changed or _minute(evidence.window.end) % _EVERY == 0:
            findings.append(_finding(monitor, told, mine[0]["now"], evidence.window))
    return Detected(tuple(findings), state)


@dataclass(frozen=True, slots=True)
class _Told:
    """What is known of a source now."""

    judged: Sequence[_Judged]  # its targets, or itself
    senders: Sequence[_Judged]  # those behind it that are expected
    gone: Sequence[str]  # those that are not expected any more

    @property
    def worst(self) -> _Judged:
        """Whoever speaks for all: a sender only while the source itself is heard."""
        silent = [s for s in self.senders if s.silent]
        return max(self.judged if not silent or any(j.silent for j in self.judged) else silent, key=lambda j: j.badness)


def _minute(at: datetime) -> int:
    return int(at.timestamp()) // 60


def _judge(monitor: Monitor, row: Mapping[str, Any], before: Json) -> _Judged:
    now, last = row["now"], row["last_ts"]
    asked = before.get("asked") or now.isoformat()
    age = _age(row, last or datetime.fromisoformat(asked), known_silent=bool(before.get("silent")))
    every, rhythm = float(row["every_s"]), bool(monitor.params.get("rhythm"))
    hours = dict(before.get("hours", {}))
    pause = _pause(now, last, before) if rhythm else None
    if pause is not None:
        hours = _learned(hours, now, pause)
    unjudged = (rhythm and len(hours) < _PAUSES) or (last is None and monitor.params.get("push"))
    unjudged = unjudged or _has_lapsed(monitor, age)
    declared: float | None = monitor.params.get("allowed_s")
    usual = hours if rhythm else _before(hours, last)
    allowed = None if unjudged else declared or _allowed(every, usual, _PAUSES if rhythm else _FEWEST)
    silent = allowed is not None and age > allowed
    if not rhythm and not silent and last is not None and declared is None:
        hours = _learned(hours, now, age)
    memory = {"asked": asked, "silent": silent, "hours": hours, "last": last.isoformat() if last else None}
    return _Judged(row.get("target") or "", every, last, age, allowed, memory)


def _sender(row: Mapping[str, Any], quiet: Sequence[str]) -> _Judged:
    """One of those behind a pushed source: it has no rhythm but the source's."""
    every, name, last = float(row["every_s"]), row["target"], row["last_ts"]
    age = _age(row, last, known_silent=name in quiet)
    return _Judged(name, every, last, age, INTERVALS * every, {}, sender=True)


def _is_gone(row: Mapping[str, Any]) -> bool:
    """Whether a sender is not expected any more."""
    removed, last = row.get("removed_ts"), row["last_ts"]
    drained = removed is not None and (last - removed).total_seconds() <= INTERVALS * row["every_s"]
    return bool(drained or (row["now"] - last).total_seconds() > GONE_S)


def _has_lapsed(monitor: Monitor, age: float) -> bool:
    lapses: float | None = monitor.params.get("lapses_s")
    return lapses is not None and age > lapses


def _age(row: Mapping[str, Any], last: datetime, *, known_silent: bool) -> float:
    """How long nothing was heard that could have been, s; a silence that is told goes on while nobody listens."""
    since = row.get("since")
    began = max(last, since) if since is not None and not known_silent else last
    age: float = (row["now"] - began).total_seconds()
    return max(0.0, age)


def _pause(now: datetime, last: datetime | None, before: Json) -> float | None:
    """How long a silence lasted that has just ended, s; None where none has."""
    heard = before.get("last")
    if heard is None or last is None or last <= datetime.fromisoformat(heard):
        return None
    return (now - datetime.fromisoformat(heard)).total_seconds()


def _learned(hours: Mapping[str, float], now: datetime, silence: float) -> dict[str, float]:
    """The largest silence of each of the last hours that had one, with this one."""
    hour = str(_minute(now) // 60)
    grown = {**hours, hour: max(hours.get(hour, 0.0), silence)}
    return {h: grown[h] for h in sorted(grown, key=int)[-_HOURS:]}


def _before(hours: Mapping[str, float], last: datetime | None) -> Mapping[str, float]:
    """The hours before the silence that lasts now: it must not teach how long it may be."""
    return hours if last is None else {h: silence for h, silence in hours.items() if int(h) < _minute(last) // 60}


def _allowed(every: float, hours: Mapping[str, float], fewest: int) -> float:
    """How long a target may be silent, s."""
    silences = sorted(hours.values())
    usual = USUAL * silences[ceil(0.9 * (len(silences) - 1))] if len(silences) >= fewest else 0.0
    return max(INTERVALS * every, usual)


def _finding(monitor: Monitor, told: _Told, now: datetime, window: Window) -> Finding:
    worst, judged = told.worst, told.judged
    onset: datetime | None = None
    if worst.silent:
        onset = now - timedelta(seconds=worst.age) + timedelta(seconds=0 if worst.last is None else worst.every)
    details: dict[str, Any] = {
        "last_ts": worst.last.astimezone(UTC).isoformat() if worst.last else None, "allowed_s": worst.allowed, "every_s": worst.every,
        "target": worst.target, "targets": len(judged), "silent_targets": [j.target for j in judged if j.silent][:_NAMED],
    }  # fmt: skip
    if told.senders or told.gone:
        silent = [s.target for s in told.senders if s.silent]
        details |= {"senders": len(told.senders), "silent_senders": silent[:_NAMED], "gone_senders": told.gone[:_NAMED]}
    return Finding(
        finding_id=finding_id(monitor.monitor_id, window.end), monitor_id=monitor.monitor_id, detector="silence",
        model=monitor.model, kind="silence", subject=monitor.feature, window_start=window.end - timedelta(seconds=monitor.window_s),
        window_end=window.end, state=_state(worst, monitor), severity=monitor.severity,
        evidence_nats=None, threshold_nats=None, effect=worst.age, unit="s", ci_low=None, ci_high=None, onset=onset,
        onset_low=onset, onset_high=now if worst.silent else None, n=None, note=_note(monitor, worst, told),
        details=details, made_at=window.end,
    )  # fmt: skip


def _state(worst: _Judged, monitor: Monitor) -> Any:
    if worst.silent:
        return "alarm"
    if worst.last is None:
        return "unknown" if monitor.params.get("push") else "learning"
    return "ok" if worst.allowed is not None else "learning"


def _note(monitor: Monitor, worst: _Judged, told: _Told) -> str:
    name = f"{monitor.feature}: {worst.target}" if worst.target else monitor.feature
    if "allowed_s" in monitor.params:
        return _declared_note(name, worst)
    if worst.last is None and monitor.params.get("push"):
        return f"{name} has never sent anything: nobody has connected it yet"
    if worst.silent:
        said = f"has been silent for {_span(worst.age)} (usual: below {_span(worst.allowed or 0.0)})"
        return f"{name} {'has never been heard' if worst.last is None else said}{_others(worst, told)}"
    if worst.last is None:
        return f"{name} has not been heard yet"
    if _has_lapsed(monitor, worst.age):
        lapsed = "it is declared nowhere, so nothing is expected of it any more"
        return f"{name} has sent nothing for {_span(worst.age)}: {lapsed}"
    left = (
        f"; {len(told.gone)} of its senders went silent or were taken out: not expected any more" if told.gone else ""
    )
    return f"{name} was heard {_span(worst.age)} ago{left}"


def _declared_note(name: str, worst: _Judged) -> str:
    """Of what may be silent for as long as somebody declared."""
    if worst.last is None:
        return f"{name} has had no data yet"
    if worst.silent:
        return f"{name} has had no data for {_span(worst.age)} (declared: {_span(worst.allowed or 0.0)}); nobody knows how it is"
    return f"{name} had data {_span(worst.age)} ago"


def _others(worst: _Judged, told: _Told) -> str:
    """How many are silent beside the one that speaks for all."""
    among, called = (told.senders, "senders") if worst.sender else (told.judged, "targets")
    silent = sum(j.silent for j in among)
    return f"; {silent} of {len(among)} {called} are silent" if silent > 1 else ""


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
