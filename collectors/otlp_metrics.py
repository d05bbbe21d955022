"""OTLP metrics become samples in the long form, named as OpenTelemetry names them.

A data point is an item. A gauge or sum is one row; a histogram is `<name>_bucket` with the upper
bound `le` and counts that add up, `<name>_sum` and `<name>_count`, as Prometheus has them; a summary
is `<name>` with `quantile`, `_sum` and `_count`. What is told as a difference (delta temporality)
keeps its values, its kind begins with `delta_`.

Items that are no rows: `too_old`, `in_future`, `not_finite`, `bad_buckets` and `too_many_series` are
the exporter's to know; `not_allowed` (no pattern of `allow` in the mapping) and `no_recorded_value`
are not faults.

Source: OTLP metrics.v1 and its data model (buckets of exponential histograms); GenAI metrics of
open-telemetry/semantic-conventions-genai; SOURCES section 2.2.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Final

from collectors.attributes import plain
from collectors.cardinality import Cardinality
from collectors.instants import bounds, micros
from collectors.mapping import MetricMap, load
from observe.errors import PayloadTooLarge
from observe.schema import TABLES, Parsed
from observe.schema.exchange import frame

if TYPE_CHECKING:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import KeyValue
    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

FAULTS: Final = ("too_old", "in_future", "not_finite", "bad_buckets", "too_many_series")  # an exporter is told
POINT_LIMIT: Final = 100_000  # data points of one body
BUCKET_LIMIT: Final = 512  # of one histogram; SDKs use at most 160 a side
LABEL_LIMIT: Final = 64  # attributes of one point
VALUE_LIMIT: Final = 256  # characters of one label value
NO_VALUE: Final = 1  # DataPointFlags.NO_RECORDED_VALUE
_DELTA: Final = 1  # AggregationTemporality
RESOURCE: Final = frozenset({
    "service.name", "service.namespace", "service.instance.id", "k8s.cluster.name", "k8s.namespace.name", "k8s.pod.name",
    "k8s.node.name", "host.name", "deployment.environment", "deployment.environment.name",
})  # fmt: skip
PEOPLE: Final = frozenset({"user.id", "enduser.id", "user.email", "client.address", "gen_ai.user"})  # hashed

Row = tuple[str, float, str | None]  # kind, value, unit
Cell = tuple[str, str, float, Mapping[str, str]]  # name, kind, value, labels beside those of the point


@dataclass(slots=True)
class _Reading:
    """What is known while one request is read."""

    now: int  # us since the epoch
    low: int
    high: int
    mapping: MetricMap
    at: datetime  # the same as `now`
    source: str
    cardinality: Cardinality
    sender: str = ""  # the resource, as far as it tells
    rows: dict[tuple[str, str, int], Row] = field(default_factory=dict)  # by name, labels and ts
    kept: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def reject(self, why: str, name: str) -> None:
        """Count one data point that is not kept."""
        self.rejected[why] += 1
        self.examples.setdefault(why, name[:200])


def parse_metrics(
    request: ExportMetricsServiceRequest, at: datetime, labels: Mapping[str, str], known: Cardinality | None = None
) -> Parsed:
    """The samples of a metrics request.

    Args:
        request: as decoded.
        at: now, aware UTC.
        labels: `source`, `cluster` where the resource names none, `accept_past_s`, `accept_future_s`.
        known: series and label values seen before; None holds the request to the caps alone.

    Raises:
        PayloadTooLarge: more than 100,000 data points.
    """
    offered = sum(len(_points(m)) for r in request.resource_metrics for s in r.scope_metrics for m in s.metrics)
    if offered > POINT_LIMIT:
        raise PayloadTooLarge(
            f"a body may hold {POINT_LIMIT} data points; this one has {offered}: export fewer at once"
        )
    source, cardinality = labels.get("source", ""), known or Cardinality()
    reading = _Reading(micros(at), *bounds(at, labels), load(), at, source, cardinality)
    for resource in request.resource_metrics:
        place = _labels(resource.resource.attributes, RESOURCE, reading)
        if labels.get("cluster"):
            place.setdefault("k8s.cluster.name", labels["cluster"])
        reading.sender = _json(place)
        for scope in resource.scope_metrics:
            named = {**place, "otel.scope.name": scope.scope.name[:VALUE_LIMIT]} if scope.scope.name else place
            for metric in scope.metrics:
                _read(metric, named, reading)
    return _parsed(reading, offered)


def _parsed(reading: _Reading, offered: int) -> Parsed:
    rows = reading.rows
    columns: dict[str, Sequence[Any]] = {
        "ts": [ts for _, _, ts in rows], "metric": [name for name, _, _ in rows], "labels": [text for _, text, _ in rows],
        "value": [value for _, value, _ in rows.values()], "kind": [kind for kind, _, _ in rows.values()],
        "unit": [unit for _, _, unit in rows.values()],
    }  # fmt: skip
    tables = {"metric_sample": frame(TABLES["metric_sample"], columns)} if rows else {}
    return Parsed(tables, offered, dict(+reading.rejected), dict(reading.notes), reading.examples, reading.kept)


def _points(metric: Metric) -> Sequence[Any]:
    kind = metric.WhichOneof("data")
    return getattr(metric, kind).data_points if kind else ()


def _read(metric: Metric, place: Mapping[str, str], reading: _Reading) -> None:
    name, points = metric.name[:VALUE_LIMIT], _points(metric)
    if not reading.mapping.allowed(name):
        reading.rejected["not_allowed"] += len(points)
        reading.examples.setdefault("not_allowed", name[:200])
        return
    for point in points:
        ts = point.time_unix_nano // 1000 if point.time_unix_nano else reading.now
        if point.flags & NO_VALUE:
            reading.reject("no_recorded_value", name)
        elif not reading.low <= ts <= reading.high:
            reading.reject("too_old" if ts < reading.low else "in_future", name)
        else:
            _keep(metric, name, point, (ts, place), reading)


def _keep(metric: Metric, name: str, point: Any, where: tuple[int, Mapping[str, str]], reading: _Reading) -> None:
    ts, place = where
    cells = list(_cells(metric, name, point))
    if not all(math.isfinite(value) for _, _, value, _ in cells):
        reading.reject("not_finite", name)
        return
    if not cells:
        reading.reject("bad_buckets", name)
        return
    own = _labels(point.attributes, None, reading)
    cardinality, source = reading.cardinality, reading.source
    folded = cardinality.fold(source, {**place, **own}, reading.notes, reading.at)
    if not cardinality.admits(source, reading.sender, (name, _json(folded)), reading.at):
        reading.reject("too_many_series", name)
        return
    for column, kind, value, more in cells:
        key = (column, _json({**folded, **more}), ts)
        before = reading.rows.get(key)
        if before is not None and kind not in ("gauge", "quantile"):
            value += before[1]  # noqa: PLW2901 - two series that share their labels since values were folded
        unit = None if kind.endswith(("count", "bucket")) else metric.unit[:32] or None
        reading.rows[key] = (kind, value, unit)
    reading.kept += 1


def _cells(metric: Metric, name: str, point: Any) -> Iterator[Cell]:
    """The rows of one data point; none when its buckets contradict each other."""
    shape: str = metric.WhichOneof("data") or ""
    if shape in ("gauge", "sum"):
        value = point.as_int if point.WhichOneof("value") == "as_int" else point.as_double
        yield name, "gauge" if shape == "gauge" else _kind(metric), float(value), {}
        return
    if shape == "summary":
        yield from (
            (name, "quantile", q.value, {"quantile": _number(q.quantile)}) for q in point.quantile_values[:BUCKET_LIMIT]
        )
        buckets, delta = [], ""
    else:
        delta = "delta_" if getattr(metric, shape).aggregation_temporality == _DELTA else ""
        found = _explicit(point) if shape == "histogram" else _exponential(point)
        if found is None:
            return
        buckets = found
    yield from ((f"{name}_bucket", f"{delta}bucket", float(n), {"le": _number(le)}) for le, n in buckets)
    if shape == "summary" or point.HasField("sum"):
        yield f"{name}_sum", f"{delta}sum", point.sum, {}
    yield f"{name}_count", f"{delta}count", float(point.count), {}


def _kind(metric: Metric) -> str:
    total = metric.sum
    if total.aggregation_temporality == _DELTA:
        return "delta_counter" if total.is_monotonic else "delta_gauge"
    return "counter" if total.is_monotonic else "gauge"


def _explicit(point: Any) -> list[tuple[float, int]] | None:
    """Upper bounds and cumulative counts; None when counts and bounds do not belong together."""
    counts, edges = point.bucket_counts, point.explicit_bounds
    if not counts:
        return [(math.inf, point.count)]
    if len(counts) != len(edges) + 1 or len(counts) > BUCKET_LIMIT or sum(counts) != point.count:
        return None
    if any(b <= a for a, b in pairwise(edges)):
        return None
    return list(zip([*edges, math.inf], accumulate(counts), strict=True))


def _exponential(point: Any) -> list[tuple[float, int]] | None:
    """Upper bounds and cumulative counts of the buckets that hold something, and of all.

    Bucket i holds values in (base^i, base^(i+1)], base = 2^(2^-scale); those below zero mirror it.
    """
    sizes = [len(side.bucket_counts) for side in (point.negative, point.positive)]
    if sum(sizes) > BUCKET_LIMIT or not -16 <= point.scale <= 32:
        return None
    below = [
        (-_edge(point.scale, point.negative.offset + i), n) for i, n in enumerate(point.negative.bucket_counts) if n
    ]
    above = [
        (_edge(point.scale, point.positive.offset + i + 1), n) for i, n in enumerate(point.positive.bucket_counts) if n
    ]
    zero = [(point.zero_threshold, point.zero_count)] if point.zero_count else []
    told = [*reversed(below), *zero, *above]
    if sum(n for _, n in told) != point.count:
        return None
    sums = accumulate(n for _, n in told)
    return [*((le, n) for (le, _), n in zip(told, sums, strict=True) if le != math.inf), (math.inf, point.count)]


def _edge(scale: int, index: int) -> float:
    try:
        return float(2.0 ** (index * 2.0**-scale))
    except OverflowError:
        return math.inf


def _number(value: float) -> str:
    return "+Inf" if value == math.inf else repr(float(value))


def _labels(attributes: Sequence[KeyValue], only: frozenset[str] | None, reading: _Reading) -> dict[str, str]:
    """Attributes as label values: people hashed, long ones cut, maps and bytes dropped."""
    found: dict[str, str] = {}
    if len(attributes) > LABEL_LIMIT:
        reading.notes["attributes_dropped"] += len(attributes) - LABEL_LIMIT
    for attribute in attributes[:LABEL_LIMIT]:
        key = attribute.key[:VALUE_LIMIT]
        if only is not None and key not in only:
            continue
        value = plain(attribute.value, reading.notes)
        if value is None or isinstance(value, list):
            continue
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if key in PEOPLE or key in reading.mapping.hashed_labels:
            text = hashlib.sha256(text.encode()).hexdigest()[:16]
        found[key] = text[:VALUE_LIMIT]
    return found


def _json(labels: Mapping[str, str]) -> str:
    return json.dumps(labels, sort_keys=True, separators=(",", ":"))
