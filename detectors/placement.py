"""Which idle devices could take a starved model: do its weights fit, may its data lie there, is it near, what is saved?

A device of the declared product takes it as it is declared. Another product takes it when the memory of so many
devices (1, 2, 4, 8 or 16) holds the weights and a fifth more; how fast it would be there nobody has measured, and the row
says so. Devices that idle are paid for: what is saved is what new ones would cost, less the traffic between clusters.

Source: our own. Bytes of a weight: 2 for bf16 and fp16, 1 for fp8 and int8, 0.5 for 4-bit, 4 for fp32.
Assumes: weights are the parameters a model's id names, times their bytes; a fifth is left for cache and activations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from detectors.capacity import price

Fits = Literal["yes", "no", "unknown"]
WIDTHS: Final = (1, 2, 4, 8, 16)  # devices a model is split over
ROOM: Final = 1.2  # times the weights
USABLE: Final = 0.9  # of a device's memory
NEAR: Final = 0.1  # of the promised latency that a round trip may take
BYTES_PER_TOKEN: Final = 6.0  # of JSON, both ways
BYTES: Final[Mapping[str, float]] = {
    "fp32": 4, "float32": 4, "bf16": 2, "bfloat16": 2, "fp16": 2, "float16": 2, "fp8": 1, "int8": 1, "w8a8": 1, "int4": 0.5, "awq": 0.5,
    "gptq": 0.5, "fp4": 0.5, "nvfp4": 0.5, "mxfp4": 0.5,
}  # fmt: skip
_BILLIONS = re.compile(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)b(?![a-z0-9])")
_GB = re.compile(r"(\d+)gb")


@dataclass(frozen=True, slots=True)
class Starved:
    """A model that lacks replicas, as declared and as seen."""

    model: str
    said: str
    short: int
    clusters: tuple[str, ...]  # where it runs
    accelerator: str | None
    devices: int | None  # of a replica
    model_id: str | None
    precision: str | None
    latency_s: float | None  # promised
    tokens: float | None  # a second


@dataclass(frozen=True, slots=True)
class Idle:
    """Devices of one product that idle in one cluster."""

    cluster: str
    sku: str
    idle: int
    mem_gib: float | None


@dataclass(frozen=True, slots=True)
class Between:
    """What is declared about a model and a cluster: whether its data may lie there, the distance, egress."""

    allowed: bool | None
    said: str
    rtt_s: float | None
    egress_usd_gb: float | None


@dataclass(frozen=True, slots=True)
class Match:
    """One starved model and one kind of idle devices."""

    starved: Starved
    idle: Idle
    fits: Fits
    replicas: int | None
    devices: int | None
    why: str
    rtt_s: float | None
    saved_usd_h: float | None
    idle_usd_h: float | None


def match(starved: Starved, idle: Idle, between: Between, prices: Mapping[str, float]) -> Match:
    """How one could help the other."""
    devices, how = devices_of(starved, idle)
    near, distance = _near(starved, between)
    verdicts = (None if devices is None else devices > 0, between.allowed, near)
    fits: Fits = "no" if False in verdicts else "unknown" if None in verdicts else "yes"
    replicas = min(starved.short, idle.idle // devices) if devices else None
    if fits == "yes" and replicas == 0:
        fits, how = "no", f"{how}; {idle.idle} idle are too few for one replica"
    why = "; ".join(text for text in (how, between.said, distance) if text)
    each = price(idle.sku, prices) or None
    paid = each * devices * replicas if each and devices and replicas else None
    return Match(
        starved,
        idle,
        fits,
        replicas,
        devices or None,
        why,
        between.rtt_s,
        _saved(starved, between, replicas, prices),
        paid,
    )


def ranked(matches: Sequence[Match]) -> list[Match]:
    """Those that help first, then those nobody can judge; of each the nearest and the most."""
    order = {"yes": 0, "unknown": 1, "no": 2}
    return sorted(
        matches,
        key=lambda m: (
            order[m.fits],
            m.rtt_s if m.rtt_s is not None else 9.0,
            -(m.replicas or 0),
            m.idle.cluster,
            m.idle.sku,
        ),
    )


def devices_of(starved: Starved, idle: Idle) -> tuple[int | None, str]:
    """Devices of one replica there; 0 when none of the widths holds it, None when that cannot be said."""
    if starved.accelerator and price(idle.sku, {starved.accelerator: 1.0}) and starved.devices:
        return starved.devices, f"the declared product, {starved.devices} a replica"
    need = needed_gib(starved)
    if need is None or not idle.mem_gib:
        return (
            None,
            "what memory it needs is not declared" if need is None else "the memory of those devices is not known",
        )
    width = next((w for w in WIDTHS if w * idle.mem_gib * USABLE >= need), 0)
    if not width:
        return 0, f"needs {need:.0f} GiB: more than {WIDTHS[-1]} of them hold"
    return width, f"needs {need:.0f} GiB: {width} of {idle.mem_gib:.0f} GiB hold it; its speed there is not measured"


def needed_gib(starved: Starved) -> float | None:
    """Memory of one replica: its weights and a fifth more, else what it is declared to run on."""
    billions = _BILLIONS.search((starved.model_id or "").lower())
    size = BYTES.get((starved.precision or "").lower())
    if billions and size:
        return float(billions[1]) * 1e9 * size * ROOM / 2**30
    held = _GB.search((starved.accelerator or "").lower())
    return float(held[1]) * starved.devices * USABLE if held and starved.devices else None


def _near(starved: Starved, between: Between) -> tuple[bool | None, str]:
    """Whether the round trip leaves the promised latency alone; what is not declared speaks against nothing."""
    if between.rtt_s is None:
        return True, "the distance is not declared"
    if not between.rtt_s or starved.latency_s is None:
        return True, f"{between.rtt_s * 1000:.0f} ms away" if between.rtt_s else ""
    share = between.rtt_s / starved.latency_s
    said = f"{between.rtt_s * 1000:.0f} ms away, {share:.0%} of the promised {starved.latency_s * 1000:.0f} ms"
    return share <= NEAR, said


def _saved(starved: Starved, between: Between, replicas: int | None, prices: Mapping[str, float]) -> float | None:
    new = price(starved.accelerator or "", prices)
    if not replicas or not new or not starved.devices:
        return None
    egress = (starved.tokens or 0.0) * 3600 * BYTES_PER_TOKEN / 1e9 * (between.egress_usd_gb or 0.0)
    return replicas * starved.devices * new - egress


def matches(
    starved: Sequence[Starved],
    idle: Sequence[Idle],
    between: Mapping[tuple[str, str], Between],
    prices: Mapping[str, float],
) -> Iterator[Match]:
    """Every starved model beside all that idles, the most helpful first."""
    for one in starved:
        found = [match(one, other, between[one.model, other.cluster], prices) for other in idle]
        yield from ranked(found)
