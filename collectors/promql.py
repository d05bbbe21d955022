"""What a Prometheus counted: the answer to one `query_range` becomes samples of one series, a minute each.

An expression is asked at the end of every minute over the last `over_s` seconds, so that scrapes which are farther
apart than a minute count, too; a minute gets its part of that, and all minutes together get every event once. A
minute without a point, or with one that is not a number, has no sample: nobody counted then.

Source: Prometheus documentation, "HTTP API": Range queries, Expression query result formats.
Assumes: targets are scraped at least twice in `over_s` seconds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import polars as pl

from observe.errors import PayloadError
from observe.schema import Parsed
from observe.schema.exchange import frame_schema
from observe.schema.sources import MetricSample

STEP: Final = timedelta(minutes=1)
PATH: Final = "/api/v1/query_range"
_MOST: Final = 11_000  # points of one answer, as Prometheus itself has it
_LATEST: Final = 4e9  # epoch seconds; what is later is no time


def url(address: str, expression: str, since: datetime, until: datetime) -> str:
    """What is asked: an expression at the end of each minute after `since`, up to and with `until`."""
    asked = {
        "query": expression, "start": f"{(since + STEP).timestamp():.0f}", "end": f"{until.timestamp():.0f}",
        "step": f"{STEP.total_seconds():.0f}",
    }  # fmt: skip
    return f"{address.rstrip('/')}{PATH}?{urlencode(asked)}"


def parse(payload: bytes, received_at: datetime, labels: Mapping[str, str]) -> Parsed:
    """Samples of one answer.

    Args:
        payload: JSON of `query_range`, one series at most.
        received_at: when it came.
        labels: `metric`, name of the samples; `series`, their labels as JSON; `over_s`, the range of the expression.

    Raises:
        PayloadError: it is no such answer, or holds several series.
    """
    points = _points(payload)
    part = STEP.total_seconds() / float(labels.get("over_s", "60"))
    kept = [(at, value * part) for at, value in map(_point, points) if at is not None and value is not None]
    starts = [int((at - STEP.total_seconds()) * 1e6) for at, _ in kept]
    schema = frame_schema(MetricSample.table())
    frame = pl.DataFrame(
        {
            "ts": pl.Series(starts, dtype=pl.Int64).cast(pl.Datetime("us", "UTC")),
            "metric": [labels.get("metric", "promql")] * len(kept),
            "labels": [labels.get("series", "{}")] * len(kept),
            "value": [value for _, value in kept],
            "kind": ["gauge"] * len(kept),
        },
        schema={name: schema[name] for name in ("ts", "metric", "labels", "value", "kind")},
    )
    rejected = {"not_a_number": len(points) - len(kept)} if len(points) > len(kept) else {}
    return Parsed({"metric_sample": frame} if kept else {}, len(points), rejected)


def _points(payload: bytes) -> list[Any]:
    try:
        answer = json.loads(payload)
    except (ValueError, RecursionError):
        raise PayloadError("the answer is no JSON") from None
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(answer, dict) or answer.get("status") != "success" or not isinstance(data, dict):
        why = answer.get("error") if isinstance(answer, dict) else None
        raise PayloadError(f"the query failed: {str(why)[:300]}" if why else "no answer to a query of Prometheus")
    result = data.get("result")
    if data.get("resultType") != "matrix" or not isinstance(result, list):
        raise PayloadError("the answer holds no matrix: only range queries are read")
    if len(result) > 1:
        raise PayloadError(f"the expression gives {len(result)} series where one is counted; sum them: sum(...)")
    values = result[0].get("values") if result and isinstance(result[0], dict) else []
    if not isinstance(values, list) or len(values) > _MOST:
        raise PayloadError("the answer holds no values, or more than Prometheus gives")
    return values


def _point(point: Any) -> tuple[float | None, float | None]:
    """Instant (epoch s) and value; None for what is not one, or is less than nothing."""
    if not isinstance(point, list) or len(point) != 2:
        return None, None
    at, text = point
    if isinstance(at, bool) or not isinstance(at, int | float) or not 60 <= at < _LATEST or not isinstance(text, str):
        return None, None
    try:
        value = float(text)
    except ValueError:
        return at, None
    return at, value if math.isfinite(value) and value >= 0 else None
