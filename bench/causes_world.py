"""A small platform with one thing that goes wrong, or none: rows for a real store, seeded.

One model behind a gateway, two or three deployments of our own servers on nodes with GPUs, often one provider of
others; teams, prompt versions, caches, queues, log messages; changes and faults at their base rates for fourteen days,
by bystanders too. What is planted changes something and, some minutes later, makes some requests slow or fail.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import numpy as np
import polars as pl

from observe.schema import Attempt, ChangeEvent, GpuSample, LogEvent, ServingSample
from observe.schema.exchange import frame

END = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)  # of the last day; the onset lies up to an hour before
HOURS = 5.0
START = END - timedelta(hours=HOURS)
MODEL = "chat"
TEMPLATES = (
    "slow tokenizer <*>",
    "retrying connection to <*>",
    "deprecated parameter <*>",
    "request <*> aborted by client",
)
RATES = {  # changes per day: of this model, of others
    "deploy": (1.0, 12.0), "config": (0.7, 4.0), "prompt": (0.4, 1.5), "model_version": (0.2, 1.0), "scale": (5.0, 30.0),
    "disruption": (0.3, 1.0), "xid": (0.05, 0.3), "node_add": (0.3, 1.0), "rollback": (0.1, 0.7),
}  # fmt: skip


@dataclass
class Place:
    """One deployment: where it runs, on which nodes, its part of the traffic."""

    name: str
    provider: str
    cluster: str | None
    nodes: tuple[str, ...]
    part: float

    @property
    def pods(self) -> tuple[str, ...]:
        return tuple(f"{self.name}-{i}" for i in range(len(self.nodes)))


@dataclass
class World:
    """What is true while nothing is wrong, and what the planted cause makes of it; effects change arrays in place."""

    rng: np.random.Generator
    places: list[Place]
    onset: float  # s since START: the effect shows
    cause_at: float  # s since START
    changes: list[dict[str, Any]] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)
    effects: list[Callable[["World"], None]] = field(default_factory=list)
    requests: dict[str, Any] = field(default_factory=dict)
    gpus: dict[str, Any] = field(default_factory=dict)
    serving: dict[str, Any] = field(default_factory=dict)
    surge: float = 1.0  # of traffic, since the cause

    @property
    def own(self) -> list[Place]:
        return [p for p in self.places if p.cluster]

    def at(self, seconds: float) -> datetime:
        return START + timedelta(seconds=float(seconds))


def world(seed: int, lag_s: tuple[float, float] = (30, 400)) -> World:
    """A platform of its own for each seed."""
    rng = np.random.default_rng(seed)
    own = int(rng.integers(2, 4))
    clusters = ["eu-1", "us-1", "ap-1"][:own]
    foreign = rng.random() < 0.6
    parts = rng.dirichlet(np.full(own + foreign, 6.0))
    places = [
        Place(f"vllm-{c}", "vllm", c, tuple(f"{c}-n{k:02d}" for k in range(2)), float(parts[i]))
        for i, c in enumerate(clusters)
    ]
    if foreign:
        name = str(rng.choice(["openai", "anthropic", "azure"]))
        places.append(Place(f"{name}-chat", name, None, (), float(parts[-1])))
    onset = HOURS * 3600 - rng.uniform(2400, 3600)
    return World(rng, places, onset, onset - rng.uniform(*lag_s))


def build(w: World) -> None:
    """Fill the arrays, then let what is planted act on them."""
    _requests(w)
    _servers(w)
    _devices(w)
    for effect in w.effects:
        effect(w)


def _requests(w: World) -> None:
    rng, end = w.rng, HOURS * 3600
    rate = rng.uniform(0.5, 0.9)
    t = np.sort(rng.uniform(0, end, rng.poisson(rate * end * max(1.0, w.surge))))
    keep = rng.random(t.size) < np.where(t < w.cause_at, 1.0, w.surge) / max(1.0, w.surge)
    keep &= rng.random(t.size) < 1 - 0.2 * np.cos(2 * np.pi * t / 86_400)
    t = t[keep]
    n = t.size
    tokens = np.exp(rng.normal(6.5, 0.8, n)).astype(np.int64) + 5
    cached = (tokens * np.where(rng.random(n) < 0.7, rng.uniform(0.3, 0.9, n), 0.0)).astype(np.int64)
    teams, shares = ["acme", "globex", "initech", "umbrella"], [0.4, 0.3, 0.2, 0.1]
    w.requests = {
        "t": t, "place": rng.choice(len(w.places), n, p=[p.part for p in w.places]), "tokens_in": tokens, "cached": cached,
        "tokens_out": np.exp(rng.normal(5, 0.6, n)).astype(np.int64) + 1, "team": rng.choice(teams, n, p=shares),
        "stream": rng.random(n) < 0.9, "prompt": np.where(rng.random(n) < 0.8, "v7", "v6").astype(object),
        "version": np.full(n, "chat-41", object), "pod": rng.integers(0, 2, n), "ttft": 0.25 * np.exp(0.35 * rng.standard_normal(n)),
        "bad": rng.random(n) < 0.0003, "kind": np.full(n, "provider_error", object), "retry": rng.random(n) < 0.004,
    }  # fmt: skip


def _servers(w: World) -> None:
    rows: dict[str, list[Any]] = {k: [] for k in ("t", "place", "pod", "queue", "kv")}
    for i, place in enumerate(w.places):
        for pod in place.pods:
            t = np.arange(20, HOURS * 3600, 60.0)
            rows["t"].append(t)
            rows["place"].append(np.full(t.size, i))
            rows["pod"].append(np.full(t.size, pod, object))
            rows["queue"].append(w.rng.poisson(0.3, t.size).astype(float))
            rows["kv"].append(np.clip(0.45 + 0.06 * w.rng.standard_normal(t.size), 0, 1))
    w.serving = {k: np.concatenate(v) if v else np.array([]) for k, v in rows.items()}


def _devices(w: World) -> None:
    rows: dict[str, list[Any]] = {k: [] for k in ("t", "place", "node", "device", "pod", "mask", "util", "clock")}
    for i, place in enumerate(w.places):
        for node, pod in zip(place.nodes, place.pods, strict=True):
            for gpu in range(4):
                t = np.arange(0, HOURS * 3600, 60.0)
                for name, value in (
                    ("place", i),
                    ("node", node),
                    ("device", f"GPU-{node}-{gpu}"),
                    ("pod", pod),
                    ("mask", 0),
                ):
                    rows[name].append(np.full(t.size, value, object if isinstance(value, str) else np.int64))
                rows["t"].append(t)
                rows["util"].append(np.clip(0.6 + 0.05 * w.rng.standard_normal(t.size), 0, 1))
                rows["clock"].append(np.full(t.size, 1755.0))
    w.gpus = {k: np.concatenate(v) if v else np.array([]) for k, v in rows.items()}


# --- effects, from the onset on ----------------------------------------------------------------------


def since(w: World, of: str = "requests", at: float | None = None) -> Any:
    return getattr(w, of)["t"] >= (w.onset if at is None else at)


def slow(w: World, who: Any, share: float, factor: float = 6.0) -> None:
    """Part of these requests waits longer for its first token."""
    r = w.requests
    hit = who & (w.rng.random(r["t"].size) < share)
    r["ttft"] = np.where(hit, r["ttft"] * factor * np.exp(0.3 * w.rng.standard_normal(hit.size)), r["ttft"])


def fail(w: World, who: Any, share: float, kind: str) -> None:
    """Part of these requests fails."""
    r = w.requests
    hit = who & (w.rng.random(r["t"].size) < share)
    r["bad"] |= hit
    r["kind"] = np.where(hit, kind, r["kind"])


def queues(w: World, place: int | None, height: float, delay: float = 0.0) -> None:
    """Requests wait since the onset, as they do in most slow incidents."""
    s = w.serving
    hit = (s["t"] >= w.onset + delay) & ((s["place"] == place) if place is not None else True)
    s["queue"] = np.where(hit, w.rng.poisson(height, hit.size), s["queue"])


def hurt(w: World, who: Any, place: int | None = None) -> None:
    """Slow or failing, by chance; a slow one often queues."""
    if w.rng.random() < 0.5:
        slow(w, who, float(w.rng.uniform(0.5, 0.9)))
        if w.rng.random() < 0.6 and (place is None or w.places[place].cluster):
            queues(w, place, float(w.rng.uniform(6, 20)), float(w.rng.uniform(0, 120)))
    else:
        fail(w, who, float(w.rng.uniform(0.2, 0.7)), str(w.rng.choice(["provider_error", "timeout", "overloaded"])))
        if w.rng.random() < 0.5:
            again = who & (w.rng.random(who.size) < 0.3)
            w.requests["retry"] |= again


# --- bystanders --------------------------------------------------------------------------------------


def bystanders(w: World, days: float = 14.0, often: float = 1.0) -> None:
    """Changes at their base rates until the end; they have no effect."""
    rng, span = w.rng, days * 86_400
    for kind, (mine, others) in RATES.items():
        for model, rate in ((MODEL, mine), ("other", others)):
            for t in HOURS * 3600 - rng.uniform(0, span, rng.poisson(often * rate * days)):
                w.changes.append(bystander(w, kind, model, float(t)))
    for template in TEMPLATES:
        for t in rng.uniform(0, HOURS * 3600, rng.poisson(12 * HOURS)):
            w.logs.append(
                {
                    "t": float(t),
                    "template": template,
                    "n": int(rng.integers(1, 3)),
                    "place": int(rng.integers(0, len(w.own))),
                }
            )


def bystander(w: World, kind: str, model: str, t: float) -> dict[str, Any]:
    rng = w.rng
    place = w.own[int(rng.integers(0, len(w.own)))]
    change: dict[str, Any] = {"t": t, "kind": kind, "cluster": place.cluster}
    if kind in ("disruption", "xid", "node_add"):
        node = place.nodes[int(rng.integers(0, 2))] if model == MODEL else f"{place.cluster}-x{int(rng.integers(0, 9))}"
        name = f"GPU-{node}-{int(rng.integers(0, 4))}" if kind == "xid" else node
        return {**change, "node": node, "object_kind": "GPU" if kind == "xid" else "Node", "object_name": name}
    who = MODEL if model == MODEL else f"model-{int(rng.integers(0, 20))}"
    named = {
        "object_name": place.name if model == MODEL else f"dep-{who}",
        "model_id": who,
        "object_kind": "Deployment",
    }
    if kind == "scale":
        n = int(rng.integers(2, 6))
        return {**change, **named, "before": str(n), "after": str(n + int(rng.choice([-1, 1])))}
    return {**change, **named, "before": str(int(rng.integers(30, 40))), "after": str(int(rng.integers(41, 60)))}


# --- rows ----------------------------------------------------------------------------------------------


def tables(w: World) -> Mapping[str, pl.DataFrame]:
    """Rows of the real tables."""
    return {
        "attempt": _attempts(w),
        "serving_sample": _serving_rows(w),
        "gpu_sample": _gpu_rows(w),
        "change_event": _change_rows(w),
        "log_event": _log_rows(w),
    }


def _attempts(w: World) -> pl.DataFrame:
    r = w.requests
    n = r["t"].size
    took = r["ttft"] + 0.01 * r["tokens_out"]
    begun = [w.at(t) for t in r["t"]]
    ended = [w.at(t + d) for t, d in zip(r["t"], took, strict=True)]
    place = [w.places[i] for i in r["place"]]
    bad = r["bad"].tolist()
    ids = [f"a{i}" for i in range(n)]
    whole = _blank(Attempt, n) | {
        "ts": ended, "ts_start": begun, "attempt_id": ids, "trace_id": [f"t{i}" for i in range(n)], "model_id": [MODEL] * n,
        "model_requested": [MODEL] * n, "model_served": [None if b else str(v) for b, v in zip(bad, r["version"], strict=True)],
        "provider": [p.provider for p in place], "deployment_id": [p.name for p in place], "operation": ["chat"] * n,
        "cluster": [p.cluster for p in place], "duration_s": took.tolist(),
        "ttft_s": [None if b or not s else float(x) for b, s, x in zip(bad, r["stream"], r["ttft"], strict=True)],
        "stream": r["stream"].tolist(), "status": ["error" if b else "ok" for b in bad],
        "error_kind": [str(k) if b else None for b, k in zip(bad, r["kind"], strict=True)], "tokens_in": r["tokens_in"].tolist(),
        "tokens_out": [None if b else int(x) for b, x in zip(bad, r["tokens_out"], strict=True)], "tokens_cached_in": r["cached"].tolist(),
        "cost_known": [True] * n, "attempt_no": [0] * n, "team_id": r["team"].tolist(), "prompt_version": [str(v) for v in r["prompt"]],
        "quality": [0] * n, "source": ["litellm"] * n,
    }  # fmt: skip
    again = np.flatnonzero(r["retry"])
    first = {k: [v[i] for i in again] for k, v in whole.items()}
    first |= {
        "attempt_id": [f"b{i}" for i in again], "ts": [begun[i] + timedelta(milliseconds=50) for i in again],
        "status": ["error"] * again.size, "error_kind": ["timeout"] * again.size, "ttft_s": [None] * again.size,
    }  # fmt: skip
    whole["attempt_no"] = [int(x) for x in r["retry"]]
    return frame(Attempt.table(), {k: [*first[k], *v] for k, v in whole.items() if k != "ingested_at"})


def _blank(noun: Any, n: int) -> dict[str, list[Any]]:
    return {c.name: [None] * n for c in noun.table().columns}


def _rows(noun: Any, n: int, given: Mapping[str, list[Any]]) -> pl.DataFrame:
    return frame(noun.table(), {k: v for k, v in (_blank(noun, n) | dict(given)).items() if k != "ingested_at"})


def _serving_rows(w: World) -> pl.DataFrame:
    s, n = w.serving, w.serving["t"].size
    return _rows(ServingSample, n, {
        "ts": [w.at(t) for t in s["t"]], "target": [f"http://{p}:8000" for p in s["pod"]], "model_id": [MODEL] * n, "engine": [""] * n,
        "server": ["vllm"] * n, "cluster": [w.places[int(i)].cluster for i in s["place"]], "pod": list(s["pod"]),
        "queue_depth": [float(q) for q in s["queue"]], "kv_util_ratio": [float(k) for k in s["kv"]], "quality": [0] * n, "source": ["vllm"] * n,
    })  # fmt: skip


def _gpu_rows(w: World) -> pl.DataFrame:
    g, n = w.gpus, w.gpus["t"].size
    return _rows(GpuSample, n, {
        "ts": [w.at(t) for t in g["t"]], "device_id": list(g["device"]), "cluster": [w.places[int(i)].cluster for i in g["place"]],
        "node": list(g["node"]), "pod": list(g["pod"]), "util_ratio": [float(u) for u in g["util"]], "sm_clock_mhz": [float(c) for c in g["clock"]],
        "throttle_mask": [int(m) for m in g["mask"]], "state": ["ok"] * n, "quality": [0] * n, "source": ["gpus"] * n,
    })  # fmt: skip


def _change_rows(w: World) -> pl.DataFrame:
    rows = [c for c in w.changes if c["t"] < HOURS * 3600]
    names = [c.name for c in ChangeEvent.table().columns]
    given = {name: [c.get(name) for c in rows] for name in names}
    given |= {
        "ts": [w.at(c["t"]) for c in rows],
        "event_id": [f"e{i}" for i in range(len(rows))],
        "source": ["events"] * len(rows),
    }
    return _rows(ChangeEvent, len(rows), given)


def _log_rows(w: World) -> pl.DataFrame:
    rows, n = w.logs, len(w.logs)
    return _rows(LogEvent, n, {
        "ts": [w.at(r["t"]) for r in rows], "severity_number": [r.get("severity", 13) for r in rows], "severity_text": ["WARN"] * n,
        "service": [r.get("service", "vllm") for r in rows], "template": [r["template"] for r in rows],
        "template_id": [sha256(r["template"].encode()).hexdigest()[:16] for r in rows], "count": [r["n"] for r in rows],
        "model_id": [MODEL] * n, "cluster": [w.own[r["place"]].cluster for r in rows], "quality": [0] * n, "source": ["otlp"] * n,
    })  # fmt: skip
