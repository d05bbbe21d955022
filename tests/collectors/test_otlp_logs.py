"""OTLP logs become log events: severe ones, as templates, counted by minute and trace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from collectors import otlp
from observe.schema import TABLES, Parsed
from observe.schema.exchange import frame_schema

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOW_NS = int(AT.timestamp()) * 10**9


def record(body: str = "GPU 3 is hot", severity: int = 17, **fields: Any) -> ExportLogsServiceRequest:
    made = ExportLogsServiceRequest()
    resource = made.resource_logs.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "vllm"
    resource.resource.attributes.add(key="k8s.pod.name").value.string_value = "vllm-0"
    values = {"time_unix_nano": NOW_NS, "severity_number": severity, **fields}
    resource.scope_logs.add().log_records.add(**values).body.string_value = body
    return made


def parsed(*made: ExportLogsServiceRequest, **labels: str) -> Parsed:
    whole = ExportLogsServiceRequest()
    for one in made:
        whole.MergeFrom(one)
    read = otlp.parse_request(whole, AT, labels)
    assert read.offered == read.items + sum(read.rejected.values())
    return read


def rows(*made: ExportLogsServiceRequest, **labels: str) -> list[dict[str, Any]]:
    return parsed(*made, **labels).tables["log_event"].to_dicts()


def test_records_of_one_statement_and_minute_are_one_row_with_their_count() -> None:
    (row,) = rows(record("GPU 3 is hot"), record("GPU 5 is hot", time_unix_nano=NOW_NS + 10**9))

    assert (row["template"], row["count"], row["ts"], row["service"], row["pod"]) == (
        "GPU <n> is hot", 2, AT, "vllm", "vllm-0",
    )  # fmt: skip


def test_another_minute_trace_or_severity_is_another_row() -> None:
    later, traced = record(time_unix_nano=NOW_NS + 61 * 10**9), record(trace_id=b"\1" * 16, span_id=b"\2" * 8)
    found = rows(record(), later, traced, record(severity=13))

    assert [r["ts"] - AT for r in found] == [timedelta(0), timedelta(seconds=61), timedelta(0), timedelta(0)]
    assert (found[2]["trace_id"], found[2]["span_id"]) == ("01" * 16, "02" * 8)


@pytest.mark.parametrize(
    ("number", "word", "reason"),
    [
        (9, "", "below_severity"), (12, "", "below_severity"), (13, "", None), (0, "WARNING", None), (0, "crit", None),
        (0, "Information", "below_severity"), (0, "", "no_severity"), (0, "odd", "no_severity"),
    ],
)  # fmt: skip
def test_what_is_less_than_a_warning_is_counted_and_not_kept(number: int, word: str, reason: str | None) -> None:
    whole = parsed(record(severity=number, severity_text=word))

    assert whole.rejected == ({reason: 1} if reason else {})
    assert b"partial" not in otlp.response(whole, otlp.JSON, "logs")[2]


def test_a_body_that_is_a_map_says_its_message_and_one_without_text_its_event() -> None:
    made = record("")
    body = made.resource_logs[0].scope_logs[0].log_records[0].body
    body.kvlist_value.values.add(key="msg").value.string_value = "worker 4 died"

    assert rows(made)[0]["template"] == "worker <n> died"
    assert rows(record("", event_name="device.crash"))[0]["template"] == "device.crash"
    assert parsed(record("")).rejected == {"no_body": 1}


def test_the_model_and_the_cluster_are_named_when_somebody_names_them() -> None:
    made = record()
    attributes = made.resource_logs[0].scope_logs[0].log_records[0].attributes
    attributes.add(key="gen_ai.request.model").value.string_value = "chat"

    assert [(r["model_id"], r["cluster"]) for r in rows(made, cluster="eu")] == [("chat", "eu")]


def test_the_text_of_a_record_is_nowhere() -> None:
    whole = parsed(record('cannot answer "a secret" for jane@example.com', severity_text="ERROR"))

    assert "secret" not in repr(whole)
    assert "jane" not in repr(whole.tables["log_event"].to_dicts())


@pytest.mark.parametrize(("ns", "reason"), [(1_000, "too_old"), (NOW_NS + 700 * 10**9, "in_future")])
def test_a_record_of_another_time_is_the_exporters_to_know(ns: int, reason: str) -> None:
    whole = parsed(record(time_unix_nano=ns))

    assert whole.rejected == {reason: 1}
    assert b'"rejectedLogRecords":"1"' in otlp.response(whole, otlp.JSON, "logs")[2].replace(b": ", b":")


def test_the_frame_has_the_types_of_its_table() -> None:
    frame = parsed(record()).tables["log_event"]
    wanted = frame_schema(TABLES["log_event"])

    assert {c: wanted[c] for c in frame.columns} == dict(frame.schema)


@settings(max_examples=150)
@given(st.text(st.characters(codec="utf-8"), max_size=60), st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**64 - 1), st.binary(max_size=17))  # fmt: skip
def test_every_record_is_counted_in_a_row_or_a_reason(body: str, severity: int, ns: int, trace: bytes) -> None:
    assert parsed(record(body, severity, time_unix_nano=ns, trace_id=trace), record(body, severity)).offered == 2
