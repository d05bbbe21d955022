"""What a model is and promises, read tolerantly from ParallelIQ's ModelSpec.

The fields Observe acts upon are checked; everything else is kept in `raw`. A field the schema does
not know is a warning, unless it is nearly a known name of its place: then it is a mistake, and refused.

Source: ModelSpec v0.1 (`piqc.ai/v1alpha1`), github.com/paralleliq/modelspec, names only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from observe.errors import ConfigError
from observe.spec.nearest import nearest
from observe.spec.source import Document, Loc, Node

API_VERSION: Final = "piqc.ai/v1alpha1"
_NEARLY: Final = 0.8  # similarity from which an unknown name counts as a misspelling

Tree = Mapping[str, Any]  # field -> its fields; None is a leaf, ANY is free inside
ANY: Final[Tree] = {}


def _leaves(names: str) -> dict[str, None]:
    return dict.fromkeys(names.split())


_STEPS: Final = {"steps": _leaves("name type enabled")}
_PROBE: Final = _leaves("path timeoutSeconds")
SCHEMA: Final[Tree] = {
    "apiVersion": None, "kind": None,
    "metadata": {**_leaves("name version description"), "labels": ANY, "annotations": ANY},
    "spec": {
        "identity": {"model": {**_leaves("id family task framework precision"), "artifacts": _leaves("modelUri tokenizerUri")}},
        "runtime": {
            "accelerator": _leaves("vendor type count"),
            "batch": _leaves("maxBatchSize maxSequenceLengthTokens"),
            "resources": _leaves("cpuCores memoryGb ephemeralStorageGb"),
            "environment": {"variables": ANY},
        },
        "operations": {
            "serving": {**_leaves("protocol port maxConcurrency timeoutSeconds"), "readinessProbe": _PROBE, "livenessProbe": _PROBE},
            "scaling": {**_leaves("minReplicas maxReplicas strategy targetLatencyMsP95 targetRps"), "warmPool": _leaves("size strategy")},
            "observability": {"metrics": _leaves("enabled provider port"), "logging": _leaves("level"), "tracing": _leaves("enabled")},
        },
        "pipeline": {
            "preprocess": _STEPS, "postprocess": _STEPS,
            "dependencies": {**_leaves("id role specRef required"), "interface": _leaves("inputType outputType maxLatencyMs")},
        },
        "governance": {
            "compliance": {
                "pii": _leaves("allowed policy"), "retention": _leaves("logsDays artifactsDays"),
                "governance": _leaves("changeApproval owner"),
            },
            "cost": {**_leaves("targetCostPer1kTokensUsd"), "pricingHints": _leaves("cloudProvider instanceType spotAllowed")},
        },
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dependency:
    """Another model this one relies on."""

    id: str
    role: str | None
    max_latency_s: float | None


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What Observe uses of a ModelSpec; `raw` is all of it, as plain data."""

    name: str
    version: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    model_id: str | None = None
    accelerator_type: str | None = None
    accelerator_count: int | None = None
    min_replicas: int | None = None
    max_replicas: int | None = None
    target_latency_p95_s: float | None = None
    target_cost_per_1k_tokens_usd: float | None = None
    pii_allowed: bool | None = None
    logs_days: int | None = None
    dependencies: tuple[Dependency, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


_IDENTITY: Final = ("spec", "identity", "model")
_ACCELERATOR: Final = ("spec", "runtime", "accelerator")
_SCALING: Final = ("spec", "operations", "scaling")
_COMPLIANCE: Final = ("spec", "governance", "compliance")


def read(document: Document) -> ModelSpec:
    """The ModelSpec a document holds.

    Raises:
        ConfigError: a field we use has another type, or its values contradict each other.
    """
    take = _Reader(document)
    low, high = take.whole((*_SCALING, "minReplicas")), take.whole((*_SCALING, "maxReplicas"))
    if low is not None and high is not None and low > high:
        raise document.refusal(
            f"minReplicas {low} is more than maxReplicas {high}", (*_SCALING, "minReplicas"), "swap them?"
        )
    latency_ms = take.number((*_SCALING, "targetLatencyMsP95"))
    return ModelSpec(
        name=take.text(("metadata", "name")) or "",
        version=take.text(("metadata", "version")),
        labels=take.texts(("metadata", "labels")),
        annotations=take.texts(("metadata", "annotations")),
        model_id=take.text((*_IDENTITY, "id")),
        accelerator_type=take.text((*_ACCELERATOR, "type")),
        accelerator_count=take.whole((*_ACCELERATOR, "count")),
        min_replicas=low,
        max_replicas=high,
        target_latency_p95_s=None if latency_ms is None else latency_ms / 1000,
        target_cost_per_1k_tokens_usd=take.number(("spec", "governance", "cost", "targetCostPer1kTokensUsd")),
        pii_allowed=take.flag((*_COMPLIANCE, "pii", "allowed")),
        logs_days=take.whole((*_COMPLIANCE, "retention", "logsDays")),
        dependencies=tuple(_dependencies(document)),
        raw=document.root.plain(),
    )


def _dependencies(document: Document) -> Iterator[Dependency]:
    loc: Loc = ("spec", "pipeline", "dependencies")
    listed = _at(document.root, loc)
    reader = _Reader(document)
    for i in range(len(listed.items) if listed is not None and listed.is_list else 0):
        ms = reader.number((*loc, i, "interface", "maxLatencyMs"))
        name = reader.text((*loc, i, "id"))
        if name:
            yield Dependency(name, reader.text((*loc, i, "role")), None if ms is None else ms / 1000)


def unknown_fields(document: Document) -> tuple[list[ConfigError], list[str]]:
    """Fields the schema does not know: errors where one is nearly a known name, warnings elsewhere."""
    errors: list[ConfigError] = []
    warnings: list[str] = []
    for loc, siblings in _strangers(document.root, SCHEMA, ()):
        name = str(loc[-1])
        meant = nearest(name, siblings, _NEARLY)
        if meant is not None:
            errors.append(document.refusal(f"unknown field {name!r}", loc, f"did you mean {meant!r}?", at_key=True))
            continue
        home = next(_homes(name, SCHEMA, ""), None)
        advice = f"; it belongs under {home}" if home else ""
        warnings.append(f"{document.where(loc)}: field {name!r} is unknown to {API_VERSION}, kept and not used{advice}")
    return errors, warnings


def _strangers(node: Node, tree: Tree, loc: Loc) -> Iterator[tuple[Loc, Tree]]:
    if node.is_list:
        for i, item in enumerate(node.items):
            yield from _strangers(item, tree, (*loc, i))
        return
    for key, value in zip(node.keys or (), node.items, strict=False):
        here = (*loc, key.text)
        if key.text not in tree:
            yield here, tree
        elif tree[key.text]:
            yield from _strangers(value, tree[key.text], here)


def _homes(name: str, tree: Tree, path: str) -> Iterator[str]:
    for key, below in tree.items():
        if key == name and path:
            yield path
        if below:
            yield from _homes(name, below, f"{path}.{key}" if path else key)


def _at(node: Node, loc: Loc) -> Node | None:
    found: Node | None = node
    for part in loc:
        found = found.child(part) if found is not None else None
    return found


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads single fields of a document and refuses other types, with the place."""

    document: Document

    def _scalar(self, loc: Loc) -> Node | None:
        node = _at(self.document.root, loc)
        if node is not None and (node.is_map or node.is_list):
            raise self.document.refusal(f"{loc[-1]} must be a single value", loc)
        return None if node is None or node.scalar is None else node

    def text(self, loc: Loc) -> str | None:
        """Text as written: `1.10` stays `1.10`."""
        node = self._scalar(loc)
        return node.text if node else None

    def texts(self, loc: Loc) -> Mapping[str, str]:
        """A mapping of texts."""
        node = _at(self.document.root, loc)
        return {k.text: v.text for k, v in zip(node.keys or (), node.items, strict=False)} if node else {}

    def number(self, loc: Loc) -> float | None:
        """A number that is not negative."""
        node = self._scalar(loc)
        if node is None:
            return None
        if isinstance(node.scalar, bool) or not isinstance(node.scalar, int | float) or node.scalar < 0:
            raise self.document.refusal(
                f"{loc[-1]} must be a number, not {node.text!r}", loc, "0 or more, without a unit"
            )
        return float(node.scalar)

    def whole(self, loc: Loc) -> int | None:
        """A whole number that is not negative."""
        value = self.number(loc)
        if value is not None and value != int(value):
            raise self.document.refusal(f"{loc[-1]} must be a whole number, not {value:g}", loc)
        return None if value is None else int(value)

    def flag(self, loc: Loc) -> bool | None:
        """True or false."""
        node = self._scalar(loc)
        if node is not None and not isinstance(node.scalar, bool):
            raise self.document.refusal(f"{loc[-1]} must be true or false, not {node.text!r}", loc)
        return None if node is None else bool(node.scalar)
