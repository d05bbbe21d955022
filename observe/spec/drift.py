"""Drift of a model: which distributions are watched, against which reference, and which change would matter.

Source: our own (`observe/v1`, `drift:` of kind `Monitoring`); METHODS sections 1 and 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from observe.schema import TABLES
from observe.spec.nearest import did_you_mean
from observe.spec.quantity import Effect, Malformed
from observe.spec.written import Duration, Instant, MinEffect, PathBelow, Written

_NOT_FEATURES: Final = frozenset(
    {"attempt_id", "trace_id", "parent_span_id", "session_id", "source", "quality", "end_user_hash"}
)
_SUMMARY_S: Final = 300  # of features; a shorter window would be empty most of the time
_HOUR_S: Final = 3_600
_WEEK_S: Final = 7 * 86_400
_ALSO_CALLED: Final[Mapping[str, str]] = {"tenant": "team_id"}  # the field's word for a column


class Period(Written):
    """A stretch of event time, half-open."""

    start: Instant = Field(alias="from")
    end: Instant = Field(alias="to")

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.end <= self.start:
            raise Malformed("a reference must end after it starts", "from: 2026-10-01, to: 2026-10-15")
        return self


def _pin(value: Any) -> str:
    return "period" if isinstance(value, Mapping | Period) else "auto"


Pin = Annotated[Annotated[Literal["auto"], Tag("auto")] | Annotated[Period, Tag("period")], Discriminator(_pin)]


class Reference(Written):
    """What scores are made of: a pinned period (found once history suffices, or given), or the last so long."""

    pinned: Pin | None = None
    last_s: Duration | None = Field(default=None, alias="last", gt=0)

    @model_validator(mode="before")
    @classmethod
    def _range(cls, data: Any) -> Any:
        return {"pinned": data} if isinstance(data, dict) and data.keys() == {"from", "to"} else data

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.pinned is None) == (self.last_s is None):
            raise Malformed(
                "a reference is either pinned or the last so long", "{pinned: auto}, {from: …, to: …} or {last: 28d}"
            )
        if self.last_s is not None and not _WEEK_S <= self.last_s <= 4 * _WEEK_S:
            raise Malformed("what is normal is learnt from 7 d to 28 d", "last: 28d", ("last",))
        return self

    @property
    def kind(self) -> Literal["auto", "range", "last"]:
        """How the period is chosen."""
        if self.last_s is not None:
            return "last"
        return "range" if isinstance(self.pinned, Period) else "auto"

    @property
    def start(self) -> datetime | None:
        """First instant of a given period."""
        return self.pinned.start if isinstance(self.pinned, Period) else None

    @property
    def end(self) -> datetime | None:
        """End of a given period."""
        return self.pinned.end if isinstance(self.pinned, Period) else None


class ExpectedChange(Written):
    """A span in which a change was announced: a holiday, a launch, a deploy. Neither judged nor learnt from."""

    start: Instant = Field(alias="from")
    end: Instant = Field(alias="to")
    why: Annotated[str, Field(min_length=1, max_length=200)]

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.end <= self.start:
            raise Malformed("an expected change must end after it starts", "from: 2026-11-27, to: 2026-12-01")
        return self


class Feature(Written):
    """One feature or column to watch; a kind not given is decided from what arrives."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    kind: Literal["numeric", "categorical"] | None = None
    unit: Annotated[str, Field(max_length=16)] | None = None  # what its values are in, for people: EUR, d
    min_effect: MinEffect | None = Field(default=None, alias="minEffect")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        return {"name": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _unit(self) -> Self:
        unit = self.min_effect.unit if self.min_effect else None
        if self.kind == "categorical" and unit not in {None, "pp"}:
            raise Malformed(f"feature {self.name!r} is categorical: its effect is in pp of a share", "minEffect: 5pp")
        if self.kind == "numeric" and unit == "pp":
            raise Malformed(f"feature {self.name!r} is numeric: its effect is in σ or %", "minEffect: 0.1σ")
        return self


class Skew(Written):
    """Training data to hold served features against."""

    file: PathBelow
    covers_s: Duration | None = Field(default=None, alias="covers", gt=0)


class Labels(Written):
    """When the truth is expected; `performance.delay` says the same and goes before."""

    delay_s: Duration = Field(alias="delay")


def _renamed(feature: Any) -> Any:
    if isinstance(feature, dict) and isinstance(feature.get("name"), str) and feature["name"] in _ALSO_CALLED:
        return {**feature, "name": _ALSO_CALLED[feature["name"]]}
    return _ALSO_CALLED.get(feature, feature) if isinstance(feature, str) else feature


def attempt_features() -> Mapping[str, Literal["numeric", "categorical"]]:
    """Columns of table `attempt` that can drift, with their kind."""
    columns = {c.name: c.sql for c in TABLES["attempt"].columns if c.name not in _NOT_FEATURES}
    kinds: Mapping[str, Literal["numeric", "categorical"]] = {
        "VARCHAR": "categorical", "BOOLEAN": "categorical", "DOUBLE": "numeric", "BIGINT": "numeric",
    }  # fmt: skip
    return {name: kinds[sql] for name, sql in columns.items() if sql in kinds}


class Drift(Written):
    """Which distributions are watched, against what, and which change would matter."""

    source: Literal["attempts", "predictions"] = "predictions"
    window_s: Duration = Field(default=300.0, alias="window", ge=60)
    reference: Reference = Field(default_factory=lambda: Reference(pinned="auto"))
    min_effect: MinEffect = Field(default=Effect(0.1, "sigma"), alias="minEffect")
    features: tuple[Feature, ...] = ()  # empty: every feature that arrives
    expected_changes: tuple[ExpectedChange, ...] = Field(default=(), alias="expectedChanges")
    skew: Skew | None = None
    labels: Labels | None = None

    @model_validator(mode="before")
    @classmethod
    def _columns(cls, data: Any) -> Any:
        if (
            not isinstance(data, dict)
            or data.get("source") != "attempts"
            or not isinstance(data.get("features"), tuple)
        ):
            return data
        return {**data, "features": tuple(_renamed(feature) for feature in data["features"])}

    @property
    def skew_file(self) -> Path | None:
        """Training data, a Parquet file."""
        return self.skew.file if self.skew else None

    @property
    def label_delay_s(self) -> float | None:
        """How late labels come, s."""
        return self.labels.delay_s if self.labels else None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.window_s % _SUMMARY_S or _HOUR_S % self.window_s:
            raise Malformed("short streams are judged on summaries of 5m, in a part of an hour", "5m, 10m, 15m, 20m, 30m or 1h", ("window",))  # fmt: skip
        return self

    @model_validator(mode="after")
    def _once(self) -> Self:
        names = [feature.name for feature in self.features]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise Malformed(f"feature {name!r} is listed twice", "keep one", ("features", i))
            if self.source == "attempts" and name not in attempt_features():
                hint = did_you_mean(name, attempt_features())
                raise Malformed(f"attempts have no column {name!r}", hint, ("features", i))
        return self
