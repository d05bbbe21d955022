"""A page of GPUs in the Prometheus text format, in dcgm-exporter's names and labels.

Source: Prometheus text format 0.0.4; dcgm-exporter, `render_metrics.go`. What DCGM has no name for
is `observe_gpu_state` (0 ok, 1 lost), `observe_gpu_processes` and others that begin like it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

STATE: Final = "observe_gpu_state"
OK, LOST = 0.0, 1.0
_COUNTERS: Final = re.compile(r"_(CONSUMPTION|COUNTER|VIOLATION|TOTAL|REMAPPED_ROWS)$")

Values = Mapping[str, float]
Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Gpu:
    """Who a GPU is."""

    uuid: str
    labels: Labels


@dataclass(slots=True)
class Page:
    """Series by name; text groups them."""

    series: dict[str, list[tuple[Labels, float]]] = field(default_factory=dict)

    def add(self, labels: Labels, values: Values) -> None:
        """Add values of one GPU."""
        for name, value in values.items():
            self.series.setdefault(name, []).append((labels, value))

    def text(self, stamp: str) -> Iterator[str]:
        """Lines; `stamp` follows every value."""
        for name, samples in self.series.items():
            yield f"# TYPE {name} {'counter' if _COUNTERS.search(name) else 'gauge'}"
            for labels, value in samples:
                told = ",".join(f'{k}="{escaped(v)}"' for k, v in labels.items())
                yield f"{name}{{{told}}} {value:.15g}{stamp}"


def stranger(index: int, node: str) -> Gpu:
    """A GPU that was lost before it said who it is."""
    uuid = f"unknown-{node}-{index}"
    return Gpu(uuid, {"gpu": str(index), "UUID": uuid, "hostname": node})


def escaped(text: str) -> str:
    """A label's value as the text format writes it between its quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
