"""Which rows came lately: 64-bit hashes of their identities, kept for a while, eight bytes each.

A generation holds sorted arrays whose sizes fall geometrically, so adding is cheap and asking costs
a few binary searches. Two different identities share a hash with probability 5e-13 among ten million.

Source: our own, after log-structured merge trees (O'Neil et al. 1996).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

Hashes = npt.NDArray[np.uint64]
_SEED: Final = 0x0B5E
_GENERATIONS: Final = 8  # a hash is forgotten between `keep` and `keep` * 9/8 after it came


def row_hashes(frame: pl.DataFrame, columns: Sequence[str]) -> Hashes:
    """One 64-bit hash per row over `columns`, in row order; equal within a polars version."""
    return frame[list(columns)].hash_rows(_SEED).to_numpy()


@dataclass(slots=True)
class _Generation:
    since: datetime
    arrays: list[Hashes] = field(default_factory=list)

    def add(self, hashes: Hashes) -> None:
        arrays = self.arrays
        arrays.append(np.sort(hashes))
        while len(arrays) > 1 and arrays[-2].size <= 2 * arrays[-1].size:
            last = arrays.pop()
            arrays[-1] = np.sort(np.concatenate((arrays[-1], last)), kind="stable")

    def holds(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        found = np.zeros(hashes.size, dtype=np.bool_)
        for array in self.arrays:
            at = np.searchsorted(array, hashes)
            at[at == array.size] = 0
            found |= array[at] == hashes
        return found


class Seen:
    """A set of hashes that forgets.

    Args:
        keep: for how long a hash is remembered at least.
    """

    def __init__(self, keep: timedelta) -> None:
        self._keep = keep
        self._generations: list[_Generation] = []

    def add(self, hashes: Hashes, at: datetime) -> None:
        """Remember `hashes`, which came at `at`."""
        if not hashes.size:
            return
        if not self._generations or at - self._generations[-1].since >= self._keep / _GENERATIONS:
            self._generations.append(_Generation(at))
            oldest = at - self._keep * (1 + 1 / _GENERATIONS)
            self._generations = [g for g in self._generations if g.since >= oldest]
        self._generations[-1].add(hashes)

    def holds(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """For each hash, whether it is remembered."""
        found = np.zeros(hashes.size, dtype=np.bool_)
        for generation in self._generations:
            found |= generation.holds(hashes)
        return found

    def fresh(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """For each hash, whether it is its first occurrence here and not remembered."""
        first = np.zeros(hashes.size, dtype=np.bool_)
        first[np.unique(hashes, return_index=True)[1]] = True
        return first & ~self.holds(hashes)
