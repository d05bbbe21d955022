"""A small seeded platform for the page tests: two clusters, two LLMs, one fraud model, two incidents.

Source: our own. All times hang on `NOW`; nothing reads a clock.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl

from observe.schema import TABLES
from observe.schema.exchange import frame_schema

NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
DEPLOY = datetime(2026, 11, 20, 14, 2, tzinfo=UTC)
SHIFT = datetime(2026, 11, 20, 9, 5, tzinfo=UTC)
DAY = timedelta(days=1)
PERCENTILE = NormalDist().inv_cdf
XSS = '<img src=x onerror="window.pwned=1">'
FEATURES = ("amount", "country", "device_age_d", "distance_km", "merchant_risk", "n_items", "velocity_24h", XSS)
SLOS = {  # model: name -> (objective, kind, column, threshold s)
    "llama-70b-chat": {"ttft": (0.99, "latency", "ttft_s", 0.8), "availability": (0.999, "good", "status", None)},
    "mistral-7b": {"ttft": (0.99, "latency", "ttft_s", 0.4)},
    "reranker": {"availability": (0.995, "good", "status", None)},
}
SETTINGS: dict[str, Any] = {
    "prices": {"h100-80gb": 2.9, "a100-80gb": 1.7},
    "false_alarms": {"page": {"count": 1, "period_s": 7776000}, "ticket": {"count": 1, "period_s": 604800}},
    "store": {"size_bytes": 20_000_000_000, "lateness_s": 300},
    "collectors": [
        {"source": "gpus", "type": "prometheus", "reads": "address", "every_s": 15.0, "targets": ["http://eu:9400/metrics", "http://us:9400/metrics", f"http://old/{XSS}"]},
        {"source": "gateway", "type": "otlp", "reads": "push", "every_s": 300.0, "targets": ["push"]},
        {"source": "gateway-spend", "type": "spendlogs", "reads": "address", "every_s": 60.0, "targets": ["http://litellm:4000"]},
        {"source": "fraud", "type": "files", "reads": "path", "every_s": 60.0, "targets": ["/in/*.parquet"]},
        {"source": "argo", "type": "events", "reads": "push", "every_s": 300.0, "targets": ["push"]},
    ],
    "models": {
        "llama-70b-chat": {
            "version": "42", "labels": {"team": "assistants"}, "accelerator_type": "h100-80gb", "accelerator_count": 4,
            "min_replicas": 2, "max_replicas": 12, "target_latency_p95_s": 0.8, "target_cost_per_1k_tokens_usd": 0.0021,
            "slos": [
                {"name": "ttft", "kind": "latency", "column": "ttft_s", "threshold_s": 0.8, "good_sql": None, "objective": 0.99, "window_s": 2592000},
                {"name": "availability", "kind": "good", "column": None, "threshold_s": None, "good_sql": "\"status\" = 'ok'", "objective": 0.999, "window_s": 2592000},
            ],
        },
        "mistral-7b": {"version": "7", "slos": [{"name": "ttft", "kind": "latency", "column": "ttft_s", "threshold_s": 0.4, "good_sql": None, "objective": 0.99, "window_s": 2592000}]},
        "fraud": {"version": "2026-10", "labels": {"team": "risk"}, "drift": {"source": "predictions", "min_effect": {"value": 0.1, "unit": "sigma"}}, "slos": []},
    },
}  # fmt: skip


def tables(seed: int = 7) -> dict[str, pl.DataFrame]:
    """Every table's frame, by table name; columns a source would not know are absent."""
    rng = np.random.default_rng(seed)
    attempts = pl.concat([_llm(rng), _mistral(rng), _reranker(rng)], how="diagonal_relaxed")
    budget = _slo_summaries(rng, attempts)
    drift, binnings = _drift_summaries(rng)
    return {
        **_gpus(rng),
        "attempt": attempts,
        "summary": pl.concat([budget, drift], how="diagonal_relaxed"),
        "binning": binnings,
        "finding": pl.concat(
            [_burn_findings(budget), _level_findings(rng), _other_findings(rng), _rate_findings(), _fleet_findings()],
            how="diagonal_relaxed",
        ),
        "change_event": _changes(),
        **_outcomes(),
        **_service(),
    }


def _rows(table: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    schema = frame_schema(TABLES[table])
    rows = [{k: json.dumps(v) if isinstance(v, dict) else v for k, v in r.items()} for r in rows]
    names = dict.fromkeys(k for r in rows for k in r)
    return pl.DataFrame(rows, schema={k: schema[k] for k in names})


def _gpus(rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    devices, samples = [], []
    plan = [("eu-west", "eu-n1", 8, 0.93), ("eu-west", "eu-n2", 8, 0.95), ("us-east", "us-n1", 8, 0.02)]
    times = [NOW - DAY + timedelta(minutes=2 * i) for i in range(720)]
    for cluster, node, count, level in plan:
        for index in range(count):
            name = f"GPU-{node}-{index}"
            busy = level if not (cluster == "us-east" and index in (2, 5)) else 0.41
            devices.append({
                "device_id": name, "vendor": "nvidia", "cluster": cluster, "node": node, "gpu_index": index,
                "model": "NVIDIA H100 80GB HBM3", "mem_total_mib": 81559.0, "driver": "570.86", "first_seen": times[0],
                "last_seen": times[-1], "source": "gpus",
            })  # fmt: skip
            hot = node == "eu-n2" and index in (3, 6)
            swing = 0.04 * np.sin(np.arange(720) / 90)
            util = np.clip(busy + swing * (busy > 0.1) + rng.normal(0, 0.015, 720), 0, 1)
            late = np.array([t >= DEPLOY - timedelta(minutes=1) for t in times])
            samples.append(pl.DataFrame({
                "ts": pl.Series(times, dtype=pl.Datetime("us", "UTC")), "device_id": name, "cluster": cluster, "node": node,
                "util_ratio": util, "temp_c": 55 + 25 * util + (9 if hot else 0) * late, "power_w": 120 + 540 * util,
                "sm_clock_mhz": np.where(hot & late, 1290.0, 1755.0), "throttle_mask": np.where(hot & late, 0x20, 0).astype(np.int64),
                "mem_used_mib": 62000.0 * (busy > 0.1) + 500, "quality": 0, "source": "gpus",
            }))  # fmt: skip
    return {"gpu_device": _rows("gpu_device", devices), "gpu_sample": pl.concat(samples)}


def _times(rng: np.random.Generator, n: int) -> list[datetime]:
    return [NOW - DAY + timedelta(seconds=float(s)) for s in np.sort(rng.uniform(0, 86400, n))]


def _attempts(
    model: str,
    at: list[datetime],
    ttft: np.ndarray,
    team: np.ndarray,
    tokens: np.ndarray,
    bad: np.ndarray,
    **extra: Any,
) -> pl.DataFrame:
    n = len(at)
    cost = tokens * 1.1e-6 + 200 * 3e-6
    columns: dict[str, Any] = {
        "ts": pl.Series(at, dtype=pl.Datetime("us", "UTC")), "attempt_id": [f"{model}-{i}" for i in range(n)], "model_id": model,
        "cluster": "eu-west", "team_id": team, "provider": "vllm", "model_served": model, "duration_s": ttft + 4.0, "ttft_s": ttft,
        "tpot_s": 0.02, "stream": True, "status": np.where(bad, "error", "ok"), "tokens_in": tokens, "tokens_out": 200,
        "cost_usd": cost, "cost_known": True, "quality": 0, "source": "gateway", **extra,
    }  # fmt: skip
    frame = pl.DataFrame(columns)
    return frame.with_columns((pl.col("ts") - pl.duration(milliseconds=pl.col("duration_s") * 1000)).alias("ts_start"))


def _llm(rng: np.random.Generator) -> pl.DataFrame:
    n = 24_000
    at = _times(rng, n)
    late = np.array([t >= DEPLOY for t in at])
    team = rng.choice(["acme", "globex", "initech", "umbrella", XSS], n, p=[0.22, 0.3, 0.25, 0.2, 0.03])
    heavy = late & (team == "acme") & (rng.uniform(size=n) < 0.85)
    tokens = np.where(heavy, rng.integers(6000, 12000, n), rng.integers(100, 3000, n)).astype(np.int64)
    ttft = np.exp(rng.normal(np.log(0.24), 0.38, n)) * np.where(heavy, 9.0, 1.0)
    bad = rng.uniform(size=n) < 0.0006
    served = np.where(late, "llama-3.3-70b@42", "llama-3.3-70b@41")
    return _attempts(
        "llama-70b-chat",
        at,
        ttft,
        team,
        tokens,
        bad,
        model_served=served,
        deployment_id=np.where(rng.uniform(size=n) < 0.5, "vllm-chat-a", "vllm-chat-b"),
    )


def _mistral(rng: np.random.Generator) -> pl.DataFrame:
    n = 5_000
    team = rng.choice(["globex", "initech"], n)
    return _attempts(
        "mistral-7b",
        _times(rng, n),
        np.exp(rng.normal(np.log(0.12), 0.4, n)),
        team,
        rng.integers(50, 1500, n),
        rng.uniform(size=n) < 0.0004,
    )


def _reranker(rng: np.random.Generator) -> pl.DataFrame:
    return _attempts(
        "reranker",
        _times(rng, 41),
        np.full(41, 0.1),
        np.full(41, "globex"),
        rng.integers(50, 500, 41),
        np.zeros(41, bool),
    )


def _slo_summaries(rng: np.random.Generator, attempts: pl.DataFrame) -> pl.DataFrame:
    frames = []
    old = [NOW - timedelta(days=30) + timedelta(minutes=10 * i) for i in range(29 * 144)]
    for model, slos in SLOS.items():
        rows = attempts.filter(pl.col("model_id") == model)
        for name, (objective, kind, _, threshold) in slos.items():
            is_bad = pl.col("ttft_s") > threshold if kind == "latency" else pl.col("status") != "ok"
            day = rows.group_by(pl.col("ts").dt.truncate("1m")).agg(pl.len().alias("n"), is_bad.sum().alias("events"))
            frames.append(
                day.select(
                    pl.col("ts"),
                    pl.lit(60).alias("window_s"),
                    pl.col("n").cast(pl.Int64),
                    pl.col("events").cast(pl.Int64),
                    pl.lit(f"{model}/slo/{name}").alias("measure"),
                    pl.lit(model).alias("model"),
                )
            )
            if model == "reranker":
                continue
            n = np.full(len(old), len(rows) // 144)
            frames.append(
                pl.DataFrame(
                    {
                        "ts": pl.Series(old, dtype=pl.Datetime("us", "UTC")),
                        "window_s": 600,
                        "n": n,
                        "events": rng.binomial(n, (1 - objective) * 0.5),
                        "measure": f"{model}/slo/{name}",
                        "model": model,
                    }
                )
            )
    return (
        pl.concat(frames, how="diagonal_relaxed").with_columns(pl.col("window_s").cast(pl.Int64)).sort("measure", "ts")
    )


def _burn_findings(summaries: pl.DataFrame) -> pl.DataFrame:
    rows = []
    windows = {"5m": 5, "30m": 30, "1h": 60, "2h": 120, "6h": 360, "1d": 1440, "3d": 4320}
    for model, slos in SLOS.items():
        for name, (objective, *_) in slos.items():
            mine = summaries.filter(pl.col("measure") == f"{model}/slo/{name}")
            for k in range(0, 289, 12 if model != "llama-70b-chat" else 2):
                end = NOW - timedelta(minutes=5 * (288 - k))
                rows.append(_burn(model, name, objective, mine, end, windows))
    return _rows("finding", rows)


def _burn(
    model: str, name: str, objective: float, mine: pl.DataFrame, end: datetime, windows: dict[str, int]
) -> dict[str, Any]:
    past = mine.filter(pl.col("ts") < end)
    total, bad = int(past["n"].sum()), int(past["events"].sum())
    burn = {}
    for label, minutes in windows.items():
        part = past.filter(pl.col("ts") >= end - timedelta(minutes=minutes))
        seen = int(part["n"].sum())
        burn[label] = round(int(part["events"].sum()) / seen / (1 - objective), 3) if seen else None
    few = total < 100
    alarm = model == "llama-70b-chat" and name == "ttft" and end > DEPLOY + timedelta(minutes=8)
    details = {
        "objective": objective,
        "window_s": 2592000,
        "total": total,
        "bad": bad,
        "sli": 1 - bad / max(total, 1),
        "budget_left": None if few else 1 - bad / max(total * (1 - objective), 1e-9),
        "burn": burn,
        "phi": 1.4,
        "tier": "page fast" if alarm else None,
        "onset_basis": "counts",
        **(
            {}
            if few
            else _outlook(end, burn, 1 - bad / max(total * (1 - objective), 1e-9), alarm, total * (1 - objective))
        ),
    }
    state = "too_few" if few else "alarm" if alarm else "ok"
    return {
        "finding_id": f"fnd-{model}-{name}-{end:%d%H%M}", "monitor_id": f"{model}/burn/{name}", "detector": "burn", "model": model, "kind": "slo",
        "subject": name, "window_start": end - timedelta(minutes=5), "window_end": end, "state": state, "severity": "page",
        "evidence_nats": 41.0 if alarm else 0.2, "threshold_nats": 9.8, "effect": burn["1h"], "unit": "x budget",
        "ci_low": (burn["1h"] or 0) * 0.9, "ci_high": (burn["1h"] or 0) * 1.1, "onset": DEPLOY if alarm else None, "n": total,
        "note": f"{name} burns {burn['1h']} x" if alarm else "quiet", "details": details, "made_at": end,
    }  # fmt: skip


def _outlook(end: datetime, burn: dict[str, Any], left: float, alarm: bool, allowed: float) -> dict[str, Any]:
    """When its budget ends, what its alarms see and how sure the burn rates are, as the detector tells them."""
    gone, later, early = (end + timedelta(hours=h) for h in (9, 20, 5))
    ends = (
        {"exhausted_at": gone, "low": early, "high": later}
        if alarm
        else {"exhausted_at": None, "low": None, "high": None}
    )
    path = [[h, left - h * (0.02 if alarm else 0.002), left - h * 0.03, left - h * 0.001] for h in range(0, 80, 10)]
    return {
        "budget_low": left - 0.05, "budget_high": left + 0.04, "budget_events": allowed, "gaps_s": 5400,
        "window": {"kind": "rolling", "from": (end - timedelta(days=30)).isoformat(), "to": None},
        "burn_low": {k: None if v is None else v * 0.7 for k, v in burn.items()}, "burn_high": {k: None if v is None else v * 1.5 + 0.1 for k, v in burn.items()},
        "forecast": {**{k: t.isoformat() if t else None for k, t in ends.items()}, "from": end.isoformat(), "until": (end + timedelta(days=30)).isoformat(),
                     "basis": "since the onset" if alarm else "the last days", "path": path},
        "power": {"burn_24h": 2.6, "burn_1h": 31.0},
    }  # fmt: skip


def _drift_summaries(rng: np.random.Generator) -> tuple[pl.DataFrame, pl.DataFrame]:
    rows, binnings = [], []
    edges = np.linspace(-2.4, 2.4, 31)
    for feature in FEATURES:
        levels = ("DE", "FR", "GB", "US", "BR") if feature == "country" else None
        centre = 31.0 if feature == "amount" else 10.0
        shares = np.array([0.3, 0.22, 0.2, 0.15, 0.08, 0.05]) if levels else np.full(32, 1 / 32)
        inner = None if levels else tuple(float(x) for x in centre * np.exp(0.5 * edges))
        binnings.append({
            "binning_id": f"fraud/predictions/{feature}@1", "model": "fraud", "source_table": "predictions", "feature": feature, "version": 1,
            "kind": "categorical" if levels else "numeric", "edges": inner, "levels": levels,
            "reference": tuple(int(x) for x in shares * 200_000) if levels else tuple(int(x) for x in _bell(edges, 0.0) * 200_000),
            "quantiles": None if levels else tuple(float(centre * np.exp(0.5 * PERCENTILE(x))) for x in np.clip(np.arange(101) / 100, 0.002, 0.998)),
            "reference_from": NOW - timedelta(days=35), "reference_to": NOW - timedelta(days=7), "made_at": NOW - timedelta(days=7),
        })  # fmt: skip
        for i in range(288):
            ts = NOW - DAY + timedelta(minutes=5 * i)
            late = ts >= SHIFT
            shifted = np.array([0.21, 0.22, 0.2, 0.24, 0.08, 0.05]) if late else shares
            wide = 1.5 if feature == "velocity_24h" and late else 1.0
            mass = shifted if levels else _bell(edges, 0.42 if feature == "amount" and late else 0.0, wide)
            counts = rng.multinomial(400, mass / mass.sum())
            rows.append(
                {
                    "ts": ts,
                    "window_s": 300,
                    "measure": f"fraud/predictions/{feature}",
                    "model": "fraud",
                    "binning_id": f"fraud/predictions/{feature}@1",
                    "n": 400,
                    "counts": tuple(int(c) for c in counts),
                    "missing": int(rng.poisson(30 if feature == "distance_km" and ts >= SHIFT else 2)),
                    "nan": 0,
                    "inf": 0,
                    "low": None if levels else centre * np.exp(-1.7),
                    "high": None if levels else centre * np.exp(1.7),
                }
            )
    pairs = [_pair(rng, i) for i in range(288)]
    binnings.append({
        "binning_id": "fraud/predictions/amount*n_items@1", "model": "fraud", "source_table": "predictions", "feature": "amount*n_items", "version": 1,
        "kind": "pair", "levels": ("amount", "n_items"), "reference": (50_000,), "reference_from": NOW - timedelta(days=35),
        "reference_to": NOW - timedelta(days=7), "made_at": NOW - timedelta(days=7),
    })  # fmt: skip
    return _rows("summary", [*rows, *pairs]), _rows("binning", binnings)


def _pair(rng: np.random.Generator, i: int) -> dict[str, Any]:
    ts = NOW - DAY + timedelta(minutes=5 * i)
    mean = float(rng.normal(0.28 if ts >= SHIFT else 0.62, 0.04))
    return {
        "ts": ts, "window_s": 300, "measure": "fraud/predictions/amount*n_items", "model": "fraud", "binning_id": "fraud/predictions/amount*n_items@1",
        "n": 396, "missing": 4, "nan": 0, "inf": 0, "value_sum": 396 * mean,
    }  # fmt: skip


def _bell(edges: np.ndarray, mean: float, wide: float = 1.0) -> np.ndarray:
    middle = np.concatenate([[edges[0] - 0.2], (edges[1:] + edges[:-1]) / 2, [edges[-1] + 0.2]])
    density = np.exp(-(((middle - mean) / wide) ** 2) / 2)
    return np.asarray(density / density.sum())


def _level_findings(rng: np.random.Generator) -> pl.DataFrame:
    rows = []
    for feature in FEATURES:
        for i in range(288):
            end = NOW - DAY + timedelta(minutes=5 * (i + 1))
            drifted = feature == "amount" and end > SHIFT
            alarm = drifted and end > SHIFT + timedelta(minutes=40)
            effect = float(rng.normal(0.42 if drifted else 0.0, 0.035))
            learning = feature == "n_items"
            details = {
                "median_from": 31.0,
                "median_to": 38.2 if drifted else 31.2,
                "psi": 0.14 if drifted else 0.004,
                "unit_effect": 7.2,
                "score": effect,
                "delta_sigma": effect,
                "min_detectable_24h": 0.07,
            }
            rows.append({
                "finding_id": f"fnd-level-{FEATURES.index(feature)}-{i}", "monitor_id": f"fraud/level/{feature}/location", "detector": "level", "model": "fraud",
                "kind": "drift", "subject": feature, "window_start": end - timedelta(minutes=5), "window_end": end,
                "state": "alarm" if alarm else "learning" if learning else "ok", "severity": "ticket", "evidence_nats": 17.3 if alarm else 0.4,
                "threshold_nats": 14.5, "effect": effect, "unit": "σ", "ci_low": effect - 0.06, "ci_high": effect + 0.06,
                "onset": SHIFT if drifted else None, "onset_low": SHIFT - timedelta(minutes=10) if drifted else None,
                "onset_high": SHIFT + timedelta(minutes=5) if drifted else None, "n": 400,
                "note": "amount moved +0.42 σ (median 31 → 38)" if drifted else "quiet", "details": details, "made_at": end,
            })  # fmt: skip
    return _rows("finding", rows)


def _other_findings(rng: np.random.Generator) -> pl.DataFrame:
    """Hourly questions that are no location: a spread, shares, a pair, and five-minute rates; what alarms is older than `SHIFT`."""
    rows = []
    for k in range(24):
        end = NOW - timedelta(hours=23 - k)
        late, noise = end > SHIFT, float(rng.normal(0, 0.02))
        seen = 0.28 if late else 0.62
        pair = {
            "score": seen + noise,
            "delta_sigma": seen + noise - 0.62,
            **({"correlation_from": 0.62, "correlation_to": 0.28} if late else {}),
        }
        spread = {
            "score": 0.9 if late else noise,
            "delta_sigma": 0.9 if late else noise,
            **({"spread_ratio": 1.5, "iqr_from": 6.9, "iqr_to": 10.4} if late else {}),
        }
        share = {
            "score": 0.25 if late else noise,
            "delta_sigma": 0.25 if late else noise,
            "min_detectable_24h_units": 1.4,
            **({"share_from": 0.15, "share_to": 0.24} if late else {}),
        }
        rows += [
            _hourly("level/amount*n_items/pair", "amount × n_items", end, (-0.34 if late else noise, 0.05), "correlation", pair, "correlation of amount × n_items 0.62 → 0.28"),
            _hourly("level/velocity_24h/spread", "velocity_24h", end, (1.5 if late else 1 + noise, 0.08), "ratio", spread, "velocity_24h spreads 1.50 times as wide"),
            _hourly("level/country/share:US", "country", end, (9.0 if late else 100 * noise, 1.8), "pp", share, "share of `US` in country 15 % → 24 %"),
        ]  # fmt: skip
    for k in range(288):
        end = NOW - timedelta(minutes=5 * (287 - k))
        late = end > SHIFT
        missing = {
            "events": float(rng.poisson(30 if late else 2)),
            "share": 0.07 if late else 0.005,
            "share_from": 0.005,
            "share_expected": 0.005,
            **({"share_to": 0.07} if late else {}),
        }
        unseen = {
            "events": float(rng.poisson(20)),
            "share": 0.05,
            "share_from": 0.05,
            "share_expected": 0.05,
            "min_detectable_24h": 1.6,
        }
        rows += [
            _hourly("rate/distance_km/missing", "distance_km", end, (14.0 if late else None, 1.0), "ratio", missing, "distance_km missing, NaN or infinite rose to 7.00% of events (was 0.50%)", 300),
            _hourly("rate/country/unseen", "country", end, (None, 1.0), "ratio", unseen, "values of country that are no known level: 5.00% of events, 5.00% is normal", 300),
        ]  # fmt: skip
    return _rows("finding", rows)


def _hourly(
    name: str, subject: str, end: datetime, effect: tuple[float | None, float], unit: str, details: dict[str, Any], note: str,
    window_s: int = 3600,
) -> dict[str, Any]:  # fmt: skip
    value, half = effect
    alarm = note if end > SHIFT and "unseen" not in name else ""
    return {
        "finding_id": f"fnd-{name}-{end:%d%H%M}", "monitor_id": f"fraud/{name}", "detector": name.split("/", maxsplit=1)[0], "model": "fraud", "kind": "drift",
        "subject": subject, "window_start": end - timedelta(seconds=window_s), "window_end": end, "state": "alarm" if alarm else "ok",
        "severity": "ticket", "evidence_nats": 21.0 if alarm else 0.3, "threshold_nats": 13.1, "effect": value, "unit": unit,
        "ci_low": None if value is None else value - half, "ci_high": None if value is None else value + half,
        "onset": SHIFT if alarm else None, "onset_low": SHIFT - timedelta(hours=1) if alarm else None, "onset_high": SHIFT + timedelta(hours=1) if alarm else None,
        "n": 4800 if window_s == 3600 else 400, "note": note if alarm else f"{subject}: as expected", "details": details, "made_at": end,
    }  # fmt: skip


def _rate_findings() -> pl.DataFrame:
    details = {"events": 1.0, "share": 0.0125, "share_from": 0.0031, "upper": 0.004, "k": None, "vif": 1.0}
    row = {
        "finding_id": "fnd-rate", "monitor_id": "mistral-7b/rate/error/share", "detector": "rate", "model": "mistral-7b", "kind": "drift", "subject": "error",
        "window_start": NOW - timedelta(minutes=5), "window_end": NOW, "state": "ok", "severity": "ticket", "evidence_nats": 1.2, "threshold_nats": 12.0,
        "unit": "ratio", "n": 80, "note": "errors: 1.25% of events, 0.31% is normal", "details": details, "made_at": NOW,
    }  # fmt: skip
    return _rows("finding", [row])


def _fleet_findings() -> pl.DataFrame:
    common = {"model": "site", "window_start": NOW - timedelta(minutes=5), "window_end": NOW, "made_at": NOW}
    return _rows("finding", [
        {"finding_id": "fnd-imb", "monitor_id": "site/imbalance/gpu", "detector": "imbalance", "kind": "imbalance", "subject": "eu-west ↔ us-east", "state": "alarm", "severity": "inform", "effect": 6.0, "unit": "devices", "note": "us-east has 6 idle H100 while eu-west is 94 % busy", "details": {"idle": "us-east", "busy": "eu-west", "idle_devices": 6}, **common},
        {"finding_id": "fnd-gpu", "monitor_id": "site/gauge/gpu", "detector": "gauge", "kind": "gpu", "subject": "eu-west", "state": "inform_only", "severity": "inform", "effect": 2.0, "unit": "devices", "note": "2 GPUs in eu-west throttle since 14:01", "onset": DEPLOY - timedelta(minutes=1), "details": {"cluster": "eu-west", "metric": "throttled_devices", "before": 0, "after": 2}, **common},
    ])  # fmt: skip


def _changes() -> pl.DataFrame:
    return _rows("change_event", [
        {"ts": DEPLOY, "event_id": "ev-1", "kind": "deploy", "object_kind": "Deployment", "object_name": "vllm-chat", "model_id": "llama-70b-chat", "cluster": "eu-west", "before": "41", "after": "42", "revision": "42", "actor": "argo", "message": "deploy v42", "source": "events"},
        {"ts": DEPLOY - timedelta(hours=3), "event_id": "ev-2", "kind": "xid", "object_kind": "GPU", "object_name": "GPU-eu-n2-3", "cluster": "eu-west", "node": "eu-n2", "after": "79", "message": "XID 79 on eu-n2 GPU 3", "source": "gpus"},
    ])  # fmt: skip


def _explained() -> dict[str, pl.DataFrame]:
    """Why inc-burn happened, in our words and in a model's; inc-drift is not explained yet."""
    causes = [
        {"kind": "gpu", "subject": "eu-west", "onset": (DEPLOY - timedelta(minutes=1)).isoformat(), "until": None, "note": f"2 GPUs in eu-west throttle {XSS}", "score": 0.81, "why": ["began 1 min before the onset", "serves 92 % of the bad requests"]},
        {"kind": "deploy", "subject": "llama-70b-chat", "onset": DEPLOY.isoformat(), "until": None, "note": "deploy v42", "score": 0.12, "why": ["began at the onset"]},
    ]  # fmt: skip
    differs = [{"dimension": "team", "value": f"acme {XSS}", "bad": 300, "bad_total": 400, "good": 100, "good_total": 2000, "lift": 15.0, "low": 9.1, "p_adjusted": 1e-9}]  # fmt: skip
    similar = [{"incident_id": "inc-past", "score": 0.7, "summary": "ttft burned in eu-west", "cause": {"kind": "gpu", "note": "throttling"}, "resolved_after_s": 5400.0, "helped": "scale to 6"}]  # fmt: skip
    row = {
        "incident_id": "inc-burn", "changed_at": NOW, "verdict": "cause", "causes": json.dumps(causes), "differs": json.dumps(differs), "similar": json.dumps(similar),
        "text": "Since 14:02 ttft is too slow. Two GPUs in eu-west throttle.", "unexplained": 0.07, "inhibited_by": None,
    }  # fmt: skip
    said = {
        "incident_id": "inc-burn",
        "about": "0f",
        "made_at": NOW,
        "model": f"tiny {XSS}",
        "text": "Two GPUs slow down 300 requests.",
        "refused": None,
    }
    told = {
        "message_id": "ops-1", "channel": "webhook", "url": "webhook:ops", "state": "waiting", "tries": 3, "status": 500, "error": f"not now {XSS}",
        "first_at": NOW - timedelta(minutes=9), "tried_at": NOW - timedelta(minutes=2), "incident_id": "inc-burn", "notice": "opened",
    }  # fmt: skip
    return {
        "explanation": _rows("explanation", [row]),
        "narration": _rows("narration", [said]),
        "delivery": _rows("delivery", [told]),
    }


def _outcomes() -> dict[str, pl.DataFrame]:
    burn = {"incident_id": "inc-burn", "kind": "slo", "model": "llama-70b-chat", "severity": "page", "state": "open", "since": DEPLOY, "opened_at": DEPLOY + timedelta(minutes=9), "summary": "ttft burns its budget 18× too fast", "effect": 18.1, "unit": "x budget", "ci_low": 16.8, "ci_high": 19.6, "evidence_nats": 41.0, "cause": {"kind": "gpu", "subject": "eu-west", "onset": (DEPLOY - timedelta(minutes=1)).isoformat(), "note": "2 GPUs in eu-west throttle since 14:01"}, "alerts": ["alr-1"], "suggestion": "scale vllm-chat from 4 to 6; us-east has 6 idle H100", "changed_at": NOW}  # fmt: skip
    drift = {
        **burn,
        "incident_id": "inc-drift",
        "kind": "drift",
        "model": "fraud",
        "severity": "ticket",
        "since": SHIFT,
        "opened_at": SHIFT + timedelta(minutes=45),
        "summary": "amount moved +0.42 σ (median 31 → 38 EUR)",
        "effect": 0.42,
        "unit": "sigma",
        "ci_low": 0.36,
        "ci_high": 0.48,
        "evidence_nats": 17.3,
        "cause": None,
        "suggestion": "confirm for 24 h, then retrain",
        "alerts": ["alr-2", "alr-3"],
    }
    alert = {
        "alert_id": "alr-1",
        "key": "llama-70b-chat/burn/ttft",
        "incident_id": "inc-burn",
        "finding_id": "fnd-x",
        "model": "llama-70b-chat",
        "kind": "slo",
        "subject": "ttft",
        "severity": "page",
        "state": "firing",
        "starts_at": DEPLOY + timedelta(minutes=9),
        "summary": "ttft burns its budget",
        "labels": {},
        "annotations": {},
        "changed_at": NOW,
    }
    act = {
        "action_id": "act-1",
        "incident_id": "inc-burn",
        "model": "llama-70b-chat",
        "kind": "scale",
        "target": "keda:vllm-chat",
        "mode": "dry_run",
        "state": "proposed",
        "reason": "slo.ttft.page",
        "parameters": {"from": 4, "to": 6},
        "expires_at": NOW + timedelta(hours=1),
        "changed_at": NOW,
    }
    return {
        **_explained(),
        "incident": _rows("incident", [burn, drift]),
        "alert": _rows(
            "alert",
            [
                alert,
                {
                    **alert,
                    "alert_id": "alr-2",
                    "key": "fraud/level/amount/location",
                    "incident_id": "inc-drift",
                    "model": "fraud",
                    "kind": "drift",
                    "subject": "amount",
                    "severity": "ticket",
                    "starts_at": SHIFT + timedelta(minutes=45),
                    "summary": "amount moved",
                },
                {
                    **alert,
                    "alert_id": "alr-3",
                    "key": "fraud/level/country/share:US",
                    "incident_id": "inc-drift",
                    "model": "fraud",
                    "kind": "drift",
                    "subject": "country",
                    "severity": "ticket",
                    "starts_at": SHIFT + timedelta(minutes=55),
                    "summary": "share of `US` in country 15 % → 24 %",
                },
            ],
        ),
        "action": _rows(
            "action",
            [
                act,
                {
                    **act,
                    "action_id": "act-2",
                    "incident_id": "inc-drift",
                    "model": "fraud",
                    "kind": "retrain",
                    "target": "airflow:retrain_fraud",
                    "mode": "approval",
                    "reason": "drift.confirmed",
                    "parameters": {},
                },
            ],
        ),
    }


def _service() -> dict[str, pl.DataFrame]:
    """A day of the service itself: one target fails, one way in has gone quiet, a sender's clock runs ahead."""
    runs: list[dict[str, Any]] = []
    for i in range(180):
        at = NOW - timedelta(seconds=20 * i + 4)
        runs += [_run(at, "gpus", f"http://{where}:9400/metrics", 8, lag=0.0) for where in ("eu", "us")]
        if i % 3 == 0:
            runs += [
                _run(at, "otlp", "push", 500, {"nested_genai": 12}, 3.2),
                _run(at, "gateway-spend", "http://litellm:4000", 0, lag=None),
            ]
            runs += [
                {
                    **_run(at, "gpus", f"http://old/{XSS}", 0, lag=None),
                    "ok": False,
                    "error": f"connection refused {XSS}",
                }
            ]
    runs += [
        _run(NOW - timedelta(hours=2, minutes=i), "litellm", "push", 40, {"duplicate": 3}, -48.0) for i in range(30)
    ]
    runs += [
        _run(NOW - timedelta(minutes=9), f"predictions/{XSS}", "push", 400, {"bad_ts": 7, XSS: 1}, 12.0),
        _run(NOW - timedelta(minutes=20), "fraud", "/in/day.parquet", 9000, lag=900.0),
    ]
    samples = [_sample(NOW - timedelta(minutes=i), i) for i in range(24 * 60)]
    commands = [
        {"ts": NOW - timedelta(minutes=40), "command_id": "cmd-1", "actor": "ada", "role": "operator", "verb": "acknowledge", "object": "inc-burn", "reason": f"looking {XSS}", "parameters": {}, "chain": "00"},
        {"ts": NOW - timedelta(hours=7), "command_id": "cmd-2", "actor": "admin", "role": "admin", "verb": "token", "object": "ci", "parameters": {}, "chain": "01"},
    ]  # fmt: skip
    return {
        "collector_run": _rows("collector_run", runs), "service_sample": _rows("service_sample", samples), "command": _rows("command", commands),
    }  # fmt: skip


def _run(
    at: datetime, source: str, target: str, stored: int, rejected: dict[str, int] | None = None, lag: float | None = 0.0
) -> dict[str, Any]:
    refused = rejected or {}
    return {
        "ts": at,
        "collector": source,
        "target": target,
        "ok": True,
        "offered": stored + sum(refused.values()),
        "stored": stored,
        "rejected": refused,
        "lag_s": lag,
    }


def _sample(at: datetime, i: int) -> dict[str, Any]:
    wave = 0.5 + 0.5 * float(np.sin(i / 90))
    return {
        "ts": at, "rss_bytes": int(6.1e8 + 9e7 * wave), "queue_bytes": int(4e5 * wave), "queue_ratio": 0.006 * wave, "hot_rows": int(41_000 + 30_000 * wave),
        "lake_bytes": int(4.2e9 - 2e6 * i), "database_bytes": 96_000_000, "disk_free_bytes": 61_000_000_000, "last_commit_at": at - timedelta(seconds=1),
        "last_seal_at": at - timedelta(minutes=4), "summarised_until": at - timedelta(seconds=320 + 40 * wave), "judged_until": at - timedelta(seconds=95 + 30 * wave),
        "loop_lag_max_s": 0.025 if i % 7 else 0.05, "stage_errors_total": 3, "child_restarts_total": 1, "open_alerts": 2, "deliveries_waiting": 0,
    }  # fmt: skip


def run_row() -> pl.DataFrame:
    """One collector run: the least that a store may hold."""
    return _rows(
        "collector_run",
        [
            {
                "ts": NOW,
                "collector": "gpus",
                "target": "http://dcgm",
                "ok": True,
                "offered": 0,
                "stored": 0,
                "rejected": {},
                "lag_s": None,
            }
        ],
    )
