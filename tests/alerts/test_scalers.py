"""Manifests for scalers: valid where Kubernetes says what is valid, and strictly of the shape the CRDs publish."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from alerts import scalers
from observe.spec import load

SITE = "apiVersion: observe/v1\nkind: Site\nstore: {path: ./data}\n"
MODEL = """\
apiVersion: piqc.ai/v1alpha1
kind: ModelSpec
metadata: {name: chat}
spec:
  runtime: {accelerator: {vendor: nvidia, type: h100-80gb, count: 4}}
  operations: {serving: {maxConcurrency: 64}, scaling: {minReplicas: 2, maxReplicas: 12}}
---
apiVersion: observe/v1
kind: Monitoring
metadata: {name: chat}
slos: [{name: ttft, latency: ttft_s, below: 800ms, objective: 99%, window: 30d}]
actions: [{when: slo.ttft.page, do: scale, target: "keda:vllm-chat"}]
---
apiVersion: piqc.ai/v1alpha1
kind: ModelSpec
metadata: {name: embedder}
spec:
  runtime: {accelerator: {vendor: nvidia, type: h100-80gb, count: 1}}
  operations: {scaling: {maxReplicas: 3}}
---
apiVersion: piqc.ai/v1alpha1
kind: ModelSpec
metadata: {name: unbounded}
"""
TEXT, WHOLE, TRUTH, NUMBER = str, int, bool, (int, float)
OBJECT = {
    "apiVersion": TEXT,
    "kind": TEXT,
    "metadata": {"name": TEXT, "labels?": {"*": TEXT}, "annotations?": {"*": TEXT}},
}
WAITS = {"stabilizationWindowSeconds?": WHOLE, "selectPolicy?": TEXT, "policies?": [{"type": TEXT, "value": WHOLE, "periodSeconds": WHOLE}]}  # fmt: skip
SHAPES: dict[str, Any] = {  # of the CRDs' openAPIV3Schema: every field there is, "?" where it is not required
    "ScaledObject": OBJECT | {"spec": {  # keda config/crd/bases/keda.sh_scaledobjects.yaml; fallback.behavior as in 2.19
        "scaleTargetRef": {"apiVersion?": TEXT, "kind?": TEXT, "name": TEXT, "envSourceContainerName?": TEXT},
        "pollingInterval?": WHOLE, "cooldownPeriod?": WHOLE, "idleReplicaCount?": WHOLE, "minReplicaCount?": WHOLE, "maxReplicaCount?": WHOLE,
        "fallback?": {"failureThreshold": WHOLE, "replicas": WHOLE, "behavior?": {"static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"}},
        "advanced?": {"restoreToOriginalReplicaCount?": TRUTH, "horizontalPodAutoscalerConfig?": {"behavior?": {"scaleUp?": WAITS, "scaleDown?": WAITS}}},
        "triggers": [{"type": {"metrics-api", "prometheus"}, "name?": TEXT, "metricType?": {"AverageValue", "Value", "Utilization"},
                      "metadata": {"*": TEXT}, "authenticationRef?": {"name": TEXT, "kind?": TEXT}}]}},
    "TriggerAuthentication": OBJECT | {"spec": {"secretTargetRef?": [{"parameter": TEXT, "name": TEXT, "key": TEXT}]}},
    "InferenceService": OBJECT | {"spec": {"predictor": {"minReplicas?": WHOLE, "maxReplicas?": WHOLE}}},  # serving.kserve.io v1beta1, ComponentExtensionSpec
    "InferenceSet": OBJECT,  # a patch of metadata
    "NodePool": OBJECT | {"spec": {"limits?": {"*": TEXT}}},  # karpenter.sh/v1: quantities by resource
}  # fmt: skip
METADATA = {  # KEDA 2.15: parameters of the two scalers
    "metrics-api": {"url", "format", "valueLocation", "targetValue", "activationTargetValue", "unsafeSsl", "authMode", "method", "keyParamName"},
    "prometheus": {"serverAddress", "query", "threshold", "activationThreshold", "namespace", "customHeaders", "ignoreNullValues", "queryParameters", "unsafeSsl", "authModes", "timeout"},
}  # fmt: skip


def wrong(value: Any, shape: Any, at: str = "") -> list[str]:
    """What of a value its shape does not know."""
    if isinstance(shape, set):
        return [] if value in shape else [f"{at}: {value!r} is none of {sorted(shape)}"]
    if isinstance(shape, list):
        return [w for i, v in enumerate(value) for w in wrong(v, shape[0], f"{at}[{i}]")]
    if not isinstance(shape, dict):
        return (
            []
            if isinstance(value, shape) and (shape is not WHOLE or not isinstance(value, bool))
            else [f"{at}: {value!r}"]
        )
    known = {k.rstrip("?"): s for k, s in shape.items()}
    missing = [f"{at}.{k} is missing" for k in shape if not k.endswith("?") and k != "*" and k not in value]
    every = [
        w
        for k, v in value.items()
        for w in (
            wrong(v, known.get(k, known.get("*")), f"{at}.{k}")
            if k in known or "*" in known
            else [f"{at}.{k} is unknown"]
        )
    ]
    return missing + every


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "models").mkdir()
    (folder / "observe.yaml").write_text(SITE)
    (folder / "models/all.yaml").write_text(MODEL)
    files = scalers.files(load(folder / "observe.yaml"), [])
    return {name: list(yaml.safe_load_all(text)) for name, text in files.items()}


def test_there_is_a_file_a_model_and_scaler_and_none_for_a_model_without_bounds(made: dict[str, Any]) -> None:
    kinds = ("hpa", "kaito", "keda", "keda-prometheus", "kserve", "rayserve")

    assert set(made) == {f"scaling/{m}.{k}.yaml" for m in ("chat", "embedder") for k in kinds} | {
        "scaling/karpenter.yaml",
        "scaling/prometheus-adapter.yaml",
    }


def test_what_kubernetes_defines_is_valid_strictly(made: dict[str, Any]) -> None:
    [document] = made["scaling/chat.hpa.yaml"]

    kubernetes_validate.validate(document, "1.35", strict=True)
    assert (document["spec"]["minReplicas"], document["spec"]["maxReplicas"]) == (2, 12)


def test_custom_resources_hold_only_fields_that_their_definitions_have(made: dict[str, Any]) -> None:
    found = [d for documents in made.values() for d in documents if d.get("kind") in SHAPES]

    assert {d["kind"] for d in found} == set(SHAPES)
    for document in found:
        assert wrong(document, SHAPES[document["kind"]]) == []
        for trigger in document.get("spec", {}).get("triggers", ()):
            assert set(trigger["metadata"]) <= METADATA[trigger["type"]]


def test_the_shapes_refuse_what_they_do_not_know() -> None:
    good = {"apiVersion": "keda.sh/v1alpha1", "kind": "TriggerAuthentication", "metadata": {"name": "x"}, "spec": {}}

    assert wrong(good, SHAPES["TriggerAuthentication"]) == []
    assert wrong(good | {"spec": {"secretRef": []}}, SHAPES["TriggerAuthentication"]) == [".spec.secretRef is unknown"]
    assert wrong({"kind": 1, "apiVersion": "a", "metadata": {}}, OBJECT) == [".kind: 1", ".metadata.name is missing"]


def test_keda_asks_our_api_and_keeps_what_there_is_while_no_number_comes(made: dict[str, Any]) -> None:
    authentication, scaled = made["scaling/chat.keda.yaml"]
    [trigger] = scaled["spec"]["triggers"]

    assert scaled["spec"]["scaleTargetRef"]["name"] == "vllm-chat"
    assert trigger["metadata"]["url"] == "http://observe.observe.svc:8080/api/v1/scaling/chat"
    assert trigger["metadata"]["valueLocation"] == "desired.replicas"
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    assert scaled["spec"]["fallback"] == {"failureThreshold": 3, "replicas": 2, "behavior": "currentReplicasIfHigher"}


def test_an_empty_answer_of_prometheus_is_a_failure_and_not_zero(made: dict[str, Any]) -> None:
    [scaled] = made["scaling/chat.keda-prometheus.yaml"]
    [trigger] = scaled["spec"]["triggers"]

    assert trigger["metadata"]["ignoreNullValues"] == "false"
    assert trigger["metadata"]["query"] == 'max(observe_scaling_desired_replicas{model="chat"})'
    assert trigger["metricType"] == "AverageValue"  # the only type for which KEDA has a fallback


def test_the_adapter_and_the_autoscaler_name_the_same_metric(made: dict[str, Any]) -> None:
    [rule] = made["scaling/prometheus-adapter.yaml"][0]["externalRules"]
    [metric] = made["scaling/chat.hpa.yaml"][0]["spec"]["metrics"]

    assert rule["name"]["as"] == metric["external"]["metric"]["name"] == scalers.METRIC


def test_others_keep_their_own_scalers_out_of_the_way(made: dict[str, Any]) -> None:
    service, _, predictor = made["scaling/chat.kserve.yaml"]
    inference, _, workspace = made["scaling/chat.kaito.yaml"]

    assert service["metadata"]["annotations"] == {"serving.kserve.io/autoscalerClass": "external"}
    assert predictor["spec"]["scaleTargetRef"]["name"] == "vllm-chat-predictor"
    assert inference["metadata"]["annotations"] == {"scaledobject.kaito.sh/auto-provision": "false"}
    assert workspace["spec"]["scaleTargetRef"] == {
        "apiVersion": "kaito.sh/v1alpha1",
        "kind": "InferenceSet",
        "name": "vllm-chat",
    }


def test_ray_serve_and_karpenter_get_the_bounds(made: dict[str, Any]) -> None:
    [app] = made["scaling/chat.rayserve.yaml"][0]["applications"]
    [pool] = made["scaling/karpenter.yaml"]

    assert app["deployments"][0]["autoscaling_config"] == {
        "min_replicas": 2, "max_replicas": 12, "upscale_delay_s": 30.0, "downscale_delay_s": 900.0, "target_ongoing_requests": 54.4,
    }  # fmt: skip
    assert pool["spec"]["limits"] == {"nvidia.com/gpu": str(12 * 4 + 3)}


def test_the_command_writes_them_beside_rules_and_leaves_those_alone(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "observe.yaml").write_text(SITE)
    (tmp_path / "models/all.yaml").write_text(MODEL)
    argv = [sys.executable, "-m", "observe", "rules", "-c", "observe.yaml", "-o", "out"]
    subprocess.run([*argv, "-q"], cwd=tmp_path, check=True)
    done = subprocess.run([*argv, "--as", "scalers"], cwd=tmp_path, check=True, capture_output=True, text=True)
    again = subprocess.run(
        [*argv, "--as", "scalers", "--diff"], cwd=tmp_path, check=False, capture_output=True, text=True
    )

    assert "out/scaling/chat.keda.yaml\n" in done.stdout
    assert done.stderr.endswith("14 files\n")
    assert "no longer made" not in done.stderr
    assert "a HorizontalPodAutoscaler leaves changes below 10 % alone" in done.stderr
    assert (again.returncode, again.stdout) == (0, "")
