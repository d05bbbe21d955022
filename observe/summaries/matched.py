"""Hours of predictions whose labels came late: by the ids of what is new, without joining all labels with all predictions.

New labels are looked for by when they were stored; only predictions until an hour after the last of them can be theirs.
Predictions that came late themselves are few; only labels from an hour before the first of them on can be theirs. An
hour too many does no harm: what is stored of it is subtracted.

Source: our own; METHODS section 9.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from observe.schema import Window
from observe.summaries.labelled import EARLY, FOREVER
from observe.summaries.rows import Rows, Source, quoted

_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT: Final = timedelta(microseconds=1)  # windows end before their end
_NEW: Final = "label where list_contains($names, model_id) and ingested_at >= $seen"
_MINE: Final = f"""l.prediction_id = p.prediction_id and l.item_idx = p.item_idx
  and l.ts >= p.ts - interval {int(EARLY.total_seconds())} second"""


def touched(store: Rows, source: Source, params: Mapping[str, Any]) -> list[datetime]:
    """Starts of windows before `$until` in which a label or a labelled prediction was stored from `$seen` on, ascending."""
    hours = set(_of_labels(store, source, params)) | set(_of_predictions(store, source, params))
    return sorted(hours)


def _of_labels(store: Rows, source: Source, params: Mapping[str, Any]) -> list[datetime]:
    """Windows of predictions whose labels are new."""
    new = {name: params[name] for name in ("names", "seen")}
    last = store.read(f"select max(ts) as ts from {_NEW}", new).item()
    if last is None:
        return []
    until = min(params["until"], last + EARLY + _INSTANT)
    sql = f"""select distinct {_bucket(source)} as ts from {_table(source)} p where p.sampled_of is null and p.ts < $until
      and exists (from (select prediction_id, item_idx, ts from {_NEW}) l where {_MINE})"""
    reach = Window(_EVER, max(last, until) + _INSTANT)
    return store.read(sql, {**new, "until": until}, reach)["ts"].to_list()


def _of_predictions(store: Rows, source: Source, params: Mapping[str, Any]) -> list[datetime]:
    """Windows of predictions that are new themselves and have a label."""
    late = "p.sampled_of is null and p.ts < $until and p.ingested_at >= $seen"
    asked = {name: params[name] for name in ("until", "seen")}
    span = Window(_EVER, params["until"])
    first = store.read(f"select min(p.ts) as ts from {_table(source)} p where {late}", asked, span).item()
    if first is None:
        return []
    sql = f"""select distinct {_bucket(source)} as ts from {_table(source)} p where {late}
      and exists (from label l where list_contains($names, l.model_id) and {_MINE})"""
    return store.read(sql, {**asked, "names": params["names"]}, Window(first - EARLY, FOREVER))["ts"].to_list()


def _table(source: Source) -> str:
    return f"predictions.{quoted(source.table or '')}"


def _bucket(source: Source) -> str:
    return f"time_bucket(interval {source.window_s} second, p.ts)"
