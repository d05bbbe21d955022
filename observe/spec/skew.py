"""Training–serving skew: which features are held against the training file, and which difference would matter.

Each watched feature is one question, asked once a day; it weighs 1 in the drift part of the budget (`observe.spec.streams`
has the weights of drift). What matters of a number is the feature's `minEffect`; of shares of levels, and of values that
are missing or that the file does not have, its `minEffect` in pp, else 2 pp.

Source: our own (`observe/v1`, `drift.skew` of kind `Monitoring`); METHODS section 9.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from observe.schema import Json, Monitor
from observe.spec.drift import Drift, Feature

SKEW: Final = "skew"  # detector, kind of its findings
COLUMNS: Final = "(columns)"  # feature of the question about columns as such
WINDOW_S: Final = 86_400
WEIGHT: Final = 1.0
LEAST_PP: Final = 2.0


def of_skew(model: str, drift: Drift, watched: Sequence[tuple[Feature, str]]) -> Iterator[Monitor]:
    """Monitors of a model that names a training file: one per feature; pairs have none.

    Args:
        model: whose.
        drift: with `skew`.
        watched: features with their kind.
    """
    for feature, kind in watched if drift.skew else ():
        if kind != "pair":
            yield _feature(model, drift, feature)


def of_columns(model: str, drift: Drift) -> Monitor:
    """Whether every listed feature that the file has is served: a counted fact that spends nothing."""
    listed = sorted(f.name for f in drift.features)
    return Monitor(
        f"{model}/{SKEW}/{COLUMNS}", model, SKEW, "", COLUMNS, "columns", WINDOW_S, "ticket", 0.0, 0.0, None, "",
        {"listed": listed},
    )  # fmt: skip


def _feature(model: str, drift: Drift, feature: Feature) -> Monitor:
    effect = feature.min_effect or drift.min_effect
    params: Json = {
        "least_pp": effect.value if effect.unit == "pp" else LEAST_PP, "user_unit": feature.unit or "",
        "covers_s": drift.skew.covers_s if drift.skew else None,
    }  # fmt: skip
    return Monitor(
        f"{model}/{SKEW}/{feature.name}", model, SKEW, f"{model}/{drift.source}/{feature.name}", feature.name, SKEW,
        WINDOW_S, "ticket", 0.0, 0.0, effect.value, effect.unit, params,
    )  # fmt: skip
