"""From a failing request to a receiver by rules: service, Prometheus and Alertmanager, all of them real; then the service dies."""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import yaml
from running import Service, free_port, running, until

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(600)]
PATIENCE_S = 240.0
Labels = frozenset[tuple[str, str]]

MODEL = """\
apiVersion: observe/v1
kind: Monitoring
metadata: {name: chat, labels: {team: assistants}}
slos:
  - {name: ok, good: status = ok, objective: 99%, prometheus: {total: gateway_total, errors: gateway_failed_total}}
"""


@contextmanager
def gateway() -> Iterator[str]:
    """Counters of a gateway whose every second request fails."""
    began = time.monotonic()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            n = int(1000 * (time.monotonic() - began))
            body = f"gateway_total {n}\ngateway_failed_total {n // 2}\n".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@contextmanager
def prometheus(folder: Path, service: Service, counters: str, alertmanager: str) -> Iterator[str]:
    """A Prometheus that scrapes both and evaluates the rules every second."""
    (folder / "token").write_text(service.token)
    target = {"job_name": "observe", "authorization": {"credentials_file": str(folder / "token")}}
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(folder / "rules/*.yml")],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.removeprefix("http://")]}]}]},
        "scrape_configs": [
            {**target, "static_configs": [{"targets": [f"127.0.0.1:{service.port}"]}]},
            {"job_name": "gateway", "static_configs": [{"targets": [counters]}]},
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    argv = [
        shutil.which("prometheus") or "prometheus", f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
    ]  # fmt: skip
    with (folder / "prometheus.log").open("ab") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait(30)


def send(service: Service) -> None:
    """An hour of traffic, one request each two seconds; two in five fail during the last half."""
    end = datetime.now(UTC).timestamp() - 65
    rows = []
    for i in range(1800):
        at, failed = end - 2 * i, i < 900 and i % 5 < 2
        rows.append({
            "id": f"r{i}", "trace_id": f"r{i}", "call_type": "acompletion", "stream": False, "model": "chat", "model_group": "chat",
            "status": "failure" if failed else "success", "startTime": at - 1, "endTime": at, "prompt_tokens": 9, "completion_tokens": 3,
        })  # fmt: skip
    with service.client() as client:
        answer = client.post("/ingest/litellm", content=json.dumps(rows), headers={"Content-Type": "application/json"})
    assert answer.json()["stored"] == 1800, answer.text


def generate(service: Service, folder: Path) -> None:
    """The rules as `observe rules` writes them, evaluated every second."""
    done = subprocess.run(
        [*service.command[:3], "rules", "-c", str(service.site), "-o", str(folder)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for path in (folder / "rules").glob("*.yml"):
        path.write_text(path.read_text().replace("interval: 1m", "interval: 1s"))


def fires(service: Service) -> str:
    """The page tier that the service says fires; "" while none does."""
    told = service.metric("observe_slo_firing")
    return next(
        (tier for tier in ("page-fast", "page-slow") for name, on in told.items() if on == 1 and tier in name), ""
    )


def page(url: str, tier: str) -> dict[str, str]:
    """Annotations of that tier's alert when it fires at Prometheus; nothing while it does not."""
    try:
        found = httpx.get(f"{url}/api/v1/alerts", trust_env=False).json()["data"]["alerts"]
    except httpx.HTTPError:
        return {}
    return next(
        (a["annotations"] for a in found if a["labels"].get("burn_tier") == tier and a["state"] == "firing"), {}
    )


def firing(body: dict) -> dict[Labels, dict]:
    """The alerts of a message that fire, by their labels."""
    return {frozenset(a["labels"].items()): a for a in body["alerts"] if a["status"] == "firing"}


def test_when_the_service_dies_prometheus_goes_on_and_nobody_is_told_twice(
    tmp_path: Path,
    hook,
    start: Callable,  # type: ignore[no-untyped-def,type-arg]
) -> None:
    deploy = tmp_path / "deploy"
    deploy.mkdir()
    more = "alerts: {mode: rules}"
    with (
        start(free_port()) as server,
        running(tmp_path, more=more, models={"chat": MODEL}) as service,
        gateway() as counters,
    ):
        generate(service, deploy)
        send(service)
        tier = until(lambda: fires(service), PATIENCE_S, every=1.0)
        with prometheus(deploy, service, counters, server.url) as url:
            told: dict[Labels, dict] = {}
            while tier not in {a["labels"].get("burn_tier") for a in told.values()}:
                told |= firing(hook.bodies.get(timeout=90))
            [heard] = [a for a in told.values() if a["labels"].get("burn_tier") == tier]
            assert heard["annotations"]["source"] == "Observe"
            service.stop(signal.SIGKILL)
            until(lambda: page(url, tier).get("source", "").startswith("Prometheus"), PATIENCE_S, every=0.5)
            time.sleep(3)  # Prometheus sees more tiers burn than the service told of: that is told, once
            while not hook.bodies.empty():
                said = firing(hook.bodies.get())
                assert set(said) - set(told), "a second message about what was told"
                told |= said
            service.start()
            until(lambda: page(url, tier).get("source") == "Observe", PATIENCE_S, every=0.5)
            time.sleep(3)

            assert [a["labels"] for body in list(hook.bodies.queue) for a in body["alerts"]] == []
            [kept] = [a for a in server.alerts() if a["labels"].get("burn_tier") == tier]
            assert kept["labels"] == heard["labels"]
            assert datetime.fromisoformat(kept["startsAt"]) == datetime.fromisoformat(heard["startsAt"])
