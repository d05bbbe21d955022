"""The answers to scalers as Prometheus gauges, for KEDA's prometheus trigger and prometheus-adapter.

A model without a sure and fresh answer has no sample: a query for it is empty, which is an error to a trigger with
`ignoreNullValues: "false"`, and never 0.

Source: Prometheus exposition format 0.0.4; KEDA 2.15 documentation, "Prometheus" scaler.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from observe.schema.scaling import ScalingDecision

REPLICAS = "observe_scaling_desired_replicas"


class _Answers:
    """A collector over what is told now."""

    def __init__(self, told: Mapping[str, ScalingDecision], reads: Mapping[str, datetime]) -> None:
        self._told, self._reads = told, reads

    def collect(self) -> Iterator[Metric]:
        desired = GaugeMetricFamily(REPLICAS, "Replicas a model needs; absent when unsure", labels=["model"])
        units = GaugeMetricFamily(
            "observe_scaling_load_units", "Replicas' worth of load, before reserve and envelope", labels=["model"]
        )
        sure = GaugeMetricFamily("observe_scaling_sure", "Whether a number can be told", labels=["model"])
        read = GaugeMetricFamily(
            "observe_scaling_read_timestamp_seconds", "When a scaler last read the answer", labels=["model"]
        )
        for model, d in sorted(self._told.items()):
            sure.add_metric([model], float(d.sure))
            if d.replicas is not None and d.load_units is not None:
                desired.add_metric([model], float(d.replicas))
                units.add_metric([model], d.load_units)
        for model, at in sorted(self._reads.items()):
            read.add_metric([model], at.timestamp())
        yield from (desired, units, sure, read)


def exposed(told: Mapping[str, ScalingDecision], reads: Mapping[str, datetime]) -> bytes:
    """The gauges in the text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Answers(told, reads))
    return generate_latest(registry)
