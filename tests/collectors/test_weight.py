"""What a body would take in memory is told before it is decoded, and what honest senders send passes."""

import json
import sys
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collectors import weight
from collectors.weight import check_json, check_protobuf, json_weight
from observe.errors import PayloadTooLarge


def taken(value: Any) -> int:
    """Bytes of a JSON value as objects."""
    own = sys.getsizeof(value)
    if isinstance(value, dict):
        return own + sum(taken(v) for v in value.values())
    return own + sum(map(taken, value)) if isinstance(value, list) else own


@given(st.recursive(st.none() | st.booleans() | st.integers(-99, 10**6) | st.floats() | st.text(max_size=6), lambda c: st.lists(c, max_size=6) | st.dictionaries(st.text(max_size=4), c, max_size=5)))  # fmt: skip
def test_a_json_text_is_weighed_at_about_what_it_takes_or_more(value: Any) -> None:
    assert json_weight(json.dumps(value, separators=(",", ":")).encode()) * 2 + 100 >= taken(value)


def spans(n: int) -> bytes:
    request = ExportTraceServiceRequest()
    made = request.resource_spans.add().scope_spans.add().spans
    for i in range(n):
        span = made.add(trace_id=bytes(16), span_id=bytes(8), name="chat", start_time_unix_nano=i)
        for k in range(24):
            attribute = span.attributes.add(key=f"gen_ai.usage.something_{k}")
            attribute.value.string_value = "a value of usual length"
    return request.SerializeToString()


def test_a_batch_of_8192_spans_with_24_attributes_passes() -> None:
    body = spans(8192)

    assert len(body) > 9 * 2**20
    check_protobuf(body, ExportTraceServiceRequest.DESCRIPTOR)
    check_json(json.dumps([{"id": "chatcmpl-1", "metadata": {"team": "a"}, "messages": "x" * 11_000}] * 1000).encode())


def test_the_weight_of_spans_is_told_by_their_parts() -> None:
    few, many = (weight._weigh(spans(n), ExportTraceServiceRequest.DESCRIPTOR) for n in (10, 1000))

    assert 90 < many / few < 101
    assert 1500 < few / 10 < 4000


BODY, FEW = spans(500), spans(3)


@given(
    st.binary(max_size=200),
    st.sampled_from([b"\x12\x00", b"\x92\x00\x00", b"\x4a\x00", b"\x0a\x02\x0a\x00"]),
    st.integers(0, 50),
)
def test_no_body_weighs_more_than_what_its_bytes_bound(noise: bytes, part: bytes, times: int) -> None:
    for body in (BODY, noise, part * times + noise, noise + part * times):
        try:
            weighed = weight._weigh(body, ExportTraceServiceRequest.DESCRIPTOR)
        except IndexError:
            continue
        assert weighed <= weight.most(body, ExportTraceServiceRequest.DESCRIPTOR)


def test_a_few_megabytes_of_usual_spans_are_not_followed_field_by_field() -> None:
    assert weight.most(spans(2000), ExportTraceServiceRequest.DESCRIPTOR) <= weight.PROTOBUF_LIMIT


@pytest.mark.parametrize("part", [b"\x0a\x00", b"\x7a\x00", b"\x08\x00"])
def test_parts_without_end_are_refused_whatever_they_are(part: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight, "_FIELDS", 200_000)
    monkeypatch.setattr(weight, "most", lambda *_: weight.PROTOBUF_LIMIT + 1)  # as for a body of 16 MiB
    with pytest.raises(PayloadTooLarge, match="small parts"):
        check_protobuf(part * 2**19, ExportTraceServiceRequest.DESCRIPTOR)


@settings(max_examples=40)
@given(st.binary(max_size=60), st.integers(0, 200))
def test_bytes_are_followed_to_their_end_or_are_no_protobuf(tail: bytes, place: int) -> None:
    cut = len(FEW) * place // 200
    body = FEW[:cut] + tail + FEW[cut:]
    try:
        weighed = weight._weigh(body, ExportTraceServiceRequest.DESCRIPTOR)
    except IndexError:
        with pytest.raises(DecodeError):
            ExportTraceServiceRequest.FromString(body)
    else:
        assert 0 <= weighed <= weight.PROTOBUF_LIMIT
