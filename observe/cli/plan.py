"""`observe plan`: how much disk, memory of the core and processor time a platform's telemetry asks for.

Rows come from the rates given, bytes a row from `bench.sizing` (bench/RESULTS.md). Raw rows are kept as `store.retain` says by default.

Source: our own; TRUST section 3 for the load that the default numbers describe.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Final

from observe.spec.site import RETAINED_DAYS

_DAY_S: Final = 86_400
_GPU_EVERY_S: Final = 15  # of a scrape
_SUMMARY_BYTES: Final = (
    400.0  # of one window of one feature: counts of its bins; 60 features x 288 windows = 7 MB a day
)
_MODELS: Final = 10  # that share the predictions, each with as many features
_ROOM: Final = 1.25  # disk beyond what rows take: the database file, files being merged, backups by hard link

# bytes a row in the lake, bench.sizing, 2026-11-21
_GPU_BYTES: Final = 28.0
_ATTEMPT_BYTES: Final = 63.0
_PREDICTION_BYTES: Final = 40.0  # without features
_FEATURE_BYTES: Final = 3.1  # of one feature of a prediction

# processor time of the core, s; intake of bodies of the planned load into a store, 2026-11-21. The sum for that
# load, .49, is what `bench.load` shows of the whole core (.44 to .55 cores) with pages and stages
_SPAN_S: Final = 0.16e-3  # 50 in a body
_SPANS: Final = 3  # of a request; TRUST section 3
_CELL_S: Final = 1.06e-6  # of one feature of a prediction, 200 in a Parquet body
_GPU_S: Final = 1.78e-3  # one scrape of a GPU, 8 on a page

_CORE_BYTES: Final = 250e6  # of a core that holds no rows, same runs
_DATABASE_BYTES: Final = 768e6  # `observe.store.store.MEMORY`
_KNOWN_S: Final = 2 * 3600 * 9 / 8  # how long identities of rows are known: `observe.store.seen`
_KNOWN_BYTES: Final = 8  # of one


@dataclass(frozen=True, slots=True)
class Load:
    """What comes in: GPUs, requests and predictions a second, features of a prediction."""

    gpus: int
    requests_per_s: float
    predictions_per_s: float
    features: int


@dataclass(frozen=True, slots=True)
class Line:
    """One table of the plan: rows a day, bytes a row, days kept, bytes in all."""

    table: str
    rows_per_day: float
    row_bytes: float
    days: float

    @property
    def size_bytes(self) -> float:
        """Bytes when it has filled."""
        return self.rows_per_day * self.row_bytes * self.days


def lines(load: Load, days: float | None) -> Iterator[Line]:
    """The tables that fill a disk, raw rows first.

    Args:
        load: what comes in.
        days: how long raw rows are kept; None for the defaults of `store.retain`.
    """
    raw = RETAINED_DAYS if days is None else dict.fromkeys(RETAINED_DAYS, days)
    row = _PREDICTION_BYTES + _FEATURE_BYTES * load.features
    yield Line("gpu_sample", load.gpus * _DAY_S / _GPU_EVERY_S, _GPU_BYTES, raw["gpu_sample"])
    yield Line("attempt", load.requests_per_s * _DAY_S, _ATTEMPT_BYTES, raw["attempt"])
    yield Line("prediction", load.predictions_per_s * _DAY_S, row, raw["prediction"])
    yield Line("gpu_1m", load.gpus * 1440, _GPU_BYTES, RETAINED_DAYS["rollup"])
    windows = _MODELS * load.features * _DAY_S / 300
    yield Line("summary", windows, _SUMMARY_BYTES, RETAINED_DAYS["summary"])


def memory_bytes(load: Load) -> float:
    """About what the core holds when it has run for hours: itself, its database, and what came in two hours."""
    rows = _SPANS * load.requests_per_s + load.predictions_per_s + load.gpus / _GPU_EVERY_S
    return _CORE_BYTES + _DATABASE_BYTES + rows * _KNOWN_S * _KNOWN_BYTES


def cores(load: Load) -> float:
    """Processors that the core keeps busy; one process, so that about one is the most.

    >>> round(cores(Load(1000, 500, 2000, 60)), 2)
    0.49
    """
    spans = load.requests_per_s * _SPANS * _SPAN_S
    return spans + load.predictions_per_s * load.features * _CELL_S + load.gpus / _GPU_EVERY_S * _GPU_S


def run(load: Load, days: float | None, *, as_json: bool) -> int:
    """Print the plan."""
    plan = list(lines(load, days))
    disk = sum(line.size_bytes for line in plan) * _ROOM
    if as_json:
        told = [{**asdict(line), "size_bytes": round(line.size_bytes)} for line in plan]
        answer = {"load": asdict(load), "tables": told, "disk_bytes": round(disk)}
        answer |= {"memory_bytes": round(memory_bytes(load)), "cores": round(cores(load), 2)}
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
        return 0
    sys.stdout.write("\n".join(_told(load, plan, disk)) + "\n")
    return 0


def _told(load: Load, plan: list[Line], disk: float) -> Iterator[str]:
    yield (
        f"{load.gpus:,} GPUs every {_GPU_EVERY_S} s, {load.requests_per_s:g} requests/s, "
        f"{load.predictions_per_s:g} predictions/s × {load.features} features, {_MODELS} models"
    )
    yield ""
    yield f"{'table':<12}{'rows a day':>14}{'bytes a row':>13}{'a day':>10}{'kept':>7}{'disk':>10}"
    for line in plan:
        day = line.rows_per_day * line.row_bytes
        yield (
            f"{line.table:<12}{line.rows_per_day:>14,.0f}{line.row_bytes:>13.0f}{_size(day):>10}"
            f"{line.days:>6g}d{_size(line.size_bytes):>10}"
        )
    yield ""
    yield f"disk    {_size(disk)}, a quarter of it room to work; store: {{size: {_size(disk / _ROOM)}}} holds it"
    yield "        a smaller store.size works too: the oldest raw rows leave first, summaries and rollups stay"
    yield f"memory  about {_size(memory_bytes(load))} for the core after some hours; pages, summaries and detectors come on top"
    busy = cores(load)
    more = "; one service cannot take it: share the sources among several" if busy > 1 else ""
    yield f"cores   {busy:.2f} kept busy by intake{more}; pages, summaries and detectors take what it leaves"


def _size(n: float) -> str:
    """Bytes as people write them.

    >>> _size(2.5e9), _size(4e5)
    ('2.5GB', '400kB')
    """
    unit, scale = next(
        (u, s) for u, s in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1)) if n >= s or u == "B"
    )
    return f"{n / scale:.3g}{unit}"
