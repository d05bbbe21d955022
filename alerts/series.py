"""Measured series near an incident as clues: traffic, prompts, caches, retries, errors, queues, GPUs, log messages.

A series becomes a clue where it changed near the incident, by as much as matters and more than its own noise; how
often it moves that far by itself is counted in its past. What such a clue is about is said in `places`.

Source: our own; see `alerts.steps`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import exp, log
from typing import Final, Literal

import numpy as np

from alerts import steps
from alerts.clues import Clue
from alerts.steps import Floats

Unit = Literal["number", "share"]

TINY: Final = 1e-3  # stands for 0 where ratios count
HOSTED: Final = frozenset(
    {"vllm", "hosted_vllm", "sglang", "tgi", "triton", "trtllm", "ollama", "llamacpp", "ray", "kserve", "nim"}
)  # providers that are our own servers: their errors are what a broken deploy looks like
THEIRS: Final = frozenset(
    {"rate_limited", "overloaded", "provider_error", "timeout"}
)  # kinds of errors a provider causes


@dataclass(frozen=True, slots=True)
class Measure:
    """What kind of series it is: which way is worse, from how much on it matters."""

    kind: str  # of clue
    says: str
    sign: int
    least: float  # change that matters; with `is_ratio` a factor
    unit: Unit = "number"
    is_ratio: bool = False  # changes are factors
    noise: float = 0.0  # least standard deviation of a minute, in its unit or as a factor - 1


MEASURES: Final = {
    "traffic": Measure("traffic", "requests per minute", 1, 1.5, is_ratio=True, noise=0.1),
    "tokens": Measure("tokens", "prompt tokens per request", 1, 1.4, is_ratio=True, noise=0.05),
    "cache": Measure("cache", "share of prompt tokens from the cache", -1, 0.12, "share", noise=0.02),
    "retries": Measure("retries", "tries that are repeated", 1, 0.05, "share", noise=0.02),
    "provider": Measure("provider", "of its tries", 1, 0.05, "share", noise=0.02),
    "queue": Measure("queue", "requests waiting", 1, 2.0, noise=0.3),
    "kv": Measure("kv", "KV cache in use", 1, 0.15, "share", noise=0.02),
    "throttle": Measure("throttle", "of its GPUs slowed down", 1, 0.1, "share", noise=0.02),
    "saturation": Measure("saturation", "GPU use", 1, 0.2, "share", noise=0.02),
    "log": Measure("log", "log messages per minute", 1, 1.0, noise=0.3),
}


@dataclass(frozen=True, slots=True)
class Series:
    """One series: by minute around the incident and by five minutes before it."""

    measure: Measure
    subject: str
    minutes: Floats
    history: Floats = field(default_factory=lambda: np.zeros(0))
    places: tuple[tuple[str, str], ...] = ()
    node: str = ""
    model: str = ""
    label: str = ""  # before the numbers


def clue(series: Series, start: datetime, onset: int) -> Clue | None:
    """The clue that a series is, or None where it did not change near the incident.

    Args:
        series: its minutes begin at `start`.
        start: of the first minute.
        onset: the incident's, as an index of minutes.
    """
    m = series.measure
    found = steps.of_level(_scaled(series.minutes, m), onset, m.sign, _least(m), m.noise)
    if found is None:
        return None
    before, after = (exp(x) if m.is_ratio else x for x in (found.before, found.after))
    moved = found.after - found.before
    at, low, high = (start + timedelta(minutes=i) for i in (found.at, found.low, found.high + 1))
    return Clue(
        kind=m.kind, subject=series.subject, onset=at, note=_note(series, before, after), low=low, high=high, model=series.model,
        places=series.places, node=series.node, per_day=steps.per_day(_scaled(series.history, m), moved),
    )  # fmt: skip


def _scaled(values: Floats, m: Measure) -> Floats:
    return np.log(np.maximum(values, TINY)) if m.is_ratio else values


def _least(m: Measure) -> float:
    return log(m.least) if m.is_ratio else m.least


def _note(series: Series, before: float, after: float) -> str:
    m = series.measure
    what = f"{series.label}: " if series.label else ""
    if m.kind == "log":
        return f"{what}{_number(before)} → {_number(after)} a minute"
    shown = (
        f"{100 * before:.0f} → {100 * after:.0f} %" if m.unit == "share" else f"{_number(before)} → {_number(after)}"
    )
    return f"{what}{shown} {m.says}" if m.kind in ("provider", "throttle") else f"{what}{m.says} {shown}"


def _number(value: float) -> str:
    return f"{max(value, 0.0):,.0f}" if abs(value) >= 10 else f"{max(value, 0.0):.2g}"


def is_ours(provider: str) -> bool:
    """Whether a provider is our own servers: their errors are what the incident consists of, not its cause."""
    return provider.lower() in HOSTED
