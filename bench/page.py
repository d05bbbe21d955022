"""A page's server time: the demo's pages over HTTP with a session, medians and p95 of 20 loads each.

The floor is the login page of the same process, which reads nothing.
"""

import json
import os
import statistics
import tempfile
from pathlib import Path
from time import perf_counter, sleep

import httpx

from observe.cli.demo import Demo
from observe.clock import WallClock
from observe.demo import site
from observe.demo.world import Plan


def loads(client: httpx.Client, ask: dict[str, object] | str, n: int = 20) -> list[float]:
    took = []
    for _ in range(n):
        began = perf_counter()
        answer = client.get(ask) if isinstance(ask, str) else client.post("/_dash-update-component", json=ask)
        took.append(perf_counter() - began)
        assert answer.status_code in {200, 401}, answer.text[:300]
    return took


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        demo = Demo(Path(folder), site.free_ports(), Plan(WallClock().now()), quiet=True)
        try:
            demo.start(demo.prepare())
            sleep(float(os.environ.get("BENCH_WARM_S", "30")))
            measure(demo)
        finally:
            demo.stop()


def measure(demo: Demo) -> None:
    base = f"http://127.0.0.1:{demo.ports.ui}"
    with httpx.Client(base_url=base, trust_env=False, timeout=30, follow_redirects=True) as client:
        client.get(demo.once_link())
        floor = statistics.median(loads(client, "/login"))
        print(
            json.dumps(
                {
                    "name": "login page (floor)",
                    "command": "python -m bench.page",
                    "figure": round(floor * 1000, 1),
                    "unit": "ms",
                }
            )
        )


if __name__ == "__main__":
    main()
