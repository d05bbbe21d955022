"""The whole configuration, read once: one site and its models.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from observe.spec.modelspec import ModelSpec
from observe.spec.monitoring import Monitoring
from observe.spec.site import Site


@dataclass(frozen=True, slots=True)
class Model:
    """One model: what it promises, what is watched about it, and the other names its rows come under."""

    name: str
    spec: ModelSpec | None = None
    monitoring: Monitoring | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """A site, its models by name, what deserves a second look, and where every effective value comes from.

    `origins` maps dotted paths (`site.server.listen`, `models.fraud.drift.window`) to `file:line:col`
    or `default`.
    """

    site: Site
    models: Mapping[str, Model] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def numbers(self) -> Mapping[str, frozenset[str]]:
        """The features of predictions that are declared to be numbers, by model."""
        watched = {name: m.monitoring.drift for name, m in self.models.items() if m.monitoring is not None}
        return {
            name: frozenset(f.name for f in drift.features if f.kind == "numeric")
            for name, drift in watched.items()
            if drift is not None and drift.source == "predictions"
        }
