"""The loop of retraining, lived through: prediction, drift, a day, approval, Airflow, its event, a new reference, quiet."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from inprocess import Client
from receivers import http
from running import until
from trainers import Airflow

from observe.app.core import Core
from observe.server.routes import api_routes
from observe.server.routing import application
from observe.spec import load

pytestmark = pytest.mark.slow

SITE = """\
apiVersion: observe/v1
kind: Site
store: {{path: ./data}}
collectors:
  fraud: {{type: files, path: "./predictions/*.parquet", model: fraud}}
targets:
  airflow: {{type: airflow, url: "{url}", username: observe, password: "file:./password"}}
actions: {{mode: live}}
alerts: {{dashboardUrl: "http://observe.example.com"}}
server: {{auth: none}}
"""
MODEL = """\
apiVersion: observe/v1
kind: Monitoring
metadata: {{name: fraud}}
drift: {{source: predictions, window: 1h, reference: {{from: {begin}, to: {end}}}, features: [amount]}}
canary: {{by: model_version}}
actions:
  - {{when: drift.confirmed, for: 24h, do: retrain, target: "airflow:retrain_fraud", approve: human}}
"""
A_MINUTE = 2  # predictions
PAST, KNOWN, MOVED_H = timedelta(days=9), timedelta(days=6), 40
STEP_S = 60 // A_MINUTE


class Jumping:
    """Time that passes as ever, and jumps ahead when a test says so."""

    def __init__(self) -> None:
        self._ahead = timedelta(0)
        self.start = self.now().replace(minute=0, second=0, microsecond=0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def jump(self, by: timedelta) -> None:
        self._ahead += by


class Story:
    """A service, a trainer that takes only what Airflow's API allows, and what people and trainers do."""

    def __init__(self, folder: Path, core: Core, client: Client, clock: Jumping, airflow: Airflow) -> None:
        self.folder, self.core, self.client, self.clock, self.airflow = folder, core, client, clock, airflow

    def one(self, sql: str) -> dict:  # type: ignore[type-arg]
        """The only row, once there is one."""
        return until(lambda: self.core.store.read(sql).to_dicts(), 300, 0.5)[0]

    def say(self, path: str, **what: object) -> None:
        answer = self.client.post(path, json.dumps(what), {"Content-Type": "application/json"})
        assert answer.is_success, answer.text

    def command(self, verb: str, target: str) -> None:
        self.say("/api/v1/commands", verb=verb, object=target, reason="seen", parameters={})

    def ahead(self, hours: int) -> None:
        """So much later: predictions went on at the new level, and every window of them is judged."""
        begin = self.clock.now()
        self.clock.jump(timedelta(hours=hours))
        rows(self.folder, begin, self.clock.now(), self.clock.start - timedelta(hours=MOVED_H))
        closed = (self.clock.now() - timedelta(minutes=7)).replace(minute=0, second=0, microsecond=0)
        until(lambda: self._judged() >= closed, 300, 0.5)

    def _judged(self) -> datetime:
        sql = "select min(w) from (select max(window_end) as w from finding where detector = 'level' and monitor_id like '%location' group by monitor_id)"
        return self.core.store.read(sql).item()


def rows(folder: Path, begin: datetime, end: datetime, moved: datetime) -> None:
    """Predictions of a span; from `moved` on amounts are half a standard deviation higher."""
    n = int((end - begin).total_seconds()) // STEP_S
    rng = np.random.default_rng(n)
    ts = [begin + timedelta(seconds=STEP_S * i) for i in range(n)]
    higher = np.array([t >= moved for t in ts]) * 0.5
    frame = pl.DataFrame({
        "ts": pl.Series(ts, dtype=pl.Datetime("us", "UTC")), "prediction_id": [f"p{t.timestamp():.0f}" for t in ts],
        "amount": rng.standard_normal(n) + higher, "model_version": ["v42"] * n,
    })  # fmt: skip
    path = folder / "predictions" / f"{begin.timestamp():.0f}.parquet"
    frame.write_parquet(path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    clock, airflow = Jumping(), Airflow({"retrain_fraud": False})
    (tmp_path / "models").mkdir()
    (tmp_path / "predictions").mkdir()
    begin, end = clock.start - PAST, clock.start - PAST + KNOWN
    (tmp_path / "models" / "fraud.yaml").write_text(MODEL.format(begin=begin.isoformat(), end=end.isoformat()))
    (tmp_path / "password").write_text(airflow.password)
    rows(tmp_path, begin, clock.now(), clock.start - timedelta(hours=MOVED_H))
    with http() as box:
        box.answer = airflow
        (tmp_path / "observe.yaml").write_text(SITE.format(url=box.url))
        core = Core(load(tmp_path / "observe.yaml"), clock, face=False)
        client = Client(application(core, api_routes()))
        core.start()
        try:
            yield Story(tmp_path, core, client, clock, airflow)
        finally:
            core.stop()
            client.close()


@pytest.mark.timeout(900)
def test_from_a_prediction_that_drifts_to_a_new_reference_and_quiet(story: Story) -> None:
    action = story.one("select * from action where kind = 'retrain'")
    told = json.loads(action["parameters"])
    assert (action["state"], action["mode"], told["features"]) == ("proposed", "approval", ["amount"])
    assert told["performance"] == "no labels tell how it performs"
    assert told["link"].startswith("http://observe.example.com/incidents?id=")
    assert told["training"]["text"].startswith("only 4,")  # two a minute: a day and a half of them is not enough
    assert story.airflow.runs == {}

    story.command("approve", action["action_id"])
    run = until(lambda: story.airflow.runs.get(("retrain_fraud", action["key"])), 30)
    assert run["conf"]["training"] == told["training"]
    story.one(f"select 1 as x from action where action_id = '{action['action_id']}' and state = 'acknowledged'")

    story.say("/ingest/events", **{**run["conf"]["answer"], "after": "v43", "data_from": told["training"]["from"]})
    reference = story.one("select * from reference_window")
    assert (reference["state"], reference["version"], reference["action_id"]) == (
        "proposed",
        "v43",
        action["action_id"],
    )
    assert "canary: v43 is watched by model_version as soon as it answers" in reference["text"]
    story.clock.jump(timedelta(minutes=2))  # how often it is looked how an action went on
    ended = story.one(f"select * from action where action_id = '{action['action_id']}' and state = 'succeeded'")
    assert ended["approved_by"]

    story.command("accept_normal", reference["reference_id"])
    story.one("select 1 as x from reference_window where state = 'accepted'")
    story.ahead(3)
    resolved = story.one("select * from incident where state = 'resolved'")
    assert resolved["incident_id"] == action["incident_id"]

    story.ahead(30)
    assert story.core.store.read("select count(*) from incident where state = 'open'").item() == 0
    assert story.core.store.read("select count(*) from action").item() == 1
    assert len(story.airflow.runs) == 1
    assert story.airflow.refused == []
