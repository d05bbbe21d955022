"""The demo's configuration files and imported past, laid into one directory.

Source: our own; the files are what a user would write.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from observe.demo import history
from observe.demo.world import FLEET, LLMS, Plan

_SITE: Final = """\
apiVersion: observe/v1
kind: Site
store: {{path: ./data, size: 20GB}}
collectors:
  gpus-eu: {{type: prometheus, targets: [{eu}], every: 15s, labels: {{cluster: eu-west}}}}
  gpus-us: {{type: prometheus, targets: [{us}], every: 15s, labels: {{cluster: us-east}}}}
  vllm-eu: {{type: prometheus, targets: ["{pages}/vllm/llama-70b-chat"], every: 15s, labels: {{cluster: eu-west}}}}
  vllm-us: {{type: prometheus, targets: ["{pages}/vllm/mistral-7b"], every: 15s, labels: {{cluster: us-east}}}}
  gateway: {{type: otlp}}
  litellm: {{type: litellm}}
  fraud: {{type: files, path: "./predictions/*.parquet", model: fraud}}
prices: {{h100-80gb: 2.90 USD/h}}
falseAlarms: {{page: 1 per 90d, ticket: 1 per 7d}}
server: {{listen: "127.0.0.1:{api}", otlp: "127.0.0.1:{otlp}", ui: "127.0.0.1:{ui}"}}
"""
_LLAMA: Final = """\
apiVersion: piqc.ai/v1alpha1
kind: ModelSpec
metadata: {name: llama-70b-chat, version: "42", labels: {team: assistants}, annotations: {runbook: "https://runbooks.example.com/chat"}}
spec:
  identity: {model: {id: llama-3.3-70b, family: llama3, task: chat-completion, framework: vllm, precision: bf16}}
  runtime: {accelerator: {vendor: nvidia, type: h100-80gb, count: 4}}
  operations: {scaling: {minReplicas: 2, maxReplicas: 12, targetLatencyMsP95: 800}}
  governance: {cost: {targetCostPer1kTokensUsd: 0.0021}}
---
apiVersion: observe/v1
kind: Monitoring
metadata: {name: llama-70b-chat}
modelRef: llama-70b-chat
selector: {cluster: [eu-west], gatewayModels: [llama-70b-chat]}
slos:
  - {name: ttft, latency: ttft_s, below: 800ms, objective: 99%, window: 30d}
  - {name: availability, good: status = ok, objective: 99.9%, window: 30d}
actions:
  - {when: slo.ttft.page, do: scale, target: "keda:vllm-chat", approve: human, step: 2, cooldown: 10m}
"""
_MISTRAL: Final = """\
apiVersion: observe/v1
kind: Monitoring
metadata: {name: mistral-7b}
modelRef: mistral-7b
selector: {cluster: [us-east], gatewayModels: [mistral-7b]}
slos:
  - {name: ttft, latency: ttft_s, below: 400ms, objective: 99%, window: 30d}
"""
_FRAUD: Final = """\
apiVersion: observe/v1
kind: Monitoring
metadata: {name: fraud}
modelRef: fraud
drift:
  source: predictions
  window: 5m
  minEffect: 0.1σ
  features:
    - {name: amount, unit: EUR}
    - {name: items}
    - {name: account_age_d, unit: d}
    - {name: device_trust}
actions:
  - {when: drift.confirmed, for: 24h, do: retrain, target: "airflow:retrain_fraud", approve: human}
"""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the demo listens, all on loopback."""

    api: int
    otlp: int
    ui: int
    pages: int


def free_ports() -> Ports:
    """Four ports nobody listens on at this moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(4)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return Ports(*(s.getsockname()[1] for s in sockets))


def known_ports() -> Ports:
    """The documented ports where they are free, others where they are taken; a free one for the exporters."""
    free = free_ports()
    api, otlp, ui = (
        known if _is_free(known) else other for known, other in ((8080, free.api), (4318, free.otlp), (8050, free.ui))
    )
    return Ports(api, otlp, ui, free.pages)


def _is_free(port: int) -> bool:
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def lay_out(folder: Path, plan: Plan, ports: Ports) -> Path:
    """Write configuration and the predictions' past into `folder`; returns the site file."""
    pages = f"http://127.0.0.1:{ports.pages}"
    nodes = {
        c: ", ".join(f'"{pages}/dcgm/{n}"' for n in sorted({g.node for g in FLEET if g.cluster == c}))
        for c in ("eu-west", "us-east")
    }
    site = folder / "observe.yaml"
    site.write_text(
        _SITE.format(eu=nodes["eu-west"], us=nodes["us-east"], pages=pages, api=ports.api, otlp=ports.otlp, ui=ports.ui)
    )
    models = folder / "models"
    models.mkdir(exist_ok=True)
    files: Mapping[str, str] = {"llama-70b-chat": _LLAMA, "mistral-7b": _MISTRAL, "fraud": _FRAUD}
    for name, text in files.items():
        (models / f"{name}.yaml").write_text(text, encoding="utf-8")
    assert {m.name for m in LLMS} <= files.keys()
    watched = folder / "predictions"
    watched.mkdir(exist_ok=True)
    history.predictions(plan).write_parquet(watched / "history.parquet", row_group_size=50_000)
    return site
