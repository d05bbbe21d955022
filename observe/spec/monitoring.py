"""What is watched about one model: SLOs, drift, a canary, and what to do about them.

Source: our own (`observe/v1`, kind `Monitoring`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, StrictInt, ValidationInfo, model_validator

from observe.spec.drift import Drift
from observe.spec.nearest import did_you_mean
from observe.spec.performance import Performance
from observe.spec.quantity import Malformed
from observe.spec.receiving import Maintenance
from observe.spec.slos import Slo
from observe.spec.written import (
    Duration,
    Name,
    Names,
    Percent,
    Times,
    Written,
    as_text,
)

_WHEN = re.compile(r"slo\.(?P<slo>[a-z0-9._-]+)\.(?:page|ticket)|drift\.confirmed|canary\.failed")
_TARGET = re.compile(r"[a-z][a-z0-9-]*:\S+")
_WHEN_SCHEMA: Final = as_text(
    "event", r"(slo\.[a-z0-9._-]+\.(page|ticket)|drift\.confirmed|canary\.failed)", "slo.ttft.page", "drift.confirmed"
)
_TARGET_SCHEMA: Final = as_text("who:what", _TARGET.pattern, "keda:vllm-chat", "airflow:retrain_chat")


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


def _agreement(value: Any) -> Any:
    said = str(value).rstrip("% ")
    if isinstance(value, str) and said.replace(".", "", 1).isdigit() and not 0 < float(said) < 100:
        raise Malformed(
            f"agreement {value} allows no difference or asks for nothing", "between 0% and 100%, both excluded: 98%"
        )
    return value


class Canary(Written):
    """A new version beside the old one, judged every minute."""

    by: Literal["model_version", "variant", "deployment", "model_served", "prompt_version"] = "model_version"
    rollback_at: Times = Field(default=2.0, alias="rollbackAt", gt=1)
    agreement: Annotated[Percent, BeforeValidator(_agreement)] | None = None
    within: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _of_predictions(self) -> Self:
        if self.agreement is not None and self.by not in ("model_version", "variant"):
            hint = "by: variant or by: model_version; answers of requests are not stored, so they cannot be compared"
            raise Malformed(f"agreement of two versions told apart by {self.by} is not known", hint, ("agreement",))
        return self


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
    mode: Literal["dry-run", "live"] | None = None  # as the site says when not written
    max_usd_per_month: Annotated[StrictInt, Field(ge=1)] | None = Field(default=None, alias="maxUsdPerMonth")
    needs: Literal["drift", "performance", "both"] | None = None  # of retrain; unset: drift, of auto: both
    reference: Literal["human", "canary", "auto"] = "human"  # of retrain: who accepts the new reference

    @property
    def proof(self) -> Literal["drift", "performance", "both"]:
        """What must be proven before a retraining is proposed."""
        return self.needs or ("both" if self.approve == "auto" else "drift")

    @property
    def slo(self) -> str | None:
        """The SLO that `when` names."""
        found = _WHEN.fullmatch(self.when)
        return found["slo"] if found else None


def _whole_composite(slo: Slo, i: int, slos: tuple[Slo, ...]) -> None:
    """Refuse a composite of something that is not declared, or of a composite."""
    parts = {other.name for other in slos if other.kind != "composite"}
    for name in slo.composite.of if slo.composite else ():
        if name not in parts:
            why = "is a composite itself" if name in {other.name for other in slos} else "is not declared"
            hint = did_you_mean(name, parts) or "declare it under slos"
            raise Malformed(f"a composite is of SLO {name!r}, which {why}", hint, ("slos", i, "composite", "of", name))


def _with_delay(data: Any) -> Any:
    """A Monitoring as written; where its performance does not say how late labels come, its drift does."""
    said, drift = (data.get(part) if isinstance(data, Mapping) else None for part in ("performance", "drift"))
    labels = drift.get("labels") if isinstance(drift, Mapping) else None
    if not isinstance(said, Mapping) or not isinstance(labels, Mapping) or "delay" in said or "delay" not in labels:
        return data
    return {**data, "performance": {**said, "delay": labels["delay"]}}


class Monitoring(Written):
    """Everything watched about one model; without `modelRef` the model is the document's name."""

    metadata: Metadata
    model_ref: Name | None = Field(default=None, alias="modelRef")
    selector: Selector = Field(default_factory=Selector)
    share: Percent | None = Field(default=None, gt=0)  # of each part of the site's budget; unset: by number of streams
    slos: tuple[Slo, ...] = ()
    derived_slos: Literal["on", "off"] = Field(default="on", alias="derivedSlos")
    drift: Drift | None = None
    performance: Performance | None = None
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

    @model_validator(mode="before")
    @classmethod
    def _delayed(cls, data: Any) -> Any:
        return _with_delay(data)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [slo.name for slo in self.slos]
        for i, name in enumerate(names):
            if name in names[:i]:
                hint = "names are what alerts and pages show; make them differ"
                raise Malformed(f"two SLOs are named {name!r}", hint, ("slos", i, "name"))
        for i, slo in enumerate(self.slos):
            _whole_composite(slo, i, self.slos)
        for i, rule in enumerate(self.actions):
            self._happens(rule, ("actions", i, "when"))
            self._provable(rule, i)
        return self

    def _happens(self, rule: ActionRule, at: tuple[str, int, str]) -> None:
        """Refuse a rule that waits for what can never come."""
        names = [slo.name for slo in self.slos]
        if rule.slo is not None and rule.slo not in names:
            hint = did_you_mean(rule.slo, names) or "declare it under slos"
            raise Malformed(f"an action waits for SLO {rule.slo!r}, which is not declared", hint, at)
        if rule.when.endswith(".page") and any(s.name == rule.slo and s.of_minutes(self.slos) for s in self.slos):
            hint = f"slo.{rule.slo}.ticket: it counts minutes, which never page"
            raise Malformed(f"an action waits for a page of SLO {rule.slo!r}, which opens tickets only", hint, at)
        if rule.when.startswith("drift.") and self.drift is None:
            hint = "declare drift: {source: predictions}"
            raise Malformed("an action waits for drift, which is not watched", hint, at)
        if rule.when.startswith("canary.") and self.canary is None:
            hint = "declare canary: {by: model_version}"
            raise Malformed("an action waits for a canary, which is not watched", hint, at)

    def _provable(self, rule: ActionRule, i: int) -> None:
        """Refuse a retraining that can never be proposed, or never accepted."""
        if rule.do != "retrain":
            return
        if rule.proof != "drift" and self.performance is None:
            said = (
                "a retraining that nobody approves needs a proven loss"
                if rule.needs is None
                else f"needs: {rule.needs}"
            )
            hint = "declare performance: {task: classification}, or write needs: drift"
            raise Malformed(f"{said}, but performance is not watched", hint, ("actions", i, "needs"))
        if rule.reference == "canary" and self.canary is None:
            hint = "declare canary: {by: model_version}"
            raise Malformed("a canary accepts the reference, but none is watched", hint, ("actions", i, "reference"))
