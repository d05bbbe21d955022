"""What an NVML error means for the value asked for, and for the GPU.

Four answers: the GPU cannot say this (remembered for a while), it cannot say it now, it is gone, or
the driver as a whole is.

Source: `nvmlReturn_t` in nvml.h (NVML API reference, "Constants"); our own policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

REMEMBERED: Final = timedelta(minutes=10)  # how long what a GPU cannot say is not asked again
INSUFFICIENT_SIZE: Final = 7
_SIZES_TRIED: Final = 3  # a list may grow between the call for its size and the call for it

# INVALID_ARGUMENT (of MIG), NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND, FUNCTION_NOT_FOUND, NO_DATA,
# ARGUMENT_VERSION_MISMATCH, DEPRECATED
_CANNOT: Final = frozenset({2, 3, 4, 6, 13, 21, 25, 26})
_GONE: Final = frozenset({15, 16, 28})  # GPU_IS_LOST, RESET_REQUIRED, GPU_NOT_FOUND
NO_DRIVER: Final[Mapping[int, str]] = {
    1: "NVML was shut down under us; it is opened again at the next turn",
    4: "no permission to ask the NVIDIA driver; give this process access to /dev/nvidiactl and /dev/nvidia*",
    9: "the NVIDIA driver is not loaded; nvidia-smi would fail, too: load it, or stop collecting here",
    12: "no NVIDIA driver library (libnvidia-ml.so.1) on this machine; install the driver, or collect on a GPU node",
    18: "the NVIDIA driver and its library have different versions; reload the driver or restart the machine",
}
_ENDS_ALL: Final = frozenset({1, 9, 12, 18})  # after start, NO_PERMISSION concerns one call

T = TypeVar("T")


class Gone(Exception):
    """A GPU that no longer answers; the others may."""


class NoDriver(Exception):
    """Nothing answers: no library, no driver, or one that went away; the text says what to do."""


class Calls:
    """Asks NVML one thing at a time, by the policy; what a GPU cannot say is not asked again for a while."""

    def __init__(self) -> None:
        self._cannot: dict[tuple[str, str], datetime] = {}

    def ask(self, device: str, what: str, call: Callable[[], T], at: datetime) -> T | None:
        """The answer of a call, None when there is none.

        Args:
            device: whose value it is; memory goes by it.
            what: name of the call.
            call: raises `NVMLError`, which has a `value`.
            at: now, aware UTC.

        Raises:
            Gone: the GPU is lost or needs a reset.
            NoDriver: the driver as a whole is gone.
        """
        until = self._cannot.get((device, what))
        if until is not None and at < until:
            return None
        for _ in range(_SIZES_TRIED):
            code, answer = _tried(call)
            if code == 0:
                self._cannot.pop((device, what), None)
                return answer
            if code != INSUFFICIENT_SIZE:
                break
        if code in _GONE:
            raise Gone(what)
        if code in _ENDS_ALL:
            raise NoDriver(NO_DRIVER[code])
        if code in _CANNOT:
            self._cannot[device, what] = at + REMEMBERED
        return None

    def forget(self) -> None:
        """Ask everything again: another driver may answer now."""
        self._cannot.clear()


def _tried(call: Callable[[], T]) -> tuple[int, T | None]:
    """The code of a call and its answer; 0 is success."""
    from pynvml import NVMLError

    try:
        return 0, call()
    except NVMLError as error:
        return int(error.value), None


def opened(nvml: Any) -> None:
    """Open NVML.

    Raises:
        NoDriver: there is no library, no driver, or no access to it.
    """
    code, _ = _tried(nvml.nvmlInit)
    if code:
        raise NoDriver(NO_DRIVER.get(code, f"NVML cannot be opened, error {code}; nvidia-smi may say more"))
