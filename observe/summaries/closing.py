"""Which windows have closed since the last tick, and what is written about them.

How far a source has come is kept under `summaries/<model>/<source>`; summaries, new binnings and
that mark are one transaction, so a kill neither skips nor repeats a window. A source that fails is
told and stays where it was; the others go on.

Source: our own; ARCHITECTURE section 3, Time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

from polars.exceptions import PolarsError

from observe.errors import ObserveError
from observe.schema import Binning, Json, Window
from observe.spec.performance import PERFORMANCE
from observe.summaries import features, trained
from observe.summaries.given import given
from observe.summaries.late import looked, recounted, waiting
from observe.summaries.matched import touched
from observe.summaries.pace import WHOLE, Pace, pieces
from observe.summaries.promises import SLO, Promises, sources
from observe.summaries.rates import rates
from observe.summaries.retries import judged
from observe.summaries.rows import FEATURE_S, Rows, Source, tables

if TYPE_CHECKING:
    import polars as pl

    from observe.spec.config import Config, Model

_PREFIX: Final = "summaries/"
_LOOK: Final = timedelta(seconds=10)  # how often a source without summaries is looked for
_DATA: Final = (ObserveError, PolarsError, ArithmeticError, LookupError, TypeError, ValueError)  # one source's rows


class Judged(Protocol):
    """Who knows up to when states have judged."""

    def judged_until(self) -> Mapping[str, datetime]:
        """Event time by key of the state."""
        ...


@dataclass(frozen=True, slots=True)
class Closed:
    """What one call of `close` did."""

    rows: int  # of table `summary`, written
    failures: Mapping[str, str]  # sources that could not be summarised, `<model>/<source>`, and why
    behind: frozenset[str] = frozenset()  # sources with windows left for the next call


@dataclass(frozen=True, slots=True)
class _Step:
    """One transaction of a source: rows of table `summary`, and how far it has come."""

    rows: int
    mark: Json


def close(store: Rows, config: Config, now: datetime, pace: Pace = WHOLE) -> Closed:
    """Summarise the windows that have closed since the last call; SLOs before drift, as seconds matter there.

    Args:
        store: where rows are read and summaries written.
        config: the models and what is watched about them.
        now: the present instant, aware UTC; a window is closed once its end + lateness has passed.
        pace: how much at once; what is left is for the next call.

    Returns:
        How many rows of table `summary` were written, and which sources failed; those are tried again next time.
    """
    known = tables(store)
    every = given(store, [s for model in config.models.values() for s in _sources(config, model, known)])
    marks = store.state([source.key for source in every])
    rows, failures, idle = 0, dict[str, str](), dict[str, Json]()
    left, behind, drifted = pace.steps, set[str](), False
    for whole in sorted(every, key=_turn):
        source = _bounded(store, whole, idle)
        if source is None:  # how far what it is made of goes is not known yet
            continue
        name, mark = source.key.removeprefix(_PREFIX), marks.get(source.key, {})
        try:
            made = _advance(store, source, mark, idle, now, replace(pace, steps=left))
        except _DATA as error:
            failures[name] = str(error) or repr(error)
            behind.add(name)
            continue
        rows += sum(step.rows for step in made)
        drifted = drifted or (bool(made) and source.name in trained.SOURCES)
        left = None if left is None else max(1, left - len(made))
        if made and (waiting(made[-1].mark) or datetime.fromisoformat(made[-1].mark["until"]) < source.closed(now)):
            behind.add(name)
    if drifted:
        trained.close(store, config, now)
    if idle:
        with store.change() as tx:
            for key, mark in idle.items():
                tx.set_state(key, mark, None)
    return Closed(rows, failures, frozenset(behind))


def _sources(config: Config, model: Model, known: Mapping[str, str]) -> list[Source]:
    return [s for s in sources(model, known, config.site.lateness_s, config.models) if s.exists]


def _turn(source: Source) -> int:
    """SLOs first, as seconds matter there; those made of others after these."""
    return 2 if not isinstance(source, Promises) else 1 if source.name == "slo-composite" else 0


def _bounded(store: Rows, source: Source, idle: Mapping[str, Json]) -> Source | None:
    """The source with how far what it is made of is known by now; None where that is not known at all."""
    if not isinstance(source, Promises) or not source.bounds:
        return source
    fresh = {key: idle[key] for key in source.bounds if key in idle}
    return source.bounded({**store.state(source.bounds), **fresh})


def _advance(store: Rows, source: Source, mark: Json, idle: dict[str, Json], now: datetime, pace: Pace) -> list[_Step]:
    """The transactions that were written; none where nothing has closed or nothing is known."""
    if "until" in mark:
        return list(_close(store, source, mark, None, now, pace))
    first = _look(store, source, mark, now, idle)
    return [] if first is None else list(_close(store, source, None, first, now, pace))


def closed_until(store: Judged) -> Mapping[str, datetime]:
    """Up to when each source is summarised, by `<model>/<source>`, sources being attempts, predictions and slo."""
    every = store.judged_until().items()
    return {key.removeprefix(_PREFIX): until for key, until in every if key.startswith(_PREFIX)}


def _look(store: Rows, source: Source, mark: Json, now: datetime, idle: dict[str, Json]) -> datetime | None:
    """Where a source without summaries begins; while it has no rows, `idle` gets how far that is known."""
    until, seen = source.closed(now), store.watermark()
    known = mark if mark.get("of") == source.params else {}  # another selection of rows is looked for from the start
    if seen is None or (
        known.get("none") == until.isoformat() and seen - datetime.fromisoformat(known["seen"]) < _LOOK
    ):
        return None
    first = _since(store, source, until, known) if known else _first(store, source, until)
    if first is None:
        idle[source.key] = {"none": until.isoformat(), "seen": seen.isoformat(), "of": source.params}
    return first


def _close(
    store: Rows, source: Source, mark: Json | None, begin: datetime | None, now: datetime, pace: Pace
) -> Iterator[_Step]:
    """The transactions, as they are written: windows that have closed, then those that are counted again."""
    until = source.closed(now)
    start = datetime.fromisoformat(mark["until"]) if mark else None
    closing = start is None or until > start
    seen, first = store.watermark(), start or begin
    if seen is None or first is None or not (closing or waiting(mark or {})):
        return
    kept: Json = dict(mark or {"until": first.isoformat(), "seen": seen.isoformat()})
    more = closing and "past" not in kept  # one past after the other
    old, new = _binnings(store, source, until if more else None, now)
    if start is not None and closing:
        kept = _kept(store, source, kept, new, Window(start, until), seen)
    made = 0
    for part in islice(pieces(source, [*old, *new], Window(first, until), pace), pace.steps):
        kept = {**kept, "until": part.end.isoformat()}
        yield _write(store, source, new, list(_summaries(store, source, [*old, *new], part)), kept)
        old, new, made = [*old, *new], [], made + 1
    for frames, moved in islice(recounted(store, source, old, kept, pace), pace.after(made)):
        yield _write(store, source, [], frames, moved)


def _due(start: datetime, until: datetime) -> bool:
    """Late rows are looked for whenever a multiple of five minutes was passed."""
    return start.timestamp() // FEATURE_S < until.timestamp() // FEATURE_S


def _kept(store: Rows, source: Source, mark: Json, new: Sequence[Binning], closing: Window, seen: datetime) -> Json:
    """`mark` with what is to be counted again: windows late rows fell into, and the past of features that became known."""
    if "late" not in mark and _due(closing.start, closing.end):
        mark = looked(store, source, mark, seen)
    begin = _first(store, source, closing.start) if new else None
    if begin is None:
        return mark
    told = {"features": [b.feature for b in new], "from": begin.isoformat(), "to": closing.start.isoformat()}
    return {**mark, "past": told}


def _first(store: Rows, source: Source, until: datetime) -> datetime | None:
    """Start of the first window with rows of this source."""
    sql = f"select min(ts) as ts from {source.relation} where {source.where} and ts < $until"
    return _window(source, store.read(sql, {**source.params, "until": until}).item())


def _since(store: Rows, source: Source, until: datetime, mark: Json) -> datetime | None:
    """The same, of a source that had none before `mark["none"]` when the store was known up to `mark["seen"]`."""
    none, seen = (datetime.fromisoformat(mark[name]) for name in ("none", "seen"))
    rows = f"select min(ts) as ts from {source.relation} where {source.where} and ts < $until and"
    params = {**source.params, "until": until}
    new = store.read(
        f"{rows} ts >= $none", {**params, "none": none}, source.reach(Window(min(none, until), until))
    ).item()
    if source.name == PERFORMANCE:
        late = next(iter(touched(store, source, {**params, "seen": seen})), None)
    else:
        late = store.read(f"{rows} ingested_at >= $seen", {**params, "seen": seen}).item()
    return _window(source, min((ts for ts in (new, late) if ts is not None), default=None))


def _window(source: Source, ts: datetime | None) -> datetime | None:
    """Start of the window of an instant."""
    if ts is None:
        return None
    return datetime.fromtimestamp(int(ts.timestamp()) // source.window_s * source.window_s, ts.tzinfo)


def _binnings(
    store: Rows, source: Source, until: datetime | None, now: datetime
) -> tuple[list[Binning], list[Binning]]:
    """Binnings that exist, and those that can be made now from rows before `until`; none without it."""
    wanted = features.columns(store, source)
    names = {c.feature for c in wanted}
    old = [
        b
        for b in features.made(store, source)
        if b.feature in names or (b.kind == "pair" and names >= {*(b.levels or ())})
    ]
    lacking = [c for c in wanted if c.feature not in {b.feature for b in old}]
    period = features.reference(store, source, until, lacking) if lacking and until is not None else None
    if period is None:
        return old, []
    new = features.bin_features(store, source, lacking, period, now)
    return old, [*new, *features.bin_pairs(store, source, [*old, *new], period, now)] if new else []


def _summaries(store: Rows, source: Source, binnings: Sequence[Binning], span: Window) -> Iterator[pl.DataFrame]:
    if isinstance(source, Promises) and source.name == SLO:
        yield judged(store, source, span)
    elif isinstance(source, Promises) or source.name == "attempts":
        yield rates(store, source, span, span.end)
    yield from features.summarise(store, source, binnings, span)


def _write(store: Rows, source: Source, new: Sequence[Binning], frames: Sequence[pl.DataFrame], mark: Json) -> _Step:
    import polars as pl

    rows = pl.concat([f for f in frames if f.height], how="vertical") if any(f.height for f in frames) else None
    with store.change() as tx:
        if new:
            tx.insert(list(new))
        if rows is not None:
            tx.insert_frame("summary", rows)
        tx.set_state(source.key, mark, datetime.fromisoformat(mark["until"]))
    return _Step(rows.height if rows is not None else 0, mark)
