"""What Observe says about itself: `observe_*` metrics and a span around each stage.

Spans are made by the OpenTelemetry SDK; every finished span also feeds the histogram
`observe_stage_seconds`, so one `with telemetry.stage(...)` gives both. Spans leave the process
only when `OTEL_EXPORTER_OTLP_ENDPOINT` is set by whoever runs us.

Source: OpenTelemetry tracing specification 1.4x; Prometheus naming practice.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.trace import Status, StatusCode
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class _StageSeconds(SpanProcessor):
    """Turns finished spans into a histogram of stage durations."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram

    def on_end(self, span: ReadableSpan) -> None:
        """Count one finished span, in seconds."""
        if span.start_time is not None and span.end_time is not None:
            self._histogram.labels(span.name).observe((span.end_time - span.start_time) / 1e9)


class Telemetry:
    """Our own metrics and tracer; one instance per process.

    The accounting of intake is exact: `accepted = stored + rejected + queued`, by source.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        r = self.registry
        self.accepted = Counter(
            "observe_accepted", "Items offered by a source and taken in hand", ["source"], registry=r
        )
        self.stored = Counter("observe_stored", "Items durable in the store", ["source"], registry=r)
        self.rejected = Counter("observe_rejected", "Items not stored, by reason", ["source", "reason"], registry=r)
        self.repaired = Counter(
            "observe_repaired", "Items stored after a repair, by reason", ["source", "reason"], registry=r
        )
        self.queued = Gauge("observe_queued", "Items waiting for the committer", ["source"], registry=r)
        self.spilled = Counter(
            "observe_spilled_bodies", "Bodies answered from the spill, as a slow commit held their rows up", registry=r
        )
        self.refused = Counter(
            "observe_refused_bodies", "Bodies refused whole, by HTTP status", ["path", "status"], registry=r
        )
        self.lag = Gauge(
            "observe_source_lag_seconds",
            "Age of a source's newest row when it came; below 0 its clock runs ahead",
            ["source"],
            registry=r,
        )
        self.halves = Gauge(
            "observe_halves_waiting",
            "Requests whose response has not come, and responses whose request has not",
            ["side"],
            registry=r,
        )
        self.halves_age = Gauge(
            "observe_halves_oldest_seconds", "How long the oldest of them has waited", ["side"], registry=r
        )
        self.findings = Counter("observe_findings", "Findings stored", ["detector", "state"], registry=r)
        self.notified = Counter("observe_deliveries", "Messages handed to a channel", ["channel", "result"], registry=r)
        self.acted = Counter(
            "observe_actions", "Steps of actions, by what was asked and how it stood", ["kind", "state"], registry=r
        )
        self.children = Counter("observe_child_restarts", "Restarts of a child process", ["child"], registry=r)
        self.stage_errors = Counter(
            "observe_stage_errors", "A stage that failed and will be tried again", ["stage"], registry=r
        )
        self.watermark = Gauge(
            "observe_watermark_timestamp_seconds", "Event time up to which a stage is done", ["stage"], registry=r
        )
        self.loop_lag = Histogram(
            "observe_loop_lag_seconds", "How late the event loop came to its next turn", buckets=_SECONDS, registry=r
        )
        self.loop_held = Counter(
            "observe_loop_held",
            "Times the event loop was held for more than 20 ms, by what held it",
            ["place"],
            registry=r,
        )
        stages = Histogram("observe_stage_seconds", "Duration of a stage", ["stage"], buckets=_SECONDS, registry=r)
        self._provider = provider = _provider(stages)
        self._tracer = provider.get_tracer("observe")

    @contextmanager
    def stage(self, name: str, **attributes: str | int | float) -> Iterator[Span]:
        """A span named `name` around a stage; an exception marks it as failed and goes on."""
        with self._tracer.start_as_current_span(name, attributes=attributes, record_exception=False) as span:
            try:
                yield span  # type: ignore[misc]
            except BaseException as error:
                span.set_status(Status(StatusCode.ERROR, str(error)[:200]))
                raise

    def count_rejected(self, source: str, reasons: Mapping[str, int]) -> None:
        """Count items that were not stored."""
        for reason, n in reasons.items():
            self.rejected.labels(source, reason).inc(n)

    def count_repaired(self, source: str, reasons: Mapping[str, int]) -> None:
        """Count items stored after a repair."""
        for reason, n in reasons.items():
            self.repaired.labels(source, reason).inc(n)

    def tell_halves(self, waiting: Mapping[str, tuple[int, float]]) -> None:
        """Say how many halves of calls wait for the other, and the oldest for how long, s, by side."""
        for side, (count, age_s) in waiting.items():
            self.halves.labels(side).set(count)
            self.halves_age.labels(side).set(age_s)

    def exposition(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self.registry)

    def close(self) -> None:
        """Flush spans."""
        self._provider.shutdown()


def _provider(stages: Histogram) -> TracerProvider:
    """Times every stage, and hands spans on where the environment names a collector."""
    provider = TracerProvider(resource=Resource.create({"service.name": "observe"}), shutdown_on_exit=False)
    provider.add_span_processor(_StageSeconds(stages))
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
