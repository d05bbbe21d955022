"""What to do about an incident, in one line: from its kind, its cause and where capacity is idle.

Source: our own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from alerts import wording
from observe.schema import Finding, Incident, Json
from observe.spec.clusters import may_lie
from observe.spec.normal import ADVICE

if TYPE_CHECKING:
    from observe.spec import Config

FRESH: Final = timedelta(hours=1)  # an imbalance counted longer ago says nothing about now
_SKU = re.compile(r"\b(?:[A-Z]{1,2}\d{2,4}[A-Z]?|MI\d{3}X?)\b")


def suggest(incident: Incident, signals: Sequence[Finding], config: Config, now: datetime) -> str | None:
    """What to do, or None when we have no better idea than the reader."""
    parts = [capacity(incident, signals, config, now)] if incident.severity == "page" else []
    parts.append(_of_cause(incident.cause) if incident.kind in ("slo", "silence") else None)
    parts.append(_of_kind(incident))
    found = [p for p in parts if p]
    return "; ".join(found[:2]) or None


def capacity(incident: Incident, signals: Sequence[Finding], config: Config, now: datetime) -> str | None:
    """Where idle devices could take the load of a model whose clusters are full.

    The details of an imbalance say, for `idle` and `busy`, the cluster, the sku and how many are idle. A cluster in
    which the model's data may not lie is not named; where that is not declared, it is said.
    Example: "57 idle H100 in us-east could take it".
    """
    mine = wording.clusters(incident.model, config)
    counted = [f for f in signals if f.kind == "imbalance" and f.state == "alarm" and f.window_end > now - FRESH]
    for f in sorted(counted, key=lambda f: (f.window_end, f.finding_id), reverse=True):
        idle, busy = (f.details.get(side) or {} for side in ("idle", "busy"))
        if not idle or (mine and busy.get("cluster") not in mine):
            continue
        allowed, why = may_lie(wording.spec_of(incident.model, config), str(idle["cluster"]), config.site.clusters)
        if allowed is not False:
            doubt = "" if allowed else f" if its data may lie there: {why}"
            return f"{idle['idle']} idle {sku(str(idle['sku']))} in {idle['cluster']} could take it{doubt}"
    return None


def sku(text: str) -> str:
    """The short name of an accelerator.

    >>> sku("NVIDIA H100 80GB HBM3"), sku("idle boards")
    ('H100', 'GPUs')
    """
    found = _SKU.search(text)
    return found[0] if found else "GPUs"


def _of_cause(cause: Json | None) -> str | None:
    if cause is None:
        return None
    subject = cause["subject"]
    return {
        "xid": f"take {subject} out of service and look at its XID",
        "gpu": f"look at the GPUs first: {cause['note']}",
        "queue": "add replicas or shed load: requests wait",
        "deploy": f"compare with the version before {subject}, roll back if it differs",
        "scale": f"scale {subject} up again",
        "node": f"see that the pods of {subject} run elsewhere",
        "provider": f"route away from {subject} until it answers again",
        "traffic": "add replicas or limit the clients that send more",
        "tokens": "limit prompt lengths, or route long prompts to replicas of their own",
        "cache": "see why prompts no longer share a prefix, or why the cache is gone",
        "kv": "add replicas or lower the number of sequences served at once",
        "data": f"look at the run of {subject}, go back to the data before it",
        "drift": f"see why {subject} changed before changing the model",
        "log": f"read the log: {cause['note']}",
    }.get(str(cause["kind"]))


def _of_kind(incident: Incident) -> str | None:
    return {
        "canary": "roll back; the finding lists every question with its ratio",
        "performance": "look at the slices and at what moved; retrain if labels keep saying so",
        "skew": f"compare how this feature is made for training and for serving; {ADVICE['skew']}",
        "drift": ADVICE["drift"],
        "silence": "check that the target is up and reachable from here",
        "imbalance": "move load, or give the idle devices back",
        "gpu": "look at the device's clock, heat, links and neighbours; move its work elsewhere if it stays behind",
    }.get(incident.kind)
