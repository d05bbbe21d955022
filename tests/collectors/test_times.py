"""A time that is none, or none we take, costs its own item and is told; it never breaks a body."""

import json
from datetime import UTC, datetime

import pytest

from collectors import litellm, otlp, predictions

AT = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)  # the hour that many clocks skip
TIMES = [
    0,
    -1,
    2**31,
    2**53,
    2**63 - 1,
    2**63,
    2**64,
    float("nan"),
    float("inf"),
    1e308,
    "NaN",
    "",
    "2026-02-29",
    None,
    True,
    [],
    {},
]


@pytest.mark.parametrize("time", TIMES, ids=repr)
def test_predictions_with_any_time_are_rows_or_counted(time: object) -> None:
    lines = [{"prediction_id": "good", "ts": AT.isoformat()}, {"prediction_id": "odd", "ts": time}]

    parsed = predictions.parse("\n".join(map(json.dumps, lines)).encode(), AT, {"model": "m"})

    assert parsed.offered == 2 == parsed.items + sum(parsed.rejected.values())
    assert parsed.tables["prediction:m"]["prediction_id"].to_list() == ["good"]


@pytest.mark.parametrize("time", TIMES, ids=repr)
@pytest.mark.parametrize("field", ["startTime", "endTime", "completionStartTime"])
def test_gateway_calls_with_any_time_are_rows_or_counted(field: str, time: object) -> None:
    good = {
        "id": "a",
        "status": "success",
        "startTime": AT.timestamp() - 2,
        "endTime": AT.timestamp() - 1,
        "stream": True,
    }

    parsed = litellm.parse(json.dumps([good, {**good, "id": "b", field: time}]).encode(), AT, {})

    assert parsed.offered == 2 == parsed.items + sum(parsed.rejected.values())
    assert "a" in parsed.tables["attempt"]["attempt_id"].to_list()


@pytest.mark.parametrize("nanos", ["0", "1", str(2**31), str(2**53), str(2**63 - 1), str(2**64 - 1)])
@pytest.mark.parametrize("field", ["startTimeUnixNano", "endTimeUnixNano"])
def test_spans_with_any_time_are_rows_or_counted(field: str, nanos: str) -> None:
    now = int(AT.timestamp()) * 10**9
    called = [{"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}]
    good = {
        "traceId": "ab" * 16,
        "spanId": "cd" * 8,
        "name": "chat",
        "startTimeUnixNano": str(now - 2),
        "endTimeUnixNano": str(now - 1),
        "attributes": called,
    }
    spans = [good, {**good, "spanId": "ef" * 8, field: nanos}]
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()

    parsed = otlp.parse(body, AT, {"content_type": "application/json"})

    assert parsed.offered == 2 == parsed.items + sum(parsed.rejected.values())
    assert parsed.tables["attempt"].height == 1
