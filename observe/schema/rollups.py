"""Rollups: what pages read instead of raw rows, written when rows are sealed.

Rows of one key add up: a late row of a minute makes a second row with `late` true, so read counts
and sums with `sum`, extremes with `max`, and a mean as a sum over its count.

Source: our own; ARCHITECTURE section 3, Rollups.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from observe.schema.table import Noun


@dataclass(frozen=True, slots=True)
class GpuMinute(Noun):
    """The samples of one device in one minute; rows of one device and minute add up."""

    table_name, bulk = "gpu_1m", True
    ts: Annotated[datetime, "start of the minute"]
    device_id: Annotated[str, "UUID, or UUID/gi for a MIG instance"]
    cluster: Annotated[str | None, "of the samples"]
    workload: Annotated[str | None, "namespace/pod of the samples, the last by name of several; NULL in old rows"]
    samples: Annotated[int, "samples counted"]
    util_count: Annotated[int, "samples with a busy fraction"]
    util_sum: Annotated[float | None, "busy fraction 0-1, summed; / util_count is the mean"]
    util_max: Annotated[float | None, "busy fraction, most"]
    tensor_count: Annotated[int, "samples with tensor activity"]
    tensor_sum: Annotated[float | None, "tensor pipe active fraction, summed"]
    dram_count: Annotated[int, "samples with memory activity"]
    dram_sum: Annotated[float | None, "memory interface active fraction, summed"]
    mem_used_count: Annotated[int, "samples with memory in use"]
    mem_used_sum: Annotated[float | None, "framebuffer in use, MiB, summed"]
    mem_used_max: Annotated[float | None, "framebuffer in use, MiB, most"]
    power_count: Annotated[int, "samples with a draw"]
    power_sum: Annotated[float | None, "board draw, W, summed"]
    sm_clock_count: Annotated[int, "samples with an SM clock"]
    sm_clock_sum: Annotated[float | None, "SM clock, MHz, summed"]
    temp_max: Annotated[float | None, "core temperature, degrees C, most"]
    throttled: Annotated[int, "samples in a thermal or power-brake slowdown (mask 0xE8)"]
    energy_max: Annotated[float | None, "cumulative energy counter, J, most"]
    quality: Annotated[int, "bit flags of the samples, all together, see gpu_sample"]
    late: Annotated[bool, "came after its minute had been sealed"]
    ingested_at: Annotated[datetime, "when it was written"]


@dataclass(frozen=True, slots=True)
class GpuHour(Noun):
    """One device in one hour that is over, from gpu_1m; rows of one device and hour add up."""

    table_name, bulk = "gpu_1h", True
    ts: Annotated[datetime, "start of the hour"]
    device_id: Annotated[str, "UUID, or UUID/gi for a MIG instance"]
    cluster: Annotated[str | None, "of the samples"]
    samples: Annotated[int, "samples counted"]
    minutes: Annotated[int, "minutes with samples"]
    idle_minutes: Annotated[int, "minutes with a mean use below 0.05"]
    busy_minutes: Annotated[int, "minutes with a mean use of 0.05 or more"]
    saturated_minutes: Annotated[int, "minutes with a mean use from 0.9 on"]
    util_count: Annotated[int, "samples with a busy fraction"]
    util_sum: Annotated[float | None, "busy fraction 0-1, summed; / util_count is the mean"]
    util_max: Annotated[float | None, "busy fraction, most"]
    mem_used_max: Annotated[float | None, "framebuffer in use, MiB, most"]
    power_count: Annotated[int, "samples with a draw"]
    power_sum: Annotated[float | None, "board draw, W, summed"]
    energy_j: Annotated[float | None, "energy used, J: the counter's steps; a counter that fell began again at 0"]
    temp_max: Annotated[float | None, "core temperature, degrees C, most"]
    throttled: Annotated[int, "samples in a thermal or power-brake slowdown"]
    late: Annotated[bool, "a correction of an hour that was written before"]
    ingested_at: Annotated[datetime, "when it was written"]


@dataclass(frozen=True, slots=True)
class GpuFleet(Noun):
    """Devices by cluster and product in 5 minutes, from gpu_1m; the view gpu_5m reads it."""

    table_name, bulk = "gpu_fleet_5m", True
    ts: Annotated[datetime, "start of the bucket"]
    cluster: Annotated[str | None, "of the samples, else of the device"]
    sku: Annotated[str | None, "product name"]
    devices: Annotated[int, "devices with a sample"]
    util_devices: Annotated[int, "devices with a busy fraction"]
    util_sum: Annotated[float | None, "mean use of each device, summed"]
    idle_devices: Annotated[int, "mean use below 0.05"]
    saturated_devices: Annotated[int, "mean use from 0.9 on"]
    throttled_devices: Annotated[int, "any sample in a thermal or power-brake slowdown"]
    sm_clock_devices: Annotated[int, "devices with an SM clock"]
    sm_clock_sum: Annotated[float | None, "mean SM clock of each device, MHz, summed"]
    temp_max: Annotated[float | None, "degrees C, most"]
    power_w_sum: Annotated[float | None, "mean draw of each device, W, summed"]
    late: Annotated[bool, "a correction of a bucket that was written before"]
    ingested_at: Annotated[datetime, "when it was written"]


@dataclass(frozen=True, slots=True)
class ServingFiveMinutes(Noun):
    """Load of model servers by model and cluster in 5 minutes; rows of one key add up, the view queue_5m reads them."""

    table_name, bulk = "serving_5m", True
    ts: Annotated[datetime, "start of the bucket"]
    model_id: Annotated[str, "as the server names it"]
    cluster: Annotated[str | None, "where it is served"]
    samples: Annotated[int, "samples counted"]
    queue_count: Annotated[int, "samples with a queue"]
    queue_sum: Annotated[float | None, "requests waiting, summed"]
    queue_max: Annotated[float | None, "requests waiting, most"]
    running_count: Annotated[int, "samples with requests being served"]
    running_sum: Annotated[float | None, "requests being served, summed"]
    kv_count: Annotated[int, "samples with a KV cache in use"]
    kv_sum: Annotated[float | None, "KV cache in use, 0-1, summed"]
    late: Annotated[bool, "came after its bucket had been sealed"]
    ingested_at: Annotated[datetime, "when it was written"]


@dataclass(frozen=True, slots=True)
class AttemptMinute(Noun):
    """Attempts by model, place, tenant and outcome in one minute; rows of one key add up.

    Sums over rows with `last` are about requests, sums over all rows about attempts. Latencies are
    histograms, bins and counts side by side, of the bins of `observe.schema.latency`.
    """

    table_name, bulk = "attempt_1m", True
    ts: Annotated[datetime, "start of the minute in which they ended"]
    model_id: Annotated[str | None, "canonical model"]
    cluster: Annotated[str | None, "where it was served"]
    team_id: Annotated[str | None, "tenant"]
    provider: Annotated[str | None, "openai | anthropic | vllm | ..."]
    status: Annotated[str, "ok | error | cancelled"]
    error_kind: Annotated[str | None, "timeout | rate_limited | overloaded | ..., see attempt; NULL when it succeeded"]
    last: Annotated[bool, "the last try of its request, as far as was known when it was sealed"]
    attempts: Annotated[int, "attempts counted"]
    retries: Annotated[int, "of these, not the first try"]
    tokens_in: Annotated[int, "prompt tokens, cached ones included"]
    tokens_out: Annotated[int, "completion tokens"]
    tokens_cached_in: Annotated[int, "part of tokens_in read from a cache"]
    cost_usd: Annotated[float, "USD, where the cost is known"]
    cost_known: Annotated[int, "attempts whose cost is known"]
    tokens_priced: Annotated[int, "tokens in and out of those"]
    ttft_count: Annotated[int, "attempts with a time to first token"]
    ttft_sum: Annotated[float | None, "time to first token, s, summed"]
    ttft_bins: Annotated[tuple[int, ...] | None, "bins that hold any, ascending"]
    ttft_counts: Annotated[tuple[int, ...] | None, "how many each holds"]
    duration_count: Annotated[int, "attempts with a duration"]
    duration_sum: Annotated[float | None, "duration, s, summed"]
    duration_bins: Annotated[tuple[int, ...] | None, "bins that hold any, ascending"]
    duration_counts: Annotated[tuple[int, ...] | None, "how many each holds"]
    tpot_count: Annotated[int, "attempts with a time per output token"]
    tpot_sum: Annotated[float | None, "time per output token, s, summed"]
    tpot_bins: Annotated[tuple[int, ...] | None, "bins that hold any, ascending"]
    tpot_counts: Annotated[tuple[int, ...] | None, "how many each holds"]
    late: Annotated[bool, "came after its minute had been sealed"]
    ingested_at: Annotated[datetime, "when it was written"]


@dataclass(frozen=True, slots=True)
class AttemptHour(AttemptMinute):
    """attempt_1m by the hour, written when an hour is over; rows of one key add up."""

    table_name, bulk = "attempt_1h", True
    ts: Annotated[datetime, "start of the hour in which they ended"]


ROLLUPS: tuple[type[Noun], ...] = (GpuMinute, GpuHour, GpuFleet, ServingFiveMinutes, AttemptMinute, AttemptHour)
