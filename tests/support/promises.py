"""SLOs as rules need them, made up for tests."""

from dataclasses import replace
from pathlib import Path

from alerts import counting
from alerts.promise import Promise
from alerts.reading import Field
from observe.spec.source import parse

DAY_S = 86_400.0
AVAILABILITY = Promise(
    slo_id="chat.availability", service="chat", name="availability", objective=0.999, window_s=30 * DAY_S,
    sli=counting.events('requests_total{model="chat"}', 'requests_total{model="chat",code=~"5..|429"}'),
    judged="status = ok, by request", owner="assistants", alpha={"page": 1.0, "ticket": 13.0},
    annotations={"": {"runbook_url": "https://runbooks.example.com/chat"}},
)  # fmt: skip
LATENCY = replace(
    AVAILABILITY, slo_id="chat.ttft", name="ttft", objective=0.99,
    sli=counting.events('ttft_seconds_count{m="chat"}', good='ttft_seconds_bucket{m="chat",le="0.75"}'),
)  # fmt: skip
BLIND = replace(AVAILABILITY, slo_id="chat.blind", name="blind", sli=None)
FOREIGN = replace(
    AVAILABILITY, slo_id="shop.errors", service="shop", name="errors", judged="", owner="", annotations={}
)


def fields(text: str, notes: list[str]) -> list[Field]:
    """The documents of a YAML text as `slo.yaml` would hold them."""
    return [Field(document, (), notes) for document in parse(text, Path("slo.yaml"))]
