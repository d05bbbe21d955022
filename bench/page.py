"""A page's server time and size: what a browser's first view of each page asks of the face process.

Every load is the callback that renders the page, over HTTP with a session, as the browser posts it.
Uncached loads name a new range each time, so no result is held for them; a cached load repeats the
one before it. The floor is the login page of the same process, which reads nothing.

Without `BENCH_UI` (address of running pages) and `BENCH_TOKEN` a demo is started for the run; with
`--days 7 --gpus 1000 --requests 10000000` a service over a past of that size, its pages for each range.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter, sleep

import httpx

from bench import fleet
from observe.cli.demo import Demo
from observe.clock import WallClock
from observe.demo import site
from observe.demo.world import Plan

LOADS = 30  # of each page, cached and uncached
WARM_S = 45.0  # until both planted incidents are open
LARGE = ("/", "/model/chat-0", "/gpu")
PAGES = (
    "/",
    "/model/llama-70b-chat",
    "/model/mistral-7b",
    "/model/fraud",
    "/gpu",
    "/incidents",
    "/slos",
    "/slos?id=llama-70b-chat.ttft",
)


@contextmanager
def large(days: float, gpus: int, requests: int) -> Iterator[tuple[str, str]]:
    """The same of a service over a past of `days`."""
    with tempfile.TemporaryDirectory() as named:
        folder, ports = Path(named), site.free_ports()
        began = perf_counter()
        fleet.fill(folder / "data", WallClock().now(), days, gpus, requests)
        print(f"# filled in {perf_counter() - began:.0f} s", file=sys.stderr)
        (folder / "models").mkdir()
        (folder / "models" / "chat.yaml").write_text(fleet.MODEL)
        (folder / "observe.yaml").write_text(fleet.SITE % (ports.api, ports.otlp, ports.ui))
        with (folder / "log").open("wb") as log:
            command = [sys.executable, "-m", "observe", "up", "-c", str(folder / "observe.yaml")]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _until(f"http://127.0.0.1:{ports.ui}/login")
            sleep(float(os.environ.get("BENCH_WARM_S", WARM_S)))
            yield f"http://127.0.0.1:{ports.ui}", (folder / "data" / "admin.token").read_text().strip()
        finally:
            process.terminate()
            process.wait()


def _until(url: str) -> None:
    for _ in range(600):
        try:
            if httpx.get(url, timeout=2, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            sleep(0.2)
    raise SystemExit(f"{url} does not answer")


@contextmanager
def service() -> Iterator[tuple[str, str]]:
    """Address of the pages and a token: of a running service, else of a demo for the run."""
    if "BENCH_UI" in os.environ:
        yield os.environ["BENCH_UI"], os.environ["BENCH_TOKEN"]
        return
    with tempfile.TemporaryDirectory() as folder:
        demo = Demo(Path(folder), site.free_ports(), Plan(WallClock().now()), quiet=True)
        try:
            demo.start(demo.prepare())
            sleep(float(os.environ.get("BENCH_WARM_S", WARM_S)))
            yield f"http://127.0.0.1:{demo.ports.ui}", demo.token
        finally:
            demo.stop()


def timed(client: httpx.Client, ask: Mapping[str, object]) -> tuple[float, int]:
    """Seconds until the whole answer is here, and its bytes on the wire."""
    began = perf_counter()
    with client.stream("POST", "/_dash-update-component", json=ask) as answer:
        body = answer.read()
    took = perf_counter() - began
    assert answer.status_code == 200, body[:300]
    assert b"could not be filled" not in body, "a card failed; its reason is on the page"
    return took, answer.num_bytes_downloaded


def callback(client: httpx.Client, path: str, days: float) -> Iterator[Mapping[str, object]]:
    """What the browser posts to draw `path`, each time for another range of `days`."""
    known = client.get("/_dash-dependencies").json()
    draw = next(c for c in known if c["output"] == "page.children")
    now = datetime.now(UTC).replace(microsecond=0)
    for seconds in range(10_000):
        end = now - timedelta(seconds=seconds)
        search = f"?from={(end - timedelta(days=days)).isoformat()[:19]}&to={end.isoformat()[:19]}"
        bare, _, asked = path.partition("?")
        given = {"pathname": bare, "search": search + (f"&{asked}" if asked else "")}
        inputs = [{**i, "value": given.get(i["property"], "dark" if i["id"] == "look" else "")} for i in draw["inputs"]]
        yield {
            "output": draw["output"], "outputs": {"id": "page", "property": "children"}, "inputs": inputs, "state": [],
            "changedPropIds": ["url.search"],
        }  # fmt: skip


def report(name: str, figure: float, unit: str, peer: str, ratio: float) -> None:
    """One line of figures."""
    print(json.dumps({
        "name": name, "command": "python -m bench.page", "figure": round(figure, 1), "unit": unit, "peer": peer, "ratio": round(ratio, 2),
    }), flush=True)  # fmt: skip


def measure(client: httpx.Client, pages: Sequence[str] = PAGES, days: float = 1.0) -> None:
    """Print the figures of every page."""
    floors = []
    for _ in range(LOADS):
        began = perf_counter()
        client.get("/login").raise_for_status()
        floors.append((perf_counter() - began) * 1000)
    floor = statistics.median(floors)
    report("login page (floor), median", floor, "ms", "", 1.0)
    for path in pages:
        asks = callback(client, path, days)
        timed(client, next(asks))
        fresh, again, size = [], [], 0
        for _ in range(LOADS):
            ask = next(asks)
            took, size = timed(client, ask)
            fresh.append(took * 1000)
            again.append(timed(client, ask)[0] * 1000)
        beside = f"login page {floor:.1f} ms"
        for name, took in (("uncached", fresh), ("cached", again)):
            report(f"{path} {name}, median", statistics.median(took), "ms", beside, statistics.median(took) / floor)
            p95 = statistics.quantiles(took, n=20, method="inclusive")[-1]
            report(f"{path} {name}, p95", p95, "ms", beside, p95 / floor)
        report(f"{path} payload, gzip", size / 1000, "kB", "limit 150 kB", size / 150_000)


def main() -> None:
    """Sign in and measure."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--days", type=float, default=0.0, help="length of the past; 0: the demo")
    asked.add_argument("--gpus", type=int, default=1000)
    asked.add_argument("--requests", type=int, default=10_000_000)
    size = asked.parse_args()
    started = large(size.days, size.gpus, size.requests) if size.days else service()
    with started as (address, token), httpx.Client(base_url=address, trust_env=False, timeout=30) as client:
        client.headers["origin"] = address
        sign_in(client, token)
        if not size.days:
            measure(client)
        for days in (d for d in (1.0, size.days) if size.days):
            print(f"# ranges of {days:g} d", file=sys.stderr)
            measure(client, LARGE, days)


def sign_in(client: httpx.Client, token: str) -> None:
    """A session's cookie for the client, as the login form gives it."""
    answer = client.post("/login", data={"token": token, "next": "/"})
    assert answer.status_code == 303, answer.text[:300]


if __name__ == "__main__":
    main()
