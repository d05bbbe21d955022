"""How many processes kept a GPU busy since the last turn, and how busy the busiest kept it.

No process is named: numbers of processes would be ever new series.

Source: NVML API reference, `nvmlDeviceGetProcessUtilization`; not told under MIG.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

_NONE: Final = frozenset({0, 6})  # SUCCESS without samples, NOT_FOUND: nobody used it
_WHOLE: Final = 100  # per cent; drivers are known to say more, which means nothing


class Busy:
    """The newest sample of every GPU that was counted; `read` tells what came since."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._until: dict[str, int] = {}  # us since 1970, by the driver's clock

    def read(self, device: str, handle: Any) -> Mapping[str, float]:
        """Busy processes, and the busiest's mean share of the GPU's time, 0–1.

        Raises:
            NVMLError: as NVML says; no sample at all is none, not an error.
        """
        try:
            samples = self._nvml.nvmlDeviceGetProcessUtilization(handle, self._until.get(device, 0))
        except self._nvml.NVMLError as error:
            if error.value not in _NONE:
                raise
            samples = []
        if samples:
            self._until[device] = max(int(s.timeStamp) for s in samples)
        by_process: dict[int, list[int]] = defaultdict(list)
        for s in samples:
            if s.smUtil <= _WHOLE:
                by_process[s.pid].append(s.smUtil)
        busy = [sum(used) / len(used) / _WHOLE for used in by_process.values() if any(used)]
        return {"observe_gpu_processes_busy": float(len(busy)), "observe_gpu_process_util_max": max(busy, default=0.0)}
