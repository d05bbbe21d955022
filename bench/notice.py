"""From the first bad request of an outage to the webhook that tells of it: a real service, real HTTP on loopback.

Some models answer well for an hour, then every request of each fails from an instant of its own on. Clocks are not
scaled: minutes are minutes. Beside the time stands its floor, the rule's own: the end of the minute at which the
detector, given the same counts, fires, and `lateness` after it, for rows may come so late.

    python -m bench.notice --outages 8 --lateness 5 --rate 2
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
from receivers import Heard, http
from running import Service, running, until

from detectors.errorbudget import Minutes
from detectors.lanes import Walk
from observe.spec import load
from observe.spec.monitors import derive

PAST_S = 3_600
MODEL = """\
apiVersion: observe/v1
kind: Monitoring
metadata: {{name: {name}}}
slos: [{{name: availability, good: status = ok, objective: 99.9%, window: 30d}}]
"""


@dataclass
class Outage:
    """One model's: when it begins, its first bad request's end, and when the webhook came, epoch seconds."""

    model: str
    begins: float
    first: float = 0.0
    told: float = 0.0
    severity: str = ""
    minutes: dict[int, list[int]] = field(default_factory=dict)  # requests and bad ones by minute


def rows(model: str, instants: list[float], outage: Outage) -> Iterator[dict[str, object]]:
    """Requests that end at these instants, bad from the outage on."""
    for at in instants:
        bad = at >= outage.begins
        if bad:
            outage.first = outage.first or at
        counts = outage.minutes.setdefault(int(at) // 60, [0, 0])
        counts[0] += 1
        counts[1] += bad
        yield {
            "id": f"{model}-{at:.4f}", "trace_id": f"{model}-{at:.4f}", "call_type": "acompletion", "stream": False, "model": model,
            "model_group": model, "status": "failure" if bad else "success", "startTime": at - 0.5, "endTime": at, "prompt_tokens": 9,
            "completion_tokens": 3,
        }  # fmt: skip


def post(client: httpx.Client, body: list[dict[str, object]]) -> None:
    """Hand rows in, a thousand at once."""
    for i in range(0, len(body), 1_000):
        client.post(
            "/ingest/litellm", content=json.dumps(body[i : i + 1_000]), headers={"Content-Type": "application/json"}
        ).raise_for_status()


def past(client: httpx.Client, outages: list[Outage], rate: float, now: float) -> None:
    """An hour in which all answer well."""
    step = 1 / rate
    for o in outages:
        post(client, list(rows(o.model, [now - PAST_S + i * step for i in range(int(PAST_S * rate))], o)))


def hear(heard: list[Heard], outages: list[Outage], offset: float) -> None:
    """Note which outages were told of; receivers note monotonic time, `offset` makes it epoch seconds."""
    for message in heard:
        said = message.json
        if said.get("notice") == "opened":
            for o in outages:
                if said["incident"]["model"] == o.model and not o.told:
                    o.told, o.severity = message.at + offset, said["incident"]["severity"]


def live(client: httpx.Client, heard: list[Heard], outages: list[Outage], rate: float, most_s: float) -> None:
    """Send what answers in each second until all outages were told of."""
    offset, sent = time.time() - time.monotonic(), time.time()
    ends = sent + most_s
    while time.time() < ends and not all(o.told for o in outages):
        time.sleep(max(0.0, sent + 1 - time.time()))
        until_ = time.time()
        instants = [sent + (i + 0.5) / rate for i in range(int((until_ - sent) * rate))]
        post(client, [r for o in outages for r in rows(o.model, instants, o)])
        sent += len(instants) / rate
        hear(heard, outages, offset)


def floor(outage: Outage, site: Path, lateness: float) -> float:
    """Seconds from the first bad request until the rule holds on these counts, and their lateness."""
    [monitor] = [m for m in derive(load(site), {}) if m.detector == "burn" and m.model == outage.model]
    first, last = min(outage.minutes), max(outage.minutes)
    n, bad = np.array([outage.minutes.get(m, [0, 0]) for m in range(first, last + 1)]).T
    walk = Walk(monitor.params, Minutes.of(first, n, bad), first, {})
    walk.to(last + 1)
    fired = min(x.firing.at for m in walk.marks for x in m.lanes if x.firing)
    return fired * 60 + lateness - outage.first


def main() -> None:
    """One service, all outages at once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outages", type=int, default=8)
    parser.add_argument("--lateness", type=int, default=5, help="of attempts, s; the product's default is 60")
    parser.add_argument("--rate", type=float, default=2.0, help="requests a second of each model")
    parser.add_argument("--seed", type=int, default=20_261_121)
    given = parser.parse_args()
    names = [f"m{i}" for i in range(given.outages)]
    os.environ["NOTICE_SECRET"] = "not much of a secret, for a receiver on loopback"
    with tempfile.TemporaryDirectory() as folder, http() as hook:
        more = (
            f'alerts: {{interval: 20s, receivers: {{hook: {{type: webhook, url: "{hook.url}/hook", secret: "env:NOTICE_SECRET"}}}}}}\n'
            f"lateness: {{attempts: {given.lateness}s}}"
        )
        with running(Path(folder), more=more, models={n: MODEL.format(name=n) for n in names}) as service:
            outages = measured(service, hook.heard, names, given)
            told = [o for o in outages if o.told]
            floors = [floor(o, service.site, given.lateness) for o in told]
    took = [o.told - o.first for o in told]
    over = [t - f for t, f in zip(took, floors, strict=True)]
    print(json.dumps({
        "bench": "notice", "outages": len(outages), "told": len(told), "severities": sorted({o.severity for o in told}), "lateness_s": given.lateness, "requests_a_second": given.rate,
        "median_s": round(statistics.median(took), 1), "p95_s": round(float(np.quantile(took, 0.95)), 1), "most_s": round(max(took), 1),
        "floor_median_s": round(statistics.median(floors), 1), "over_floor_median_s": round(statistics.median(over), 1),
        "over_floor_most_s": round(max(over), 1), "seed": given.seed,
    }))  # fmt: skip


def measured(service: Service, heard: list[Heard], names: list[str], given: argparse.Namespace) -> list[Outage]:
    """The outages, each with when it began and when it was told of."""
    rng = np.random.default_rng(given.seed)
    now = time.time()
    outages = [Outage(n, now + 1e9) for n in names]
    with service.client() as client:
        past(client, outages, given.rate, now)
        until(lambda: service.sql("select count(*) as n from slo_status").item() == len(names), 240)
        began = time.time()
        print(f"# all judged {began - now:.0f} s after the past was sent", file=sys.stderr)
        for o, wait in zip(outages, rng.uniform(5, 65, len(names)), strict=True):
            o.begins = began + float(wait)
        gap = [now + i / given.rate for i in range(int((began - now) * given.rate))]
        post(client, [r for o in outages for r in rows(o.model, gap, o)])
        live(client, heard, outages, given.rate, 420)
    return outages


if __name__ == "__main__":
    main()
