"""What NVML is asked about a GPU, and the name and unit under which DCGM tells it.

A value has one or more ways to be asked for, the newest first: drivers of several years are about.

Source: NVML API reference, "Device Queries"; dcgm-exporter's default counters for names and units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from collectors import nvml_links
from collectors.nvml_page import Values

_MIB: Final = 2.0**20
_DEV: Final = "DCGM_FI_DEV_"
_MEMORY_TEMP: Final = 82  # NVML_FI_DEV_MEMORY_TEMP

Ask = Callable[[Any, Any], Values]  # of NVML and a handle


def _memory(nvml: Any, handle: Any) -> Values:
    found = nvml.nvmlDeviceGetMemoryInfo(handle, nvml.nvmlMemory_v2)
    return {
        f"{_DEV}FB_USED": found.used / _MIB,
        f"{_DEV}FB_FREE": found.free / _MIB,
        f"{_DEV}FB_RESERVED": found.reserved / _MIB,
    }


def _memory_v1(nvml: Any, handle: Any) -> Values:
    """What older drivers say; used includes what is reserved."""
    found = nvml.nvmlDeviceGetMemoryInfo(handle)
    return {f"{_DEV}FB_USED": found.used / _MIB, f"{_DEV}FB_FREE": found.free / _MIB}


def _utilisation(nvml: Any, handle: Any) -> Values:
    found = nvml.nvmlDeviceGetUtilizationRates(handle)
    return {f"{_DEV}GPU_UTIL": found.gpu, f"{_DEV}MEM_COPY_UTIL": found.memory}


def _remapped(nvml: Any, handle: Any) -> Values:
    corrected, uncorrected, pending, failed = nvml.nvmlDeviceGetRemappedRows(handle)
    return {
        f"{_DEV}CORRECTABLE_REMAPPED_ROWS": corrected, f"{_DEV}UNCORRECTABLE_REMAPPED_ROWS": uncorrected,
        f"{_DEV}ROW_REMAP_PENDING": pending, f"{_DEV}ROW_REMAP_FAILURE": failed,
    }  # fmt: skip


def _memory_temp(nvml: Any, handle: Any) -> Values:
    (found,) = nvml.nvmlDeviceGetFieldValues(handle, [_MEMORY_TEMP])
    if found.nvmlReturn:
        raise nvml.NVMLError(found.nvmlReturn)
    return {f"{_DEV}MEMORY_TEMP": found.value.uiVal}


def _one(name: str, call: Callable[[Any, Any], float], factor: float = 1.0) -> Callable[[Any, Any], Values]:
    return lambda nvml, handle: {name: call(nvml, handle) * factor}


def _ecc(kind: int) -> Callable[[Any, Any], float]:
    return lambda nvml, handle: nvml.nvmlDeviceGetTotalEccErrors(handle, kind, nvml.NVML_VOLATILE_ECC)


BOARD: Final[Mapping[str, tuple[Ask, ...]]] = {
    "memory": (_memory, _memory_v1),
    "utilisation": (_utilisation,),
    "power": (_one(f"{_DEV}POWER_USAGE", lambda n, h: n.nvmlDeviceGetPowerUsage(h), 0.001),),  # mW
    "energy": (_one(f"{_DEV}TOTAL_ENERGY_CONSUMPTION", lambda n, h: n.nvmlDeviceGetTotalEnergyConsumption(h)),),  # mJ
    "temperature": (
        _one(f"{_DEV}GPU_TEMP", lambda n, h: n.nvmlDeviceGetTemperatureV(h, n.NVML_TEMPERATURE_GPU)),
        _one(f"{_DEV}GPU_TEMP", lambda n, h: n.nvmlDeviceGetTemperature(h, n.NVML_TEMPERATURE_GPU)),
    ),
    "memory_temp": (_memory_temp,),
    "sm_clock": (_one(f"{_DEV}SM_CLOCK", lambda n, h: n.nvmlDeviceGetClockInfo(h, n.NVML_CLOCK_SM)),),
    "mem_clock": (_one(f"{_DEV}MEM_CLOCK", lambda n, h: n.nvmlDeviceGetClockInfo(h, n.NVML_CLOCK_MEM)),),
    "clock_events": (
        _one(f"{_DEV}CLOCKS_EVENT_REASONS", lambda n, h: n.nvmlDeviceGetCurrentClocksEventReasons(h)),
        _one(f"{_DEV}CLOCKS_EVENT_REASONS", lambda n, h: n.nvmlDeviceGetCurrentClocksThrottleReasons(h)),
    ),
    "pcie_replay": (_one(f"{_DEV}PCIE_REPLAY_COUNTER", lambda n, h: n.nvmlDeviceGetPcieReplayCounter(h)),),
    "ecc_corrected": (_one(f"{_DEV}ECC_SBE_VOL_TOTAL", _ecc(0)),),
    "ecc_uncorrected": (_one(f"{_DEV}ECC_DBE_VOL_TOTAL", _ecc(1)),),
    "remapped": (_remapped,),
    "nvlinks": (nvml_links.states,),
    "nvlink_errors": (nvml_links.errors, nvml_links.counted),
    "processes": (_one("observe_gpu_processes", lambda n, h: len(n.nvmlDeviceGetComputeRunningProcesses(h))),),
}
INSTANCE: Final = {what: BOARD[what] for what in ("memory", "processes")}  # the rest belongs to the whole board
