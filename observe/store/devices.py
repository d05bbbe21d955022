"""Devices as they were written down lately: what every page repeats is not written again every time.

A page tells of each of its GPUs what the page before told, but for the time. Upserting that costs
more than storing the samples, so a device that says nothing new is written once a minute.

Source: our own; measured with `bench.load`: 6 ms of each page.
Assumes: this process is the only one that writes devices.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

EVERY: Final = timedelta(minutes=1)  # how far behind `last_seen` may be
_KEPT: Final = 50_000  # devices; beyond them all are forgotten and learnt again, about 300 bytes each
_TIMES: Final = ("first_seen", "last_seen")


class Devices:
    """What the table of devices holds of those written lately."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, datetime]] = {}  # hash of what was said, and `last_seen`, by device

    def news(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows that say something new of their device, tell of times before what is known, or a minute after."""
        firsts = rows["first_seen"].to_list()
        new = [self._is_new(said, first) for said, first in zip(_said(rows), firsts, strict=True)]
        return rows if all(new) else rows.filter(pl.Series(new, dtype=pl.Boolean))

    def told(self, rows: pl.DataFrame) -> None:
        """Remember what is durable now."""
        if len(self._known) > _KEPT:
            self._known.clear()
        for device, said, last in _said(rows):
            if device not in self._known or last >= self._known[device][1]:
                self._known[device] = said, last

    def _is_new(self, told: tuple[str, int, datetime], first: datetime) -> bool:
        device, said, last = told
        known = self._known.get(device)
        return known is None or known[0] != said or first < known[1] or last >= known[1] + EVERY


def _said(rows: pl.DataFrame) -> Iterator[tuple[str, int, datetime]]:
    """Of each row its device, a hash of all that it says beside times, and `last_seen`."""
    names = [name for name in rows.columns if name not in _TIMES]
    place = names.index("device_id")
    for said, last in zip(_tuples(rows.select(names)), rows["last_seen"].to_list(), strict=True):
        yield said[place], hash((tuple(names), said)), last


def _tuples(rows: pl.DataFrame) -> list[tuple[Any, ...]]:
    return list(zip(*(column.to_list() for column in rows.get_columns()), strict=True))
