"""The GPUs of this node, asked through NVML, as a page in the names of dcgm-exporter.

A page and not rows: so `observe agent` and the collector in the service share one way, the page
meets the same gates as anybody's (`collectors.exposition`), and Prometheus can read it, too. Pods
are not named: NVML does not know them.

Source: NVML API reference; dcgm-exporter for names, units and labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, Final

from collectors.nvml_gpm import Gpm
from collectors.nvml_page import LOST, OK, STATE, Gpu, Labels, Page, Values, stranger
from collectors.nvml_policy import Calls, Gone, NoDriver, opened
from collectors.nvml_processes import Busy
from collectors.nvml_values import BOARD, INSTANCE, Ask
from collectors.nvml_xids import Xids, address
from observe.errors import SourceError

_PROFILE: Final = re.compile(r" MIG (?:\d+c\.)?(\d+g\.\S+)")  # of an instance, without its compute instance


class Nvml:
    """NVML of this node; one thread at a time.

    Args:
        node: what the node is called.
    """

    def __init__(self, node: str) -> None:
        self._node = node
        self._calls = Calls()
        self._open: _Session | None = None
        self._known: dict[str, Gpu] = {}  # every GPU ever seen: one that is missing is lost
        self._last_at: dict[int, Gpu] = {}  # by index, as last seen

    def page(self, at: datetime, *, stamped: bool = False) -> bytes:
        """What the GPUs say now.

        Args:
            at: now, aware UTC.
            stamped: give every sample this instant, for a page that is read later.

        Raises:
            SourceError: no library, no driver, or no GPU, in words a person can act upon.
        """
        try:
            session = self._session()
            made = self._made(session, at)
        except NoDriver as error:
            self.close()
            raise SourceError(f"NVML on {self._node}: {error}") from None
        if not made.series:
            raise SourceError(f"NVML on {self._node}: the driver answers but shows no GPU")
        stamp = f" {int(at.timestamp() * 1000)}" if stamped else ""
        return ("\n".join(made.text(stamp)) + "\n").encode()

    def close(self) -> None:
        """Let the library go; the next page opens it again."""
        if self._open is not None:
            self._open.close()
            self._open = None
            self._calls.forget()

    def _session(self) -> _Session:
        if self._open is None:
            import pynvml

            opened(pynvml)
            self._open = _Session(pynvml, self._calls)
        return self._open

    def _made(self, session: _Session, at: datetime) -> Page:
        page, present = Page(), set[str]()
        session.xids.drain()
        for index in range(session.count(at)):
            try:
                handle = session.handle(index, at)
                if handle is None:  # it does not answer this once
                    present.update(gpu.uuid for gpu in [self._last_at.get(index)] if gpu)
                    continue
                gpu = self._last_at[index] = session.gpu(handle, index, self._node, at)
                self._known[gpu.uuid] = gpu
                present.add(gpu.uuid)
                session.read(handle, gpu, page, at)
            except Gone:
                lost = self._last_at.get(index) or stranger(index, self._node)
                present.add(lost.uuid)
                page.add(lost.labels, {STATE: LOST})
        for gpu in self._known.values():
            if gpu.uuid not in present:
                page.add(gpu.labels, {STATE: LOST})
        return page


class _Session:
    """NVML while it is open."""

    def __init__(self, nvml: Any, calls: Calls) -> None:
        self._nvml, self._calls = nvml, calls
        self.xids, self._gpm, self._busy = Xids(nvml, calls), Gpm(nvml), Busy(nvml)
        self._driver: str | None = None
        self._gpus: dict[int, Gpu] = {}  # by address

    def close(self) -> None:
        self.xids.close()
        self._gpm.close()
        with suppress(self._nvml.NVMLError):  # it may be closed already
            self._nvml.nvmlShutdown()

    def count(self, at: datetime) -> int:
        """How many GPUs the driver shows.

        Raises:
            NoDriver: it does not say, this once or at all.
        """
        if self._driver is None:
            self._driver = self._calls.ask("", "driver", self._nvml.nvmlSystemGetDriverVersion, at)
        found = self._calls.ask("", "count", self._nvml.nvmlDeviceGetCount, at)
        if found is None:
            raise NoDriver("the driver does not say how many GPUs there are; asked again at the next turn")
        return int(found)

    def handle(self, index: int, at: datetime) -> Any:
        return self._calls.ask(f"#{index}", "handle", partial(self._nvml.nvmlDeviceGetHandleByIndex, index), at)

    def gpu(self, handle: Any, index: int, node: str, at: datetime) -> Gpu:
        """Who answers at this handle; asked once."""
        found = self._gpus.get(address(handle))
        if found is not None:
            return found
        nvml, ask = self._nvml, self._calls.ask
        uuid = ask(f"#{index}", "uuid", partial(nvml.nvmlDeviceGetUUID, handle), at)
        if uuid is None:
            return stranger(index, node)
        name = ask(uuid, "name", partial(nvml.nvmlDeviceGetName, handle), at)
        pci = ask(uuid, "pci", partial(nvml.nvmlDeviceGetPciInfo_v3, handle), at)
        told = {
            "gpu": str(index), "UUID": uuid, "pci_bus_id": pci.busId if pci else None,
            "device": f"nvidia{index}", "modelName": name, "hostname": node, "DCGM_FI_DRIVER_VERSION": self._driver,
        }  # fmt: skip
        found = self._gpus[address(handle)] = Gpu(uuid, {k: v for k, v in told.items() if v})
        return found

    def read(self, handle: Any, gpu: Gpu, page: Page, at: datetime) -> None:
        """Everything one GPU and its MIG instances say.

        Raises:
            Gone: it is lost; nothing of it is on the page.
        """
        values: dict[str, float] = {}
        for what, ways in BOARD.items():
            values |= self._ask(gpu.uuid, what, ways, handle, at)
        values |= self._calls.ask(gpu.uuid, "gpm", partial(self._profiled, handle, gpu.uuid), at) or {}
        values |= self._calls.ask(gpu.uuid, "busy", partial(self._busy.read, gpu.uuid, handle), at) or {}
        announces = self.xids.listen(handle, gpu.uuid, at)
        instances = list(self._instances(handle, gpu, at))
        page.add(gpu.labels, {STATE: OK, **values})
        if announces:
            self._add_xids(handle, gpu, page)
        for labels, told in instances:
            page.add(labels, told)

    def _ask(self, device: str, what: str, ways: tuple[Ask, ...], handle: Any, at: datetime) -> Values:
        for i, way in enumerate(ways):
            found = self._calls.ask(device, f"{what}{i}", partial(way, self._nvml, handle), at)
            if found is not None:
                return found
        return {}

    def _profiled(self, handle: Any, uuid: str) -> Values:
        if not self._nvml.nvmlGpmQueryDeviceSupport(handle).isSupportedDevice:
            raise self._nvml.NVMLError(self._nvml.NVML_ERROR_NOT_SUPPORTED)
        return self._gpm.read(uuid, partial(self._nvml.nvmlGpmSampleGet, handle))

    def _add_xids(self, handle: Any, gpu: Gpu, page: Page) -> None:
        at = address(handle)
        page.add(gpu.labels, {"DCGM_FI_DEV_XID_ERRORS": float(self.xids.last[at])})
        for (where, code), n in self.xids.counts.items():
            if where == at:
                page.add({**gpu.labels, "xid": str(code)}, {"DCGM_EXP_XID_ERRORS_TOTAL": float(n)})

    def _instances(self, handle: Any, gpu: Gpu, at: datetime) -> Iterator[tuple[Labels, Values]]:
        """MIG instances: labels and values; several compute instances of one GPU instance are one."""
        nvml, ask = self._nvml, self._calls.ask
        mode = ask(gpu.uuid, "mig", partial(nvml.nvmlDeviceGetMigMode, handle), at)
        if not mode or not mode[0]:
            return
        seen = set[int]()
        for seat in range(ask(gpu.uuid, "mig_seats", partial(nvml.nvmlDeviceGetMaxMigDeviceCount, handle), at) or 0):
            mig = _seated(nvml, handle, seat)
            if mig is None:
                continue
            gi = ask(f"{gpu.uuid}#{seat}", "gi", partial(nvml.nvmlDeviceGetGpuInstanceId, mig), at)
            if gi is not None and gi not in seen:
                seen.add(gi)
                yield self._instance((handle, mig), gpu, gi, at)

    def _instance(self, handles: tuple[Any, Any], gpu: Gpu, gi: int, at: datetime) -> tuple[Labels, Values]:
        (board, mig), nvml, device = handles, self._nvml, f"{gpu.uuid}/{gi}"
        values: dict[str, float] = {STATE: OK}
        for what, ways in INSTANCE.items():
            values |= self._ask(device, what, ways, mig, at)
        take = partial(nvml.nvmlGpmMigSampleGet, board, gi)
        profiled = self._calls.ask(device, "gpm", partial(self._gpm.read, device, take), at) or {}
        values |= {
            name: value for name, value in profiled.items() if not name.endswith("_BYTES")
        }  # links are the board's
        labels = {"GPU_I_ID": str(gi), "GPU_I_PROFILE": self._profile(mig, device, at)}
        return {**gpu.labels, **{k: v for k, v in labels.items() if v}}, values

    def _profile(self, mig: Any, device: str, at: datetime) -> str:
        """The profile of an instance: as its name says, else from its slices and memory."""
        nvml, ask = self._nvml, self._calls.ask
        found = _PROFILE.search(ask(device, "name", partial(nvml.nvmlDeviceGetName, mig), at) or "")
        if found:
            return found.group(1)
        has = ask(device, "attributes", partial(nvml.nvmlDeviceGetAttributes_v2, mig), at)
        return f"{has.gpuInstanceSliceCount}g.{round(has.memorySizeMB / 1024)}gb" if has else ""


def _seated(nvml: Any, handle: Any, seat: int) -> Any:
    """The MIG device on a seat; an empty seat is normal and asked again, as instances come and go."""
    try:
        return nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, seat)
    except nvml.NVMLError:
        return None
