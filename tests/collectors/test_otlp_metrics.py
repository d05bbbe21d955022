"""OTLP metrics become samples: every shape and temporality, caps that fold and count, people hashed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from collectors import cardinality, otlp
from observe.errors import PayloadTooLarge
from observe.schema import TABLES, Parsed
from observe.schema.exchange import frame_schema

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOW_NS = int(AT.timestamp()) * 10**9
NAME = "gen_ai.client.operation.duration"


def request(shape: str, name: str = NAME, unit: str = "s", service: str = "chat-api", **aggregation: Any) -> Any:
    """A request of one metric with one empty data point of the given shape, at `AT`."""
    made = ExportMetricsServiceRequest()
    resource = made.resource_metrics.add()
    resource.resource.attributes.add(key="service.name").value.string_value = service
    metric = resource.scope_metrics.add().metrics.add(name=name, unit=unit)
    for field, value in aggregation.items():
        setattr(getattr(metric, shape), field, value)
    getattr(metric, shape).data_points.add(time_unix_nano=NOW_NS)
    return made, getattr(metric, shape).data_points[0]


def parsed(made: Any, source: str = "test", **labels: str) -> Parsed:
    whole = otlp.parse_request(made, AT, {"source": source, **labels})
    assert whole.offered == whole.items + sum(whole.rejected.values())
    return whole


def cells(whole: Parsed) -> list[tuple[str, str, float, str | None]]:
    rows = whole.tables["metric_sample"].to_dicts()
    return [(r["metric"].removeprefix(NAME), r["kind"], r["value"], json.loads(r["labels"]).get("le")) for r in rows]


@pytest.mark.parametrize(
    ("shape", "aggregation", "kind"),
    [
        ("gauge", {}, "gauge"),
        ("sum", {"aggregation_temporality": 2, "is_monotonic": True}, "counter"),
        ("sum", {"aggregation_temporality": 2, "is_monotonic": False}, "gauge"),
        ("sum", {"aggregation_temporality": 1, "is_monotonic": True}, "delta_counter"),
        ("sum", {"aggregation_temporality": 1, "is_monotonic": False}, "delta_gauge"),
    ],
)
def test_a_number_is_one_row_whose_kind_says_how_it_adds_up(shape: str, aggregation: dict[str, Any], kind: str) -> None:
    made, point = request(shape, **aggregation)
    point.as_int = 7

    assert cells(parsed(made)) == [("", kind, 7.0, None)]


@pytest.mark.parametrize(("temporality", "prefix"), [(1, "delta_"), (2, "")])
def test_a_histogram_is_buckets_that_add_up_a_sum_and_a_count(temporality: int, prefix: str) -> None:
    made, point = request("histogram", aggregation_temporality=temporality)
    point.explicit_bounds.extend([0.5, 1.0])
    point.bucket_counts.extend([2, 0, 1])
    point.count, point.sum = 3, 4.5

    buckets = [("_bucket", f"{prefix}bucket", n, le) for le, n in (("0.5", 2.0), ("1.0", 2.0), ("+Inf", 3.0))]
    assert cells(parsed(made)) == [
        *buckets,
        ("_sum", f"{prefix}sum", 4.5, None),
        ("_count", f"{prefix}count", 3.0, None),
    ]


def test_an_exponential_histogram_has_bounds_of_powers_below_and_above_zero() -> None:
    made, point = request("exponential_histogram", aggregation_temporality=2)
    point.scale, point.count, point.zero_count = 0, 6, 1
    point.positive.offset, point.negative.offset = 1, 0
    point.positive.bucket_counts.extend([0, 2])  # (4, 8]
    point.negative.bucket_counts.extend([3])  # [-2, -1)

    found = [(value, le) for name, _, value, le in cells(parsed(made)) if name == "_bucket"]
    assert found == [(3.0, "-1.0"), (4.0, "0.0"), (6.0, "8.0"), (6.0, "+Inf")]


def test_a_summary_keeps_its_quantiles() -> None:
    made, point = request("summary")
    point.count, point.sum = 10, 2.5
    point.quantile_values.add(quantile=0.99, value=0.8)
    rows = parsed(made).tables["metric_sample"].to_dicts()

    assert [(r["kind"], r["value"]) for r in rows] == [("quantile", 0.8), ("sum", 2.5), ("count", 10.0)]
    assert '"quantile":"0.99"' in rows[0]["labels"]


def test_the_unit_is_that_of_what_is_measured_and_counts_have_none() -> None:
    made, point = request("histogram")
    point.count, point.sum = 1, 0.5

    assert parsed(made).tables["metric_sample"].select("kind", "unit").rows() == [
        ("bucket", None), ("sum", "s"), ("count", None),
    ]  # fmt: skip


def test_labels_are_canonical_say_where_and_hide_people() -> None:
    made, point = request("gauge")
    point.attributes.add(key="gen_ai.token.type").value.string_value = "input"
    point.attributes.add(key="enduser.id").value.string_value = "jane"
    point.attributes.add(key="a.map").value.kvlist_value.values.add(key="x")
    labels = parsed(made, cluster="eu").tables["metric_sample"]["labels"][0]

    assert list(json.loads(labels)) == sorted(json.loads(labels))
    assert json.loads(labels)["k8s.cluster.name"] == "eu"
    assert "jane" not in labels
    assert "a.map" not in labels


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"time_unix_nano": 1}, "too_old"), ({"time_unix_nano": NOW_NS + 700 * 10**9}, "in_future"),
        ({"flags": 1}, "no_recorded_value"), ({"as_double": float("nan")}, "not_finite"),
        ({"as_double": float("-inf")}, "not_finite"),
    ],
)  # fmt: skip
def test_a_point_that_cannot_be_kept_is_counted(change: dict[str, Any], reason: str) -> None:
    made, point = request("gauge")
    for name, value in change.items():
        setattr(point, name, value)

    assert parsed(made).rejected == {reason: 1}


@pytest.mark.parametrize(("bounds", "counts", "n"), [([1.0], [1], 1), ([1.0, 1.0], [1, 0, 0], 1), ([1.0], [1, 1], 3)])
def test_buckets_that_contradict_each_other_are_no_histogram(bounds: list[float], counts: list[int], n: int) -> None:
    made, point = request("histogram")
    point.explicit_bounds.extend(bounds)
    point.bucket_counts.extend(counts)
    point.count = n

    assert parsed(made).rejected == {"bad_buckets": 1}


def test_a_metric_nobody_allowed_is_a_warning_that_rejects_nothing() -> None:
    whole = parsed(request("gauge", name="my.own.metric")[0])
    body = json.loads(otlp.response(whole, otlp.JSON, "metrics")[2])

    assert whole.rejected == {"not_allowed": 1}
    assert body["partialSuccess"] == {"errorMessage": "not kept, no pattern allows it: 1, e.g. my.own.metric"}


def test_label_values_beyond_the_cap_become_one_series_whose_counts_add_up() -> None:
    made, _ = request("sum", aggregation_temporality=2, is_monotonic=True)
    points = made.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points
    del points[:]
    for i in range(cardinality.VALUES + 5):
        point = points.add(time_unix_nano=NOW_NS, as_int=1)
        point.attributes.add(key="session").value.string_value = str(i)
    whole = parsed(made)
    rows = {json.loads(r["labels"])["session"]: r["value"] for r in whole.tables["metric_sample"].to_dicts()}

    assert (rows[cardinality.OTHER], len(rows), whole.items) == (5.0, cardinality.VALUES + 1, cardinality.VALUES + 5)  # fmt: skip
    assert whole.notes == {"label_value_folded": 5}


def test_a_sender_has_room_for_ten_thousand_series_and_gets_it_back_when_they_are_gone() -> None:
    known = cardinality.Cardinality()
    admitted = [known.admits("otlp", "a", ("m", str(i)), AT) for i in range(cardinality.SERIES + 1)]
    later = AT + 3 * cardinality.FORGOTTEN

    assert admitted.count(False) == 1
    assert known.admits("otlp", "a", ("m", "0"), AT)
    assert known.admits("otlp", "b", ("m", "new"), AT)
    assert known.admits("otlp", "a", ("m", "new"), later)


def test_hundreds_of_thousands_of_points_are_413() -> None:
    made, _ = request("gauge")
    made.resource_metrics[0].scope_metrics[0].metrics[0].gauge.ParseFromString(b"\x0a\x00" * 100_001)

    with pytest.raises(PayloadTooLarge, match="100000 data points"):
        otlp.parse_request(made, AT, {})


def test_the_frame_has_the_types_of_its_table() -> None:
    frame = parsed(request("gauge")[0]).tables["metric_sample"]
    wanted = frame_schema(TABLES["metric_sample"])

    assert {c: wanted[c] for c in frame.columns} == dict(frame.schema)


@settings(max_examples=150)
@given(
    st.lists(st.floats(), max_size=4), st.lists(st.integers(0, 2**64 - 1), max_size=5), st.integers(0, 2**64 - 1),
    st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**64 - 1),
)  # fmt: skip
def test_every_point_is_rows_or_a_reason(
    bounds: list[float], counts: list[int], count: int, scale: int, ns: int
) -> None:
    plain, point = request("histogram")
    point.explicit_bounds.extend(bounds)
    point.bucket_counts.extend(counts)
    point.count, point.time_unix_nano = count, ns
    other, point = request("exponential_histogram")
    point.scale, point.count, point.positive.offset = scale, count, scale
    point.positive.bucket_counts.extend(counts)
    plain.MergeFrom(other)

    assert parsed(plain).offered == 2
