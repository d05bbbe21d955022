"""OTLP through intake: what is not kept is told to the sender, whole histograms stay, a call told apart by two senders is one."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from collectors import cardinality
from collectors import otlp as wire
from observe.app import otlp
from observe.app.intake import Intake
from observe.clock import EventClock
from observe.errors import StoreError
from observe.spec import load
from observe.store import Store
from observe.telemetry import Telemetry

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
START = int(NOON.timestamp() - 60) * 10**9
JSON = "application/json"


@pytest.fixture
def clock() -> EventClock:
    return EventClock(NOON)


@pytest.fixture
def opened(tmp_path: Path, clock: EventClock) -> Iterator[tuple[Intake, Store]]:
    (tmp_path / "observe.yaml").write_text("apiVersion: observe/v1\nkind: Site\nstore: {path: ./data}\n")
    store = Store.open(tmp_path / "data", clock)
    yield Intake(store, clock, Telemetry(), load(tmp_path / "observe.yaml")), store
    store.close()


def said(value: str) -> dict[str, str]:
    return {"stringValue": value}


def histograms(series: int, service: str = "chat") -> bytes:
    """That many histograms of 18 rows each, told apart by two labels."""
    points = [{
        "timeUnixNano": str(START), "count": "16", "sum": 1.0, "bucketCounts": ["1"] * 16, "explicitBounds": [float(b) for b in range(15)],
        "attributes": [{"key": "a", "value": said(str(i % 150))}, {"key": "b", "value": said(str(i // 150))}],
    } for i in range(series)]  # fmt: skip
    metric = {"name": "gen_ai.x", "histogram": {"aggregationTemporality": 2, "dataPoints": points}}
    resource = {"attributes": [{"key": "service.name", "value": said(service)}]}
    return json.dumps({
        "resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [metric]}]}]
    }).encode()  # fmt: skip


def metrics(intake: Intake, body: bytes) -> Any:
    taken, answer = otlp.take(intake, "metrics", body, JSON, "")
    taken.wait()
    return json.loads(answer.body)


def test_histograms_are_counted_as_one_series_each_and_stay_whole(opened: tuple[Intake, Store]) -> None:
    intake, store = opened

    assert metrics(intake, histograms(700)) == {}
    assert store.read("select count(*) as n from metric_sample")["n"].item() == 700 * 18


def test_a_sender_without_room_is_told_and_others_have_their_own(
    opened: tuple[Intake, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    intake, store = opened
    monkeypatch.setattr(cardinality, "SERIES", 5)
    told = metrics(intake, histograms(7))
    again, other = metrics(intake, histograms(5)), metrics(intake, histograms(5, "search"))
    whole = store.read("select labels from metric_sample where metric = 'gen_ai.x_bucket'")["labels"]

    assert told == {"partialSuccess": {"rejectedDataPoints": "2", "errorMessage": "too_many_series: 2"}}
    assert (again, other, whole.len()) == ({}, {}, 10 * 16)


def span(trace: str, span_id: str, seconds: tuple[float, float], **attributes: Any) -> dict[str, Any]:
    start, end = (str(START + int(s * 1e9)) for s in seconds)
    told = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.response.id": "chatcmpl-1",
        **attributes,
    }
    return {
        "traceId": trace * 32, "spanId": span_id * 16, "startTimeUnixNano": start, "endTimeUnixNano": end, "name": "chat",
        "attributes": [{"key": k, "value": said(v) if isinstance(v, str) else {"doubleValue": v}} for k, v in told.items()],
    }  # fmt: skip


def traces(*spans: dict[str, Any]) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}).encode()


def export(intake: Intake, *spans: dict[str, Any]) -> dict[str, int]:
    """Rows and spans that were not stored, by reason."""
    taken, _ = otlp.take(intake, "traces", traces(*spans), JSON, "")
    return taken.reasons(taken.wait())


COST = {"gen_ai.usage.cost": 0.5}


def requests(store: Store) -> list[tuple[Any, ...]]:
    return store.read("select attempts, cost_usd from request").rows()


def test_a_call_that_gateway_and_client_export_apart_is_one_attempt(opened: tuple[Intake, Store]) -> None:
    intake, store = opened
    gateway, client = span("a", "1", (0.1, 0.9), **COST), span("a", "2", (0, 1), **COST)

    assert export(intake, gateway) == {}
    assert export(intake, client) == {"told_twice": 1}
    assert requests(store) == [(1, 0.5)]


@pytest.mark.parametrize(
    ("collectors", "found"),
    [
        ("{a: {type: otlp, labels: {cluster: eu}}}", "eu"),
        ("{a: {type: otlp, labels: {cluster: eu}}, b: {type: otlp, labels: {cluster: us}}}", None),
    ],
)
def test_a_span_that_names_no_cluster_has_the_one_of_its_way_in(
    opened: tuple[Intake, Store], tmp_path: Path, collectors: str, found: str | None
) -> None:
    intake, store = opened
    (tmp_path / "observe.yaml").write_text(f"apiVersion: observe/v1\nkind: Site\ncollectors: {collectors}\n")
    intake.adopt(load(tmp_path / "observe.yaml"))
    export(intake, span("a", "1", (0, 1)))

    assert store.read("select cluster from attempt")["cluster"].to_list() == [found]


def test_what_is_sent_again_is_no_second_teller(opened: tuple[Intake, Store]) -> None:
    intake, _ = opened
    gateway = span("a", "1", (0.1, 0.9))
    export(intake, gateway)

    assert export(intake, gateway, span("b", "3", (0, 1))) == {"duplicate": 1}


def test_a_teller_that_alone_knows_the_cost_is_kept_and_the_cost_counts_once(opened: tuple[Intake, Store]) -> None:
    intake, store = opened
    export(intake, span("a", "2", (0, 1)))

    assert export(intake, span("a", "1", (0.1, 0.9), **COST)) == {}
    assert export(intake, span("a", "4", (0.2, 0.8), **COST)) == {"told_twice": 1}
    assert requests(store) == [(2, 0.5)]


def test_answers_of_a_cache_one_after_the_other_are_calls_of_their_own(opened: tuple[Intake, Store]) -> None:
    intake, _ = opened
    export(intake, span("a", "1", (0, 1)))

    assert export(intake, span("a", "2", (2, 3))) == {}
    assert export(intake, span("b", "3", (0, 1))) == {}
    assert export(intake, span("a", "4", (0, 1), **{"gen_ai.operation.name": "embeddings"})) == {}


def test_a_teller_whose_rows_were_not_stored_does_not_stand_in_the_way(opened: tuple[Intake, Store]) -> None:
    intake, store = opened
    store.close()
    with pytest.raises(StoreError):
        export(intake, span("a", "1", (0, 1)))
    parsed = wire.parse(traces(span("a", "2", (0, 1))), NOON, {"content_type": JSON})

    assert intake.twins.once(parsed, NOON)[0] is parsed


def test_a_teller_is_forgotten_after_two_hours(opened: tuple[Intake, Store], clock: EventClock) -> None:
    intake, _ = opened
    export(intake, span("a", "1", (0, 1)))
    for hours in (1.1, 2.2):
        clock.set(NOON + timedelta(hours=hours))
        export(intake, span("b", "2", (0, 1)))

    assert export(intake, span("a", "3", (0, 1))) == {}
