"""What is true on the demo platform: its GPUs, models, traffic, and the two things that go wrong.

Everything is a seeded function of event time, so the imported history and the live traffic are one
story: `fraud` sees larger amounts since `drift_at`, and four hot GPUs beneath `llama-70b-chat`
slow it down since `burn_at`. A deploy five hours before the burn is innocent.

Source: our own; rates and shapes in the range of the Azure LLM trace (2023) and of H100 boards.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

THERMAL_SLOWDOWN: Final = 0x40  # nvmlClocksEventReasonHwThermalSlowdown
AMOUNT_MEDIAN_EUR: Final = 31.0
AMOUNT_LOG_SD: Final = 0.833
AMOUNT_SHIFT_SD: Final = 0.42  # median 31 -> 44 EUR


@dataclass(frozen=True, slots=True)
class Gpu:
    """One board of the demo fleet."""

    uuid: str
    index: int
    node: str
    cluster: str
    pod: str | None
    hot: bool  # slows down by heat when the burn begins


@dataclass(frozen=True, slots=True)
class Llm:
    """One LLM behind the gateway: requests per second, time to first token (log-normal), failures."""

    name: str
    cluster: str
    provider: str
    rate_per_s: float
    ttft_median_s: float
    error_ratio: float
    teams: tuple[tuple[str, float], ...]


def fleet() -> tuple[Gpu, ...]:
    """24 H100 boards: two busy nodes in eu-west, one idle node in us-east."""
    boards = []
    for node, cluster, pod in (
        ("eu-west-n01", "eu-west", "llama-70b-chat-0"),
        ("eu-west-n02", "eu-west", "llama-70b-chat-1"),
        ("us-east-n01", "us-east", None),
    ):
        for index in range(8):
            uuid = f"GPU-{node}-{index:04d}-demo"
            hot = node == "eu-west-n02" and index < 4
            owner = pod if pod else ("mistral-7b-0" if index == 0 else None)
            boards.append(Gpu(uuid, index, node, cluster, owner, hot))
    return tuple(boards)


FLEET: Final = fleet()
LLMS: Final = (
    Llm("llama-70b-chat", "eu-west", "vllm", 0.5, 0.25, 0.0003, (("acme", 0.5), ("globex", 0.3), ("initech", 0.2))),
    Llm("mistral-7b", "us-east", "vllm", 0.2, 0.12, 0.0003, (("globex", 0.6), ("initech", 0.4))),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """When the story happens, relative to the moment the demo starts."""

    now: datetime

    @property
    def drift_at(self) -> datetime:
        """Since when `fraud` sees larger amounts: about fourteen hours ago, on a five-minute mark."""
        return _floor(self.now - timedelta(hours=14), 300)

    @property
    def burn_at(self) -> datetime:
        """Since when four GPUs are hot and llama-70b-chat is slow: 50 minutes ago."""
        return _floor(self.now - timedelta(minutes=50), 60)

    @property
    def deploy_at(self) -> datetime:
        """When v42 of llama-70b-chat was deployed, innocently: five hours before the burn."""
        return self.burn_at - timedelta(hours=5)


def _floor(at: datetime, seconds: int) -> datetime:
    return datetime.fromtimestamp(at.timestamp() // seconds * seconds, tz=at.tzinfo)


def daily(t: Floats, depth: float) -> Floats:
    """1 ± depth over the day, lowest at 04:00 UTC; `t` in epoch seconds."""
    return 1.0 - depth * np.cos(2 * np.pi * (t / 86_400.0 - 4.0 / 24.0))


def arrivals(rate_per_s: float, start: float, end: float, rng: np.random.Generator) -> Floats:
    """Event times of an uneven Poisson process with a daily swing of ±40 %, epoch seconds, sorted."""
    peak = rate_per_s * 1.4
    t = rng.uniform(start, end, rng.poisson(peak * (end - start)))
    keep = rng.uniform(size=t.size) < rate_per_s * daily(t, 0.4) / peak
    return np.sort(t[keep])


def ttft(llm: Llm, t: Floats, replica: NDArray[np.int64], plan: Plan, rng: np.random.Generator) -> Floats:
    """Time to first token, s; since the burn two thirds of what llama's replica 1 serves waits for its hot GPUs."""
    seconds = llm.ttft_median_s * np.exp(0.45 * rng.standard_normal(t.size))
    if llm.cluster == "eu-west":
        slow = (t >= plan.burn_at.timestamp()) & (replica == 1) & (rng.uniform(size=t.size) < 0.68)
        seconds = np.where(slow, 1.5 * np.exp(0.35 * rng.standard_normal(t.size)), seconds)
    return seconds


def utilisation(gpu: Gpu, t: Floats, plan: Plan, rng: np.random.Generator) -> Floats:
    """Busy fraction of a board: eu-west is full, us-east nearly empty."""
    if gpu.pod is None:
        return np.clip(0.01 + 0.01 * rng.standard_normal(t.size), 0.0, 1.0)
    if gpu.cluster == "us-east":
        return np.clip(0.30 + 0.05 * rng.standard_normal(t.size), 0.0, 1.0)
    busy = np.where(t >= plan.burn_at.timestamp(), 0.97, 0.72 * daily(t, 0.06))
    return np.clip(busy + 0.02 * rng.standard_normal(t.size), 0.0, 1.0)


def amount(t: Floats, plan: Plan, rng: np.random.Generator) -> Floats:
    """Payment amounts in EUR: log-normal with a small daily swing, 0.42 sigma larger since the drift."""
    z = rng.standard_normal(t.size) + 0.15 * (daily(t, 1.0) - 1.0)
    z = z + AMOUNT_SHIFT_SD * (t >= plan.drift_at.timestamp())
    return np.round(AMOUNT_MEDIAN_EUR * np.exp(AMOUNT_LOG_SD * z), 2)
