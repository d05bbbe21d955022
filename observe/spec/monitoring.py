"""What is watched about one model: SLOs, drift, a canary, and what to do about them.

Source: our own (`observe/v1`, kind `Monitoring`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, StrictInt, ValidationInfo, model_validator

from observe.spec.burn import TIERS, usable
from observe.spec.drift import Drift
from observe.spec.nearest import did_you_mean
from observe.spec.quantity import Malformed, write_duration, write_percent
from observe.spec.receiving import Maintenance
from observe.spec.written import (
    Condition,
    Duration,
    Name,
    Names,
    Percent,
    Times,
    Written,
    as_text,
)

DAY_S: Final = 86_400.0
LatencyColumn = Literal["ttft_s", "duration_s", "tpot_s"]
_WHEN = re.compile(r"slo\.(?P<slo>[a-z0-9._-]+)\.(?:page|ticket)|drift\.confirmed|canary\.failed")
_TARGET = re.compile(r"[a-z][a-z0-9-]*:\S+")
_WHEN_SCHEMA: Final = as_text(
    "event", r"(slo\.[a-z0-9._-]+\.(page|ticket)|drift\.confirmed|canary\.failed)", "slo.ttft.page", "drift.confirmed"
)
_TARGET_SCHEMA: Final = as_text("who:what", _TARGET.pattern, "keda:vllm-chat", "airflow:retrain_chat")


def _objective(value: Any) -> Any:
    if (
        isinstance(value, str)
        and value.rstrip("% ").replace(".", "", 1).isdigit()
        and not 0 < float(value.rstrip("% ")) < 100
    ):
        raise Malformed(
            f"objective {value} leaves no error budget or asks for nothing", "between 0% and 100%, both excluded: 99.9%"
        )
    return value


class Metadata(Written):
    """The name a document goes by."""

    name: Name
    labels: Mapping[str, str] = Field(default_factory=dict)


class Selector(Written):
    """Which rows are this model's: clusters, names at the gateway, labels of its workload."""

    clusters: Names = Field(default=(), alias="cluster")
    gateway_models: Names = Field(default=(), alias="gatewayModels")
    match_labels: Mapping[str, str] = Field(default_factory=dict, alias="matchLabels")

    @model_validator(mode="after")
    def _something(self, info: ValidationInfo) -> Self:
        if info.context is not None and not (self.clusters or self.gateway_models or self.match_labels):
            hint = "name gatewayModels, or remove it: rows under the model's own name are always its own"
            raise Malformed("a selector that selects nothing", hint)
        return self


class Seen(Written):
    """Where Prometheus counts the same events: counters, or expressions with `$window` for the range."""

    total: str = Field(min_length=1)
    good: str | None = Field(default=None, min_length=1)
    errors: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.good is None) == (self.errors is None):
            hint = "total: 'x_total', errors: 'x_total{code=~\"5..\"}'"
            raise Malformed("prometheus needs total and one of good or errors", hint)
        return self


class Slo(Written):
    """A promise about requests: enough of them fast (`latency`, `below`) or fine (`good`) in a window."""

    name: Name
    latency: LatencyColumn | None = None
    threshold_s: Duration | None = Field(default=None, alias="below", gt=0)
    good: Condition | None = None
    objective: Annotated[Percent, BeforeValidator(_objective)]
    window_s: Duration = Field(default=30 * DAY_S, alias="window", gt=0)
    prometheus: Seen | None = None

    @property
    def kind(self) -> Literal["latency", "good"]:
        """Whether a threshold or a condition decides."""
        return "good" if self.latency is None else "latency"

    @property
    def column(self) -> str | None:
        """The latency column of the view `request`, in s."""
        return self.latency

    @property
    def good_sql(self) -> str | None:
        """The condition of a good request as safe SQL over the view `request`."""
        return self.good.sql if self.good else None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.latency is None) == (self.good is None):
            raise Malformed(
                f"SLO {self.name!r} needs either latency or good",
                "latency: ttft_s, below: 800ms — or good: status = ok",
            )
        if (self.latency is None) != (self.threshold_s is None):
            raise Malformed(f"SLO {self.name!r}: latency and below go together", "latency: ttft_s, below: 800ms")
        if self.window_s <= TIERS[0].long_s:
            said = f"no burn tier fits into a window of {write_duration(self.window_s)}"
            shortest = write_duration(TIERS[0].long_s)
            raise Malformed(said, f"the shortest looks back {shortest}; promise over days: 30d", ("window",))
        if not usable(self.objective, self.window_s):
            asked, window = write_percent(self.objective), write_duration(self.window_s)
            raise Malformed(
                f"SLO {self.name!r} can never alarm: at {asked} over {window} even a total outage burns too slowly",
                "raise the objective or shorten the window: a tier fires only when factor x (1 - objective) < 1",
            )
        return self


class Canary(Written):
    """A new version beside the old one, judged every minute."""

    by: Literal["model_version", "variant", "deployment", "model_served", "prompt_version"] = "model_version"
    rollback_at: Times = Field(default=2.0, alias="rollbackAt", gt=1)


def _when(value: Any) -> Any:
    if isinstance(value, str) and not _WHEN.fullmatch(value):
        raise Malformed(f"{value!r} never happens", "slo.NAME.page, slo.NAME.ticket, drift.confirmed or canary.failed")
    return value


def _target(value: Any) -> Any:
    if isinstance(value, str) and not _TARGET.fullmatch(value):
        raise Malformed(
            f"{value!r} is not a target", "write who does it and what: keda:vllm-chat, airflow:retrain_chat"
        )
    return value


class ActionRule(Written):
    """When something is found, what is proposed, to whom, and who must agree."""

    when: Annotated[str, BeforeValidator(_when), _WHEN_SCHEMA]
    for_s: Duration = Field(default=0.0, alias="for")
    do: Literal["scale", "retrain", "rollback", "hold"]
    target: Annotated[str, BeforeValidator(_target), _TARGET_SCHEMA]
    approve: Literal["auto", "human"] = "human"
    step: StrictInt = Field(default=1, ge=1, le=100)
    cooldown_s: Duration = Field(default=600.0, alias="cooldown")

    @property
    def slo(self) -> str | None:
        """The SLO that `when` names."""
        found = _WHEN.fullmatch(self.when)
        return found["slo"] if found else None


class Monitoring(Written):
    """Everything watched about one model; without `modelRef` the model is the document's name."""

    metadata: Metadata
    model_ref: Name | None = Field(default=None, alias="modelRef")
    selector: Selector = Field(default_factory=Selector)
    share: Percent | None = Field(default=None, gt=0)  # of each part of the site's budget; unset: by number of streams
    slos: tuple[Slo, ...] = ()
    drift: Drift | None = None
    canary: Canary | None = None
    actions: tuple[ActionRule, ...] = ()
    maintenance: tuple[Maintenance, ...] = ()

    @property
    def name(self) -> str:
        """The document's name."""
        return self.metadata.name

    @property
    def model(self) -> str:
        """The model it watches."""
        return self.model_ref or self.metadata.name

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [slo.name for slo in self.slos]
        for i, name in enumerate(names):
            if name in names[:i]:
                hint = "names are what alerts and pages show; make them differ"
                raise Malformed(f"two SLOs are named {name!r}", hint, ("slos", i, "name"))
        for i, rule in enumerate(self.actions):
            at = ("actions", i, "when")
            if rule.slo is not None and rule.slo not in names:
                hint = did_you_mean(rule.slo, names) or "declare it under slos"
                raise Malformed(f"an action waits for SLO {rule.slo!r}, which is not declared", hint, at)
            if rule.when.startswith("drift.") and self.drift is None:
                hint = "declare drift: {source: predictions}"
                raise Malformed("an action waits for drift, which is not watched", hint, at)
            if rule.when.startswith("canary.") and self.canary is None:
                raise Malformed(
                    "an action waits for a canary, which is not watched", "declare canary: {by: model_version}", at
                )
        return self
