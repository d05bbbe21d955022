"""A store with proposals, a site that may act, and whoever acts over it; a test moves the clock."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from delivered import incident

from alerts import proposals
from observe.access import Principal
from observe.app import deciding
from observe.app.acting import Acting
from observe.app.actions import add_in
from observe.app.people import written
from observe.clock import EventClock
from observe.schema import Action
from observe.schema.exchange import nouns
from observe.spec import Config, load
from observe.store import Store
from observe.telemetry import Telemetry

T0 = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
SITE = """\
apiVersion: observe/v1
kind: Site
store: {{path: ./data}}
prices: {{h100-80gb: 2.50 USD/h}}
targets:
  ops: {{type: webhook, url: "{url}/act", secret: "file:./secret", timeout: 2s{more}}}
actions: {{mode: {mode}, perDay: {per_day}}}
"""
MODELS = """\
apiVersion: piqc.ai/v1alpha1
kind: ModelSpec
metadata: {{name: chat}}
spec:
  runtime: {{accelerator: {{type: h100-80gb, count: 4}}}}
  operations: {{scaling: {{minReplicas: 2, maxReplicas: {most}}}}}
---
apiVersion: observe/v1
kind: Monitoring
metadata: {{name: chat}}
slos: [{{name: ttft, latency: ttft_s, below: 800ms, objective: 99%}}]
actions:
  - {{when: slo.ttft.page, do: scale, target: "ops:vllm-chat", approve: {approve}, step: 2, cooldown: {cooldown}{rule}}}
"""


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def site(
    folder: Path, url: str = "http://127.0.0.1:9", *, mode: str = "live", approve: str = "human", per_day: int = 6,
    more: str = "", rule: str = "", most: int = 12, cooldown: str = "10m",
) -> Config:  # fmt: skip
    (folder / "models").mkdir(exist_ok=True)
    (folder / "secret").write_text("s3cret-of-the-target\n")
    os.chmod(folder / "secret", 0o600)
    (folder / "models" / "chat.yaml").write_text(
        MODELS.format(approve=approve, rule=rule, most=most, cooldown=cooldown)
    )
    (folder / "observe.yaml").write_text(SITE.format(url=url, mode=mode, per_day=per_day, more=more))
    return load(folder / "observe.yaml")


def action(name: str = "1", **more) -> Action:  # type: ignore[no-untyped-def]
    key = proposals.key("chat", "slo.ttft.page:scale:ops:vllm-chat", f"inc-{name}")
    made = Action(
        action_id=f"act-{key}", incident_id=f"inc-{name}", model="chat", kind="scale", target="ops:vllm-chat", mode="approval",
        state="proposed", reason="slo.ttft.page: ttft burns its budget 18x too fast", parameters={"from": 2, "to": 4, "min": 2, "max": 12},
        expires_at=T0 + timedelta(hours=1), changed_at=T0, key=key,
    )  # fmt: skip
    return replace(made, **more)


class World:
    """The store, the clock and whoever acts; `again` is what happens after kill -9."""

    def __init__(self, folder: Path, config: Config) -> None:
        self.config = config
        self.clock = EventClock(T0)
        self.store = Store.open(folder / "data", self.clock)
        self.telemetry = Telemetry()
        self.again()

    def again(self) -> None:
        self.acting = Acting(self.config, self.store, self.clock, self.telemetry)

    def adopt(self, config: Config) -> None:
        self.config = config
        self.acting.adopt(config)

    def write(self, *rows: object) -> None:
        with self.store.change() as tx:
            for row in rows:
                tx.insert([row])  # type: ignore[list-item]

    def propose(self, *names: str, **more: object) -> None:
        for name in names or ("1",):
            self.write(action(name, **more), incident(name))

    def say(self, verb: str, name: str, reason: str | None = "because", role: str = "operator") -> None:
        """What a person does, as the service takes it."""
        who, said = Principal("ada", role), {"verb": verb, "object": name, "reason": reason, "parameters": {}}  # type: ignore[arg-type]
        step = deciding.decided(self.store, self.config, who, said, self.clock.now())
        with self.store.change() as tx:
            written(tx, self.clock.now(), who, {**said, "object": step.object})
            if step.before and step.after:
                assert add_in(tx, step.before, step.after)

    def approve(self, *names: str) -> None:
        for name in names or ("1",):
            self.say("approve", action(name).action_id)

    def until(self, seconds: float, step: float = 1.0) -> None:
        """Let it look every `step` seconds up to an instant."""
        end = after(seconds)
        while self.clock.now() < end:
            self.clock.set(min(end, self.clock.now() + timedelta(seconds=step)))
            self.acting.once()

    def rows(self, name: str = "1") -> list[Action]:
        sql = "select * from core.action where action_id = $id order by changed_at"
        return nouns(Action, self.store.read(sql, {"id": action(name).action_id}))

    def states(self, name: str = "1") -> list[str]:
        return list(dict.fromkeys(r.state for r in self.rows(name)))

    def now(self, name: str = "1") -> Action:
        return self.rows(name)[-1]

    def close(self) -> None:
        self.acting.stop()
        self.store.close()
