"""What a model was trained on, column by column, in the bins that its served features are counted in.

Source: our own; METHODS section 9.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from observe.schema.table import Noun


@dataclass(frozen=True, slots=True)
class TrainingColumn(Noun):
    """One column of the training file that `drift.skew` names; the view shows the newest count of each model's file."""

    table_name, time, ids = "training_column", "made_at", ("model", "feature", "made_at")
    model: Annotated[str, "model that was trained with it"]
    feature: Annotated[str, "feature or column; empty: the file as such could not be read"]
    file: Annotated[str, "name of the file"]
    fingerprint: Annotated[str, "sha256 of its content, 16 hex digits; empty when it could not be read"]
    rows: Annotated[int, "rows of the file"]
    kind: Annotated[
        str | None, "numeric | categorical | text (where numbers are served); NULL: no such feature is watched"
    ]
    binning_id: Annotated[str | None, "bins that `counts` uses: those of the served feature"]
    counts: Annotated[tuple[int, ...] | None, "rows per bin; of a long file every k-th row is counted"]
    missing: Annotated[int, "rows counted without a value, NaN and infinite ones among them"]
    quantiles: Annotated[tuple[float, ...] | None, "numeric: 101 percentiles 0..100, in user units"]
    error: Annotated[str | None, "why it could not be read"]
    made_at: Annotated[datetime, "when it was counted"]
