"""The demo platform's past, as frames: predictions, attempts, GPU samples, queue, a deploy.

Source: our own; columns are those of `observe.schema`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import numpy as np
import polars as pl

from observe.demo.world import (
    FLEET,
    LLMS,
    THERMAL_SLOWDOWN,
    Floats,
    Gpu,
    Llm,
    Plan,
    amount,
    arrivals,
    ttft,
    utilisation,
)

PREDICTION_DAYS: Final = 21
ATTEMPT_DAYS: Final = 3
GPU_HOURS: Final = 6
GPU_EVERY_S: Final = 15
PREDICTIONS_PER_S: Final = 300 / 3600
_COUNTRIES: Final = ("DE", "FR", "NL", "ES")


def _times(t: Floats) -> pl.Series:
    return pl.Series((t * 1e6).astype(np.int64)).cast(pl.Datetime("us", "UTC"))


def predictions(plan: Plan, seed: int = 7) -> pl.DataFrame:
    """21 days of `fraud`: amount (EUR), items, account age (d), country, device trust (1 % missing)."""
    rng = np.random.default_rng(seed)
    end = plan.now.timestamp()
    t = arrivals(PREDICTIONS_PER_S, end - PREDICTION_DAYS * 86_400, end, rng)
    return prediction_rows(t, plan, rng, "h")


def prediction_rows(t: Floats, plan: Plan, rng: np.random.Generator, prefix: str) -> pl.DataFrame:
    """Predictions of `fraud` at times `t` (epoch seconds), ids `prefix` and a number."""
    n = t.size
    eur = amount(t, plan, rng)
    trust = np.clip(rng.beta(5, 2, n), 0, 1)
    score = 1 / (1 + np.exp(-(np.log(eur / 31) - 3 * trust + 0.3 * rng.standard_normal(n))))
    frame = pl.DataFrame({
        "ts": _times(t),
        "prediction_id": [f"{prefix}{i}" for i in range(n)],
        "model_version": ["7"] * n,
        "latency_s": np.round(0.012 * np.exp(0.3 * rng.standard_normal(n)), 5),
        "score": np.round(score, 4),
        "prediction": np.where(score > 0.5, "review", "accept"),
        "amount": eur,
        "items": 1.0 + rng.poisson(2.2, n),
        "account_age_d": np.round(rng.gamma(1.5, 300, n), 1),
        "country": rng.choice(_COUNTRIES, n, p=(0.4, 0.25, 0.2, 0.15)),
        "device_trust": np.round(trust, 3),
    })  # fmt: skip
    lost = pl.Series(rng.uniform(size=n) < 0.01)
    return frame.with_columns(pl.when(lost).then(None).otherwise(pl.col("device_trust")).alias("device_trust"))


def attempt_rows(llm: Llm, t: Floats, plan: Plan, rng: np.random.Generator, prefix: str) -> pl.DataFrame:
    """Attempts at `llm` that begin at `t`: tokens, times, failures, cost."""
    n = t.size
    replica = rng.integers(0, 2, n)
    first = ttft(llm, t, replica, plan, rng)
    tokens_in = np.maximum(1, np.exp(6.2 + 0.9 * rng.standard_normal(n))).astype(np.int64)
    tokens_out = np.maximum(1, np.exp(4.6 + 0.7 * rng.standard_normal(n))).astype(np.int64)
    tpot = 0.018 * np.exp(0.2 * rng.standard_normal(n))
    failed = rng.uniform(size=n) < llm.error_ratio
    duration = np.where(failed, 0.2, first + tpot * tokens_out)
    teams, weights = zip(*llm.teams, strict=True)
    ids = [f"{prefix}-{llm.name}-{i}" for i in range(n)]
    blank = pl.Series(failed)
    frame = pl.DataFrame({
        "ts": _times(t + duration), "ts_start": _times(t), "attempt_id": ids, "trace_id": ids,
        "model_id": [llm.name] * n, "model_requested": [llm.name] * n, "model_served": [llm.name] * n,
        "provider": [llm.provider] * n, "deployment_id": [f"{llm.name}-{i}" for i in replica],
        "operation": ["chat"] * n, "cluster": [llm.cluster] * n, "duration_s": duration, "stream": [True] * n,
        "status": np.where(failed, "error", "ok"), "http_status": np.where(failed, 500, 200),
        "team_id": rng.choice(teams, n, p=weights), "attempt_no": [0] * n, "cost_known": ~failed,
        "cost_usd": (tokens_in * 0.6 + tokens_out * 2.4) / 1e6,
    })  # fmt: skip
    extra = {"ttft_s": first, "tpot_s": tpot, "tokens_in": tokens_in, "tokens_out": tokens_out}
    return frame.with_columns(
        *(pl.when(blank).then(None).otherwise(pl.Series(v)).alias(k) for k, v in extra.items()),
        pl.when(blank).then(pl.lit("InternalServerError")).alias("error_class"),
        pl.when(blank).then(pl.lit("provider_error")).alias("error_kind"),
        pl.when(blank).then(None).otherwise(pl.lit("stop")).alias("finish_reason"),
    )


def attempts(plan: Plan, seed: int = 11) -> pl.DataFrame:
    """Three days of gateway traffic to every LLM; the last minute is left to live traffic."""
    rng = np.random.default_rng(seed)
    end = plan.now.timestamp() - 60
    parts = []
    for llm in LLMS:
        t = arrivals(llm.rate_per_s, end - ATTEMPT_DAYS * 86_400, end, rng)
        parts.append(attempt_rows(llm, t, plan, rng, "h"))
    return pl.concat(parts)


def gpu_rows(gpu: Gpu, t: Floats, plan: Plan, rng: np.random.Generator) -> pl.DataFrame:
    """Samples of one board at times `t`."""
    n = t.size
    util = utilisation(gpu, t, plan, rng)
    slow = gpu.hot & (t >= plan.burn_at.timestamp())
    used = 74_000.0 if gpu.pod else 2.0
    return pl.DataFrame({
        "ts": _times(t), "device_id": [gpu.uuid] * n, "cluster": [gpu.cluster] * n, "node": [gpu.node] * n,
        "pod": pl.Series([gpu.pod] * n, dtype=pl.String), "namespace": pl.Series(["serving" if gpu.pod else None] * n, dtype=pl.String),
        "util_ratio": util, "util_source": ["sm_active"] * n, "sm_active_ratio": util,
        "mem_used_mib": [used] * n, "mem_free_mib": [81_000.0 - used] * n,
        "power_w": np.where(slow, 420.0, 90 + 560 * util) + 4 * rng.standard_normal(n),
        "temp_c": np.where(slow, 91.0, 38 + 30 * util) + rng.standard_normal(n),
        "sm_clock_mhz": np.where(slow, 990.0, 1980.0), "throttle_mask": np.where(slow, THERMAL_SLOWDOWN, 0),
        "xid_last": [0] * n, "state": ["ok"] * n,
    })  # fmt: skip


def gpu_samples(plan: Plan, seed: int = 13) -> pl.DataFrame:
    """Six hours of every board, each 15 s."""
    rng = np.random.default_rng(seed)
    steps = GPU_HOURS * 3600 // GPU_EVERY_S
    t = plan.now.timestamp() - GPU_EVERY_S * np.arange(steps, 0, -1, dtype=np.float64)
    return pl.concat([gpu_rows(g, t, plan, rng) for g in FLEET])


def gpu_devices(plan: Plan) -> pl.DataFrame:
    """What each board is."""
    return pl.DataFrame([
        {"device_id": g.uuid, "vendor": "nvidia", "model": "NVIDIA H100 80GB HBM3", "cluster": g.cluster, "node": g.node,
         "gpu_index": g.index, "mem_total_mib": 81_559.0, "driver": "580.95.05",
         "first_seen": plan.now - timedelta(hours=GPU_HOURS), "last_seen": plan.now}
        for g in FLEET
    ])  # fmt: skip


def serving_rows(llm: Llm, t: Floats, plan: Plan, rng: np.random.Generator) -> pl.DataFrame:
    """Samples of one model server at times `t`: its queue grows seven minutes after the boards slow down."""
    n = t.size
    late = (llm.cluster == "eu-west") & (t >= plan.burn_at.timestamp() + 420)
    return pl.DataFrame({
        "ts": _times(t), "target": [f"{llm.name}.demo"] * n, "model_id": [llm.name] * n, "engine": ["0"] * n,
        "server": ["vllm"] * n, "cluster": [llm.cluster] * n,
        "queue_depth": np.where(late, rng.poisson(14.0, n), rng.poisson(0.4, n)).astype(float),
        "running": rng.poisson(np.where(late, 40.0, 22.0)).astype(float),
        "kv_util_ratio": np.clip(np.where(late, 0.93, 0.55) + 0.03 * rng.standard_normal(n), 0, 1),
    })  # fmt: skip


def serving_samples(plan: Plan, seed: int = 17) -> pl.DataFrame:
    """Six hours of both model servers, each 15 s."""
    rng = np.random.default_rng(seed)
    steps = GPU_HOURS * 3600 // GPU_EVERY_S
    t = plan.now.timestamp() - GPU_EVERY_S * np.arange(steps, 0, -1, dtype=np.float64)
    return pl.concat([serving_rows(llm, t, plan, rng) for llm in LLMS])


def change_events(plan: Plan) -> pl.DataFrame:
    """The innocent deploy."""
    return pl.DataFrame([{
        "ts": plan.deploy_at, "event_id": "deploy-llama-v42", "kind": "deploy", "object_kind": "Deployment",
        "object_name": "llama-70b-chat", "cluster": "eu-west", "model_id": "llama-70b-chat", "before": "v41", "after": "v42",
        "revision": "8f2c1aa", "actor": "argocd", "severity": "info", "message": "llama-70b-chat v41 -> v42",
    }])  # fmt: skip


def tables(plan: Plan) -> Mapping[str, pl.DataFrame]:
    """The whole past by table; predictions are written to Parquet by the caller and read by a file collector."""
    return {
        "attempt": attempts(plan),
        "gpu_device": gpu_devices(plan),
        "gpu_sample": gpu_samples(plan),
        "serving_sample": serving_samples(plan),
        "change_event": change_events(plan),
    }
