"""Rules a model stands under and what it may cost, as its ModelSpec says.

Source: ModelSpec v0.1 (`piqc.ai/v1alpha1`), github.com/paralleliq/modelspec: names, types and ranges of fields only.
"""

from __future__ import annotations

from pydantic import Field

from observe.spec.theirs import Count, Flag, Number, Text, Theirs


class Pii(Theirs):
    """Whether personal data may be kept."""

    allowed: Flag | None = None
    policy: Text | None = None


class Retention(Theirs):
    """How long what the model leaves behind may be kept, days."""

    logs_days: Count | None = Field(default=None, alias="logsDays")
    artifacts_days: Count | None = Field(default=None, alias="artifactsDays")


class Ownership(Theirs):
    """Who answers for the model and for changes of it."""

    change_approval: Text | None = Field(default=None, alias="changeApproval")
    owner: Text | None = None


class Compliance(Theirs):
    """Rules the model stands under."""

    pii: Pii = Field(default_factory=Pii)
    retention: Retention = Field(default_factory=Retention)
    governance: Ownership = Field(default_factory=Ownership)


class PricingHints(Theirs):
    """Where the money goes."""

    cloud_provider: Text | None = Field(default=None, alias="cloudProvider")
    instance_type: Text | None = Field(default=None, alias="instanceType")
    spot_allowed: Flag | None = Field(default=None, alias="spotAllowed")


class Cost(Theirs):
    """What the model may cost."""

    target_cost_per_1k_tokens_usd: Number | None = Field(default=None, alias="targetCostPer1kTokensUsd")
    pricing_hints: PricingHints = Field(default_factory=PricingHints, alias="pricingHints")


class Governance(Theirs):
    """Rules and money."""

    compliance: Compliance = Field(default_factory=Compliance)
    cost: Cost = Field(default_factory=Cost)
