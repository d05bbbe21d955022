"""Which sealed files should be one: few files per table whatever the order in which rows come.

Files of a past hour become one, later those of a past day. Rows that come late make small files
beside large ones: the small ones are merged among themselves until together they are worth writing
the next larger one again, so a day holds about log4 of its bytes files and a byte is written about
as often.

Source: our own; size-tiered compaction after log-structured merge trees (O'Neil et al. 1996).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from observe.store.manifest import Sheet

MERGED_BYTES: Final = 256 << 20  # files are not merged beyond this size
_ONCE_BYTES: Final = 256 << 20  # read by the merges of one table in one seal, unless one merge alone is larger
_ONCE: Final = 64  # merges of one table in one seal: a seal stays short
_TIMES: Final = 4  # a file is rewritten when the smaller ones together have a quarter of its bytes
_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)
_DAY_RESTS: Final = timedelta(hours=3)  # from its end until a day's files are merged
_HOUR_RESTS: Final = timedelta(minutes=30)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def merges(sheets: Sequence[Sheet], now: datetime) -> list[list[Sheet]]:
    """Groups of files, each in order of time, that should be one now; the smallest groups first."""
    spans: dict[tuple[object, ...], list[Sheet]] = defaultdict(list)
    for sheet in sheets:
        span = _span(sheet, now)
        if span is not None and not sheet.reservoir:
            spans[*span, sheet.rolled].append(sheet)
    groups = [sorted(g, key=lambda s: (s.t_min, s.path)) for key, s in spans.items() if len(g := _due(s, key)) > 1]
    return list(_affordable(sorted(groups, key=_bytes)))


def _span(sheet: Sheet, now: datetime) -> tuple[str, datetime] | None:
    """What a file is merged within: its past day, its past hour, or the open day that it holds hours of."""
    day, hour = floor(sheet.t_min, _DAY), floor(sheet.t_min, _HOUR)
    if day != floor(sheet.t_max, _DAY):
        return None
    if day + _DAY + _DAY_RESTS <= now:
        return "day", day
    if hour != floor(sheet.t_max, _HOUR):
        return "part", day
    return ("hour", hour) if hour + _HOUR + _HOUR_RESTS <= now else None


def _due(sheets: Sequence[Sheet], span: tuple[object, ...]) -> list[Sheet]:
    """The files of one span to be merged: from the smallest on, each not much larger than those before it."""
    taken: list[Sheet] = []
    for sheet in sorted(sheets, key=lambda s: (s.size, s.path)):
        before = _bytes(taken)
        if taken and (before + sheet.size > MERGED_BYTES or (span[0] != "hour" and sheet.size > _TIMES * before)):
            break
        taken.append(sheet)
    return taken


def _affordable(groups: Sequence[list[Sheet]]) -> Iterator[list[Sheet]]:
    left = _ONCE_BYTES
    for i, group in enumerate(groups[:_ONCE]):
        left -= _bytes(group)
        if i and left < 0:
            return
        yield group


def _bytes(sheets: Sequence[Sheet]) -> int:
    return sum(s.size for s in sheets)


def floor(instant: datetime, length: timedelta) -> datetime:
    """The latest multiple of `length` since the epoch that is not after `instant`, in UTC."""
    return _EPOCH + (instant - _EPOCH) // length * length
