"""What an estimate learns from: labelled predictions of the last four weeks, by hour and score.

Source: our own; METHODS section 9.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from observe.schema import Monitor, Window

if TYPE_CHECKING:
    import polars as pl

    from observe.store import Store

_PAST: Final = timedelta(days=31)  # 28 before the day that is estimated, and its labels are late
_SQL: Final = """
select s.model, b.feature, s.ts, s.counts, s.value_sum, b.quantiles from summary s join binning b using (binning_id)
where b.source_table = 'performance' and list_contains($models, s.model) and s.ts >= $from and s.ts < $to
  and b.feature in ('score', 'score_wrong', 'score_positive', 'score_negative', 'mae', 'error_by_score')
order by s.model, b.feature, s.ts, s.late"""


def labelled(store: Store, monitors: Sequence[Monitor], window: Window) -> pl.DataFrame:
    """Counts of labelled predictions that estimates about `window` learn from, and of it as far as labels have come."""
    late = timedelta(seconds=max((m.params["delay_s"] for m in monitors), default=0.0))
    span = Window(window.start - _PAST - late, window.end)
    models = sorted({m.model for m in monitors})
    return store.read(_SQL, {"models": models, "from": span.start, "to": span.end}, span)
