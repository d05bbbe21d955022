"""A Prometheus page becomes rows: GPUs, model servers, and allow-listed series in the long form.

An item is a sample. It is kept when it became a cell of a wide row (`gpu_sample`,
`serving_sample`; NULL with a quality bit where its value is impossible) or a row of
`metric_sample`; `Parsed.folded` counts those, so offered = folded + sum of rejected. The rows of
`gpu_device` only describe and are no items.

Source: Prometheus text format, OpenMetrics 1.0; `collectors/mapping.yaml` for names, units, ranges.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from collectors.instants import bounds, micros
from collectors.mapping import MetricMap, load
from collectors.placement import Placed, target
from collectors.series import Page, read
from collectors.wide import Row, Rows, about, columns, fraction, frame_of, workloads
from observe.schema import Parsed

if TYPE_CHECKING:
    import polars as pl

__all__ = ["parse", "with_table"]

MAX_LONG: Final = 10_000  # series a page may add to the long form

Sample = tuple[Placed, float, int | None]


def parse(payload: bytes, at: datetime, labels: Mapping[str, str]) -> Parsed:
    """Rows of one page.

    Args:
        payload: the page.
        at: instant of the scrape, aware UTC; samples without a timestamp of their own get it.
        labels: `target` (address), `cluster` and other labels of the site, `model` and `node` where
            the page does not say them, `accept_past_s` and `accept_future_s` as in `instants.bounds`.

    Returns:
        Frames `gpu_sample`, `gpu_device`, `serving_sample`, `metric_sample`, those that have rows.
    """
    place = target(load(), labels)
    openmetrics = labels.get("content_type", "").startswith("application/openmetrics-text")
    page = read(payload, place.known, place.place, openmetrics)
    wide, long = _sorted_out(page, *bounds(at, labels))
    rows = Rows(place.mapping)
    rows.add(wide)
    finished = rows.finished()
    kept, metrics = _long(long, page, place.mapping, at)
    tables = {**_gpus(finished, at, labels), **_servers(finished, at, labels), **metrics}
    rejected = Counter(page.rejected) + rows.rejected
    place.trim(page.offered)
    return Parsed(tables, page.offered, dict(rejected), dict(rows.notes), page.examples, rows.stored + kept)


def with_table(parsed: Parsed, table: str, frame: pl.DataFrame) -> Parsed:
    """The same with one more frame, whose rows are no items of the body."""
    return replace(parsed, tables={**parsed.tables, table: frame}, folded=parsed.items)


def _sorted_out(page: Page[Placed], oldest: int, newest: int) -> tuple[list[Sample], list[Sample]]:
    """Samples for wide rows and for the long form; the others are counted."""
    wide: list[Sample] = []
    long: list[Sample] = []
    for sample in page.samples:
        placed, _, ts = sample
        if ts is not None and not oldest <= ts * 1000 <= newest:
            page.reject("too_old" if ts * 1000 < oldest else "in_future", f"{placed.name} at {ts} ms")
        elif placed.subject is not None:
            wide.append(sample)
        elif placed.metric is not None:
            long.append(sample)
        else:
            page.reject(placed.refused, placed.name)
    return wide, long


def _long(
    samples: list[Sample], page: Page[Placed], mapping: MetricMap, at: datetime
) -> tuple[int, dict[str, pl.DataFrame]]:
    """Rows of `metric_sample`: how many, and their frame."""
    kept: dict[tuple[tuple[str, str, str, str | None], int | None], float] = {}
    stale = mapping.stale({placed.name for placed, _, _ in samples})
    for placed, value, ts in samples:
        assert placed.metric is not None
        key = (placed.metric, ts)
        why = "superseded" if placed.name in stale else _refused(placed.name, value, mapping)
        if why is None and key in kept:
            why = "duplicate_series"
        elif why is None and len(kept) >= MAX_LONG:
            why = "too_many_series"
        if why is None:
            kept[key] = value
        else:
            page.reject(why, f"{placed.name} {value}")
    if not kept:
        return 0, {}
    now = micros(at)
    made: dict[str, Any] = {
        "ts": [now if ts is None else ts * 1000 for _, ts in kept],
        "metric": [metric[0] for metric, _ in kept],
        "labels": [metric[1] for metric, _ in kept],
        "value": list(kept.values()),
        "kind": [metric[2] for metric, _ in kept],
        "unit": [metric[3] for metric, _ in kept],
    }
    return len(kept), {"metric_sample": frame_of("metric_sample", made)}


def _refused(name: str, value: float, mapping: MetricMap) -> str | None:
    if value - value != 0.0:  # NaN and the infinities: the long form holds numbers
        return "not_finite"
    return "sentinel" if mapping.blank(name, value) else None


def _gpus(rows: list[Row], at: datetime, labels: Mapping[str, str]) -> dict[str, pl.DataFrame]:
    rows = [r for r in rows if r.subject.table == "gpu_sample"]
    if not rows:
        return {}
    n = len(rows)
    ids = ["/".join(r.subject.key) for r in rows]
    ts = _times(rows, at)
    cluster = [labels.get("cluster") or None] * n
    samples: dict[str, Any] = {
        "ts": ts, "device_id": ids, "cluster": cluster, **about(rows, {"node": "node"}), **workloads(rows), **columns(rows),
        "util_source": [r.util_source for r in rows], "state": [r.state for r in rows], "quality": [r.quality for r in rows],
    }  # fmt: skip
    newest = {device: i for i, device in sorted(enumerate(ids), key=lambda pair: ts[pair[0]])}
    seen = [rows[i] for i in newest.values()]
    described = about(seen, {c: c for c in ("model", "node", "pci_bus_id", "mig_profile", "mig_gi", "driver")})
    devices: dict[str, Any] = {
        "device_id": list(newest),
        "parent_uuid": [r.subject.key[0] if len(r.subject.key) > 1 else None for r in seen],
        "vendor": [r.subject.about.get("vendor") or "nvidia" for r in seen], "cluster": cluster[: len(seen)], **described,
        "gpu_index": [_index(r.subject.about.get("gpu_index")) for r in seen],
        "mem_total_mib": [_memory(r) for r in seen], "mig_fraction": [fraction(r.subject) for r in seen],
        "first_seen": [ts[i] for i in newest.values()], "last_seen": [ts[i] for i in newest.values()],
    }  # fmt: skip
    return {"gpu_sample": frame_of("gpu_sample", samples), "gpu_device": frame_of("gpu_device", devices)}


def _servers(rows: list[Row], at: datetime, labels: Mapping[str, str]) -> dict[str, pl.DataFrame]:
    rows = [r for r in rows if r.subject.table == "serving_sample"]
    if not rows:
        return {}
    whose = workloads(rows)
    made: dict[str, Any] = {
        "ts": _times(rows, at),
        "target": [labels.get("target", "")] * len(rows),
        "model_id": [r.subject.key[0] for r in rows], "engine": [r.subject.key[1] for r in rows],
        **about(rows, {"server": "server"}), "cluster": [labels.get("cluster") or None] * len(rows),
        "namespace": [v or labels.get("namespace") for v in whose["namespace"]], "pod": [v or labels.get("pod") for v in whose["pod"]],
        **columns(rows), "quality": [r.quality for r in rows],
    }  # fmt: skip
    return {"serving_sample": frame_of("serving_sample", made)}


def _memory(row: Row) -> float | None:
    """Used + free + reserved, MiB; free and used alone where the driver tells no more."""
    used, free = row.cells.get("mem_used_mib"), row.cells.get("mem_free_mib")
    return None if used is None or free is None else used + free + (row.cells.get("mem_reserved_mib") or 0.0)


def _index(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 10 else None


def _times(rows: list[Row], at: datetime) -> list[int]:
    """Instants of rows, microseconds since 1970: ten times faster to a frame than datetimes."""
    now = micros(at)
    return [now if r.ts_ms is None else r.ts_ms * 1000 for r in rows]
