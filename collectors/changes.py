"""How the tools of a platform tell that something changed, as change events.

Each function here takes one JSON object and returns the columns of `change_event` it can tell, or
None when the object is not of its kind. A sync or reconciliation that failed changed nothing for
certain: it is kept as `config` with severity `error`, so that no incident is blamed on it.

Source: Flux notification-controller v1 Event; Argo CD Application status (its notifications are
free-form templates, so an Application is searched for); Kubernetes core/v1 and events.k8s.io/v1
Event, apps/v1 Deployment; SOURCES section 4.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

Told = dict[str, Any]  # column of change_event -> value as the sender wrote it
Object = Mapping[str, Any]

_SEVERITY: Final = {"normal": "info", "info": "info", "warning": "warning", "error": "error"}

# Reason of a Kubernetes event -> kind of change; from kube-controller-manager, Karpenter, node lifecycle.
REASONS: Final[Mapping[str, str]] = {
    "ScalingReplicaSet": "scale", "SuccessfulRescale": "scale", "KEDAScaleTargetActivated": "scale", "KEDAScaleTargetDeactivated": "scale",
    "DeploymentRollback": "rollback", "RollingBack": "rollback", "DeploymentRollbackRevisionNotFound": "config",
    "RegisteredNode": "node_add", "NodeReady": "node_add", "Registered": "node_add", "Launched": "node_add", "TriggeredScaleUp": "node_add",
    "RemovingNode": "node_remove", "DeletingNode": "node_remove", "NodeNotReady": "node_remove", "ScaleDown": "node_remove",
    "Disrupted": "disruption", "DisruptionTerminating": "disruption", "Evicted": "disruption", "Preempted": "disruption",
    "TaintManagerEviction": "disruption", "Drain": "disruption", "SpotInterrupted": "disruption", "FailedDraining": "disruption",
}  # fmt: skip
_REGISTRY: Final[Mapping[tuple[str, str], str]] = {
    ("model_version", "created"): "trained", ("model_version_alias", "created"): "model_version",
}  # entity and action of an MLflow webhook -> kind of change  # fmt: skip
_SCALED: Final = re.compile(r"\bto (\d+)(?: from (\d+))?|New size: (\d+)")
_WORKLOADS: Final = frozenset({"Deployment", "StatefulSet", "DaemonSet", "InferenceService"})
_APPLIERS: Final = frozenset(
    {"Kustomization", "HelmRelease", "Canary", "Terraform"}
)  # Flux objects that change a cluster


def flux(event: Object) -> Told | None:
    """A Flux event: POST of the notification-controller's generic provider."""
    involved = _object(event, "involvedObject")
    if not involved or "reportingController" not in event:
        return None
    severity = _severity(event.get("severity"))
    metadata = _object(event, "metadata")
    revision = next((v for k, v in metadata.items() if k == "revision" or k.endswith("/revision")), None)
    reason = str(event.get("reason") or "")
    kind = "deploy" if str(involved.get("kind")) in _APPLIERS and severity != "error" else "config"
    if severity != "error" and "rollback" in reason.lower():
        kind = "rollback"
    return {
        "ts": event.get("timestamp"), "kind": kind, "object_kind": involved.get("kind"), "object_name": involved.get("name"),
        "namespace": involved.get("namespace"), "revision": revision, "actor": event.get("reportingController"), "severity": severity,
        "message": _line(reason, event.get("message")),
    }  # fmt: skip


def argo(event: Object) -> Told | None:
    """An Argo CD Application, alone or under `app`, as `toJson .app` in a template gives it."""
    app = _object(event, "app") or event
    status, metadata, spec = _object(app, "status"), _object(app, "metadata"), _object(app, "spec")
    operation = _object(status, "operationState")
    if not metadata or not (operation or "sync" in status):
        return None
    phase = str(operation.get("phase") or "")
    result = _object(operation, "syncResult") or _object(status, "sync")
    started = _object(_object(operation, "operation"), "initiatedBy")
    history = status.get("history") if isinstance(status.get("history"), list) else []
    before = [h.get("revision") for h in history or [] if isinstance(h, Mapping)]
    destination = _object(spec, "destination")
    failed = phase in {"Failed", "Error"}
    return {
        "ts": operation.get("finishedAt") or operation.get("startedAt") or status.get("reconciledAt"),
        "kind": "config" if failed else "deploy", "object_kind": "Application", "object_name": metadata.get("name"),
        "namespace": destination.get("namespace"), "cluster": destination.get("name"), "revision": result.get("revision"),
        "before": before[-2] if len(before) > 1 else None, "after": result.get("revision"),
        "actor": started.get("username") or ("argocd auto-sync" if started.get("automated") else "argocd"),
        "severity": "error" if failed else "info", "message": _line(phase, operation.get("message")),
    }  # fmt: skip


def kubernetes_event(event: Object) -> Told | None:
    """A Kubernetes Event, core/v1 or events.k8s.io/v1; its kind is None where `REASONS` does not name its reason."""
    about = _object(event, "involvedObject") or _object(event, "regarding")
    if event.get("kind") != "Event" or not about:
        return None
    reason = str(event.get("reason") or "")
    message = event.get("message") or event.get("note")
    source, metadata = _object(event, "source"), _object(event, "metadata")
    kind = REASONS.get(reason)
    size = _SCALED.search(str(message or "")) if kind == "scale" else None
    return {
        "ts": event.get("lastTimestamp") or event.get("eventTime") or event.get("firstTimestamp") or metadata.get("creationTimestamp"),
        "event_id": _occurrence(metadata.get("uid"), event), "kind": kind, "object_kind": about.get("kind"),
        "object_name": about.get("name"), "namespace": about.get("namespace"),
        "node": source.get("host") or (about.get("name") if about.get("kind") == "Node" else None),
        "before": size[2] if size else None, "after": (size[1] or size[3]) if size else None,
        "actor": event.get("reportingComponent") or event.get("reportingController") or source.get("component"),
        "severity": _severity(event.get("type")), "message": _line(reason, message),
    }  # fmt: skip


def deployment(event: Object) -> Told | None:
    """A Deployment, StatefulSet, DaemonSet or InferenceService as it stands in the cluster: a deploy of its images."""
    metadata, spec = _object(event, "metadata"), _object(event, "spec")
    if str(event.get("kind")) not in _WORKLOADS or not metadata:
        return None
    annotations = _object(metadata, "annotations")
    conditions = _object(event, "status").get("conditions")
    stamps = [str(c.get("lastUpdateTime") or c.get("lastTransitionTime") or "") for c in _objects(conditions)]
    containers = _objects(_object(_object(spec, "template"), "spec").get("containers"))
    images = [str(c["image"]) for c in containers if c.get("image")]
    uid, generation = metadata.get("uid"), metadata.get("generation")
    return {
        "ts": max(stamps, default="") or metadata.get("creationTimestamp"), "kind": "deploy",
        "event_id": f"{uid}/{generation}" if uid and generation else None, "object_kind": event.get("kind"),
        "object_name": metadata.get("name"), "namespace": metadata.get("namespace"), "after": ", ".join(images) or None,
        "revision": annotations.get("deployment.kubernetes.io/revision") or generation,
        "actor": annotations.get("kubernetes.io/change-cause"), "severity": "info",
    }  # fmt: skip


def mlflow(event: Object) -> Told | None:
    """A webhook of MLflow's model registry: a new version was trained; an alias set on one is a change of version."""
    entity, action, data = event.get("entity"), event.get("action"), _object(event, "data")
    if not data or "kind" in event or not isinstance(entity, str) or not isinstance(action, str):
        return None
    tags = _object(data, "tags")
    alias = f"alias {data['alias']}" if data.get("alias") else ""
    return {
        "ts": event.get("timestamp"), "kind": _REGISTRY.get((entity, action)), "object_kind": "ModelVersion", "object_name": data.get("name"),
        "model_id": data.get("name"), "after": data.get("version"), "revision": data.get("source"), "actor": "mlflow",
        "severity": "info", "message": _line(alias, data.get("description")),
        "caused_by": tags.get("observe.key") or data.get("run_id"),
    }  # fmt: skip


def _occurrence(uid: Any, event: Object) -> str | None:
    """A Kubernetes event keeps its uid while its count grows; every occurrence is an event of ours."""
    count = event.get("count") or _object(event, "series").get("count") or 1
    return f"{uid}/{count}" if uid else None


def _object(parent: Object, name: str) -> Object:
    child = parent.get(name)
    return child if isinstance(child, Mapping) else {}


def _objects(children: Any) -> list[Object]:
    return [c for c in children if isinstance(c, Mapping)] if isinstance(children, list) else []


def _severity(value: Any) -> str | None:
    return _SEVERITY.get(str(value).lower()) if value else None


def _line(reason: str, message: Any) -> str | None:
    text = " ".join(str(message).split()) if message else ""
    return f"{reason}: {text}" if reason and text else reason or text or None
