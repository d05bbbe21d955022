"""Which of the columns that `performance:` names have arrived.

A column that no prediction has had yet is NULL, and what hangs on it is not counted; it begins when the column comes.
View `telemetry_doubt` tells it.

Source: our own; METHODS section 9.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from observe.schema import TABLES
from observe.summaries.labelled import OWN
from observe.summaries.rows import Rows, Source

FIXED: Final = tuple(c.name for c in TABLES["prediction"].columns)  # every table of predictions has them
_SQL: Final = (
    "select model, feature, column_name from core.feature_column where list_contains($models, model) order by feature"
)


def given(store: Rows, sources: Sequence[Source]) -> list[Source]:
    """The same sources; those about performance know which of their columns are there."""
    models = sorted({s.model.name for s in sources if s.name in OWN})
    if not models:
        return list(sources)
    known: dict[str, dict[str, str]] = defaultdict(dict)
    for model, feature, column in store.read(_SQL, {"models": models}).iter_rows():
        known[model][feature] = column
    return [replace(s, given=_found(s, known[s.model.name])) if s.name in OWN else s for s in sources]


def _found(source: Source, known: Mapping[str, str]) -> Mapping[str, str]:
    """Column by the name that is asked for: fixed ones and features, exactly so or else in another case."""
    said = source.model.monitoring.performance if source.model.monitoring else None
    exact = {**{name: name for name in FIXED}, **known}
    folded = {name.casefold(): column for name, column in reversed(exact.items())}
    asked = [name for _, name in said.columns] if said else []
    return {
        name: exact.get(name) or folded[name.casefold()] for name in asked if name in exact or name.casefold() in folded
    }
