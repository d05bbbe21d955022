"""What is known of clusters besides their names: who runs them, where, whose data may lie there, how far they are apart.

A model says where its data must stay by the annotation `residency` of its ModelSpec, or by a `compliance.pii.policy`
of the form `eu-only`; a cluster says where it is by `residency`.

Source: our own (`observe/v1`, `clusters:` of kind `Site`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from pydantic import Field

from observe.spec.written import Duration, Usd, Written

if TYPE_CHECKING:
    from observe.spec.modelspec import ModelSpec

RESIDENCY: Final = "residency"  # annotation of a ModelSpec
_ONLY = re.compile(r"([a-z]{2,12})[- ]only")


class ClusterSpec(Written):
    """One cluster: provider, region, residency, and round trips to others."""

    provider: str | None = None
    region: str | None = None
    residency: str | None = None
    rtt_s: Mapping[str, Duration] = Field(default_factory=dict, alias="rtt")
    egress_usd_gb: Usd | None = Field(default=None, alias="egressPerGB")


def residency_of(spec: ModelSpec) -> str | None:
    """Where the data of a model must stay; None when nothing is said."""
    written = spec.annotations.get(RESIDENCY)
    if written:
        return written.strip().lower()
    policy = _ONLY.fullmatch((spec.compliance.pii.policy or "").strip().lower())
    return policy[1] if policy else None


def may_lie(spec: ModelSpec | None, cluster: str, clusters: Mapping[str, ClusterSpec]) -> tuple[bool | None, str]:
    """Whether a model's data may lie in a cluster, and why; None when that is not declared."""
    wanted = residency_of(spec) if spec else None
    if wanted is None:
        if spec is not None and spec.pii_allowed:
            return None, "it may hold personal data and declares no residency"
        return True, "no residency is declared"
    there = (clusters[cluster].residency or "").lower() if cluster in clusters else ""
    if not there:
        return None, f"its data must stay in {wanted}; where {cluster} is, is not declared"
    if there != wanted:
        return False, f"its data must stay in {wanted}; {cluster} is in {there}"
    return True, f"its data may lie in {there}"


def rtt_between(one: str, other: str, clusters: Mapping[str, ClusterSpec]) -> float | None:
    """The declared round trip, said by either side, s; 0 within a cluster."""
    if one == other:
        return 0.0
    for a, b in ((one, other), (other, one)):
        if a in clusters and b in clusters[a].rtt_s:
            return clusters[a].rtt_s[b]
    return None
