"""Configuration: YAML that people write, read once into frozen, validated objects.

`load` reads a site with its models, `check` is what `observe check` runs, `monitors.derive` turns
the result into questions with thresholds, `explain` prints it.

Source: our own; ARCHITECTURE section 5.
"""

from __future__ import annotations

from observe.spec.collecting import CollectorSpec
from observe.spec.config import Config, Model
from observe.spec.drift import Drift, Feature, Reference
from observe.spec.load import check, load
from observe.spec.modelspec import Dependency, ModelSpec
from observe.spec.monitoring import ActionRule, Canary, Monitoring, Selector
from observe.spec.quantity import Effect, Rate
from observe.spec.refusal import ConfigErrors
from observe.spec.secret import SecretRef
from observe.spec.site import AlertsSpec, ServerSpec, Site, StoreSpec
from observe.spec.slos import Slo

__all__ = [
    "ActionRule", "AlertsSpec", "Canary", "CollectorSpec", "Config", "ConfigErrors", "Dependency", "Drift", "Effect",
    "Feature", "Model", "ModelSpec", "Monitoring", "Rate", "Reference", "SecretRef", "Selector", "ServerSpec", "Site",
    "Slo", "StoreSpec", "check", "load",
]  # fmt: skip
