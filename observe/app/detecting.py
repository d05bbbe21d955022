"""Detectors at work in a process of their own: Evidence goes over, findings and state come back.

The core keeps one `Detecting`; the child (`observe.app.detecting` behind `observe.lifeline`) is niced, holds no
database and may fall at any time: the core then tries the same windows again.

Source: our own; ARCHITECTURE section 4.
"""

from __future__ import annotations

import gc
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Final

import polars as pl

from observe.app.calling import Calling
from observe.errors import SourceError
from observe.schema import Detected, Evidence

_GARBAGE: Final = 200_000  # objects more than were given back, from which on cycles are looked for


@dataclass(frozen=True, slots=True)
class Packed:
    """Evidence as it goes over: its frames as Arrow, which is made without holding the interpreter."""

    rest: Evidence
    summaries: bytes
    frames: Mapping[str, bytes]

    @classmethod
    def of(cls, evidence: Evidence) -> Packed:
        """The same, packed."""
        frames = {name: _arrow(frame) for name, frame in evidence.frames.items()}
        return cls(replace(evidence, summaries=pl.DataFrame(), frames={}), _arrow(evidence.summaries), frames)

    def evidence(self) -> Evidence:
        """The same, unpacked."""
        frames = {name: pl.read_ipc_stream(io.BytesIO(ipc)) for name, ipc in self.frames.items()}
        return replace(self.rest, summaries=pl.read_ipc_stream(io.BytesIO(self.summaries)), frames=frames)


def _arrow(frame: pl.DataFrame) -> bytes:
    stream = io.BytesIO()
    frame.write_ipc_stream(stream)
    return stream.getvalue()


class Detecting(Calling):
    """The core's end: `detect(name, evidence)` is answered by the child, one call at a time."""

    def __init__(self, patience_s: float = 300.0) -> None:
        super().__init__("detect", patience_s)

    def detect(self, name: str, evidence: Evidence) -> Detected:
        """What detector `name` says about `evidence`.

        Raises:
            SourceError: the child fell or the detector failed; nothing was changed, try again.
        """
        with self.line() as line:
            line.say((name, Packed.of(evidence)))
            ok, answer = line.hear()
        if not ok:
            raise SourceError(f"detector {name} failed: {answer}")
        return answer  # type: ignore[no-any-return]


def seldom_collect() -> None:
    """Have this process looked through for cycles of garbage less often.

    A call makes tens of thousands of lists and numbers that live until it is answered and hold no cycles; looking
    through them again and again was a fifth of a tick.
    """
    gc.freeze()
    gc.set_threshold(_GARBAGE)


def serve(connection: Connection) -> None:
    """Answer calls until the core goes away."""
    from observe.registry import plugin

    seldom_collect()
    while True:
        try:
            name, packed = connection.recv()
        except (OSError, EOFError):
            return
        try:
            answer = (True, plugin("observe.detectors", name).detect(packed.evidence()))
        except Exception as error:  # noqa: BLE001 - the boundary of a child: told to the core, never fatal
            answer = (False, f"{type(error).__name__}: {error}")
        connection.send(answer)


if __name__ == "__main__":
    serve(Connection(int(os.environ["OBSERVE_FD"])))
