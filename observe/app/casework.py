"""What is read around an incident: its onset, changes, series, logs, requests, and incidents of the past.

Everything is bounded: at most `_REQUESTS` sampled requests of `_SCANNED` tries and `_EVENTS` events. Nothing is judged here; `alerts.explaining` does that.

Source: our own; docs/incidents.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from alerts import clues, series, steps
from alerts.clues import Clue
from alerts.differing import Count, Totals
from alerts.explaining import model_of
from alerts.weighing import Scene
from alerts.wording import clusters
from observe.app import casework_sql as sql
from observe.app.casework_series import MINUTE, PAST, Grid, Measuring
from observe.schema import Alert, ChangeEvent, Finding, Incident, Window
from observe.schema.exchange import nouns

if TYPE_CHECKING:
    from observe.spec import Config
    from observe.spec.slos import Slo
    from observe.store import Store

NEAR: Final = timedelta(hours=3)  # before an incident: changes that are looked at one by one
AFTER: Final = timedelta(hours=1)  # after its onset: requests and minutes that count
BEFORE: Final = timedelta(hours=2)  # before it: requests that tell what always was so
_VAGUE: Final = timedelta(minutes=5)  # how well an onset is known that nobody gave an interval
_SCAN: Final = timedelta(minutes=30)  # around the detector's onset, in which the minutes' own is looked for
_EVENTS: Final = 20_000
_REQUESTS: Final = 60_000
_SCANNED: Final = 1_000_000  # tries that are read for them; of more traffic a shorter time is compared
_SHORTEST: Final = timedelta(minutes=10)


class Casework:
    """Reads cases out of a store."""

    def __init__(self, config: Config, store: Store) -> None:
        self._config, self._store, self._measuring = config, store, Measuring(store)

    # --- when and where -----------------------------------------------------------------------------

    def scene(self, incident: Incident, alerts: Sequence[Alert], now: datetime) -> Scene:
        """When the incident began, and which clusters, nodes and GPUs it is about or its model's servers run on."""
        found = self._findings(alerts)
        low, onset, high = self._onset(incident, found, now)
        model = model_of(incident)
        if not model:
            return Scene(model, low, onset, high, *(_named(found, name) for name in ("cluster", "node", "device")))
        nodes, devices = self._hardware(model, Window(onset - NEAR, min(now, onset + AFTER)))
        return Scene(model, low, onset, high, frozenset(clusters(model, self._config)), nodes, devices)

    def _onset(
        self, incident: Incident, found: Sequence[Finding], now: datetime
    ) -> tuple[datetime, datetime, datetime]:
        best = max(found, key=lambda f: (f.evidence_nats or 0.0, f.finding_id), default=None)
        onset = incident.since if best is None or best.onset is None else best.onset
        low = best.onset_low if best is not None and best.onset_low else onset - _VAGUE
        high = best.onset_high if best is not None and best.onset_high else onset + _VAGUE
        if best is None or best.kind != "slo":
            return min(low, onset), onset, max(high, onset)
        return self._by_minutes(best, (low, onset, high), incident, now)

    def _findings(self, alerts: Sequence[Alert]) -> list[Finding]:
        monitors = sorted({a.key for a in alerts})
        since = min((a.starts_at for a in alerts), default=None)
        if since is None:
            return []
        return nouns(
            Finding, self._store.read(sql.FINDINGS, {"monitors": monitors, "since": since - timedelta(minutes=10)})
        )

    def _by_minutes(
        self, finding: Finding, told: tuple[datetime, datetime, datetime], incident: Incident, now: datetime
    ) -> tuple[datetime, datetime, datetime]:
        """The onset of a burn, from the bad requests of each minute."""
        start = _floor(told[0] - timedelta(hours=6))
        end = min(now, told[2] + AFTER)
        params = {"measure": f"{finding.model}/slo/{finding.subject}", "from": start, "to": end}
        rows = self._store.read(sql.RATE, params, Window(start, end))
        if rows.is_empty():
            return told
        newest: datetime = rows["ts"][-1]
        grid = Grid(start, newest + MINUTE, 0)
        low, high = (int((t - start) / MINUTE) for t in (told[0] - _SCAN, min(told[2] + _SCAN, incident.opened_at)))
        best, first, last = steps.of_rate(grid.minutes(rows, "bad", 0.0), grid.minutes(rows, "n", 0.0), low, high)
        return start + first * MINUTE, start + best * MINUTE, start + (last + 1) * MINUTE

    def _hardware(self, model: str, window: Window) -> tuple[frozenset[str], frozenset[str]]:
        """Nodes and GPUs on which servers of a model run, as far as samples name its pods."""
        rows = self._store.read(sql.HARDWARE, {"model": model, "from": window.start, "to": window.end}, window)
        return frozenset(rows["node"].drop_nulls().to_list()), frozenset(rows["device_id"].drop_nulls().to_list())

    # --- clues ----------------------------------------------------------------------------------------

    def clues(self, scene: Scene, now: datetime) -> list[Clue]:
        """Everything that changed near the incident."""
        start = _floor(scene.onset - PAST)
        grid = Grid(start, min(now, scene.high + AFTER), int((scene.onset - start) / MINUTE))
        found = [*self._changes(scene, now), *self._drifts(scene, now)]
        for one in self._measuring.near(scene, grid):
            clue = series.clue(one, grid.start, grid.onset)
            found += [clue] if clue is not None else []
        return found

    def _changes(self, scene: Scene, now: datetime) -> list[Clue]:
        begin, until = scene.low - NEAR, min(now, scene.high + timedelta(minutes=steps.AFTER))
        params = {"from": begin - clues.PAST, "to": until, "model": scene.model, "most": _EVENTS}
        rows: list[ChangeEvent] = nouns(ChangeEvent, self._store.read(sql.CHANGES, params))
        near = clues.of_changes([c for c in rows if c.ts >= begin])
        past = clues.of_changes([c for c in rows if c.ts < begin])
        return clues.rated(near, past, self._known_days(begin), scene.model)

    def _known_days(self, until: datetime) -> float:
        """How much of the last fourteen days is known at all."""
        first = self._store.read(sql.FIRST, {"from": until - clues.PAST, "to": until}).item()
        return (until - first).total_seconds() / 86_400 if first is not None else 1.0

    def _drifts(self, scene: Scene, now: datetime) -> list[Clue]:
        params = {"model": scene.model, "from": scene.low - timedelta(days=1), "to": now}
        rows = nouns(Finding, self._store.read(sql.DRIFTS, params))
        found = [c for c in clues.of_findings(rows, scene.model) if c.low <= scene.high]
        past = self._store.read(
            sql.DRIFTS_BEFORE, {"model": scene.model, "from": scene.low - clues.PAST, "to": scene.low}
        ).item()
        return [_often(c, past / 14) for c in found]

    # --- who ------------------------------------------------------------------------------------------

    def counts(self, slo: Slo | None, scene: Scene, now: datetime) -> tuple[tuple[Count, ...], Totals]:
        """Bad and good requests by every value of every dimension, since the onset and before it."""
        bad = bad_sql(slo) if slo is not None else None
        if bad is None:
            return (), Totals()
        window, n = self._compared(scene, Window(scene.low - BEFORE, min(now, scene.onset + AFTER)))
        declared = list(clusters(scene.model, self._config))
        every = max(1, -(-n // _REQUESTS))
        span = {"model": scene.model, "from": window.start, "to": window.end}
        params = {**span, "low": scene.low, "onset": scene.onset, "every": every, "clusters": declared}
        rows = self._store.read(sql.differs(*bad), params, window)
        total = rows.filter(pl.col("dimension") == "")
        named = rows.filter(pl.col("dimension") != "")
        sums = ("bad", "good", "bad_before", "good_before")
        totals = Totals(*(int(total[c][0] or 0) for c in sums)) if total.height else Totals()
        return tuple(_count(r) for r in named.iter_rows(named=True)), totals

    def _compared(self, scene: Scene, window: Window) -> tuple[Window, int]:
        """The time whose requests are compared, and how many tries it holds."""
        span = {"model": scene.model, "from": window.start, "to": window.end}
        n: int = self._store.read(sql.SIZE, span, window).item() or 0
        if n <= _SCANNED:
            return window, n
        part = _SCANNED / n
        start = scene.low - max(_SHORTEST, (scene.low - window.start) * part)
        end = scene.onset + max(_SHORTEST, (window.end - scene.onset) * part)
        return Window(start, min(window.end, end)), _SCANNED


def _count(row: Mapping[str, Any]) -> Count:
    return Count(
        row["dimension"], row["value"], row["bad"], row["good"], row["bad_before"], row["good_before"], row["same"]
    )


def bad_sql(slo: Slo) -> tuple[str, str] | None:
    """SQL over `request` that is true for bad requests of an SLO, and for those that count; None where no row tells."""
    if slo.kind == "good" and slo.good_sql:
        good = asked = slo.good_sql
    elif slo.kind == "latency" and slo.column and slo.threshold_s is not None:
        asked = '"' + slo.column.replace('"', '""') + '"'
        good = f"{asked} <= {slo.threshold_s!r}"
    else:
        return None
    about = "" if slo.total is None else f"({slo.total.sql}) and "
    return f"(status = 'error' or not ({good}))", f"({about}(status = 'error' or ({asked}) is not null))"


def _floor(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def _often(clue: Clue, counted: float) -> Clue:
    return replace(clue, per_day=counted + clue.per_day)


def _named(found: Sequence[Finding], name: str) -> frozenset[str]:
    """What findings of hardware are about."""
    return frozenset(str(f.details[name]).strip("?") for f in found if f.details.get(name)) - {""}


def places_of(found: Iterable[Count]) -> frozenset[str]:
    """Clusters in which requests were served."""
    return frozenset(c.value for c in found if c.dimension == "cluster" and c.bad + c.good + c.good_before)
