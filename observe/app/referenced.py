"""What references say of features: their kind, and of categorical ones the levels and how many rows an hour has.

Source: our own; a binning never changes, so neither do the streams that follow from it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from observe.spec.streams import Levels

if TYPE_CHECKING:
    from observe.store import Store

_HOUR_S = 3_600
_SQL = (
    "select model, feature, kind, levels, reference, epoch(reference_to) - epoch(reference_from) as length_s from binning"
    " where source_table not in ('performance', 'estimate')"
    " qualify row_number() over (partition by model, feature order by version desc) = 1 order by model, feature"
)


def referenced(store: Store) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, Levels]]]:
    """Kinds of features, and levels of categorical ones, by model and feature."""
    kinds: dict[str, dict[str, str]] = defaultdict(dict)
    levels: dict[str, dict[str, Levels]] = defaultdict(dict)
    for model, feature, kind, names, rows, length_s in store.read(_SQL).iter_rows():
        kinds[model][feature] = kind
        if kind == "categorical" and names:
            hours = max((length_s or 0.0) / _HOUR_S, 1.0)
            levels[model][feature] = Levels(tuple(names), tuple(rows), sum(rows) / hours)
    return kinds, levels
