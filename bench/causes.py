"""Is the true cause of an incident named first, and is nothing named where there is none?

Each scenario is a platform of its own (`causes_world`): five hours of requests, GPU and server samples and log
messages, fourteen days of changes at their base rates, one thing that goes wrong (or, of the nulls, none of those that
are seen). All of it goes through the real store and the real stages; what is judged is the row of `explanation`
twelve minutes after the incident opened, and the one written with the opening.

    python -m bench.causes --seed 20261121
    python -m bench.causes --seed 1 --planted 13 --nulls 5 --verbose
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from bench.causes_world import (
    END,
    HOURS,
    MODEL,
    World,
    build,
    bystander,
    bystanders,
    fail,
    hurt,
    queues,
    since,
    slow,
    tables,
    world,
)
from observe.app.declaring import declared
from observe.app.replaying import InProcess
from observe.app.stages import Stages
from observe.clock import EventClock, RisingClock
from observe.schema import Batch
from observe.spec import load
from observe.store import Store
from observe.telemetry import Telemetry

SITE = "apiVersion: observe/v1\nkind: Site\nstore: {path: ./data}\n"
MONITORING = f"""\
apiVersion: observe/v1
kind: Monitoring
metadata: {{name: {MODEL}}}
slos:
  - {{name: ttft, latency: ttft_s, below: 800ms, objective: 99.8%, window: 30d}}
  - {{name: availability, good: status = ok, objective: 99.9%, window: 30d}}
"""
END_S = HOURS * 3600
PATIENCE = timedelta(minutes=12)


@dataclass(frozen=True)
class Truth:
    """What was planted: kinds and subjects that name it; of a null nothing."""

    kinds: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()


def change(w: World, kind: str, **more: Any) -> None:
    w.changes.append({"t": w.cause_at, "kind": kind, **more})


def an_own(w: World) -> int:
    return int(w.rng.integers(0, len(w.own)))


def deploy(w: World) -> Truth:
    i = an_own(w)
    p = w.places[i]
    change(
        w,
        "deploy",
        object_kind="Deployment",
        object_name=p.name,
        model_id=MODEL,
        cluster=p.cluster,
        before="v40",
        after="v41",
    )
    w.effects.append(lambda w: hurt(w, since(w) & (w.requests["place"] == i), i))
    return Truth(("deploy",), (p.name,))


def config(w: World) -> Truth:
    change(
        w,
        "config",
        object_kind="ConfigMap",
        object_name="gateway-routes",
        model_id=MODEL if w.rng.random() < 0.7 else None,
    )
    w.effects.append(lambda w: hurt(w, since(w)))
    return Truth(("config",), ("gateway-routes",))


def prompt(w: World) -> Truth:
    change(w, "prompt", object_kind="Prompt", object_name="chat-system", model_id=MODEL, before="v7", after="v8")

    def effect(w: World) -> None:
        r = w.requests
        new = since(w, at=w.cause_at) & (w.rng.random(r["t"].size) < 0.6)
        r["prompt"] = np.where(new, "v8", r["prompt"])
        hurt(w, new & since(w))

    w.effects.append(effect)
    return Truth(("version",), ("chat-system",))


def model_version(w: World) -> Truth:
    change(
        w, "model_version", object_kind="Model", object_name=MODEL, model_id=MODEL, before="chat-41", after="chat-42"
    )

    def effect(w: World) -> None:
        r = w.requests
        new = since(w, at=w.cause_at) & (w.rng.random(r["t"].size) < 0.5)
        r["version"] = np.where(new, "chat-42", r["version"])
        slow(w, new & since(w), 0.8)

    w.effects.append(effect)
    return Truth(("version",), (MODEL,))


def scale_down(w: World) -> Truth:
    i = an_own(w)
    p = w.places[i]
    change(
        w,
        "scale",
        object_kind="Deployment",
        object_name=p.name,
        model_id=MODEL,
        cluster=p.cluster,
        before="6",
        after="3",
    )

    def effect(w: World) -> None:
        slow(w, since(w) & (w.requests["place"] == i), 0.7)
        queues(w, i, 15, 0)

    w.effects.append(effect)
    return Truth(("scale",), (p.name,))


def xid(w: World) -> Truth:
    i = an_own(w)
    p, k = w.places[i], int(w.rng.integers(0, 2))
    device = f"GPU-{p.nodes[k]}-{int(w.rng.integers(0, 4))}"
    change(
        w,
        "xid",
        object_kind="GPU",
        object_name=device,
        node=p.nodes[k],
        cluster=p.cluster,
        after="79",
        message=f"XID 79 of {device}",
    )
    w.effects.append(lambda w: hurt(w, since(w) & (w.requests["place"] == i) & (w.requests["pod"] == k), i))
    return Truth(("xid",), (device,))


def disruption(w: World) -> Truth:
    i = an_own(w)
    p, k = w.places[i], int(w.rng.integers(0, 2))
    change(
        w,
        "disruption",
        object_kind="Node",
        object_name=p.nodes[k],
        node=p.nodes[k],
        cluster=p.cluster,
        message="node drained: spot interruption",
    )

    def effect(w: World) -> None:
        slow(w, since(w) & (w.requests["place"] == i), 0.6)
        queues(w, i, 12, 30)

    w.effects.append(effect)
    return Truth(("node",), (p.nodes[k],))


def throttle(w: World) -> Truth:
    i = an_own(w)
    p, k = w.places[i], int(w.rng.integers(0, 2))

    def effect(w: World) -> None:
        g = w.gpus
        hot = (g["node"] == p.nodes[k]) & (g["t"] >= w.cause_at)
        g["mask"], g["clock"] = np.where(hot, 0x40, g["mask"]), np.where(hot, 1100.0, g["clock"])
        slow(w, since(w) & (w.requests["place"] == i) & (w.requests["pod"] == k), 0.8)
        queues(w, i, 8, 60)

    w.effects.append(effect)
    return Truth(("throttle",), (p.nodes[k],))


def provider(w: World) -> Truth:
    foreign = [i for i, p in enumerate(w.places) if not p.cluster]
    if not foreign:
        from bench.causes_world import Place

        parts = [0.7 * p.part for p in w.places]
        for p, part in zip(w.places, parts, strict=True):
            p.part = part
        w.places.append(Place("openai-chat", "openai", None, (), 1.0 - sum(parts)))
        foreign = [len(w.places) - 1]
    i = foreign[0]
    w.onset = w.cause_at
    w.effects.append(
        lambda w: fail(
            w,
            since(w) & (w.requests["place"] == i),
            float(w.rng.uniform(0.2, 0.6)),
            str(w.rng.choice(["overloaded", "rate_limited", "provider_error"])),
        )
    )
    return Truth(("provider",), (w.places[i].provider,))


def surge(w: World) -> Truth:
    w.surge = float(w.rng.uniform(2.0, 3.5))

    def effect(w: World) -> None:
        slow(w, since(w), 0.6)
        queues(w, None, 15, 0)

    w.effects.append(effect)
    return Truth(("traffic",), (MODEL,))


def long_prompts(w: World) -> Truth:
    def effect(w: World) -> None:
        r = w.requests
        long = since(w, at=w.cause_at) & (w.rng.random(r["t"].size) < 0.35)
        r["tokens_in"] = np.where(long, r["tokens_in"] * 6 + 6000, r["tokens_in"])
        slow(w, long & since(w), 0.8)
        slow(w, since(w) & ~long, 0.15)
        queues(w, None, 6, 60)

    w.effects.append(effect)
    return Truth(("tokens",), (MODEL,))


def cache_loss(w: World) -> Truth:
    def effect(w: World) -> None:
        r = w.requests
        cold = since(w, at=w.cause_at)
        r["cached"] = np.where(cold, (r["cached"] * 0.05).astype(np.int64), r["cached"])
        slow(w, since(w), 0.5)
        if w.rng.random() < 0.5:
            queues(w, None, 6, 60)

    w.effects.append(effect)
    return Truth(("cache",), (MODEL,))


def kv_full(w: World) -> Truth:
    i = an_own(w)
    p = w.places[i]

    def effect(w: World) -> None:
        s = w.serving
        full = (s["place"] == i) & (s["t"] >= w.cause_at)
        s["kv"] = np.where(full, np.clip(0.97 + 0.01 * w.rng.standard_normal(full.size), 0, 1), s["kv"])
        slow(w, since(w) & (w.requests["place"] == i), 0.7)
        queues(w, i, 8, 30)

    w.effects.append(effect)
    return Truth(("kv",), (str(p.cluster),))


def nothing(w: World) -> Truth:
    """Something goes wrong that nobody records: for all, for one place or one team."""
    which = int(w.rng.integers(0, 3))
    i, team = an_own(w), str(w.rng.choice(["acme", "globex"]))

    def effect(w: World) -> None:
        r = w.requests
        who = since(w) & (
            np.ones(r["t"].size, bool) if which == 0 else r["place"] == i if which == 1 else r["team"] == team
        )
        hurt(w, who, i if which == 1 else None)

    w.effects.append(effect)
    return Truth()


KINDS: dict[str, Callable[[World], Truth]] = {
    "deploy": deploy, "config": config, "prompt": prompt, "model_version": model_version, "scale down": scale_down, "xid": xid,
    "disruption": disruption, "throttle": throttle, "provider": provider, "surge": surge, "long prompts": long_prompts,
    "cache loss": cache_loss, "kv full": kv_full,
}  # fmt: skip


# --- kinds that were written when the scoring was frozen ------------------------------------------------


def certificate(w: World) -> Truth:
    """Only the log says it: a certificate has expired, and calls begin to fail."""
    i, template = an_own(w), "x509: certificate of <*> has expired"
    for t in np.arange(w.cause_at, END_S, 30.0):
        w.logs.append(
            {"t": float(t), "template": template, "n": int(w.rng.integers(3, 12)), "place": i, "severity": 17}
        )
    w.effects.append(lambda w: fail(w, since(w) & (w.requests["place"] == i), 0.6, "auth"))
    return Truth(("log",), (sha256(template.encode()).hexdigest()[:16],))


def driver(w: World) -> Truth:
    """A driver upgrade of one node, told without the model it concerns."""
    i = an_own(w)
    p, k = w.places[i], int(w.rng.integers(0, 2))
    change(
        w,
        "driver",
        object_kind="Node",
        object_name=p.nodes[k],
        node=p.nodes[k],
        cluster=p.cluster,
        before="570",
        after="580",
    )
    w.effects.append(lambda w: hurt(w, since(w) & (w.requests["place"] == i) & (w.requests["pod"] == k), i))
    return Truth(("config",), (p.nodes[k],))


def tenant(w: World) -> Truth:
    """One tenant sends many times as much as before; everybody waits."""
    w.surge = float(w.rng.uniform(2.0, 3.0))

    def effect(w: World) -> None:
        r = w.requests
        more = since(w, at=w.cause_at) & (w.rng.random(r["t"].size) < 1 - 1 / w.surge)
        r["team"] = np.where(more, "globex", r["team"])
        slow(w, since(w), 0.5)
        queues(w, None, 10, 60)

    w.effects.append(effect)
    return Truth(("traffic",), (MODEL,))


UNSEEN: dict[str, Callable[[World], Truth]] = {"certificate": certificate, "driver": driver, "tenant": tenant}


def run(folder: Path, w: World) -> dict[str, Any]:
    """Live through the last hour; the explanations at the opening and twelve minutes later."""
    (folder / "models").mkdir(parents=True)
    (folder / "observe.yaml").write_text(SITE)
    (folder / "models" / "chat.yaml").write_text(MONITORING)
    settings = load(folder / "observe.yaml")
    clock = EventClock(w.at(0))
    store = Store.open(folder / "data", RisingClock(clock))
    telemetry = Telemetry()
    try:
        for key, value in declared(settings).items():
            store.set_setting(key, value)
        stages = Stages(settings, store, clock, telemetry)
        for table, rows in tables(w).items():
            store.append(Batch("bench", table, {table: rows}))
        return _live(store, clock, stages, w)
    finally:
        telemetry.close()
        store.close()


def _live(store: Store, clock: EventClock, stages: Stages, w: World) -> dict[str, Any]:
    at, opened, took, first = w.at(w.cause_at - 300), None, [], None
    while at < END + timedelta(minutes=20):
        clock.set(at)
        begun = monotonic()
        stages.tick(("burn",), InProcess(), at)
        took.append(monotonic() - begun)
        rows = store.read(
            "select e.*, i.opened_at from explanation e join incident i using (incident_id) order by i.opened_at limit 1"
        )
        if opened is None and rows.height:
            opened, first = rows["opened_at"][0], rows.row(0, named=True)
        if opened is not None and at >= opened + PATIENCE:
            last = store.read("select * from explanation where incident_id = $id", {"id": first["incident_id"]}).row(
                0, named=True
            )
            cause = store.read("select cause from incident where incident_id = $id", {"id": first["incident_id"]})[
                "cause"
            ][0]
            return {
                "opened": (opened - w.at(w.onset)).total_seconds(),
                "first": first,
                "last": last,
                "cause": cause,
                "slowest_s": max(took[1:]),
            }
        at += timedelta(minutes=2 if opened is None else 4)
    return {"opened": None}


def decoy(w: World) -> None:
    """Beyond the base rate: an innocent change of the same model within the hour and a half before."""
    kind = str(w.rng.choice(["deploy", "config", "scale", "prompt"]))
    w.changes.append(bystander(w, kind, MODEL, w.cause_at - float(w.rng.uniform(300, 5400))))


def vaguely(w: World) -> None:
    """As poor sources tell them: half of the changes name neither model nor place."""
    for c in w.changes:
        if w.rng.random() < 0.5:
            c.update(model_id=None, cluster=None)


def scenario(name: str, seed: int, verbose: bool = False, vague: bool = False) -> dict[str, Any]:
    """One scenario, judged; a vague one has three times the bystanders, always a decoy, and changes that say little."""
    w = world(seed)
    truth = {**KINDS, **UNSEEN, "none": nothing}[name](w)
    bystanders(w, often=3.0 if vague else 1.0)
    if truth.kinds and (vague or w.rng.random() < 0.5):
        decoy(w)
    if vague:
        vaguely(w)
    build(w)
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), w)
    row: dict[str, Any] = {"kind": name, "seed": seed, "opened_s": found["opened"]}
    if found["opened"] is None:
        return {**row, "right": False, "first": "no incident"}
    for label in ("first", "last"):
        causes, verdict = json.loads(found[label]["causes"]), found[label]["verdict"]
        named = bool(causes) and causes[0]["kind"] in truth.kinds and causes[0]["subject"] in truth.subjects
        right = named if truth.kinds else verdict != "cause"
        row |= {f"{label}_right": right, f"{label}_verdict": verdict}
    row |= {"top": [(c["kind"], c["subject"], c["score"]) for c in causes[:3]], "unexplained": found["last"]["unexplained"],
            "differs": [(d["dimension"], d["value"], d["low"]) for d in json.loads(found["last"]["differs"])[:2]],
            "truth": truth.kinds, "tick_s": round(found["slowest_s"], 2), "right": row["last_right"]}  # fmt: skip
    if verbose:
        row |= {"text": found["last"]["text"], "why": [c["why"] for c in causes[:2]]}
    return row


def told(rows: list[dict[str, Any]], nulls: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """The figures."""
    new = [r for r in rows if r["kind"] in UNSEEN]
    clear = [r for r in rows if r["right"] and r.get("last_verdict") == "cause"]
    seen = [r for r in rows if r.get("opened_s") is not None]
    return [
        {"name": "true cause first", "figure": sum(r["right"] for r in rows), "of": len(rows), "gate": ">= 90 %"},
        {"name": "of kinds unseen while building", "figure": sum(r["right"] for r in new), "of": len(new)},
        {"name": "true cause first and called the cause", "figure": len(clear), "of": len(rows)},
        {
            "name": "another one called the cause",
            "figure": sum(not r["right"] and r.get("last_verdict") == "cause" for r in rows),
            "of": len(rows),
        },
        {
            "name": "true cause first when the incident opened",
            "figure": sum(bool(r.get("first_right")) for r in rows),
            "of": len(rows),
        },
        {
            "name": "no cause planted: no clear cause",
            "figure": sum(r["right"] for r in nulls),
            "of": len(nulls),
            "gate": ">= 13 of 15",
        },
        {"name": "incident opened", "figure": len(seen), "of": len(rows)},
        {
            "name": "slowest tick, s",
            "figure": max([r.get("tick_s", 0.0) for r in (*rows, *nulls)], default=0.0),
            "seed": seed,
            "at": datetime.now(UTC).isoformat()[:16],
        },
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--planted", type=int, default=50)
    parser.add_argument("--nulls", type=int, default=15)
    parser.add_argument("--only", default="")
    parser.add_argument("--vague", action="store_true", help="harder: see scenario")
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args()
    names = [n for n in (*KINDS, *UNSEEN) if given.only in n]
    rows, nulls = [], []
    for i in range(given.planted):
        rows.append(scenario(names[i % len(names)], given.seed + i, given.verbose, given.vague))
        print(json.dumps(rows[-1]), flush=True)
    for i in range(given.nulls):
        nulls.append(scenario("none", given.seed + 500 + i, given.verbose, given.vague))
        print(json.dumps(nulls[-1]), flush=True)
    for line in told(rows, nulls, given.seed):
        print(json.dumps(line))
    return 0


if __name__ == "__main__":
    sys.exit(main())
