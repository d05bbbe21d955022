"""How well a model does once its labels have come: which columns are held against the truth, and which loss would matter.

Streams of a model's performance, hourly, and their weights in the drift part of the budget (`observe.spec.streams`
has those of features): accuracy or mae 8, as it is what people are paid for; calibration or bias 4; log_loss 2.
Accuracy, mae and log_loss alarm when they get worse only; calibration and bias in both directions. What is estimated
before labels come, and AUC, informs and spends nothing.

Source: our own (`observe/v1`, `performance:` of kind `Monitoring`); METHODS section 9.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from observe.schema import Json, Monitor
from observe.spec.quantity import Effect, Malformed
from observe.spec.written import Duration, MinEffect, Names, Written

PERFORMANCE: Final = "performance"  # source of what has labels; detector that judges it
ESTIMATE: Final = "estimate"  # source of all predictions; detector that estimates before labels come
AUC: Final = "auc"
WINDOW_S: Final = 3_600
WEIGHTS: Final[Mapping[str, float]] = {"accuracy": 8.0, "mae": 8.0, "calibration": 4.0, "bias": 4.0, "log_loss": 2.0}
MOST_SLICES: Final = 3  # columns that slices are made of; each has the levels its reference has, 25 at most
_SIDES: Final = {"calibration": 2, "bias": 2}
_SCORES: Final = {"accuracy": "share:wrong", "calibration": "mean", "bias": "mean"}  # others are judged by location
_METRICS: Final[Mapping[str, tuple[str, ...]]] = {
    "classification": ("accuracy", "calibration", "log_loss"), "regression": ("mae", "bias"),
}  # fmt: skip
_LEAST: Final[Mapping[str, Effect]] = {
    "accuracy": Effect(1.0, "pp"), "calibration": Effect(1.0, "pp"), "mae": Effect(0.1, "sigma"),
    "bias": Effect(0.1, "sigma"), "log_loss": Effect(0.1, "sigma"),
}  # fmt: skip
_UNITS: Final[Mapping[str, tuple[str, ...]]] = {"classification": ("pp",), "regression": ("sigma", "%")}

Column = Annotated[str, Field(min_length=1, max_length=128)]
_LABEL_SCHEMA: Final = WithJsonSchema({"type": ["string", "integer", "boolean"], "examples": ["fraud", 1]})


def _label(value: Any) -> Any:
    """A class as text: labels are often 0 and 1, or true and false."""
    return str(value).lower() if isinstance(value, bool | int) else value


class Performance(Written):
    """What answers are held against their labels, by what, and how late labels come."""

    task: Literal["classification", "regression"] = "classification"
    answer: Column = "prediction"
    score: Column = "score"
    positive: Annotated[str, BeforeValidator(_label), Field(min_length=1, max_length=128), _LABEL_SCHEMA] | None = None
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    delay_s: Duration = Field(default=86_400.0, alias="delay", ge=0)
    min_effect: MinEffect | None = Field(default=None, alias="minEffect")
    unit: Annotated[str, Field(max_length=16)] | None = None
    tolerance: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    slices: Names = Field(default=(), max_length=MOST_SLICES)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.task == "regression" and (self.positive or self.threshold is not None):
            hint = "leave them out, or write task: classification"
            raise Malformed("positive and threshold are of classification", hint)
        if self.tolerance is not None and self.task == "classification":
            raise Malformed("a tolerance is of regression", "leave it out, or write task: regression", ("tolerance",))
        if self.task == "regression" and self.slices and self.tolerance is None:
            hint = "tolerance: 5 — the largest error, in the unit of what is predicted, of an answer that is right"
            raise Malformed("slices of a regression compare how many answers are right, so it needs a tolerance", hint)
        if self.threshold is not None and self.positive is None:
            hint = "positive: fraud — the class that a score above the threshold stands for"
            raise Malformed("a threshold needs the class that it decides for", hint, ("threshold",))
        unit = self.min_effect.unit if self.min_effect else None
        if unit is not None and unit not in _UNITS[self.task]:
            hint = "minEffect: 1pp" if self.task == "classification" else "minEffect: 5%, of the median absolute error"
            raise Malformed(f"the smallest loss of {self.task} is not in {unit}", hint, ("minEffect",))
        return self

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """The columns that are read, each with the field that names it."""
        answers = self.task == "classification" and self.threshold is None
        named = (("answer", self.answer),) if answers else ()
        return (*named, ("score", self.score), *(("slices", name) for name in self.slices))

    @property
    def main(self) -> str:
        """The metric that people mean first."""
        return _METRICS[self.task][0]


def of_performance(model: str, said: Performance) -> Iterator[tuple[Monitor, int, float]]:
    """Monitors of a model's performance, each with its sides and its weight."""
    for metric in _METRICS[said.task]:
        effect = said.min_effect if said.min_effect and metric in ("accuracy", "mae", "calibration") else _LEAST[metric]
        sides = _SIDES.get(metric, 1)
        params: Json = {"sides": sides, "task": said.task, "user_unit": said.unit or ""}
        yield Monitor(
            f"{model}/{PERFORMANCE}/{metric}", model, PERFORMANCE, f"{model}/{PERFORMANCE}/{metric}", metric,
            _SCORES.get(metric, "location"), WINDOW_S, "ticket", 0.0, 0.0, effect.value, effect.unit, params,
        ), sides, WEIGHTS[metric]  # fmt: skip


def estimates(model: str, said: Performance) -> Iterator[Monitor]:
    """What the main metric most likely is before labels come, and AUC of the newest ones: they inform and spend nothing."""
    params: Json = {"task": said.task, "user_unit": said.unit or "", "delay_s": said.delay_s}
    for feature in (said.main, *((AUC,) if said.positive else ())):
        yield Monitor(
            f"{model}/{ESTIMATE}/{feature}", model, ESTIMATE, f"{model}/{ESTIMATE}/score", feature, ESTIMATE, WINDOW_S,
            "inform", 0.0, 0.0, None, "", params,
        )  # fmt: skip
