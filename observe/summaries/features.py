"""Features of a model: their columns, the binnings they are counted with, and the counting scan.

A binning is made once, from the first max(24 h, 10,000 rows), or from the first 14 days where that
much history has come; where `reference.last` asks for it and there is as much, from so long until a week
before the newest row. It never changes. Numeric features get K = 256 bins of equal mass (one bin a
value where there are fewer), categorical ones their 50 most frequent levels and one for the others.

Source: our own; ARCHITECTURE section 3 (Binnings and references), METHODS section 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from observe.schema import Binning, Window
from observe.summaries import labelled
from observe.summaries.rows import ATTEMPT_FEATURES, Rows, Source, quoted

if TYPE_CHECKING:
    import polars as pl

K: Final = 256  # numeric bins; METHODS section 2
LEVELS: Final = 50  # categorical bins beside "other"
FIRST: Final = timedelta(hours=24)
FIRST_ROWS: Final = 10_000
PINNED: Final = timedelta(days=14)  # a reference this long is preferred once it exists
RESTED: Final = timedelta(days=7)  # of the newest rows, that what begins to drift is no reference
_SAMPLE: Final = 400_000  # rows quantiles are taken from at most
_CHUNK_ROWS: Final = 262_144  # rows read at a time
_PAIR_ROWS: Final = 50_000  # the first ones of the reference say which pairs correlate
_HOUR: Final = timedelta(hours=1)
_CHUNK_CELLS: Final = 4_000_000  # bins of all windows and features of one read, at most
_ANSWERS: Final = {"score": "numeric", "latency_s": "numeric", "prediction": "categorical"}  # watched when listed
_OK: Final = {"attempts": " and status = 'ok'"}  # what failed has no tokens and no answer


@dataclass(frozen=True, slots=True)
class Column:
    """One feature and where it is found."""

    feature: str
    column: str
    kind: str  # numeric | categorical
    like: str = ""  # the feature of labelled rows whose bins it shares


def columns(store: Rows, source: Source) -> tuple[Column, ...]:
    """The features watched: those that Monitoring lists, else those that arrive; unknown ones are left out."""
    if source.name in labelled.OWN:
        return _performance(source)
    drift = source.model.monitoring.drift if source.model.monitoring else None
    if drift is None or drift.source != source.name:
        return ()
    known = _known(store, source)
    if not drift.features:
        listed = ATTEMPT_FEATURES if source.name == "attempts" else known
        return tuple(known[f] for f in listed if f in known)
    if source.name == "predictions":
        known = {**{name: Column(name, name, kind) for name, kind in _ANSWERS.items()}, **known}
    found = [(f, known[f.name]) for f in drift.features if f.name in known]
    return tuple(Column(c.feature, c.column, f.kind or c.kind) for f, c in found)


def _performance(source: Source) -> tuple[Column, ...]:
    """What is counted of predictions with labels, or of all of them before labels come."""
    said = source.model.monitoring.performance if source.model.monitoring else None
    if said is None:
        return ()
    if source.name == labelled.OWN[0]:
        names = labelled.features(said, source.given)
    else:  # without its column there is nothing to estimate from
        names = (labelled.SCORE,) if source.given is None or said.score in source.given else ()
    return tuple(Column(name, name, labelled.kind(name), labelled.like(source.name, name)) for name in names)


def _known(store: Rows, source: Source) -> Mapping[str, Column]:
    if source.name == "attempts":
        from observe.spec.drift import attempt_features

        return {name: Column(name, name, kind) for name, kind in attempt_features().items()}
    rows = store.read(
        "select feature, column_name, type from core.feature_column where model = $model order by feature",
        {"model": source.model.name},
    )
    kinds = {"DOUBLE": "numeric", "BIGINT": "numeric"}
    return {f: Column(f, c, kinds.get(t, "categorical")) for f, c, t in rows.iter_rows()}


def made(store: Rows, source: Source) -> tuple[Binning, ...]:
    """The newest binning of every feature of a source that has one."""
    from observe.schema.exchange import nouns

    rows = store.read(
        "select * from binning where model = $model and source_table = $source"
        " qualify row_number() over (partition by feature order by version desc) = 1 order by feature",
        {"model": source.model.name, "source": source.name},
    )
    return tuple(nouns(Binning, rows))


def reference(store: Rows, source: Source, until: datetime, lacking: Sequence[Column] = ()) -> Window | None:
    """The period new binnings are made from, of features that are `lacking`; None while there is too little history."""
    drift = source.model.monitoring.drift if source.model.monitoring else None
    given = drift.reference if drift else None
    if given is not None and given.start is not None and given.end is not None:
        return Window(given.start, given.end) if given.end <= until else None
    params = {**source.params, "until": until}
    where = f"{source.where} and ts < $until"
    if lacking and source.name in labelled.OWN:
        where += f" and {labelled.present([c.feature for c in lacking])}"
    sql = f"""
        select min(ts) as first, max(ts) as last, count(*) as n, (
          select max(ts) from (select ts from {source.relation} where {where} order by ts limit {FIRST_ROWS})) as full
        from {source.relation} where {where}"""
    first, last, n, full = store.read(sql, params).row(0)
    if not n or n < (labelled.LEAST if source.name in labelled.OWN else FIRST_ROWS) or last - first < FIRST:
        return None
    newest = timedelta(seconds=given.last_s) if given is not None and given.last_s is not None else None
    if newest is not None and last - first >= newest + RESTED:
        return Window(last - RESTED - newest, last - RESTED)
    length = PINNED if last - first >= PINNED else max(FIRST, full - first + timedelta(microseconds=1))
    return Window(first, first + length)


def bin_features(store: Rows, source: Source, wanted: Sequence[Column], period: Window, now: datetime) -> list[Binning]:
    """First binnings of features, from the rows in `period`; a feature without any value there gets none yet."""
    result: list[Binning] = []
    for column in wanted:
        values = f"select {_value(column)} as x from {source.relation} where {_rows(source)}"
        params = {**source.params, "from": period.start, "to": period.end}
        found = store.read(values, params, source.reach(period))["x"]
        binning = _alike(store, found, source, (column, period, now), result)
        if binning is not None:
            result.append(binning)
    return result


def bin_pairs(store: Rows, source: Source, binnings: Sequence[Binning], period: Window, now: datetime) -> list[Binning]:
    """Binnings of the pairs of features that correlate most in the reference, as far as there are not enough of them yet."""
    from observe.summaries.products import strongest

    if source.name in labelled.OWN:
        return []
    by_name = {c.feature: c for c in columns(store, source)}
    numeric = [b for b in binnings if b.kind == "numeric" and b.feature in by_name and len(b.reference) > 1]
    if len(numeric) < 2:
        return []
    known = [(b.levels[0], b.levels[1]) for b in binnings if b.kind == "pair" and b.levels]
    selected = ", ".join(f"{_value(by_name[b.feature], b.kind)} as f{i}" for i, b in enumerate(numeric))
    sql = f"select {selected} from {source.relation} where {_rows(source)} order by ts limit {_PAIR_ROWS}"
    rows = store.read(sql, {**source.params, "from": period.start, "to": period.end}, period)
    rows.columns = [b.feature for b in numeric]
    found = []
    for one, other in strongest(rows, numeric, known):
        column = Column(f"{one}*{other}", "", "pair")
        found.append(replace(_binning(source, column, period, now), levels=(one, other), reference=(rows.height,)))
    return found


def _alike(
    store: Rows, values: pl.Series, source: Source, asked: tuple[Column, Window, datetime], made_now: Sequence[Binning]
) -> Binning | None:
    """The first binning of one feature; one that shares the bins of another waits for that."""
    column, period, now = asked
    edges, levels = labelled.fixed(column.feature)
    if column.like:
        own = replace(source, name=labelled.OWN[0])
        shared = next((b for b in (*made_now, *made(store, own)) if b.feature == column.like), None)
        if shared is None:
            return None
        edges = shared.edges
    if edges is None and levels is None:
        return binned(values, source, column, period, now)
    if levels is not None and values.null_count() == values.len():
        return None
    return labelled.counted(_binning(source, column, period, now), values, edges, levels)


def binned(values: pl.Series, source: Source, column: Column, period: Window, now: datetime) -> Binning | None:
    """The first binning of one feature from its values; None where there is none."""
    return (_numeric if column.kind == "numeric" else _categorical)(values, source, column, period, now)


def _numeric(values: pl.Series, source: Source, column: Column, period: Window, now: datetime) -> Binning | None:
    import numpy as np

    from observe.summaries.bins import place

    x = values.drop_nulls().to_numpy()
    x = np.ascontiguousarray(x[np.isfinite(x)])
    if not x.size:
        return None
    sample = np.sort(x)[:: -(-x.size // _SAMPLE)]  # of the sorted values: the same whatever order they came in
    distinct = np.unique(sample)
    if distinct.size <= K:
        inner = distinct[1:]
    else:
        inner = np.unique(np.quantile(sample, np.arange(1, K) / K, method="inverted_cdf"))
        inner = inner[inner > sample[0]]
    edges = tuple(inner.tolist())
    counts = np.bincount(place(x, edges), minlength=len(edges) + 1)
    percentiles = tuple(np.quantile(sample, np.arange(101) / 100).tolist())
    return replace(
        _binning(source, column, period, now), edges=edges, reference=tuple(counts.tolist()), quantiles=percentiles
    )


def _categorical(values: pl.Series, source: Source, column: Column, period: Window, now: datetime) -> Binning | None:
    counts = values.drop_nulls().value_counts().sort("count", "x", descending=[True, False])
    if counts.is_empty():
        return None
    top = counts.head(LEVELS)
    rest = int(counts["count"].sum()) - int(top["count"].sum())
    levels, reference = tuple(top["x"].to_list()), (*top["count"].to_list(), rest)
    return replace(_binning(source, column, period, now), levels=levels, reference=reference)


def _binning(source: Source, column: Column, period: Window, now: datetime) -> Binning:
    """A binning without bins yet."""
    model = source.model.name
    return Binning(
        binning_id=f"{model}/{source.name}/{column.feature}@1", model=model, source_table=source.name,
        feature=column.feature, kind=column.kind, version=1, edges=None, levels=None, reference=(), quantiles=None,
        reference_from=period.start, reference_to=period.end, made_at=now,
    )  # fmt: skip


def summarise(store: Rows, source: Source, binnings: Sequence[Binning], span: Window) -> Iterator[pl.DataFrame]:
    """Summaries of the windows in `span`, a bounded number of rows at a time, each window whole."""
    from observe.summaries.counting import Grid, count

    by_name = {c.feature: c for c in columns(store, source)}
    counted = [b for b in binnings if b.feature in by_name]
    pairs = [b for b in binnings if b.kind == "pair"]
    beside = _beside(store, source, pairs, counted, by_name)
    if not counted and not beside:
        return
    needed = [*counted, *beside]
    selected = ", ".join(f"{_value(by_name[b.feature], b.kind)} as f{i}" for i, b in enumerate(needed))
    sql = f"select ts, {selected} from {source.relation} where {_rows(source)}"
    for part, read in _rows_of(store, source, counted, span, sql):
        read.columns = ["ts", *(b.feature for b in needed)]
        rows = labelled.with_cells(read, (*made(store, source), *needed)) if source.name in labelled.OWN else read
        grid = Grid(part.start, source.window_s, int(part.length.total_seconds()) // source.window_s)
        yield count(rows, grid, counted, pairs, beside)


def _beside(
    store: Rows, source: Source, pairs: Sequence[Binning], counted: Sequence[Binning], known: Mapping[str, Column]
) -> list[Binning]:
    """Binnings of features that pairs need and that are not counted themselves."""
    lacking = {name for b in pairs for name in b.levels or ()} - {b.feature for b in counted}
    return [b for b in made(store, source) if b.feature in lacking and b.feature in known] if lacking else []


def _rows_of(
    store: Rows, source: Source, binnings: Sequence[Binning], span: Window, sql: str
) -> Iterator[tuple[Window, pl.DataFrame]]:
    """The rows of `span` piece by piece; those of an hour are seldom more than one, and are not counted first."""
    bins = sum(len(b.reference) for b in binnings)
    step = timedelta(seconds=source.window_s)
    if step < span.length <= _HOUR and span.length // step * bins <= _CHUNK_CELLS:
        params = {**source.params, "from": span.start, "to": span.end}
        rows = store.read(f"{sql} limit {_CHUNK_ROWS + 1}", params, source.reach(span))
        if rows.height <= _CHUNK_ROWS:
            yield from [(span, rows)] if rows.height else []
            return
    for part in _parts(store, source, bins, span):
        yield part, store.read(sql, {**source.params, "from": part.start, "to": part.end}, source.reach(part))


def _parts(store: Rows, source: Source, bins: int, span: Window) -> Iterator[Window]:
    """`span` cut into pieces that fit in memory."""
    step = timedelta(seconds=source.window_s)
    if span.length <= step:
        yield span
        return
    sql = f"select time_bucket(interval {source.window_s} second, ts) as ts, count(*) as n from {source.relation} where {_rows(source)} group by 1 order by 1"
    start, end, rows = span.start, span.start, 0
    for ts, n in store.read(sql, {**source.params, "from": span.start, "to": span.end}, source.reach(span)).iter_rows():
        full = rows + n > _CHUNK_ROWS or ((ts - start) // step + 1) * bins > _CHUNK_CELLS
        if full and rows:
            yield Window(start, ts)
            start, rows = ts, 0
        end, rows = ts + step, rows + n
    if rows:
        yield Window(start, end)


def _rows(source: Source) -> str:
    return f"{source.where}{_OK.get(source.name, '')} and ts >= $from and ts < $to"


def _value(column: Column, kind: str = "") -> str:
    """The feature as SQL; text in a numeric one is a missing value."""
    return f"try_cast({quoted(column.column)} as {'DOUBLE' if (kind or column.kind) == 'numeric' else 'VARCHAR'})"
