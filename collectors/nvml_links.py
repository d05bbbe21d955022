"""NVLink of one GPU: how many links there are, how many are up, and the errors of all of them.

Source: NVML API reference, "NvLink Methods", "Field Value Enums"; DCGM's names for the errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_NO_LINK: Final = frozenset({2, 3, 6})  # INVALID_ARGUMENT, NOT_SUPPORTED, NOT_FOUND: there are no more links
_NOT_SUPPORTED: Final = 3
_ERRORS: Final[Mapping[str, tuple[int, int]]] = {  # NVML_FI_DEV_NVLINK_*_ERROR_COUNT_TOTAL, nvmlNvLinkErrorCounter_t
    "REPLAY": (52, 0), "RECOVERY": (59, 1), "CRC_FLIT": (38, 2), "CRC_DATA": (45, 3),
}  # fmt: skip
_MEMBERS: Final = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")  # of nvmlValue_t, by nvmlValueType_t


def states(nvml: Any, handle: Any) -> Mapping[str, float]:
    """Links there are, and those that are up.

    Raises:
        NVMLError: as NVML says; NOT_SUPPORTED for a GPU without links.
    """
    up: list[bool] = []
    for link in range(nvml.NVML_NVLINK_MAX_LINKS):
        try:
            up.append(bool(nvml.nvmlDeviceGetNvLinkState(handle, link)))
        except nvml.NVMLError as error:
            if error.value in _NO_LINK and link:
                break
            raise
    return {"observe_gpu_nvlinks": float(len(up)), "observe_gpu_nvlinks_up": float(sum(up))}


def errors(nvml: Any, handle: Any) -> Mapping[str, float]:
    """Errors of all links together, cumulative, as the driver adds them up.

    Raises:
        NVMLError: as NVML says; what it says of the first field when it tells none.
    """
    fields = nvml.nvmlDeviceGetFieldValues(handle, [field for field, _ in _ERRORS.values()])
    told = {
        _name(kind): float(getattr(found.value, _MEMBERS[found.valueType]))
        for kind, found in zip(_ERRORS, fields, strict=True)
        if found.nvmlReturn == 0 and found.valueType < len(_MEMBERS)
    }
    if not told:
        raise nvml.NVMLError(fields[0].nvmlReturn or _NOT_SUPPORTED)
    return told


def counted(nvml: Any, handle: Any) -> Mapping[str, float]:
    """The same, link by link: drivers that do not add them up.

    Raises:
        NVMLError: as NVML says.
    """
    links = range(int(states(nvml, handle)["observe_gpu_nvlinks"]))
    return {
        _name(kind): float(sum(nvml.nvmlDeviceGetNvLinkErrorCounter(handle, link, counter) for link in links))
        for kind, (_, counter) in _ERRORS.items()
    }


def _name(kind: str) -> str:
    return f"DCGM_FI_DEV_NVLINK_{kind}_ERROR_COUNT_TOTAL"
