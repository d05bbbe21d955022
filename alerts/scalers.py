"""What scalers are told to ask us: manifests and GitOps patches by model, for whoever does the scaling.

KEDA and the HorizontalPodAutoscaler read the number of replicas; a target of 1 replica "a replica" hands it on as it is.
Where no number is told, KEDA keeps to its fallback and the HPA to what there is. KServe and KAITO are scaled through
the same ScaledObject, with their own scalers out of the way; Ray Serve and Karpenter get the bounds of the ModelSpec.

Source: KEDA 2.15 and 2.19 documentation, "Metrics API", "Prometheus", "ScaledObject specification" (`keda.sh/v1alpha1`);
Kubernetes 1.35 `autoscaling/v2`; prometheus-adapter, docs/externalmetrics.md (`externalRules`); KServe 0.16, "Autoscaling
with KEDA" (`serving.kserve.io/autoscalerClass`); KAITO 0.12, CRD inferencesets.kaito.sh (`/scale`); Ray 2.x,
`ray.serve.config.AutoscalingConfig`; Karpenter 1.14, "NodePools" (`spec.limits`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from alerts.rulefiles import header, written

if TYPE_CHECKING:
    from observe.spec import Config, ModelSpec

SERVICE: Final = "observe.observe.svc:8080"  # of examples/kubernetes
PROMETHEUS: Final = "http://prometheus-operated.monitoring.svc:9090"
SECRET, KEY = "observe-tokens", "viewer"  # a secret and the key of a token in it, as in examples/kubernetes
METRIC: Final = "observe_scaling_desired_replicas"
POLL_S: Final = 15  # decisions are made as often
FAILURES: Final = 3  # polls without a number before the fallback
RESOURCES: Final[Mapping[str, str]] = {
    "nvidia": "nvidia.com/gpu",
    "amd": "amd.com/gpu",
    "intel": "gpu.intel.com/i915",
    "habana": "habana.ai/gaudi",
}
MANY: Final = 10  # replicas from which the HPA's tolerance of 10 % swallows a step of one

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scaled:
    """One model that is scaled, and what scales."""

    model: str
    workload: str  # what the rule's target calls it, else the model's name
    low: int
    high: int
    concurrency: int | None  # requests a replica serves at once, as declared
    accelerator: str | None
    devices: int  # of all replicas at most

    @property
    def name(self) -> str:
        """A Kubernetes name."""
        return re.sub(r"[^a-z0-9-]+", "-", self.workload.lower()).strip("-") or "model"


def scaled(config: Config) -> tuple[Scaled, ...]:
    """Models whose ModelSpec bounds their replicas."""
    found = []
    for name, model in sorted(config.models.items()):
        spec = model.spec
        if spec is None or spec.max_replicas is None or spec.scaling.strategy == "manual":
            continue
        rules = model.monitoring.actions if model.monitoring else ()
        named = [r.target.partition(":")[2] for r in rules if r.do == "scale"]
        found.append(_scaled(name, spec, named[0] if named else name))
    return tuple(found)


def _scaled(name: str, spec: ModelSpec, workload: str) -> Scaled:
    assert spec.max_replicas is not None
    vendor = (spec.spec.runtime.accelerator.vendor or "nvidia").lower()
    return Scaled(
        model=name, workload=workload, low=1 if spec.min_replicas is None else spec.min_replicas, high=spec.max_replicas,
        concurrency=spec.serving.max_concurrency, accelerator=RESOURCES.get(vendor),
        devices=spec.max_replicas * (spec.accelerator_count or 0),
    )  # fmt: skip


def files(config: Config, notes: list[str]) -> dict[str, str]:
    """Manifests and patches, by path.

    Args:
        config: site and models.
        notes: gets what deserves to be told.
    """
    models = scaled(config)
    address = f"{config.site.server.scheme}://{SERVICE}"
    head = header(sha256(repr((models, address)).encode()).hexdigest(), f"we are thought to answer at {address}")
    made: dict[str, str] = {}
    for one in models:
        for kind, documents in _of(one, address).items():
            made[f"scaling/{one.model}.{kind}.yaml"] = _joined(documents, head)
        if one.high > MANY:
            notes.append(
                f"model {one.model!r}: a HorizontalPodAutoscaler leaves changes below 10 % alone, so from {MANY} replicas on "
                "one more is not enough to move it; Kubernetes 1.35 honours the `tolerance` that is written"
            )
    if models:
        made["scaling/prometheus-adapter.yaml"] = _joined([adapter()], head)
    pools = list(_pools(config, models))
    if pools:
        made["scaling/karpenter.yaml"] = _joined(pools, head)
    return dict(sorted(made.items()))


def _of(one: Scaled, address: str) -> dict[str, list[Document]]:
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "name": one.name}
    predictor = {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"{one.name}-predictor"}
    inference = {"apiVersion": "kaito.sh/v1alpha1", "kind": "InferenceSet", "name": one.name}
    asks = asked(one, address)
    return {
        "keda": [authentication(), scaled_object(one, deployment, asks)],
        "keda-prometheus": [scaled_object(one, deployment, queried(one))],
        "hpa": [horizontal(one, deployment)],
        "kserve": [inference_service(one), authentication(), scaled_object(one, predictor, asks)],
        "kaito": [inference_set(one), authentication(), scaled_object(one, inference, asks)],
        "rayserve": [ray_serve(one)],
    }


def _joined(documents: Sequence[Document], head: str) -> str:
    return "---\n".join(written(d, head if i == 0 else "") for i, d in enumerate(documents))


def asked(one: Scaled, address: str) -> Document:
    """KEDA's trigger that asks our API; its answer 503 counts as a failure."""
    return {
        "type": "metrics-api",
        "metricType": "AverageValue",
        "metadata": {
            "url": f"{address}/api/v1/scaling/{one.model}", "valueLocation": "desired.replicas", "targetValue": "1",
            "activationTargetValue": "0", "authMode": "bearer",
        },
        "authenticationRef": {"name": "observe"},
    }  # fmt: skip


def queried(one: Scaled) -> Document:
    """KEDA's trigger that asks Prometheus; an empty answer counts as a failure."""
    return {
        "type": "prometheus",
        "metricType": "AverageValue",
        "metadata": {
            "serverAddress": PROMETHEUS, "query": f'max({METRIC}{{model="{one.model}"}})', "threshold": "1",
            "activationThreshold": "0", "ignoreNullValues": "false",
        },
    }  # fmt: skip


def scaled_object(one: Scaled, target: Mapping[str, str], trigger: Document) -> Document:
    """A ScaledObject of one workload; while no number comes it keeps what there is, and at least its minimum."""
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": _metadata(one.name),
        "spec": {
            "scaleTargetRef": dict(target), "pollingInterval": POLL_S, "minReplicaCount": one.low, "maxReplicaCount": one.high,
            "fallback": {"failureThreshold": FAILURES, "replicas": max(one.low, 1), "behavior": "currentReplicasIfHigher"},
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": _at_once()}},
            "triggers": [trigger],
        },
    }  # fmt: skip


def _at_once() -> Document:
    """No waiting of its own: patience is ours, and two would add up."""
    return {direction: {"stabilizationWindowSeconds": 0} for direction in ("scaleUp", "scaleDown")}


def _metadata(name: str) -> Document:
    return {"name": name, "labels": {"app.kubernetes.io/managed-by": "observe"}}


def authentication() -> Document:
    """Whom KEDA says it is: a viewer, by the token that a secret holds."""
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "TriggerAuthentication",
        "metadata": _metadata("observe"),
        "spec": {"secretTargetRef": [{"parameter": "token", "name": SECRET, "key": KEY}]},
    }


def horizontal(one: Scaled, target: Mapping[str, str]) -> Document:
    """A HorizontalPodAutoscaler that reads the gauge through prometheus-adapter."""
    metric = {"name": METRIC, "selector": {"matchLabels": {"model": one.model}}}
    behavior = {way: {**told, "tolerance": "0"} for way, told in _at_once().items()}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": _metadata(one.name),
        "spec": {
            "scaleTargetRef": dict(target), "minReplicas": max(one.low, 1), "maxReplicas": one.high, "behavior": behavior,
            "metrics": [
                {"type": "External", "external": {"metric": metric, "target": {"type": "AverageValue", "averageValue": "1"}}}
            ],
        },
    }  # fmt: skip


def adapter() -> Document:
    """prometheus-adapter's rule for the gauge; it has no namespace of its own."""
    return {
        "externalRules": [
            {
                "seriesQuery": f'{METRIC}{{model!=""}}',
                "resources": {"namespaced": False},
                "name": {"as": METRIC},
                "metricsQuery": "max(<<.Series>>{<<.LabelMatchers>>}) by (model)",
            }
        ]
    }


def inference_service(one: Scaled) -> Document:
    """A patch of a KServe InferenceService in Standard mode: the bounds are ours, and so is the scaler."""
    annotations = {"serving.kserve.io/autoscalerClass": "external"}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": one.name, "annotations": annotations},
        "spec": {"predictor": {"minReplicas": one.low, "maxReplicas": one.high}},
    }


def inference_set(one: Scaled) -> Document:
    """A patch of a KAITO InferenceSet: its own ScaledObject is not made, ours is."""
    annotations = {"scaledobject.kaito.sh/auto-provision": "false"}
    return {
        "apiVersion": "kaito.sh/v1alpha1",
        "kind": "InferenceSet",
        "metadata": {"name": one.name, "annotations": annotations},
    }


def ray_serve(one: Scaled) -> Document:
    """A part of a Ray Serve config (`serveConfigV2` of a RayService): bounds, and the load it scales by itself."""
    config: Document = {
        "min_replicas": one.low,
        "max_replicas": one.high,
        "upscale_delay_s": 30.0,
        "downscale_delay_s": 900.0,
    }
    if one.concurrency:
        config["target_ongoing_requests"] = round(0.85 * one.concurrency, 2)
    return {"applications": [{"name": one.name, "deployments": [{"name": one.name, "autoscaling_config": config}]}]}


def _pools(config: Config, models: Sequence[Scaled]) -> Iterator[Document]:
    """Patches of Karpenter NodePools by accelerator: no more devices than all models together may use."""
    limits: dict[str, dict[str, int]] = {}
    for one in models:
        spec = config.models[one.model].spec
        kind = spec.accelerator_type if spec else None
        if kind and one.accelerator and one.devices:
            pool = limits.setdefault(re.sub(r"[^a-z0-9-]+", "-", kind.lower()), {})
            pool[one.accelerator] = pool.get(one.accelerator, 0) + one.devices
    for name, devices in sorted(limits.items()):
        yield {
            "apiVersion": "karpenter.sh/v1",
            "kind": "NodePool",
            "metadata": {"name": name},
            "spec": {"limits": {resource: str(n) for resource, n in sorted(devices.items())}},
        }
