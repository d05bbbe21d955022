"""Does anything that people or detectors do stand before intake? Acknowledgement p99 with all of it, against intake alone.

    python -m bench.isolation [--rounds 3]

Alone: 200 bodies/s of 5 spans into an empty service. Together: the same while a month of two models with 40
features each is summarised, fitted and judged (detector ticks and refits), 20 page callbacks a second
are answered, a person's cross join runs in the sandbox without pause, and everything is sealed every
three seconds. The rounds alternate, so that a noisy machine is noisy for both. Goal: at most twice.

Source: ARCHITECTURE section 4 for the split of processes that makes it so.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

import httpx
import numpy as np
import polars as pl
from running import Service, running, until

from bench.intake import open_loop
from bench.page import callback, sign_in
from observe.app.importing import import_tables
from observe.clock import WallClock
from observe.store import Store

MODELS, FEATURES, DAYS = 2, 40, 28
CALLBACKS_PER_S = 20
HEAVY = "select count(*) from predictions.m0 a, predictions.m0 b where a.f0 < b.f1"
MONITORING = "apiVersion: observe/v1\nkind: Monitoring\nmetadata: {{name: {name}}}\ndrift: {{source: predictions}}\n"
SEALING = "import observe.app.core as c; c.SEAL_S = 3.0; from observe.cli import main; main()"


def past(now: datetime) -> dict[str, pl.DataFrame]:
    """A month of predictions, 60 an hour and model."""
    rng = np.random.default_rng(20261121)
    n = DAYS * 24 * 60
    start = (now - timedelta(days=DAYS)).replace(second=0, microsecond=0)
    ts = pl.Series([start + timedelta(minutes=i) for i in range(n)]).cast(pl.Datetime("us", "UTC"))
    tables = {}
    for m in range(MODELS):
        features = {f"f{i}": rng.lognormal(0, 0.5, n) for i in range(FEATURES)}
        ids = [f"m{m}-{i}" for i in range(n)]
        tables[f"prediction:m{m}"] = pl.DataFrame(
            {"ts": ts, "prediction_id": ids, "score": rng.uniform(size=n), **features}
        )
    return tables


@contextmanager
def repeated(job: "threading.Thread", stop: threading.Event) -> Iterator[None]:
    """A thread that runs beside."""
    job.start()
    try:
        yield
    finally:
        stop.set()
        job.join()


def people(service: Service, stop: threading.Event, drawn: Counter[str]) -> None:
    """20 callbacks a second on three pages; one in twenty asks for a new range."""
    with httpx.Client(base_url=f"http://127.0.0.1:{service.ui_port}", trust_env=False, timeout=60) as client:
        client.headers["origin"] = str(client.base_url).rstrip("/")

        def answers() -> bool:
            with suppress(httpx.HTTPError):
                return client.get("/login").status_code == 200
            return False

        until(answers, 60)
        sign_in(client, service.token)
        asks = [callback(client, path, 1) for path in ("/", "/model/m0", "/gpu")]
        now = [next(a) for a in asks]
        while not stop.wait(1 / CALLBACKS_PER_S):
            which = drawn["pages"] % 3
            if drawn["pages"] % CALLBACKS_PER_S == 0:
                now[which] = next(asks[which])
            client.post("/_dash-update-component", json=now[which]).raise_for_status()
            drawn["pages"] += 1


def analyst(service: Service, stop: threading.Event, drawn: Counter[str]) -> None:
    """One heavy query after the other; each is ended by the sandbox or answers."""
    while not stop.is_set():
        with service.client() as client, suppress(httpx.HTTPError):
            client.post("/api/v1/sql", json={"sql": HEAVY})
        drawn["queries"] += 1


def p99(service: Service) -> float:
    """Of acknowledgements, ms."""
    took = asyncio.run(open_loop(service.otlp_port, service.token, "POST /v1/traces", 200, 5))
    return statistics.quantiles(took, n=100)[98] * 1000


def alone(folder: Path) -> float:
    """Nothing else goes on."""
    with running(folder) as service:
        asyncio.run(open_loop(service.otlp_port, service.token, "POST /v1/traces", 200, 5))  # warm
        return p99(service)


def together(folder: Path) -> tuple[float, dict[str, float]]:
    """Everything goes on at once; the figure, and proof that it did."""
    models = {f"m{m}": MONITORING.format(name=f"m{m}") for m in range(MODELS)}
    service = Service(folder, models=models)
    now = WallClock().now()
    store = Store.open(folder / "data", WallClock())
    import_tables(store, past(now), "bench", now)
    store.close()
    drawn: Counter[str] = Counter()
    stop = threading.Event()
    service.command = [sys.executable, "-c", SEALING, "up", "-c", str(service.site)]
    with ExitStack() as held:
        service.start()
        held.callback(service.stop)
        for job in (people, analyst):
            held.enter_context(repeated(threading.Thread(target=job, args=(service, stop, drawn), daemon=True), stop))
        asyncio.run(open_loop(service.otlp_port, service.token, "POST /v1/traces", 200, 5))  # warm
        until(lambda: drawn["pages"] > CALLBACKS_PER_S, 60)
        before = dict(drawn)
        figure = p99(service)
        done = {k: drawn[k] - before.get(k, 0) for k in drawn}
        stages = service.metric("observe_stage_seconds_count")
        wanted = ("summarise", "detect.level", "seal")
        stopped = service.metric("observe_loop_held_total")
        print(json.dumps({"held the event loop": dict(sorted(stopped.items(), key=lambda kv: -kv[1])[:8])}))
        return figure, {**done, **{s: stages.get(f'{{stage="{s}"}}', 0.0) for s in wanted}}


def main() -> None:
    """Alternate, and print the medians and their ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    quiet, busy, proof = [], [], {}
    began = perf_counter()
    for _ in range(asked.rounds):
        with tempfile.TemporaryDirectory() as folder:
            quiet.append(alone(Path(folder)))
        with tempfile.TemporaryDirectory() as folder:
            figure, proof = together(Path(folder))
            busy.append(figure)
    a, b = statistics.median(quiet), statistics.median(busy)
    print(json.dumps({
        "name": "acknowledgement p99 with pages, ticks, refits, a heavy query and seals", "command": f"python -m bench.isolation --rounds {asked.rounds}",
        "figure": round(b, 1), "unit": "ms", "peer": f"intake alone {a:.1f} ms", "ratio": round(b / a, 2),
    }))  # fmt: skip
    print(
        json.dumps(
            {
                "alone": quiet,
                "together": busy,
                "beside": proof,
                "took_s": round(perf_counter() - began),
                "cores": os.cpu_count(),
                "day": f"{datetime.now(UTC):%Y-%m-%d}",
            }
        )
    )


if __name__ == "__main__":
    main()
