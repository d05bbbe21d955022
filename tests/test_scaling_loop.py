"""The loop of scaling, lived through: an idle region, a burn, approval, KEDA's question, replicas, and whether it helped."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import numpy as np
import polars as pl
import pytest
import uvicorn
from acted import T0
from running import until

from dashboards import actions
from observe.app.core import Core
from observe.app.importing import import_tables
from observe.app.replaying import InProcess
from observe.app.stages import QUICK, Stages
from observe.clock import EventClock
from observe.demo import history
from observe.demo.pages import exporters, serve_pages, vllm_page
from observe.demo.world import LLMS, Plan, arrivals
from observe.server.routes import api_routes
from observe.server.routing import application
from observe.spec import load

pytestmark = pytest.mark.slow

SITE = """\
apiVersion: observe/v1
kind: Site
store: {{path: ./data}}
collectors:
  gpus-eu: {{type: prometheus, targets: ["{pages}/dcgm/eu-west-n01", "{pages}/dcgm/eu-west-n02"], labels: {{cluster: eu-west}}}}
  gpus-us: {{type: prometheus, targets: ["{pages}/dcgm/us-east-n01"], labels: {{cluster: us-east}}}}
  vllm-eu: {{type: prometheus, targets: [{servers}], labels: {{cluster: eu-west}}}}
prices: {{h100-80gb: 2.90 USD/h}}
targets: {{keda: {{type: keda}}}}
actions: {{mode: live}}
"""
MODEL = """\
apiVersion: piqc.ai/v1alpha1
kind: ModelSpec
metadata: {name: llama-70b-chat, annotations: {coldStart: 2m}}
spec:
  identity: {model: {id: llama-3.3-70b, precision: bf16}}
  runtime: {accelerator: {vendor: nvidia, type: h100-80gb, count: 4}}
  operations: {scaling: {minReplicas: 2, maxReplicas: 12, targetRps: 1}}
---
apiVersion: observe/v1
kind: Monitoring
metadata: {name: llama-70b-chat}
slos: [{name: ttft, latency: ttft_s, below: 800ms, objective: 99%}]
actions: [{when: slo.ttft.page, do: scale, target: "keda:vllm-chat", approve: human, step: 2}]
"""
LLAMA, MODEL_ID = LLMS[0], "llama-70b-chat"
PLAN = Plan(T0)
CALM = Plan(T0 + timedelta(days=9))  # as it is when load is spread over more replicas: nothing is slow yet
DAYS = 5  # of traffic before, of which four hold the hours that an outcome is set against


class Platform:
    """The demo's exporters and gateway; a page of each replica there is, and whether there are enough of them."""

    def __init__(self, clock: EventClock) -> None:
        self.clock, self.plan, self._sent = clock, PLAN, T0 - timedelta(days=DAYS)
        self.pages = dict(exporters(PLAN, clock))
        self.run(2)

    def run(self, replicas: int) -> None:
        """So many replicas serve; with four of them nobody waits."""
        self.plan = PLAN if replicas < 4 else CALM
        for i in range(replicas):
            self.pages[f"/vllm/{i}"] = lambda: vllm_page(LLAMA, self.plan, self.clock)

    def traffic(self) -> pl.DataFrame:
        """What the gateway saw since it was last asked."""
        begin, end = self._sent.timestamp(), self.clock.now().timestamp()
        self._sent, rng = self.clock.now(), np.random.default_rng(int(end))
        return history.attempt_rows(LLAMA, arrivals(LLAMA.rate_per_s, begin, end, rng), self.plan, rng, f"{end:.0f}")


class Story:
    """The service by event time, and those who speak with it over HTTP."""

    def __init__(self, core: Core, clock: EventClock, platform: Platform, url: str) -> None:
        self.core, self.clock, self.platform, self.url = core, clock, platform, url
        self.stages = Stages(core.config, core.store, clock, core.telemetry)
        self.admin = (core.config.site.store.path / "admin.token").read_text().strip()
        self.person = self.post("/api/v1/tokens", name="ada", role="operator", sql=False)["token"]
        self.keda = self.post("/api/v1/tokens", name="keda", role="viewer", sql=False)["token"]

    def post(self, path: str, token: str = "", **what: object) -> dict:  # type: ignore[type-arg]
        answer = httpx.post(self.url + path, json=what, headers=bearer(token or self.admin), trust_env=False)
        assert answer.is_success, answer.text
        return answer.json()  # type: ignore[no-any-return]

    def asked_by_keda(self) -> int:
        """What `metrics-api` reads at `valueLocation: desired.replicas`."""
        url = f"{self.url}/api/v1/scaling/{MODEL_ID}"
        answer = httpx.get(url, headers=bearer(self.keda), trust_env=False)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["desired"]["replicas"])

    def on(self, minutes: int, step: int = 1) -> None:
        """Minutes go by: pages are scraped, traffic is served, the service does what it does."""
        for _ in range(0, minutes, step):
            now = self.clock.now() + timedelta(minutes=step)
            self.clock.set(now)
            self.core.puller.once()
            import_tables(self.core.store, {"attempt": self.platform.traffic()}, now.isoformat(), now)
            self.stages.tick(QUICK, InProcess(), now)
            self.core.acting.once()
            self.core.loads.tick()

    def rows(self, sql: str) -> list[dict]:  # type: ignore[type-arg]
        return self.core.store.read(sql).to_dicts()

    def one(self, sql: str) -> dict:  # type: ignore[type-arg]
        """The only row."""
        [row] = self.rows(sql)
        return row

    def page(self) -> str:
        """The text of the Actions page."""
        from plotly.utils import PlotlyJSONEncoder

        view = {"now": self.clock.now().isoformat(), "theme": "dark"}
        return json.dumps(actions.page(self._read, view), cls=PlotlyJSONEncoder, ensure_ascii=False)

    def _read(self, sql: str, params: dict | None = None) -> pl.DataFrame:  # type: ignore[type-arg]
        return self.core.store.read(sql, {k: v for k, v in (params or {}).items() if f"${k}" in sql})


@contextmanager
def exported(platform: Platform) -> Iterator[str]:
    """The address of the platform's pages."""
    server = serve_pages(0, platform.pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def core_of(folder: Path, pages: str, clock: EventClock) -> Iterator[Core]:
    """A service in this process that does nothing by itself; it scrapes four replicas, where there are so many."""
    (folder / "models").mkdir()
    (folder / "models" / "llama.yaml").write_text(MODEL)
    servers = ", ".join(f'"{pages}/vllm/{i}"' for i in range(4))
    (folder / "observe.yaml").write_text(SITE.format(pages=pages, servers=servers))
    core = Core(load(folder / "observe.yaml"), clock, face=False)
    try:
        yield core
    finally:
        core.stop()


@contextmanager
def served(core: Core) -> Iterator[str]:
    """The address of the API."""
    app = application(core, api_routes())
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", access_log=False, lifespan="off")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    clock = EventClock(T0 - timedelta(minutes=4))
    platform = Platform(clock)
    with exported(platform) as pages, core_of(tmp_path, pages, clock) as core:
        past = {
            "attempt": platform.traffic(),
            "gpu_device": history.gpu_devices(PLAN),
            "gpu_sample": history.gpu_samples(PLAN).filter(pl.col("ts") < clock.now()),
        }
        import_tables(core.store, past, "past", clock.now())
        with served(core) as url:
            yield Story(core, clock, platform, url)


@pytest.mark.timeout(300)
def test_from_an_idle_region_beside_a_saturated_one_to_replicas_that_helped(story: Story) -> None:
    story.on(4)
    idle = story.one("select * from alert where kind = 'imbalance'")
    burn = story.one("select * from incident where kind = 'slo'")
    proposed = story.one("select * from action")
    match = story.one("select * from capacity_match")
    assert idle["summary"].startswith("eu-west is 97 % busy while us-east is")
    assert (burn["severity"], json.loads(burn["cause"])["subject"]) == ("page", "eu-west-n02")
    assert (proposed["state"], proposed["mode"], proposed["incident_id"]) == (
        "proposed",
        "approval",
        burn["incident_id"],
    )
    assert (match["starved"][:14], match["cluster"], match["idle"], match["fits"]) == (
        "has 2, needs 3",
        "us-east",
        7,
        "yes",
    )
    assert story.asked_by_keda() == 3  # what load asks for; nobody has approved anything
    assert "waits for you" in story.page()

    story.post(
        "/api/v1/commands",
        story.person,
        verb="approve",
        object=proposed["action_id"],
        reason="us-east could take it",
        parameters={},
    )
    story.on(1)
    assert story.asked_by_keda() == 4
    assert story.one("select * from action")["state"] == "acknowledged"
    assert story.rows("select * from change_event where kind = 'scale'") == []

    story.platform.run(story.asked_by_keda())
    story.on(3)
    event = story.one("select * from change_event where kind = 'scale'")
    done = story.one("select * from action")
    servers = story.one("select count(distinct target) as n from serving_sample")
    assert (event["after"], event["model_id"], servers["n"]) == ("4", MODEL_ID, 4)
    assert "a scaler read the answer at 09:0" in event["message"]
    assert (done["state"], done["approved_by"]) == ("succeeded", "ada")
    assert story.one("select verdict from action_outcome")["verdict"] == "too early"

    story.on(75, step=25)
    judged = story.one("select * from action_outcome")
    told = json.loads(story.one("select * from action")["outcome"])
    assert (judged["verdict"], told["days"]) == ("helped", DAYS - 1)
    assert (told["before"] > 20, told["after"] < 2) == (True, True)
    assert told["ci_low"] < told["effect"] < told["ci_high"] < -10
    assert told["text"].startswith("ttft budget burn fell from 3")
    assert told["text"] in story.page()
    assert story.one("select * from incident where kind = 'slo'")["state"] == "resolved"
