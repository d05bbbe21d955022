"""What a configuration may say before anything acts upon it, told so that nobody relies on it.

Fields listed here are parsed and kept. Remove one from the list when something reads it.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from re import sub
from typing import Final

from observe.spec.documents import Documents
from observe.spec.drift import Feature, attempt_features
from observe.spec.nodes import Loc
from observe.spec.site import Site
from observe.spec.source import Document

NOTE: Final = "kept, not used yet"
MONITORING: Final[tuple[Loc, ...]] = (("selector", "matchLabels"),)
MODELSPEC_USED: Final[Mapping[str, str]] = {  # field of a ModelSpec -> what reads it; every other one is only kept
    "metadata.name": "the model's name",
    "metadata.version": "model pages",
    "metadata.labels": "`team` and `service` go onto alerts",
    "metadata.annotations": "`runbook` goes onto alerts; `coldStart` and `residency` tell scaling how long and where",
    "spec.identity.model.id": "an alias: rows under this id are the model's",
    "spec.identity.model.task": "whether the default latency SLO is about TTFT (chat, completion) or duration",
    "spec.identity.model.precision": "bytes of a weight, for what fits onto idle devices",
    "spec.runtime.accelerator.vendor": "which resource Karpenter limits",
    "spec.runtime.accelerator.type": "model pages, scaling; as in `prices`",
    "spec.runtime.accelerator.count": "model pages, scaling",
    "spec.operations.serving.maxConcurrency": "load of a replica that Ray Serve is given",
    "spec.operations.serving.readinessProbe.path": "tried by `observe check --live` where it is an address",
    "spec.operations.serving.livenessProbe.path": "tried by `observe check --live` where it is an address",
    "spec.operations.scaling.minReplicas": "lower bound of scale actions",
    "spec.operations.scaling.maxReplicas": "upper bound of scale actions",
    "spec.operations.scaling.strategy": "manual: no number is told to scalers; reactive: without a forecast",
    "spec.operations.scaling.targetRps": "requests a second of one replica, where that was not measured",
    "spec.operations.scaling.warmPool.size": "replicas told to scalers beyond what load needs",
    "spec.governance.compliance.pii.policy": "`eu-only`: where its data must stay, as the annotation `residency`",
    "spec.operations.scaling.targetLatencyMsP95": "the default latency SLO, where none about latency is declared",
    "spec.pipeline.dependencies.id": "SLOs about a dependency",
    "spec.pipeline.dependencies.interface.maxLatencyMs": "how long a call may take, of an SLO about it that does not say",
    "spec.governance.cost.targetCostPer1kTokensUsd": "the cost envelope on model pages; what an SLO about cost leaves open",
}
_CLUSTER: Final = frozenset({"cluster"})
_LABELS: Final[Mapping[str, frozenset[str]]] = {  # type of a collector -> labels that reach its rows; of others every one
    "otlp": _CLUSTER, "litellm": _CLUSTER, "spendlogs": _CLUSTER, "events": _CLUSTER, "cloudevents": _CLUSTER, "exposition": _CLUSTER,
    "files": frozenset(), "predictions": frozenset(), "labels": frozenset(), "promql": frozenset(),
}  # fmt: skip
_NAME_THEIRS: Final = ("otlp", "litellm", "spendlogs", "events", "cloudevents", "exposition", "nvml", "promql")
_DELAY: Final[Loc] = ("drift", "labels", "delay")
COMPLIANCE: Final[Loc] = ("spec", "governance", "compliance")
MODELSPEC: Final[tuple[Loc, ...]] = (  # promises somebody might rely on: kept ones of them are warned about
    (*COMPLIANCE, "pii", "allowed"), (*COMPLIANCE, "retention", "logsDays"),
    (*COMPLIANCE, "retention", "artifactsDays"), (*COMPLIANCE, "governance", "changeApproval"),
)  # fmt: skip


def warnings(found: Documents) -> Iterator[str]:
    """One warning with `file:line:col` per field that is written and not used, in order of the documents."""
    for document, site in found.sites:
        yield from _of_collectors(document, site)
    for document, _ in found.specs:
        yield from _written(document, MODELSPEC)
    for document, monitoring in found.monitorings:
        yield from _written(document, MONITORING)
        if monitoring.performance is None:
            yield from _written(document, (_DELAY,), "used by performance: only, which is not declared")


def is_unused(path: str) -> bool:
    """Whether the value of a Monitoring at a dotted path changes nothing yet.

    >>> is_unused("selector.matchLabels"), is_unused("drift.window")
    (True, False)
    """
    return any(f"{path}.".startswith(".".join(map(str, loc)) + ".") for loc in MONITORING)


def is_kept(path: str) -> bool:
    """Whether the value of a ModelSpec at a dotted path is kept and read by nothing yet.

    >>> is_kept("spec.pipeline.preprocess.steps.0.name"), is_kept("metadata.labels.team")
    (True, False)
    """
    bare = sub(r"\.(\d+|N)(?=\.|$)", "", path)  # of every entry of a list
    return not any(f"{bare}.".startswith(f"{used}.") for used in MODELSPEC_USED)


def is_categorical(feature: Feature, source: str) -> bool:
    """Whether a listed feature is known to have levels: said so, judged in pp, or such a column of `attempt`."""
    if feature.kind is not None:
        return feature.kind == "categorical"
    in_shares = feature.min_effect is not None and feature.min_effect.unit == "pp"
    return in_shares or (source == "attempts" and attempt_features().get(feature.name) == "categorical")


def _of_collectors(document: Document, site: Site) -> Iterator[str]:
    """Labels and models of collectors that none of their rows is told."""
    for name, spec in site.collectors.items():
        reach = _LABELS.get(spec.type)
        lost = [label for label in spec.labels if reach is not None and label not in reach]
        note = f"used by nothing: rows of type {spec.type} take {'the label cluster alone' if reach else 'no labels'}"
        yield from _written(document, tuple(("collectors", name, "labels", label) for label in lost), note)
        if spec.model is not None and spec.type in _NAME_THEIRS:
            told = f"used by nothing: rows of type {spec.type} name their model, if they have one"
            yield from _written(document, (("collectors", name, "model"),), told)


def _written(document: Document, fields: tuple[Loc, ...], note: str = NOTE) -> Iterator[str]:
    for loc in fields:
        node, known = document.find(loc)
        if known == loc and (node.is_map or node.is_list or node.scalar is not None):
            yield f"{document.where(loc)}: {'.'.join(map(str, loc))} is {note}"
