"""What a skew monitor is shown of training files: every column as it was counted, and whether anybody ever served it.

Source: our own; METHODS section 9.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from observe.schema import TABLES, Monitor

if TYPE_CHECKING:
    import polars as pl

    from observe.store import Store

_FIXED: Final = sorted({c.name for name in ("prediction", "attempt") for c in TABLES[name].columns})
_SQL: Final = """
select t.*, list_contains($fixed, t.feature) or f.feature is not null or b.feature is not null as served
from training_column t
left join (select distinct model, lower(feature) as feature from core.feature_column) f on f.model = t.model and f.feature = lower(t.feature)
left join (select distinct model, feature from binning) b on b.model = t.model and b.feature = t.feature
where list_contains($models, t.model) order by t.model, t.feature"""


def trained(store: Store, monitors: Sequence[Monitor]) -> pl.DataFrame:
    """Columns of the training files of these monitors' models: those of `training_column`, and `served`."""
    return store.read(_SQL, {"models": sorted({m.model for m in monitors}), "fixed": _FIXED})
