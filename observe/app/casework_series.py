"""Series around an incident, read minute by minute, and five minutes of the fourteen days before.

Source: our own; docs/incidents.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from alerts import clues, series, steps
from alerts.series import MEASURES, Series
from alerts.steps import Floats
from alerts.weighing import Scene
from observe.app import casework_sql as sql
from observe.schema import Window

if TYPE_CHECKING:
    from observe.store import Store

MINUTE: Final = timedelta(minutes=1)
PAST: Final = timedelta(hours=7)  # of which six are what a change is held against
_ROLLED: Final = 3_000_000  # rows of rollups from which base rates of traffic are counted; of more a shorter past


@dataclass(frozen=True, slots=True)
class Grid:
    """Minutes from `start` on; the incident began in minute `onset`."""

    start: datetime
    end: datetime
    onset: int

    @property
    def params(self) -> dict[str, Any]:
        """As parameters of a query."""
        return {"from": self.start, "to": self.end}

    @property
    def history(self) -> dict[str, Any]:
        """The time before, from which is counted what comes by chance."""
        return {"from": self.start + PAST - clues.PAST, "to": self.start + PAST - timedelta(minutes=steps.BEFORE)}

    def minutes(self, rows: pl.DataFrame, column: str, empty: float = np.nan) -> Floats:
        """A column by minute; `empty` where there is no row."""
        size = int((self.end - self.start) / MINUTE) + 1
        values = np.full(size, empty)
        at = ((rows["ts"] - self.start).dt.total_seconds() // 60).to_numpy()
        found = rows[column].cast(pl.Float64).to_numpy()
        inside = (at >= 0) & (at < size)
        values[at[inside].astype(int)] = found[inside]
        return values


class Measuring:
    """Reads series out of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def near(self, scene: Scene, grid: Grid) -> Iterator[Series]:
        """Every series that may hold a clue."""
        yield from self._logs(scene, grid)
        yield from self._gpus(scene, grid)
        if scene.model:
            yield from self._traffic(scene, grid)
            yield from self._errors(scene, grid)
            yield from self._serving(scene, grid)

    def _read(self, query: str, params: Mapping[str, Any]) -> pl.DataFrame:
        return self._store.read(query, params, Window(params["from"], params["to"]))

    def _traffic(self, scene: Scene, grid: Grid) -> Iterator[Series]:
        mine = {"model": scene.model}
        rows = self._read(sql.TRAFFIC, {**grid.params, **mine, "step": 60})
        past = self._read(sql.TRAFFIC, {**self._rolled(scene, grid), **mine, "step": 300})
        places: Mapping[str, tuple[tuple[str, str], ...]] = {
            "tokens": (("prompt tokens", "*"),),
            "cache": (("cached tokens", "*"),),
        }
        for name in ("traffic", "tokens", "cache", "retries"):
            history = _history(past, name, 5.0 if name == "traffic" else 1.0)
            empty = 0.0 if name == "traffic" else np.nan
            values = grid.minutes(rows, name, empty)[:-1]  # the newest minute is not over
            yield Series(MEASURES[name], scene.model, values, history, places.get(name, ()), model=scene.model)

    def _rolled(self, scene: Scene, grid: Grid) -> dict[str, Any]:
        """The past whose traffic is counted: as much of it as can be read at once."""
        span = grid.history
        rows = self._read(sql.ROLLED, {**span, "model": scene.model}).item() or 0
        length = (span["to"] - span["from"]) * min(1.0, _ROLLED / max(rows, 1))
        return {**span, "from": span["to"] - length}

    def _errors(self, scene: Scene, grid: Grid) -> Iterator[Series]:
        kinds = {"model": scene.model, "kinds": sorted(series.THEIRS)}
        rows = self._read(sql.ERRORS, {**grid.params, **kinds, "step": 60})
        past = self._read(sql.ERRORS, {**self._rolled(scene, grid), **kinds, "step": 300})
        for (provider,), part in rows.partition_by("provider", as_dict=True).items():
            if series.is_ours(str(provider)):
                continue
            before = past.filter(pl.col("provider") == provider)
            kinds_of = ", ".join(_most(part, "kind"))
            label = f"{provider} errors ({kinds_of})" if kinds_of else f"{provider} errors"
            yield Series(
                MEASURES["provider"], str(provider), grid.minutes(part, "share"), _history(before, "share"), (("provider", str(provider)),),
                model=scene.model, label=label,
            )  # fmt: skip

    def _serving(self, scene: Scene, grid: Grid) -> Iterator[Series]:
        mine = {"model": scene.model}
        rows, past = (
            self._read(sql.SERVING, {**grid.params, **mine}),
            self._read(sql.SERVING_BEFORE, {**grid.history, **mine}),
        )
        for (cluster,), part in rows.partition_by("cluster", as_dict=True).items():
            before = past.filter(pl.col("cluster") == cluster)
            for name in ("queue", "kv"):
                yield Series(
                    MEASURES[name], str(cluster) or scene.model, grid.minutes(part, name), _history(before, name),
                    (("cluster", str(cluster)),) if cluster else (), model=scene.model, label=str(cluster),
                )  # fmt: skip

    def _gpus(self, scene: Scene, grid: Grid) -> Iterator[Series]:
        params = {**grid.params, "clusters": sorted(scene.clusters), "nodes": sorted(scene.nodes)}
        params["from"] = max(grid.start, scene.onset - timedelta(hours=2))
        rows = self._read(sql.GPUS, params)
        past = self._read(sql.GPUS_BEFORE, grid.history)
        for (node, cluster), part in rows.partition_by("node", "cluster", as_dict=True).items():
            before = past.filter(pl.col("cluster") == cluster)
            places = (("node", str(node)), *((("cluster", str(cluster)),) if cluster else ()))
            for name in ("throttle", "saturation"):
                why = f" ({_most(part, 'why')[0]})" if name == "throttle" and part["why"].drop_nulls().len() else ""
                label = f"{node or cluster}{why}"
                yield Series(
                    MEASURES[name], str(node or cluster), grid.minutes(part, name), _history(before, name), places,
                    node=str(node or ""), label=label,
                )  # fmt: skip

    def _logs(self, scene: Scene, grid: Grid) -> Iterator[Series]:
        near = {
            "near": scene.onset - timedelta(minutes=steps.BEFORE),
            "model": scene.model,
            "clusters": sorted(scene.clusters),
        }
        rows = self._read(sql.LOGS, {**grid.params, **near})
        for (template_id,), part in rows.partition_by("template_id", as_dict=True).items():
            first = part.row(0, named=True)
            where = tuple((d, first[d]) for d in ("cluster",) if first[d])
            label = f"{first['service'] or 'log'}: “{first['template'][:120]}”"
            yield Series(
                MEASURES["log"], str(template_id), grid.minutes(part, "n", 0.0), np.full(288, 0.0), where, model=first["model_id"] or "", label=label,
            )  # fmt: skip


def _history(rows: pl.DataFrame, column: str, divide: float = 1.0) -> Floats:
    """A column by five minutes in order; what is missing in between stays missing."""
    if rows.is_empty():
        return np.zeros(0)
    at = (rows["ts"].dt.epoch("s") // 300).to_numpy()
    values = np.full(int(at.max() - at.min()) + 1, np.nan)
    values[at - at.min()] = rows[column].cast(pl.Float64).to_numpy() / divide
    return values


def _most(rows: pl.DataFrame, column: str) -> list[str]:
    """Its commonest values, two at most."""
    counted = rows[column].drop_nulls().value_counts(sort=True)
    return [str(v) for v in counted[column].to_list()[:2]]
