"""Stored summaries as something that can be judged again: one model at a time, read piece by piece.

The store is asked by SQL, so that it may be a stopped directory or a running service; nothing is written.
Bins are those the summaries were counted with; noise, seasons and thresholds are learnt anew from the
first part of what is read.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from observe.app.backtest import MONTH_S, Backtest, summed
from observe.app.backtest_plan import DAY_S, FIT, HOUR_S, Ints, Options, Plan, refuse_short, refuse_sparse
from observe.app.backtest_streams import alarms_allowed, sides
from observe.app.backtest_walk import Moved, Past, Read, walk
from observe.app.referenced import referenced
from observe.errors import UsageError
from observe.schema import Binning, Monitor, Window
from observe.schema.exchange import nouns
from observe.spec import Config, Site
from observe.spec.budget import threshold_nats
from observe.spec.config import Model
from observe.spec.drift import Drift
from observe.spec.monitoring import Metadata, Monitoring
from observe.spec.monitors import derive
from observe.spec.nearest import did_you_mean

if TYPE_CHECKING:
    from observe.store import Store

Ask = Callable[[str], pl.DataFrame]  # the answer to one SELECT over the store's views

_SLOW: Final = ("level", "rate")
_ROWS: Final = 8_000  # summaries of one question: 16 MB
_COLUMNS: Final = (
    "ts, window_s, measure, model, binning_id, n, events, counts, missing, nan, inf, zero, low, high, value_sum, late"
)


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store holds about one model's drift, as it would be asked today."""

    model: str
    monitors: tuple[Monitor, ...]
    binnings: Mapping[str, Binning]  # by id
    span: Window  # of its summaries, whole hours


@dataclass(frozen=True)
class _Asked:
    """Looks like a store to those who only read."""

    ask: Ask

    def read(self, sql: str) -> pl.DataFrame:
        return self.ask(sql)


def models(ask: Ask, config: Config | None, name: str | None) -> list[Stored]:
    """The models whose summaries can be judged.

    Args:
        ask: how the store is asked.
        config: what is watched; None takes the defaults for every feature that has bins.
        name: one model; None takes all.

    Raises:
        UsageError: there is none, or not this one.
    """
    kinds, levels = referenced(_like_a_store(ask))
    if name is not None and name not in kinds:
        raise UsageError(
            f"nothing is summarised of a model {name!r}; {did_you_mean(name, kinds) or 'the store holds no bins yet'}"
        )
    if not kinds:
        raise UsageError("nothing is summarised yet: a model needs 10,000 rows and a day before it has bins")
    binnings = nouns(
        Binning, ask("select * from binning where source_table in ('attempts', 'predictions') order by binning_id")
    )
    asked = [m for m in derive(config or _default(binnings), kinds, None, levels) if m.detector in _SLOW]
    spans = _spans(ask)
    found = []
    for model in sorted(kinds if name is None else [name]):
        mine = tuple(m for m in asked if m.model == model and m.measure in spans)
        if mine:
            ends = [spans[m.measure] for m in mine]
            span = Window(_hour(min(s for s, _ in ends)), _hour(max(e for _, e in ends)))
            found.append(Stored(model, mine, {b.binning_id: b for b in binnings if b.model == model}, span))
    if not found:
        raise UsageError(
            f"the configuration watches no drift of {'any model' if name is None else f'model {name!r}'}; add drift: to its Monitoring"
        )
    return found


def _like_a_store(ask: Ask) -> Store:
    return _Asked(ask)  # type: ignore[return-value]


def _default(binnings: Collection[Binning]) -> Config:
    """Every feature that has bins, watched as the defaults have it."""
    sources = {b.model: b.source_table for b in binnings}
    watched = {
        m: Model(m, monitoring=Monitoring(metadata=Metadata(name=m), drift=Drift.model_validate({"source": s})))
        for m, s in sources.items()
    }
    return Config(Site(), watched)


def _spans(ask: Ask) -> dict[str, tuple[datetime, datetime]]:
    rows = ask(
        "select measure, min(ts) as a, max(ts) as z, max(window_s) as w from summary where not late group by measure order by measure"
    )
    return {measure: (first, last + timedelta(seconds=w)) for measure, first, last, w in rows.iter_rows()}


def _hour(at: datetime) -> datetime:
    return datetime.fromtimestamp(int(at.timestamp()) // HOUR_S * HOUR_S, UTC)


def backtest(
    ask: Ask,
    stored: Stored,
    options: Options,
    since_s: float | None = None,
    config: Config | None = None,
    moved: Moved = lambda share: None,
) -> tuple[Backtest, Past]:
    """Judge what is stored of one model; the result, and the past as it was judged.

    Args:
        ask: how the store is asked.
        stored: the model.
        options: what to fit on; budget and smallest effect where they are not the configuration's.
        since_s: how far back from the newest summary; all when None.
        config: for changes that were announced.
        moved: told the share of the work just done.

    Raises:
        UsageError: the history is too short.
    """
    span = stored.span
    if since_s is not None:
        span = Window(max(span.start, _hour(span.end - timedelta(seconds=since_s))), span.end)
    fit_s = options.fit_s if options.fit_s is not None else float(FIT * DAY_S)
    refuse_short(fit_s, HOUR_S, int(span.length.total_seconds()), ("stored history", options.fit_s is not None))
    split = _hour(span.start + timedelta(seconds=fit_s))
    monitors = _with(stored.monitors, options)
    starts = _with_rows(ask, monitors, span)
    refuse_sparse(starts, int(split.timestamp()), (fit_s, HOUR_S, options.fit_s is not None))
    kinds = {
        m.feature: str(m.params.get("kind", "rate")) for m in sorted(monitors, key=lambda m: m.detector, reverse=True)
    }
    filled = int((starts >= int(split.timestamp())).sum())
    plan = Plan(pl.DataFrame(), kinds, HOUR_S, "rows", Window(span.start, split), Window(split, span.end), filled)
    past = Past(monitors, stored.binnings, reader(ask, span), _expected(config))
    accept = timedelta(seconds=options.accept_s) if options.accept_s is not None else None
    trails = walk(past, plan.judged, accept, moved)
    return summed(plan, monitors, alarms_allowed(monitors, MONTH_S), trails.values(), past), past


def _with_rows(ask: Ask, monitors: Sequence[Monitor], span: Window) -> Ints:
    """Starts of the hours with rows, epoch s, ascending."""
    named = ", ".join(literal(m) for m in sorted({m.measure for m in monitors}))
    rows = ask(
        f"select distinct cast(floor(epoch(ts) / {HOUR_S}) as bigint) * {HOUR_S} as at from summary where measure in ({named}) and ts >= {instant(span.start)}"
        f" and ts < {instant(span.end)} and not late and n + missing + nan + inf > 0 order by 1"
    )
    return rows["at"].cast(pl.Int64).to_numpy()


def _with(monitors: Sequence[Monitor], options: Options) -> tuple[Monitor, ...]:
    """The monitors with another budget or smallest effect, where one was given."""
    found = list(monitors)
    if options.given_effect is not None:
        effect = options.given_effect
        fits = [
            m.detector == "level"
            and not m.params.get("fast")
            and (effect.unit == "pp") == (m.params.get("kind") == "categorical")
            for m in found
        ]
        found = [
            replace(m, min_effect=effect.value, unit=effect.unit) if fit else m
            for m, fit in zip(found, fits, strict=True)
        ]
    if options.given_budget is not None:
        budget, total = options.given_budget, sum(m.share for m in found)
        found = [
            replace(
                m, threshold_nats=threshold_nats(budget.period_s / m.window_s, budget.count, m.share / total / sides(m))
            )
            for m in found
        ]
    return tuple(found)


def _expected(config: Config | None) -> dict[str, tuple[Window, ...]]:
    """Announced changes by model."""
    watched = {
        n: m.monitoring.drift
        for n, m in (config.models if config else {}).items()
        if m.monitoring and m.monitoring.drift
    }
    return {
        n: tuple(Window(c.start, c.end) for c in d.expected_changes) for n, d in watched.items() if d.expected_changes
    }


def reader(ask: Ask, span: Window) -> Read:
    """Reads summaries, a bounded number at a time; nothing of before `span`."""

    def read(measures: Sequence[str], wanted: Window) -> pl.DataFrame:
        start, parts = max(wanted.start, span.start), []
        length = timedelta(seconds=max(HOUR_S, _ROWS // max(1, len(measures)) * 300))
        named = ", ".join(literal(m) for m in measures)
        while start < wanted.end:
            end = min(start + length, wanted.end)
            parts.append(ask(
                f"select {_COLUMNS} from summary where measure in ({named}) and ts >= {instant(start)} and ts < {instant(end)}"
                " and not late order by measure, ts"
            ))  # fmt: skip
            start = end
        if not parts:
            return ask(f"select {_COLUMNS} from summary limit 0")
        return pl.concat(parts).sort("measure", "ts", maintain_order=True)

    return read


def literal(text: str) -> str:
    """Text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def instant(at: datetime) -> str:
    """An instant as an SQL literal."""
    return f"timestamptz '{at.isoformat()}'"


def merged(answers: Mapping[str, Any]) -> Any:
    """One answer as it is, several by model."""
    return next(iter(answers.values())) if len(answers) == 1 else {"models": dict(answers)}
