"""Predictions that have their label, one row each with everything that is counted of it; and the bins it is counted in.

A label is joined by `prediction_id` and `item_idx` and counts at the event time of its prediction. Of several labels
of one prediction the newest revision counts, of equal revisions the one that was stored first; what else there was
shows in `label_state`. A label that says it was there more than an hour before its prediction is not joined.

Source: our own; METHODS section 9. Log-loss is cut at a probability of 1e-6.
Assumes: a prediction's id is stored once; `score` of a classification is a probability, rows outside 0-1 have none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from observe.schema import Window
from observe.spec.performance import ESTIMATE, PERFORMANCE, Performance

if TYPE_CHECKING:
    import polars as pl

    from observe.schema import Binning

OWN: Final = (PERFORMANCE, ESTIMATE)  # sources that are about performance
LEAST: Final = 1_000  # rows with a label from which a reference is made; METHODS section 9 leaves it open
SCORE: Final = "score"
GROUPS: Final = 16  # of scores, and of errors, of which the joint counts are kept
CELLS: Final = "error_by_score"
STATES: Final = ("single", "repeated", "revised", "conflicting")
EARLY: Final = timedelta(hours=1)  # before its prediction, in which a label is still believed
FOREVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
_DELAYS: Final = tuple(
    round(60.0 * 10 ** (i / 10), 1) for i in range(58)
)  # s: a minute to about 350 d, ten bins a decade


def believed(said: Performance) -> Mapping[str, str]:
    """The columns that are read, taken for there under these names."""
    return {name: name for _, name in said.columns}


def features(said: Performance, given: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """What is counted of every labelled row: columns of `joined`; what hangs on a column that is not given is left out."""
    given = believed(said) if given is None else given
    common, scored = ("label_delay", "label_state"), said.score in given
    slices = tuple(f"slice:{name}" for name in said.slices if name in given)
    if said.task == "regression":
        return (SCORE, "mae", "bias", "squared", CELLS, *slices, *common) if scored else common
    answered = scored if said.threshold is not None else said.answer in given
    found: list[str] = [SCORE] if scored and (answered or said.positive) else []
    found += ["accuracy"] if answered else []
    found += ["log_loss", "calibration"] if found[:1] == [SCORE] else []
    found += ["score_wrong"] if scored and answered else []
    found += ["score_positive", "score_negative"] if scored and said.positive else []
    return (*found, *(slices if answered else ()), *common)


def present(wanted: Sequence[str]) -> str:
    """Rows from which on these features are known, as SQL: a column may have come long after the first row."""
    known = (
        f"{_quoted(name)} not like '%:(none)'" if name.startswith("slice:") else f"{_quoted(name)} is not null"
        for name in wanted
    )
    return f"({' or '.join(known)})"


def kind(feature: str) -> str:
    """Whether a feature has numbers or levels."""
    return "categorical" if feature in ("accuracy", "label_state") or feature.startswith("slice:") else "numeric"


def like(source: str, feature: str) -> str:
    """The feature of the labelled rows whose bins a feature shares, "" for its own."""
    shares = source == ESTIMATE or feature in ("score_wrong", "score_positive", "score_negative")
    return SCORE if shares else ""


def fixed(feature: str) -> tuple[tuple[float, ...] | None, tuple[str, ...] | None]:
    """Edges or levels that do not depend on what comes."""
    edges = {"label_delay": _DELAYS, CELLS: tuple(i + 0.5 for i in range(GROUPS * GROUPS - 1))}.get(feature)
    return edges, {"accuracy": ("wrong", "right"), "label_state": STATES}.get(feature)


def reach(window: Window) -> Window:
    """From when on rows are read for the predictions of `window`: their labels come later."""
    return Window(window.start - EARLY, FOREVER)


def with_cells(rows: pl.DataFrame, binnings: Sequence[Binning]) -> pl.DataFrame:
    """`rows` with the joint group of score and absolute error, where both are known; needs the binnings of both."""
    import polars as pl

    from observe.summaries.bins import place

    known = {b.feature: b for b in binnings}
    if CELLS not in rows.columns or not {SCORE, "mae"} <= known.keys():
        return rows
    groups, whole = [], np.ones(rows.height, dtype=bool)
    for name in (SCORE, "mae"):
        x = rows[name].cast(float).fill_null(np.nan).to_numpy()
        whole &= np.isfinite(x)
        edges = known[name].edges or ()
        groups.append(place(np.ascontiguousarray(np.where(np.isfinite(x), x, 0.0)), edges) * GROUPS // (len(edges) + 1))
    cells = np.where(whole, groups[0] * GROUPS + groups[1], np.nan)
    return rows.with_columns(pl.Series(CELLS, cells, nan_to_null=True))


def joined(said: Performance, predictions: str, given: Mapping[str, str]) -> str:
    """A query for labelled predictions: `ts`, `ingested_at` and the columns of `features`; labels are those of `$names`.

    Args:
        said: which columns are answer and score.
        predictions: the model's relation, as SQL.
        given: the columns that are there, by the name they are called; others are NULL.
    """
    columns = {**(_regression() if said.task == "regression" else _classification(said)), **_slices(said)}
    selected = ", ".join(f"{sql} as {_quoted(name)}" for name, sql in columns.items())
    slices = "".join(f", {_column(given, s)}::VARCHAR as {_quoted(f'raw:{s}')}" for s in said.slices)
    return f"""(
      select ts, ingested_at, {selected}, label_delay, label_state from (
        select *, {_judged(said)} from (
          select p.ts, greatest(p.ingested_at, l.ingested_at) as ingested_at, {_column(given, said.answer)}::VARCHAR as answer,
            try_cast({_column(given, said.score)} as DOUBLE) as given, l.truth, l.number{slices}, l.label_state,
            greatest(0.0, epoch(l.available) - epoch(p.ts)) as label_delay
          from {predictions} p join (
            select prediction_id, item_idx, max(ingested_at) as ingested_at, min(ts) as available,
              arg_max(value, {_NEWEST}) as truth, arg_max(value_num, {_NEWEST}) as number,
              case when count(*) = 1 then 'single'
                when count(distinct (revision, value)) > count(distinct revision) then 'conflicting'
                when count(distinct revision) > 1 then 'revised' else 'repeated' end as label_state
            from label where list_contains($names, model_id) group by prediction_id, item_idx) l
          on p.prediction_id = l.prediction_id and p.item_idx = l.item_idx
          where p.sampled_of is null and l.available >= p.ts - interval {int(EARLY.total_seconds())} second)))"""


_NEWEST: Final = "revision::HUGEINT * 10000000000000000::HUGEINT - epoch_us(ingested_at)"


def scored(said: Performance, predictions: str, given: Mapping[str, str]) -> str:
    """A query for the score of every prediction; a row without one counts, too."""
    number = f"try_cast({_column(given, said.score)} as DOUBLE)"
    score = number if said.task == "regression" else f"case when {number} between 0 and 1 then {number} end"
    return f"(select p.ts, p.ingested_at, {score} as score from {predictions} p where p.sampled_of is null)"


def counted(
    binning: Binning, values: pl.Series, edges: tuple[float, ...] | None, levels: tuple[str, ...] | None
) -> Binning:
    """A binning with bins that are given, and the reference's counts and percentiles on them."""
    from observe.summaries.bins import place

    if levels is not None:
        known = [int((values == level).sum()) for level in levels]
        rest = values.len() - values.null_count() - sum(known)
        return replace(binning, levels=levels, reference=(*known, rest))
    x = values.cast(float).drop_nulls().to_numpy()
    x = np.ascontiguousarray(x[np.isfinite(x)])
    cells = np.bincount(place(x, edges or ()), minlength=len(edges or ()) + 1)
    percentiles = tuple(np.quantile(x, np.arange(101) / 100).tolist()) if x.size else None
    return replace(binning, edges=edges, reference=tuple(cells.tolist()), quantiles=percentiles)


def grown(changes: pl.DataFrame) -> pl.DataFrame:
    """Changes of windows whose predictions are all there: labels are never taken back, so fewer rows means some have left."""
    import polars as pl

    rows = pl.sum_horizontal("n", "missing", "nan", "inf")
    left = changes.filter(rows < 0).select("ts").unique()
    return changes.join(left, on="ts", how="anti")


def _judged(said: Performance) -> str:
    """Columns that the others follow from: `hit`, `happened` (of the class the score is about) and `score`."""
    if said.task == "regression":
        within = f"abs(number - given) <= {said.tolerance!r}" if said.tolerance is not None else "NULL::BOOLEAN"
        return f"{within} as hit, given as score"
    same = f"(lower(answer) = lower(truth) or coalesce({_number('answer')} = number, false))"
    hit = f"case when truth is not null and answer is not null then {same} end"
    happened = hit
    if said.positive is not None:
        text = _text(said.positive.lower())
        happened = f"(lower(truth) = {text} or coalesce(number = {_number(text)}, false))"
        if said.threshold is not None:
            hit = f"(given >= {said.threshold!r}) = {happened}"
    score = "case when given between 0 and 1 then given end"
    return f"{hit} as hit, {happened} as happened, {score} as score"


def _classification(said: Performance) -> Mapping[str, str]:
    probability = "case when happened then score else 1 - score end"
    columns = {
        "score": "case when happened is not null then score end",
        "accuracy": "case when hit then 'right' when not hit then 'wrong' end",
        "log_loss": f"case when happened is not null and score is not null then -ln(greatest({probability}, 1e-6)) end",
        "calibration": "happened::INTEGER - score",
        "score_wrong": "case when not hit then score end",
    }
    if said.positive:
        columns |= {
            "score_positive": "case when happened then score end",
            "score_negative": "case when not happened then score end",
        }
    return columns


def _slices(said: Performance) -> Mapping[str, str]:
    """Whether the answer was right, and the level, of each column that is compared."""
    columns = {}
    for name in said.slices:
        shown = f"coalesce({_quoted(f'raw:{name}')}, '(none)')"
        columns[f"slice:{name}"] = f"case when hit then 'right:' || {shown} when not hit then 'wrong:' || {shown} end"
    return columns


def _regression() -> Mapping[str, str]:
    known = "case when number is not null then score end"
    return {
        "score": known, "mae": "abs(number - score)", "bias": "number - score", "squared": "(number - score) * (number - score)",
        CELLS: "NULL::DOUBLE",
    }  # fmt: skip


def _number(sql: str) -> str:
    """A text as the number that stands in `label.value_num`."""
    return f"case lower({sql}) when 'true' then 1.0 when 'false' then 0.0 else try_cast({sql} as DOUBLE) end"


def _column(given: Mapping[str, str], name: str) -> str:
    """A column of the predictions `p`; NULL of one that has not arrived."""
    return f"p.{_quoted(given[name])}" if name in given else "NULL"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
