"""Two tables are compared column by column, exactly, and judged together; no service is needed.

Source: METHODS sections 2 and 3; `detectors.exact_verdict` for what a verdict means.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any, Final

from detectors.exact_level import levels
from detectors.exact_number import number
from detectors.exact_verdict import Feature, Least, Rows, judged
from observe.app.frames import Kind, Table, kind_of, sort_of, table
from observe.app.frames_columns import (
    Numbers,
    Pair,
    Times,
    counted,
    looks_like_a_clock,
    looks_like_a_counter,
    numbers,
    stretch,
)
from observe.app.frames_result import Comparison
from observe.errors import UsageError

ALPHA: Final = 0.01  # one comparison in a hundred of unchanged tables may name a feature


def compare(
    ref: Any,
    cur: Any,
    *,
    min_effect: str | Sequence[str] = (),
    features: Iterable[str] | None = None,
    time: str | None = None,
    alpha: float = ALPHA,
) -> Comparison:
    """Compare two tables, exactly.

    Args:
        ref: what was normal: a path (Parquet, CSV, NDJSON, JSON, Arrow; .gz too), a Polars, pandas or Arrow
            table, or a dict of arrays.
        cur: what is to be judged, of any of these kinds.
        min_effect: smallest changes that matter, e.g. `"0.1 sigma"`, `"5 %"` (of the median) or `"2 pp"`, or
            several of them; 0.1 sigma for numbers and 2 pp for shares where not given.
        features: columns to compare; all that are not `time` when None.
        time: a column of event time in both tables, for rows that are not independent of their neighbours.
        alpha: the chance that any feature at all is called drifted while nothing changed.

    Returns:
        The comparison, its features worst first.

    Raises:
        UsageError: a table cannot be read, holds no rows, or lacks what was named; no column is common.
    """
    least = _least(_texts("min_effect", min_effect, 'a size with its unit, e.g. "0.1 sigma", "5 %" or "2 pp"') or ())
    wanted = _texts("features", features, "names of columns")
    if time is not None and not isinstance(time, str):
        raise UsageError(f"time: {time!r} is no name of a column")
    if not isinstance(alpha, Real) or not 0 < alpha < 1:
        raise UsageError(f"alpha is a chance between 0 and 1, not {alpha!r}")
    tables = table(ref, "the reference"), table(cur, "the current table")
    names = _names(tables, wanted, time)
    times = _times(tables, time)
    found = [_feature(name, tables, times, least) for name in names]
    return Comparison(
        tables[0].name, tables[1].name, tables[0].rows, tables[1].rows, judged(found, alpha), least, alpha, time
    )


def _texts(option: str, given: Any, meant: str) -> list[str] | None:
    """One text or several as a list; None where nothing was given."""
    if given is None:
        return None
    every = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    odd = next((one for one in every if not isinstance(one, str)), None)
    if odd is not None or isinstance(given, bytes):
        raise UsageError(f"{option}: {given if isinstance(given, bytes) else odd!r} is not {meant}")
    return every


def _least(written: Sequence[str]) -> Least:
    """The smallest changes that matter; `%` or `sigma` is for numbers, `pp` for shares, and for numbers if alone."""
    if not written:
        return Least()
    from observe.spec.quantity import Malformed, parse_effect

    try:
        effects = {effect.unit: effect.value for effect in map(parse_effect, (str(w).strip() for w in written))}
    except Malformed as error:
        raise UsageError(f"min_effect: {error}; {error.hint}") from error
    if len(effects) < len(written) or {"sigma", "%"} <= effects.keys():
        raise UsageError("min_effect: give one of sigma and %, and one of pp, at most")
    share = effects.get("pp", Least().share_pp)
    for unit in ("%", "sigma", "pp"):
        if unit in effects:
            return Least(effects[unit], unit, share)
    return Least()


def _names(tables: tuple[Table, Table], wanted: Iterable[str] | None, time: str | None) -> list[str]:
    every = list(dict.fromkeys([*tables[0].schema, *tables[1].schema]))
    if time is not None:
        for one in tables:
            if time not in one.schema:
                from observe.spec.nearest import did_you_mean

                raise UsageError(f"{one.name} has no column {time!r} (time); {did_you_mean(time, one.schema)}")
    chosen = list(dict.fromkeys(wanted)) if wanted is not None else [n for n in every if n != time]
    for name in chosen:
        if name not in every:
            from observe.spec.nearest import did_you_mean

            raise UsageError(f"neither table has a column {name!r}; {did_you_mean(name, every)}")
    if not any(name in tables[0].schema and name in tables[1].schema for name in chosen):
        some = [", ".join(list(t.schema)[:8]) for t in tables]
        raise UsageError(f"no common column: {tables[0].name} has {some[0]}; {tables[1].name} has {some[1]}")
    return chosen


def _times(tables: tuple[Table, Table], time: str | None) -> Times:
    if time is None:
        return None
    columns = [one.column(time) for one in tables]
    for one, column in zip(tables, columns, strict=True):
        if column.null_count() == len(column) or kind_of(column.dtype) not in {"time", "number"}:
            raise UsageError(f"{one.name}: column {time!r} holds no times, but {column.dtype}")
    return stretch(columns[0]), stretch(columns[1])


def _feature(name: str, tables: tuple[Table, Table], times: Times, least: Least) -> Feature:
    """One column, measured; or what of the schema changed."""
    before, after = (t.schema.get(name) for t in tables)
    rows = Rows(tables[0].rows), Rows(tables[1].rows)
    if before is None or after is None:
        kind = kind_of(after if before is None else before)  # type: ignore[arg-type]
        said = "the column is new: the reference does not have it" if before is None else "the column is gone"
        return Feature(name, kind, *rows, verdict="drift", reason=said)
    kinds = kind_of(before), kind_of(after)
    pair = tables[0].column(name), tables[1].column(name)
    apart = kinds[0] != kinds[1] and "nothing" not in kinds
    if apart or (kinds == ("time", "time") and sort_of(before) != sort_of(after)):
        return Feature(name, kinds[1], *_plain_rows(pair), verdict="drift", reason=_retyped(pair, kinds))
    return _noted(_measured(name, kinds[0] if kinds[0] != "nothing" else kinds[1], pair, times, least), pair)


def _plain_rows(pair: Pair) -> tuple[Rows, Rows]:
    return Rows(len(pair[0]), pair[0].null_count()), Rows(len(pair[1]), pair[1].null_count())


def _retyped(pair: Pair, kinds: tuple[Kind, Kind]) -> str:
    said = f"the type changed from {kinds[0]} ({pair[0].dtype}) to {kinds[1]} ({pair[1].dtype})"
    if kinds == ("number", "category"):
        import polars as pl

        odd = pair[1].cast(pl.String).drop_nulls()
        odd = odd.filter(odd.str.strip_chars().cast(pl.Float64, strict=False).is_null())
        said += f", for example {odd[0][:40]!r}" if len(odd) else ""
    return said


def _noted(feature: Feature, pair: Pair) -> Feature:
    from dataclasses import replace

    if pair[0].dtype == pair[1].dtype or feature.kind == "nothing":
        return feature
    return replace(feature, notes=(*feature.notes, f"the type was {pair[0].dtype}, it is {pair[1].dtype} now"))


def _measured(name: str, kind: Kind, pair: Pair, times: Times, least: Least) -> Feature:
    if kind in {"number", "time"}:
        return _number(name, kind, numbers(pair, times), least)
    if kind in {"category", "truth"}:
        return levels(name, counted(pair, times), least, kind)
    reason = "no value at all on either side" if kind == "nothing" else f"{pair[0].dtype} is not compared"
    return Feature(name, kind, *_plain_rows(pair), reason=reason)


def _number(name: str, kind: Kind, found: Numbers, least: Least) -> Feature:
    from dataclasses import replace

    told: tuple[str, ...] = ()
    if found.reads and least.unit == "%":
        least, told = Least(share_pp=least.share_pp), ("per cent of a time say nothing, so 0.1σ is asked for instead",)
    feature = number(name, found.reference, found.current, least, kind, found.unit)
    feature = replace(feature, reads=found.reads, notes=(*told, *feature.notes))
    apart = kind == "time" and looks_like_a_clock(found)
    if not apart and not looks_like_a_counter(found):
        return feature
    said = (
        "the times of both do not overlap: it tells when"
        if apart
        else "each value occurs once, in a row: it counts rows"
    )
    kept = tuple(t for t in feature.tests if t.name in {"missing", "nan", "infinite"})
    note = f"{said}, so only missing values are judged"
    return replace(feature, tests=kept, notes=(*feature.notes, note), reason="" if kept else note)
