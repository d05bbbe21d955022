"""The nouns that sources send: samples, attempts, changes; `answers` has those of prediction services.

Source: our own columns, after OpenTelemetry GenAI, LiteLLM, DCGM and NVML vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from observe.schema.table import Noun


@dataclass(frozen=True, slots=True)
class GpuSample(Noun):
    """One GPU, or one MIG instance of it, at one instant."""

    table_name, bulk, ids = "gpu_sample", True, ("device_id", "ts")
    ts: Annotated[datetime, "instant of the sample"]
    device_id: Annotated[str, "UUID, or UUID/gi for a MIG instance"]
    cluster: Annotated[str | None, "from the collector's labels"]
    node: Annotated[str | None, "host"]
    namespace: Annotated[str | None, "of the workload, never of the exporter"]
    pod: Annotated[str | None, "of the workload, never of the exporter"]
    container: Annotated[str | None, "of the workload"]
    util_ratio: Annotated[
        float | None, "busy fraction; the first of SM active, engine active, GPU_UTIL that is present"
    ]
    util_source: Annotated[
        str | None, "sm_active | gr_engine | gpu_util | mig (its instances, weighted by mig_fraction) | gfx_activity"
    ]
    sm_active_ratio: Annotated[float | None, "fraction of cycles with a warp on an SM"]
    sm_occupancy_ratio: Annotated[float | None, "resident warps over the maximum"]
    tensor_active_ratio: Annotated[float | None, "tensor pipe active fraction"]
    dram_active_ratio: Annotated[float | None, "memory interface active fraction"]
    mem_used_mib: Annotated[float | None, "framebuffer in use, MiB"]
    mem_free_mib: Annotated[float | None, "framebuffer free, MiB"]
    mem_reserved_mib: Annotated[float | None, "framebuffer reserved by the driver, MiB"]
    power_w: Annotated[float | None, "board draw, W"]
    energy_j: Annotated[float | None, "cumulative since driver load, J"]
    temp_c: Annotated[float | None, "core temperature, degrees C"]
    mem_temp_c: Annotated[float | None, "memory temperature, degrees C"]
    sm_clock_mhz: Annotated[float | None, "SM clock, MHz"]
    mem_clock_mhz: Annotated[float | None, "memory clock, MHz"]
    pcie_tx_bps: Annotated[float | None, "bytes per second"]
    pcie_rx_bps: Annotated[float | None, "bytes per second"]
    nvlink_tx_bps: Annotated[
        float | None, "bytes per second; both directions summed where only that is known (quality bit)"
    ]
    nvlink_rx_bps: Annotated[float | None, "bytes per second"]
    throttle_mask: Annotated[int | None, "clock event reasons, NVML bit mask"]
    pcie_replay_total: Annotated[float | None, "PCIe retries, cumulative"]
    power_violation_s: Annotated[float | None, "time throttled for power, cumulative, s"]
    thermal_violation_s: Annotated[float | None, "time throttled for heat, cumulative, s"]
    processes: Annotated[int | None, "compute processes; from NVML only"]
    ecc_sbe_total: Annotated[float | None, "corrected ECC errors, cumulative"]
    ecc_dbe_total: Annotated[float | None, "uncorrected ECC errors, cumulative"]
    remapped_uncorr: Annotated[float | None, "rows remapped for uncorrectable errors"]
    remapped_corr: Annotated[float | None, "rows remapped for corrected errors"]
    row_remap_pending: Annotated[float | None, "1 when a remap waits for a reset"]
    row_remap_failure: Annotated[float | None, "1 when a remap failed"]
    xid_last: Annotated[int | None, "last XID code the driver reported; standing values are not new faults"]
    state: Annotated[str | None, "ok | lost | unsupported"]
    quality: Annotated[
        int, "bit flags: 1 a value was out of range, 2 a sentinel was blanked, 4 profiling stuck, 8 nvlink is a sum"
    ]
    source: Annotated[str, "collector that took it"]
    ingested_at: Annotated[datetime, "when it was stored"]


@dataclass(frozen=True, slots=True)
class GpuDevice(Noun):
    """A GPU or MIG instance as last described; `store` keeps first and last seen."""

    table_name, time, ids = "gpu_device", "last_seen", ("device_id",)
    device_id: Annotated[str, "UUID, or UUID/gi for a MIG instance"]
    parent_uuid: Annotated[str | None, "of the board, for a MIG instance"]
    vendor: Annotated[str | None, "nvidia | amd | ..."]
    model: Annotated[str | None, "product name"]
    cluster: Annotated[str | None, "from the collector's labels"]
    node: Annotated[str | None, "host"]
    gpu_index: Annotated[int | None, "index on the node"]
    pci_bus_id: Annotated[str | None, "PCI address"]
    mig_profile: Annotated[str | None, "e.g. 1g.10gb"]
    mig_gi: Annotated[str | None, "GPU instance id"]
    mig_fraction: Annotated[float | None, "share of the board's compute that a MIG instance has, e.g. 3/7"]
    mem_total_mib: Annotated[float | None, "used + free + reserved, MiB"]
    driver: Annotated[str | None, "driver version"]
    first_seen: Annotated[datetime, "first sample"]
    last_seen: Annotated[datetime, "latest sample"]
    source: Annotated[str, "collector that saw it"]


@dataclass(frozen=True, slots=True)
class ServingSample(Noun):
    """One model server engine at one instant."""

    table_name, bulk, ids = "serving_sample", True, ("target", "model_id", "engine", "ts")
    ts: Annotated[datetime, "instant of the sample"]
    target: Annotated[str, "scraped address"]
    model_id: Annotated[str, "as the server names it"]
    engine: Annotated[str, "data-parallel rank; empty when there is one"]
    server: Annotated[str | None, "vllm | sglang | tgi | triton | trtllm | ..."]
    cluster: Annotated[str | None, "from the collector's labels"]
    namespace: Annotated[str | None, "of the workload"]
    pod: Annotated[str | None, "of the workload"]
    queue_depth: Annotated[float | None, "requests waiting"]
    running: Annotated[float | None, "requests being served"]
    kv_util_ratio: Annotated[float | None, "KV cache in use, 0-1"]
    prefix_hits_total: Annotated[float | None, "cumulative"]
    prefix_queries_total: Annotated[float | None, "cumulative"]
    preemptions_total: Annotated[float | None, "cumulative"]
    tokens_in_total: Annotated[float | None, "prompt tokens, cumulative"]
    tokens_out_total: Annotated[float | None, "generated tokens, cumulative"]
    requests_ok_total: Annotated[float | None, "finished by stop or length, cumulative"]
    requests_failed_total: Annotated[float | None, "finished by error or abort, cumulative"]
    quality: Annotated[int, "bit flags, see gpu_sample"]
    source: Annotated[str, "collector that took it"]
    ingested_at: Annotated[datetime, "when it was stored"]


@dataclass(frozen=True, slots=True)
class MetricSample(Noun):
    """Any other allow-listed series at one instant, in the long form."""

    table_name, bulk, ids = "metric_sample", True, ("metric", "labels", "ts")
    ts: Annotated[datetime, "instant of the sample"]
    metric: Annotated[str, "name as exposed"]
    labels: Annotated[str, "labels as JSON with sorted keys"]
    value: Annotated[float, "as exposed"]
    kind: Annotated[
        str,
        "counter | gauge | bucket | sum | count | quantile | unknown; with delta_ before it, what was added since the sample before",
    ]
    unit: Annotated[str | None, "as the exporter or, where that is known better, the mapping says: s, h, USD, {token}"]
    source: Annotated[str, "collector that took it"]
    ingested_at: Annotated[datetime, "when it was stored"]


@dataclass(frozen=True, slots=True)
class LogEvent(Noun):
    """Log records of severity WARN and above that said the same, as a template: what they said stays with their writer."""

    table_name, bulk = "log_event", True
    ts: Annotated[datetime, "of the first record"]
    severity_number: Annotated[int, "OpenTelemetry: 13-16 warn, 17-20 error, 21-24 fatal"]
    severity_text: Annotated[str | None, "as the source names it"]
    service: Annotated[str | None, "service.name"]
    template: Annotated[str, "the body without numbers, ids, addresses, quoted and assigned values"]
    template_id: Annotated[str, "sha256 of the template, 16 hex digits"]
    count: Annotated[int, "records of one minute that this row stands for"]
    trace_id: Annotated[str | None, "joins attempt.trace_id"]
    span_id: Annotated[str | None, "joins attempt.attempt_id of source otlp"]
    model_id: Annotated[str | None, "canonical model, when an attribute names one"]
    cluster: Annotated[str | None, "where it was written"]
    namespace: Annotated[str | None, "where it was written"]
    pod: Annotated[str | None, "where it was written"]
    quality: Annotated[int, "bit flags: 32 the template was cut"]
    source: Annotated[str, "collector that took it"]
    ingested_at: Annotated[datetime, "when it was stored"]


ERROR_KINDS = (
    "timeout", "rate_limited", "overloaded", "context_length", "content_filter", "auth", "bad_request", "provider_error",
    "cancelled", "unknown",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Attempt(Noun):
    """One try at a model through a gateway; the view `request` folds the tries of one trace."""

    table_name, bulk, ids = "attempt", True, ("attempt_id",)
    ts: Annotated[datetime, "event time: when it ended"]
    ts_start: Annotated[datetime, "when it began"]
    attempt_id: Annotated[str, "id within its source"]
    trace_id: Annotated[str | None, "all tries of one request share it"]
    parent_span_id: Annotated[str | None, "from OTLP"]
    response_id: Annotated[
        str | None,
        "the provider's id of the answer, from OTLP; of spans of one trace and operation that share it and overlap only the first to come is stored, and a later one that brings a cost or team the first did not know",
    ]
    session_id: Annotated[str | None, "conversation"]
    model_id: Annotated[str | None, "canonical model, aliases resolved"]
    model_requested: Annotated[str | None, "what the client asked for"]
    model_served: Annotated[str | None, "what answered"]
    provider: Annotated[str | None, "openai | anthropic | vllm | ..."]
    deployment_id: Annotated[str | None, "gateway's deployment"]
    operation: Annotated[str | None, "chat | text_completion | embeddings | ..."]
    cluster: Annotated[str | None, "where it was served"]
    namespace: Annotated[str | None, "where it was served"]
    duration_s: Annotated[float, "end minus start, s"]
    ttft_s: Annotated[float | None, "time to first token, s; NULL unless streamed"]
    tpot_s: Annotated[float | None, "time per output token after the first, s; NULL unless streamed"]
    stream: Annotated[bool | None, "whether tokens were streamed"]
    status: Annotated[str, "ok | error | cancelled"]
    error_class: Annotated[str | None, "as the source names it"]
    error_kind: Annotated[
        str | None,
        "timeout | rate_limited | overloaded | context_length | content_filter | auth | bad_request | provider_error | cancelled | unknown; NULL when it succeeded",
    ]
    http_status: Annotated[int | None, "of the provider"]
    finish_reason: Annotated[str | None, "stop | length | tool_calls | ..."]
    tokens_in: Annotated[int | None, "prompt tokens, cached ones included"]
    tokens_out: Annotated[int | None, "completion tokens"]
    tokens_cached_in: Annotated[int | None, "part of tokens_in read from a cache"]
    tokens_cache_write_in: Annotated[int | None, "part of tokens_in written to a cache"]
    tokens_reasoning: Annotated[int | None, "part of tokens_out spent on reasoning"]
    cost_usd: Annotated[float | None, "USD; NULL when the price is unknown"]
    cost_known: Annotated[bool, "whether cost_usd can be trusted"]
    cache_hit: Annotated[bool | None, "answered from the gateway's cache"]
    attempt_no: Annotated[int | None, "0 for the first try"]
    team_id: Annotated[str | None, "tenant"]
    api_key_hash: Annotated[str | None, "as the gateway hashes it"]
    end_user_hash: Annotated[str | None, "sha256 of the user, 16 hex digits"]
    tags: Annotated[tuple[str, ...] | None, "request tags"]
    prompt_version: Annotated[str | None, "when the gateway knows it"]
    quality: Annotated[int, "bit flags, see gpu_sample"]
    source: Annotated[str, "collector that took it"]
    ingested_at: Annotated[datetime, "when it was stored"]


@dataclass(frozen=True, slots=True)
class ChangeEvent(Noun):
    """A deploy, scale, node, driver, prompt, data or config change; also what our own actions caused."""

    table_name, ids = "change_event", ("event_id",)
    ts: Annotated[datetime, "when it happened"]
    event_id: Annotated[str, "id within its source"]
    kind: Annotated[
        str,
        "deploy | rollback | config | scale | node_add | node_remove | disruption | xid | driver | model_version | prompt | data_pipeline | trained | alert_silence | ecc",
    ]
    object_kind: Annotated[str | None, "Deployment | GPU | Dag | ..."]
    object_name: Annotated[str | None, "name, or device_id"]
    namespace: Annotated[str | None, "Kubernetes namespace"]
    cluster: Annotated[str | None, "cluster"]
    node: Annotated[str | None, "host"]
    model_id: Annotated[str | None, "model it concerns"]
    before: Annotated[str | None, "value before"]
    after: Annotated[str | None, "value after"]
    revision: Annotated[str | None, "git or image revision"]
    actor: Annotated[str | None, "who did it"]
    severity: Annotated[str | None, "info | warning | error"]
    message: Annotated[str | None, "one line"]
    source: Annotated[str, "collector that took it"]
    ingested_at: Annotated[datetime, "when it was stored"]
    caused_by: Annotated[str | None, "key of the action it answers, or the id of the run that did it"] = None
    data_from: Annotated[datetime | None, "of a training: first instant of the data it learnt from"] = None
    data_to: Annotated[datetime | None, "of a training: end of them"] = None
