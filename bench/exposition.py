"""How fast a DCGM page becomes samples and rows, against prometheus_client's text parser.

    python -m bench.exposition          # or: python bench/exposition.py

One JSON line a figure. `page_to_samples` compares like with like (text to labelled samples, series
known from the scrape before, values changing); `page_to_rows` is all that `parse` does, to frames.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families

from collectors import exposition
from collectors.mapping import load
from collectors.placement import Target
from collectors.series import read

METRICS = (
    "SM_CLOCK", "MEM_CLOCK", "MEMORY_TEMP", "GPU_TEMP", "POWER_USAGE", "TOTAL_ENERGY_CONSUMPTION", "PCIE_REPLAY_COUNTER",
    "GPU_UTIL", "MEM_COPY_UTIL", "ENC_UTIL", "DEC_UTIL", "XID_ERRORS", "FB_FREE", "FB_USED", "FB_RESERVED",
    "NVLINK_BANDWIDTH_TOTAL", "VGPU_LICENSE_STATUS", "UNCORRECTABLE_REMAPPED_ROWS", "CORRECTABLE_REMAPPED_ROWS",
    "ROW_REMAP_FAILURE", "CLOCKS_EVENT_REASONS", "ECC_SBE_VOL_TOTAL", "ECC_DBE_VOL_TOTAL",
)  # fmt: skip
PROFILED = (
    "GR_ENGINE_ACTIVE",
    "SM_ACTIVE",
    "PIPE_TENSOR_ACTIVE",
    "DRAM_ACTIVE",
    "PCIE_TX_BYTES",
    "PCIE_RX_BYTES",
    "SM_OCCUPANCY",
)
GPUS = 8
AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
LABELS = {"cluster": "eu", "target": "http://n1:9400/metrics"}


def page(rng: random.Random) -> bytes:
    """A dcgm-exporter page of 8 boards x 30 metrics = 240 samples."""
    lines = []
    for metric, top in [(f"DCGM_FI_DEV_{m}", 90.0) for m in METRICS] + [(f"DCGM_FI_PROF_{m}", 1.0) for m in PROFILED]:
        lines += [f"# HELP {metric} what it is", f"# TYPE {metric} gauge"]
        for gpu in range(GPUS):
            value = 0 if metric.endswith(("XID_ERRORS", "FAILURE")) else round(rng.uniform(0, top), 6)
            lines.append(
                f'{metric}{{gpu="{gpu}",UUID="GPU-0000{gpu}-d595-d1c7-d1d2-179bcfa61660",pci_bus_id="00000000:{gpu}7:00.0",'
                f'device="nvidia{gpu}",modelName="NVIDIA H100 80GB HBM3",hostname="n1",DCGM_FI_DRIVER_VERSION="570.1",'
                f'container="vllm",namespace="chat",pod="llama-70b-{gpu}"}} {value}'
            )
    return ("\n".join(lines) + "\n").encode()


def seconds(work: Callable[[bytes], object], pages: list[bytes]) -> float:
    """Median time of one page after one warm-up, s."""
    work(pages[0])
    taken = []
    for body in pages:
        start = time.perf_counter()
        work(body)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def figure(name: str, value: float, peer: float | None) -> None:
    """Print one result."""
    line = {
        "name": name, "command": "python -m bench.exposition", "figure": round(value * 1e3, 4), "unit": "ms a page of 240 samples",
        "peer": None if peer is None else f"prometheus_client text parser, {peer * 1e3:.3f} ms", "ratio": None if peer is None else round(peer / value, 1),
    }  # fmt: skip
    print(json.dumps(line))


def main() -> None:
    """Measure."""
    rng = random.Random(7)
    pages = [page(rng) for _ in range(200)]
    target = Target(load(), LABELS)
    peer = seconds(
        lambda body: [s for f in text_string_to_metric_families(body.decode()) for s in f.samples], pages[:40]
    )
    figure("exposition.page_to_samples", seconds(lambda body: read(body, target.known, target.place), pages), peer)
    figure("exposition.page_to_rows", seconds(lambda body: exposition.parse(body, AT, LABELS), pages), peer)


if __name__ == "__main__":
    main()
