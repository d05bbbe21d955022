"""The demo's exporters: dcgm-exporter and vLLM pages over HTTP, as the real ones write them.

Source: dcgm-exporter 4.5 default counters and labels; vLLM 0.26 metric names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import numpy as np

from observe.clock import Clock
from observe.demo.history import gpu_rows, serving_rows
from observe.demo.world import FLEET, LLMS, Gpu, Llm, Plan

_DCGM: Final[tuple[tuple[str, str, str, float], ...]] = (  # family, column, type, factor from our unit
    ("DCGM_FI_DEV_SM_CLOCK", "sm_clock_mhz", "gauge", 1.0),
    ("DCGM_FI_DEV_GPU_TEMP", "temp_c", "gauge", 1.0),
    ("DCGM_FI_DEV_POWER_USAGE", "power_w", "gauge", 1.0),
    ("DCGM_FI_DEV_GPU_UTIL", "util_ratio", "gauge", 100.0),
    ("DCGM_FI_PROF_SM_ACTIVE", "sm_active_ratio", "gauge", 1.0),
    ("DCGM_FI_DEV_FB_USED", "mem_used_mib", "gauge", 1.0),
    ("DCGM_FI_DEV_FB_FREE", "mem_free_mib", "gauge", 1.0),
    ("DCGM_FI_DEV_XID_ERRORS", "xid_last", "gauge", 1.0),
    ("DCGM_FI_DEV_CLOCKS_EVENT_REASONS", "throttle_mask", "gauge", 1.0),
)


def dcgm_page(node: str, plan: Plan, clock: Clock) -> str:
    """One node's page at this instant."""
    at = np.array([clock.now().timestamp()])
    rng = np.random.default_rng(int(at[0] * 1000) % 2**32)
    boards = [(g, gpu_rows(g, at, plan, rng).row(0, named=True)) for g in FLEET if g.node == node]
    lines: list[str] = []
    for family, column, kind, factor in _DCGM:
        lines += [f"# HELP {family} {column}", f"# TYPE {family} {kind}"]
        lines += [f"{family}{{{_labels(g)}}} {float(row[column]) * factor:.6g}" for g, row in boards]
    return "\n".join(lines) + "\n"


def _labels(gpu: Gpu) -> str:
    labels = {
        "gpu": str(gpu.index), "UUID": gpu.uuid, "pci_bus_id": f"00000000:{gpu.index:02X}:00.0", "device": f"nvidia{gpu.index}",
        "modelName": "NVIDIA H100 80GB HBM3", "Hostname": gpu.node, "DCGM_FI_DRIVER_VERSION": "580.95.05",
    }  # fmt: skip
    if gpu.pod:
        labels |= {"container": "vllm", "namespace": "serving", "pod": gpu.pod}
    return ",".join(f'{k}="{v}"' for k, v in labels.items())


def vllm_page(llm: Llm, plan: Plan, clock: Clock) -> str:
    """One model server's page at this instant."""
    at = np.array([clock.now().timestamp()])
    rng = np.random.default_rng(int(at[0] * 1000) % 2**32)
    row = serving_rows(llm, at, plan, rng).row(0, named=True)
    labels = f'engine="0",model_name="{llm.name}"'
    gauges = (
        ("vllm:num_requests_waiting", row["queue_depth"]),
        ("vllm:num_requests_running", row["running"]),
        ("vllm:kv_cache_usage_perc", row["kv_util_ratio"]),
    )
    return "".join(f"# TYPE {name} gauge\n{name}{{{labels}}} {value:.6g}\n" for name, value in gauges)


def exporters(plan: Plan, clock: Clock) -> Mapping[str, Callable[[], str]]:
    """Every page by path: `/dcgm/<node>`, `/vllm/<model>`."""
    pages: dict[str, Callable[[], str]] = {}
    for node in sorted({g.node for g in FLEET}):
        pages[f"/dcgm/{node}"] = lambda n=node: dcgm_page(n, plan, clock)  # type: ignore[misc]
    for llm in LLMS:
        pages[f"/vllm/{llm.name}"] = lambda m=llm: vllm_page(m, plan, clock)  # type: ignore[misc]
    return pages


def serve_pages(port: int, pages: Mapping[str, Callable[[], str]]) -> ThreadingHTTPServer:
    """A server of these pages on loopback; the caller runs and closes it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path)
            body = page().encode() if page else b"no such exporter\n"
            self.send_response(200 if page else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)
