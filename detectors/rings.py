"""The last days of many streams in few bytes: one byte a block, packed, as plain JSON.

Source: our own. A value in [-limit, limit] is kept to limit/127; with `fine` its signed root is kept, so
that small values are kept more exactly than large ones. 127 + 1 stands for a block that is not known.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from observe.errors import SourceError
from observe.schema import Json

Floats = NDArray[np.float64]

_UNKNOWN = -128


@dataclass(slots=True)
class Rings:
    """Values of named streams, oldest block first; column -1 is the newest block."""

    names: list[str]
    values: Floats  # (S, T), NaN where unknown
    limit: float
    fine: bool = False

    @classmethod
    def new(cls, length: int, limit: float, *, fine: bool = False) -> Rings:
        """No streams yet."""
        return cls([], np.zeros((0, length)), limit, fine)

    def include(self, names: Sequence[str]) -> None:
        """Take in streams that are new."""
        fresh = sorted(set(names) - set(self.names))
        if fresh:
            self.names += fresh
            self.values = np.vstack([self.values, np.full((len(fresh), self.values.shape[1]), np.nan)])

    def push(self, found: Floats) -> None:
        """Add one block, (S,), as it will be read back; the oldest is forgotten."""
        self.values = np.hstack([self.values[:, 1:], self._decoded(self._encoded(found))[:, None]])

    def drop_silent(self) -> None:
        """Forget streams of which no block is known any more."""
        keep = np.any(~np.isnan(self.values), axis=1).reshape(-1)
        if not keep.all():
            self.names = [name for name, k in zip(self.names, keep, strict=True) if k]
            self.values = self.values[keep]

    def dumped(self) -> Json:
        """As plain JSON."""
        packed = zlib.compress(np.ascontiguousarray(self._encoded(self.values).T).tobytes(), 1)
        return {"names": self.names, "blocks": self.values.shape[1], "packed": base64.b64encode(packed).decode()}

    def load(self, state: Json) -> None:
        """Take over what `dumped` made.

        Raises:
            SourceError: it is something else.
        """
        names, length = list(state["names"]), int(state["blocks"])
        raw = np.frombuffer(zlib.decompress(base64.b64decode(state["packed"])), dtype=np.int8)
        if raw.size != len(names) * length or length != self.values.shape[1]:
            raise SourceError(
                f"the kept past of {len(names)} streams holds {raw.size} values, not {len(names)} x {length}"
            )
        self.names, self.values = names, self._decoded(raw.reshape(length, len(names)).T)

    def _encoded(self, values: Floats) -> NDArray[np.int8]:
        share = np.clip(np.nan_to_num(values) / self.limit, -1.0, 1.0)
        share = np.sign(share) * np.sqrt(np.abs(share)) if self.fine else share
        return np.where(np.isnan(values), _UNKNOWN, np.round(share * 127)).astype(np.int8)

    def _decoded(self, codes: NDArray[np.int8]) -> Floats:
        share = codes.astype(np.float64) / 127
        share = np.sign(share) * share * share if self.fine else share
        return np.where(codes == _UNKNOWN, np.nan, share * self.limit)
