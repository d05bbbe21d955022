"""The walk over recorded pages and bodies: nothing may vanish, and it says where something did."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collectors import verify

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
GOLDEN = Path(__file__).parents[1] / "golden"
MINE = ("dcgm_h100.prom", "vllm.prom", "infiniband.prom", "litellm.ndjson")
TRACE = {"resourceSpans": [{"scopeSpans": [{"spans": [
    {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "x", "kind": 1,
     "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": "1544712661000000000"},
]}]}]}  # fmt: skip
METRICS = {
    "resourceMetrics": [
        {"scopeMetrics": [{"metrics": [{"name": "m", "gauge": {"dataPoints": [{"asDouble": 1}, {"asDouble": 2}]}}]}]}
    ]
}


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    for name in MINE:
        shutil.copy(GOLDEN / name, tmp_path)
    return tmp_path


def test_every_page_and_body_of_a_folder_is_accounted_for(recorded: Path) -> None:
    report = verify.verify(recorded, AT)

    assert [f.file for f in report.files] == sorted(MINE)
    assert report.whole, str(report)


def test_otlp_bodies_are_counted_in_spans_and_points(tmp_path: Path) -> None:
    (tmp_path / "a.traces.otlp.json").write_text(json.dumps(TRACE))
    (tmp_path / "b.metrics.protojson").write_text(json.dumps(METRICS))
    report = verify.verify(tmp_path, AT)

    assert [(f.format, f.counted) for f in report.files] == [("otlp traces", 1), ("otlp metrics", 2)]
    assert report.whole, str(report)


def test_otlp_protobuf_is_read_by_the_signal_in_its_name(tmp_path: Path) -> None:
    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    (tmp_path / "x.metrics.pb").write_bytes(ParseDict(METRICS, ExportMetricsServiceRequest()).SerializeToString())
    report = verify.verify(tmp_path, AT)

    assert [(f.format, f.counted) for f in report.files] == [("otlp metrics", 2)]
    assert report.whole, str(report)


def test_a_list_of_families_is_checked_as_a_page_of_them(tmp_path: Path) -> None:
    (tmp_path / "vllm-families.txt").write_text(
        "# a comment\nvllm:num_requests_running gauge\nvllm:e2e_request_latency_seconds histogram\n"
    )
    (file,) = verify.verify(tmp_path, AT).files

    assert (file.counted, file.kept, file.rejected, file.rows) == (4, 1, {"histogram": 3}, {"serving_sample": 1})


def test_an_item_that_vanishes_fails_and_names_its_file(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lost = verify.Verified("a.prom", "exposition", counted=3, offered=3, kept=1, rejected={"syntax": 1})
    unseen = verify.Verified("b.prom", "exposition", counted=3, offered=2, kept=2)
    (recorded / "broken.prom.litellm.ndjson").write_text('{"litellm_call_id": 1}\n' + "x\n" * 2)

    assert not lost.whole
    assert not unseen.whole
    assert str(verify.Report((lost, unseen), ())).splitlines()[-1].endswith("items vanished in a.prom, b.prom")
    assert verify.main([str(recorded)]) == 0
    assert "2 syntax" in capsys.readouterr().out


def test_a_body_that_cannot_be_read_fails_the_folder(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (recorded / "bad.traces.pb").write_bytes(b"\xff\xff\xff")

    assert verify.main([str(recorded)]) == 1
    assert "FAIL bad.traces.pb: otlp traces" in capsys.readouterr().out


def test_a_folder_with_nothing_to_read_is_no_success(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")

    assert verify.main([str(tmp_path)]) == 1
    assert verify.verify(tmp_path, AT).passed_over == ("notes.txt",)


def test_a_folder_that_is_not_there_is_misuse() -> None:
    assert verify.main(["/nonexistent"]) == 2
