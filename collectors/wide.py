"""Samples of one instant gathered into wide rows: one GPU or one engine is one row.

A cell whose value is impossible is NULL and the row carries a quality bit; a precedence group ends
in its first present seat and is never summed.

Source: our own; rules 3, 5, 7, 9 and 12 follow dcgm-exporter #662, #582, #472 and DCGM #303, #199;
NVIDIA, "MIG User Guide", for the slices of a board.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from collectors.mapping import OUT_OF_RANGE, SENTINEL, Group, MetricMap
from collectors.placement import NOBODY, Placed, Subject, Workload

if TYPE_CHECKING:
    import polars as pl

PROF_STUCK: Final = 4  # quality bit
_PROFILED: Final = ("sm_active_ratio", "util_ratio/2", "sm_occupancy_ratio", "tensor_active_ratio", "dram_active_ratio")
_INTEGERS: Final = frozenset({"throttle_mask", "xid_last", "processes"})
_STATES: Final = ("ok", "lost", "unsupported")  # what the cell `state` counts
_PROFILE: Final = re.compile(r"(?:\d+c\.)?(\d+)g\.")  # of a MIG instance, e.g. 3g.40gb or 1c.3g.40gb
_FOUR_SLICES: Final = re.compile(r"\bA30\b|RTX PRO")  # boards cut into four; all others into seven

Cells = dict[str, float | None]


@dataclass(slots=True)
class Row:
    """One wide row in the making."""

    subject: Subject
    workload: Workload
    ts_ms: int | None
    cells: Cells = field(default_factory=dict)
    quality: int = 0
    shared: bool = False
    util_source: str | None = None
    state: str | None = "ok"


class Rows:
    """Rows in the making, by subject and instant, and what happened to samples on the way."""

    def __init__(self, mapping: MetricMap) -> None:
        self._mapping = mapping
        self._rows: dict[tuple[Subject, int | None], Row] = {}
        self.stored = 0
        self.rejected: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()

    def add(self, samples: Iterable[tuple[Placed, float, int | None]]) -> None:
        """Put samples of subjects into their cells."""
        rows, stored = self._rows, 0
        for placed, value, ts in samples:
            subject = placed.subject
            row = rows.get((subject, ts))  # type: ignore[arg-type]
            if row is None:
                assert subject is not None
                row = rows[subject, ts] = Row(subject, placed.workload, ts)
            elif placed.workload is not row.workload:
                self._join(row, placed)
            cells = row.cells
            if placed.slot in cells:
                reason = "shared_device" if row.shared and placed.again == "duplicate_series" else placed.again
                self.rejected[reason] += 1
                continue
            stored += 1
            if placed.low <= value <= placed.high:
                cells[placed.slot] = value * placed.factor
            else:
                cells[placed.slot] = None
                self._blanked(row, placed, value)
        self.stored += stored

    def _blanked(self, row: Row, placed: Placed, value: float) -> None:
        """Says why a value is NULL."""
        if math.isnan(value):
            self.notes["nan"] += 1
        elif self._mapping.blank(placed.name, value):
            row.quality |= SENTINEL
            self.notes["sentinel"] += 1
        else:
            row.quality |= OUT_OF_RANGE
            self.notes["out_of_range"] += 1

    @staticmethod
    def _join(row: Row, placed: Placed) -> None:
        """Two workloads on one device share it: the row names neither."""
        if placed.workload is NOBODY:
            return
        if row.workload is NOBODY and not row.shared:
            row.workload = placed.workload
        elif row.workload != placed.workload:
            row.workload, row.shared = NOBODY, True

    def finished(self) -> list[Row]:
        """The rows, groups resolved and contradictions repaired, in order of appearance."""
        for row in self._rows.values():
            if row.subject.table == "gpu_sample":
                self._repair(row)
            for group in self._mapping.groups.get(row.subject.table, ()):
                self._resolve(row, group)
            if row.subject.table == "gpu_sample" and row.cells.get("sm_active_ratio") is not None:
                row.util_source = "sm_active"
                row.cells["util_ratio"] = row.cells["sm_active_ratio"]
        self._whole_boards()
        return list(self._rows.values())

    def _whole_boards(self) -> None:
        """A board cut into MIG instances has no GPU_UTIL: it is 0 by design. Its use is theirs, weighted by size."""
        cut: dict[tuple[str, int | None], list[Row]] = {}
        for row in self._rows.values():
            if len(row.subject.key) > 1 and row.subject.table == "gpu_sample":
                cut.setdefault((row.subject.key[0], row.ts_ms), []).append(row)
        boards = {(r.subject.key[0], r.ts_ms): r for r in self._rows.values() if len(r.subject.key) == 1} if cut else {}
        for whose, instances in cut.items():
            board = boards.get(whose) or self._board(instances[0])
            if board.util_source in (None, "gpu_util"):
                used = _used(instances)
                board.cells["util_ratio"], board.util_source = used, None if used is None else "mig"
                self.notes["mig_util"] += 1

    def _board(self, instance: Row) -> Row:
        """A row for a board of which a page tells only the instances, so that fleets are counted in boards."""
        known = {k: v for k, v in instance.subject.about.items() if not k.startswith("mig_")}
        subject = Subject("gpu_sample", instance.subject.key[:1], known)
        row = self._rows[subject, instance.ts_ms] = Row(subject, NOBODY, instance.ts_ms)
        return row

    def _repair(self, row: Row) -> None:
        """Contradictions between cells of one GPU: profiling that stands still, a sensor that is not there."""
        cells = row.cells
        if "state" in cells:
            state = cells.pop("state")
            row.state = None if state is None else _STATES[int(state)]
        busy = cells.get("util_ratio/3")
        engine = cells.get("util_ratio/2", cells.get("sm_active_ratio"))
        if busy is not None and busy >= 0.9 and engine == 0.0:
            row.quality |= PROF_STUCK
            self.notes["prof_stuck"] += 1
            cells.update({slot: None for slot in _PROFILED if cells.get(slot) == 0.0})
        if cells.get("mem_temp_c") == 0.0 and (cells.get("temp_c") or 0.0) > 0.0:
            cells["mem_temp_c"] = None
            self.notes["no_sensor"] += 1

    def _resolve(self, row: Row, group: Group) -> None:
        found = [(row.cells.pop(slot), rule) for slot, rule in group.seats if slot in row.cells]
        if not found:
            return
        if group.summed:
            values = [value for value, _ in found]
            row.cells[group.column] = None if None in values else sum(v for v in values if v is not None)
            return
        outranked = group.column == "util_ratio" and row.cells.get("sm_active_ratio") is not None
        lost = len(found) - (not outranked)
        self.stored -= lost
        if lost:
            self.rejected["superseded"] += lost
        if not outranked:
            value, rule = next(((v, r) for v, r in found if v is not None), found[0])
            row.cells[group.column] = value
            if value is not None:
                row.quality |= rule.flag
                row.util_source = rule.tag or row.util_source


def fraction(subject: Subject) -> float | None:
    """The share of its board that a MIG instance has, by its profile; None for a whole board.

    >>> fraction(Subject("gpu_sample", ("G", "1"), {"mig_profile": "1c.3g.40gb"})) == 3 / 7
    True
    """
    found = _PROFILE.match(subject.about.get("mig_profile") or "")
    if found is None:
        return None
    slices = 4 if _FOUR_SLICES.search(subject.about.get("model") or "") else 7
    return min(int(found.group(1)) / slices, 1.0)


def _used(instances: list[Row]) -> float | None:
    """The busy share of a board that is cut into these instances; None where one of them does not tell."""
    shares = [(row.cells.get("util_ratio"), fraction(row.subject)) for row in instances]
    told = [util * share for util, share in shares if util is not None and share is not None]
    return min(sum(told), 1.0) if len(told) == len(shares) else None


def columns(rows: list[Row], ints: frozenset[str] = _INTEGERS) -> dict[str, list[float | int | None]]:
    """The cells of rows as columns, each as long as `rows`."""
    names = dict.fromkeys(name for row in rows for name in row.cells)
    values: dict[str, list[float | int | None]] = {name: [row.cells.get(name) for row in rows] for name in names}
    for name in ints.intersection(values):
        values[name] = [None if v is None else int(v) for v in values[name]]
    return values


def about(rows: list[Row], roles: Mapping[str, str]) -> dict[str, list[str | None]]:
    """Descriptive columns of rows: `roles` maps a column to what the subject calls it."""
    return {column: [row.subject.about.get(role) for row in rows] for column, role in roles.items()}


def workloads(rows: list[Row]) -> dict[str, list[str | None]]:
    """The columns namespace, pod and container of rows, NULL where a device is shared."""
    return {name: [row.workload[i] for row in rows] for i, name in enumerate(("namespace", "pod", "container"))}


def frame_of(table: str, columns_: Mapping[str, list[object]]) -> pl.DataFrame:
    """A frame of `table` from columns."""
    from observe.schema import TABLES
    from observe.schema.exchange import frame

    return frame(TABLES[table], columns_)
