"""GPU performance monitoring: what profiling counters say between two samples of one GPU or MIG instance.

Needs Hopper or newer. NVML gives per cent and MiB/s; here they become DCGM's ratios and bytes per second.

Source: NVML API reference, "GPM Functions"; `nvmlGpmMetricId_t`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from typing import Any, Final

_METRICS: Final[Mapping[int, tuple[str, float]]] = {
    1: ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 0.01), 2: ("DCGM_FI_PROF_SM_ACTIVE", 0.01),
    3: ("DCGM_FI_PROF_SM_OCCUPANCY", 0.01), 5: ("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", 0.01),
    10: ("DCGM_FI_PROF_DRAM_ACTIVE", 0.01), 20: ("DCGM_FI_PROF_PCIE_TX_BYTES", 2.0**20),
    21: ("DCGM_FI_PROF_PCIE_RX_BYTES", 2.0**20), 60: ("DCGM_FI_PROF_NVLINK_RX_BYTES", 2.0**20),
    61: ("DCGM_FI_PROF_NVLINK_TX_BYTES", 2.0**20),
}  # fmt: skip


class Gpm:
    """The last sample of every GPU and MIG instance; a value is what happened since."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._last: dict[str, Any] = {}
        self._spare: dict[str, Any] = {}

    def read(self, device: str, take: Callable[[Any], object]) -> Mapping[str, float]:
        """Values by DCGM name since the call before; none at the first.

        Args:
            device: which one.
            take: fills a sample, `nvmlGpmSampleGet` or `nvmlGpmMigSampleGet`.

        Raises:
            NVMLError: as NVML says; both samples are kept for the next turn.
        """
        sample = self._spare.pop(device, None) or self._nvml.nvmlGpmSampleAlloc()
        try:
            take(sample)
        except self._nvml.NVMLError:
            self._spare[device] = sample
            raise
        before, self._last[device] = self._last.get(device), sample
        if before is None:
            return {}
        self._spare[device] = before
        return dict(self._between(before, sample))

    def _between(self, before: Any, after: Any) -> Iterator[tuple[str, float]]:
        nvml = self._nvml
        asked = nvml.c_nvmlGpmMetricsGet_t()
        asked.version, asked.numMetrics = nvml.NVML_GPM_METRICS_GET_VERSION, len(_METRICS)
        asked.sample1, asked.sample2 = before, after
        for i, metric in enumerate(_METRICS):
            asked.metrics[i].metricId = metric
        nvml.nvmlGpmMetricsGet(asked)
        for i, (name, factor) in enumerate(_METRICS.values()):
            found = asked.metrics[i]
            if found.nvmlReturn == 0 and isfinite(found.value):
                yield name, found.value * factor

    def close(self) -> None:
        """Give the samples back."""
        for sample in (*self._last.values(), *self._spare.values()):
            try:
                self._nvml.nvmlGpmSampleFree(sample)
            except self._nvml.NVMLError:
                break  # NVML is closed: nothing is held any more
        self._last.clear()
        self._spare.clear()
