"""XID errors as the driver announces them: the last one, and how often each came since we listen.

Source: NVML API reference, "Event Handling Methods"; the names are those of dcgm-exporter.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from ctypes import c_void_p, cast
from datetime import datetime
from functools import partial
from typing import Any, Final

from collectors.nvml_policy import Calls

_AT_ONCE: Final = 256  # events taken in one turn


def address(handle: Any) -> int:
    """Where a handle points: NVML gives the same GPU the same one."""
    return cast(handle, c_void_p).value or 0


class Xids:
    """Listens to every GPU it is told of."""

    def __init__(self, nvml: Any, calls: Calls) -> None:
        self._nvml, self._calls = nvml, calls
        self._set: Any = None
        self.last: dict[int, int] = {}  # by address, of those that are listened to; 0 when none came
        self.counts: Counter[tuple[int, int]] = Counter()  # by address and code

    def listen(self, handle: Any, device: str, at: datetime) -> bool:
        """Begin to listen to a GPU; whether it announces XIDs, as far as it says now.

        Args:
            handle: the GPU.
            device: its UUID; what it cannot do is remembered by it.
            at: now, aware UTC.

        Raises:
            Gone: the GPU is lost or needs a reset.
            NoDriver: the driver as a whole is gone.
        """
        if address(handle) not in self.last:
            self._calls.ask(device, "xids", partial(self._register, handle), at)
        return address(handle) in self.last

    def _register(self, handle: Any) -> None:
        self._set = self._set or self._nvml.nvmlEventSetCreate()
        self._nvml.nvmlDeviceRegisterEvents(handle, self._nvml.nvmlEventTypeXidCriticalError, self._set)
        self.last[address(handle)] = 0

    def drain(self) -> None:
        """Take what has been announced since the last turn, without waiting."""
        nvml = self._nvml
        for _ in range(_AT_ONCE if self._set is not None else 0):
            try:
                event = nvml.nvmlEventSetWait_v2(self._set, 0)
            except nvml.NVMLError:
                return  # TIMEOUT: nothing more; anything else shows at the next call to the GPU
            at, code = address(event.device), int(event.eventData)
            self.last[at] = code
            self.counts[at, code] += 1

    def close(self) -> None:
        """Stop listening."""
        if self._set is not None:
            with suppress(self._nvml.NVMLError):  # NVML is closed: the set went with it
                self._nvml.nvmlEventSetFree(self._set)
            self._set = None
