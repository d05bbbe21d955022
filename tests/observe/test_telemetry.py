"""What Observe says about itself."""

import pytest

from observe.telemetry import Telemetry


def test_every_stage_is_a_span_and_feeds_the_histogram() -> None:
    telemetry = Telemetry()
    with telemetry.stage("summarise", rows=3) as span:
        assert span.is_recording()
    with pytest.raises(ValueError, match="no"), telemetry.stage("summarise"):
        raise ValueError("no")

    assert b'observe_stage_seconds_count{stage="summarise"} 2.0' in telemetry.exposition()


def test_spans_stay_in_the_process_unless_an_exporter_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    telemetry = Telemetry()

    assert [type(p).__name__ for p in telemetry._provider._active_span_processor._span_processors] == ["_StageSeconds"]


def test_rejections_are_counted_by_reason() -> None:
    telemetry = Telemetry()
    telemetry.count_rejected("litellm", {"syntax": 2, "too_old": 1})

    assert b'observe_rejected_total{reason="syntax",source="litellm"} 2.0' in telemetry.exposition()
