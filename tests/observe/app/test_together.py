"""Incidents that one sick thing strikes are one, in a real store: through the stages' own steps, whatever comes first."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import permutations
from pathlib import Path

import pytest
from alarms import at, change, finding
from delivered import alert, incident

from alerts import incidents as rows
from alerts.incidents import Surroundings
from alerts.notices import notices
from observe.app.commanding import incidents as listed
from observe.app.explaining import Explaining
from observe.app.standing import Reading
from observe.clock import EventClock, RisingClock
from observe.schema import Alert, Attempt, Batch, Decision, GpuSample, Incident, ServingSample
from observe.schema.exchange import frame, nouns
from observe.spec import Config, load
from observe.store import Store

SITE = "apiVersion: observe/v1\nkind: Site\nstore: {path: ./data}\nfalseAlarms: {page: 1 per 90d, ticket: 1 per 7d}\n"
MODEL = """\
apiVersion: observe/v1
kind: Monitoring
metadata: {{name: {name}}}
slos: [{{name: ttft, latency: ttft_s, below: 800ms, objective: 99%, window: 30d}}]
"""
SPEC = """\
---
apiVersion: piqc.ai/v1alpha1
kind: ModelSpec
metadata: {name: search}
spec: {pipeline: {dependencies: [{id: chat, role: input}]}}
"""
XID = change("xid", 0, object_name="GPU-1", node="n1", cluster="eu", after="79", message="XID 79 of GPU-1")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "models").mkdir()
    text = "---\n".join(MODEL.format(name=n) for n in ("chat", "code", "fraud", "search"))
    (tmp_path / "models" / "all.yaml").write_text(text + SPEC)
    (tmp_path / "observe.yaml").write_text(SITE)
    return load(tmp_path / "observe.yaml")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "data", RisingClock(EventClock(at(-60))))
    yield opened
    opened.close()


class World:
    """What the decide and explain stages do with what opens, minute by minute."""

    def __init__(self, config: Config, store: Store) -> None:
        self.config, self.store, self.explaining = config, store, Explaining(config, store)

    def put(self, *made: object) -> None:
        with self.store.change() as tx:
            for row in made:
                tx.insert([row])

    def opens(self, model: str, minute: float, severity: str = "page", onset: float | None = None) -> None:
        since, now = at(minute - 2 if onset is None else onset), at(minute)
        one = alert(model, model=model, key=f"{model}/burn/ttft", severity=severity, starts_at=now, changed_at=now, finding_id=f"fnd-{model}")  # fmt: skip
        opened = incident(model, model=model, severity=severity, since=since, opened_at=now, changed_at=now)
        self.put(finding(f"{model}/burn/ttft", minute, finding_id=f"fnd-{model}", onset=since, severity=severity))
        made = self.explaining.opening(Decision((one,), (opened,)), now)
        self.put(one, *made.incidents, *made.explanations)

    def looks(self, minute: float) -> None:
        for _ in range(2):
            made = self.explaining.again(at(minute))
            self.put(*made.incidents, *made.explanations)

    def ends(self, model: str, minute: float) -> None:
        before = next(a for a in self.alerts if a.model == model)
        over = replace(before, state="resolved", ends_at=at(minute), changed_at=at(minute))
        firing = [a for a in self.alerts if a.state == "firing" and a.model != model]
        made = rows.update(self.incidents, [over], firing, {}, Surroundings((), (), self.config, at(minute)))
        self.put(over, *made)

    @property
    def alerts(self) -> list[Alert]:
        return nouns(Alert, self.store.read("select * from alert order by starts_at"))

    @property
    def incidents(self) -> list[Incident]:
        return nouns(Incident, self.store.read("select * from incident order by opened_at"))

    def groups(self) -> list[str]:
        told = listed(self.store, at(100)).to_dicts()
        return sorted("+".join(r["models"] or [r["model"]]) for r in told)

    def named(self) -> str:
        """What the first incident that has parts is about."""
        return next(str((i.about or {})["says"]) for i in self.incidents if i.models)


@pytest.fixture
def world(config: Config, store: Store) -> World:
    return World(config, store)


def runs(store: Store, model: str, node: str, device: str) -> None:
    """A server of the model on a GPU of a node, as its samples and the GPU's say."""
    serving = {"target": f"http://{model}", "model_id": model, "engine": "", "pod": f"{model}-0", "quality": 0}
    gpu = {"device_id": device, "node": node, "pod": f"{model}-0", "cluster": "eu", "quality": 0}
    store.append(Batch("test", f"{model}{node}", {**table(ServingSample, serving), **table(GpuSample, gpu)}))


def table(noun: type, row: dict) -> dict:  # type: ignore[type-arg]
    names = [c.name for c in noun.table().columns if c.name not in ("source", "ingested_at")]  # type: ignore[attr-defined]
    minutes = [at(m) for m in range(-50, 30, 5)]
    return {noun.table_name: frame(noun.table(), {n: minutes if n == "ts" else [row.get(n)] * len(minutes) for n in names})}  # type: ignore[attr-defined]  # fmt: skip


def tried(store: Store, model: str, start: datetime, n: int, step: float = 1, **more: object) -> None:
    usual = {
        "model_id": model, "provider": "vllm", "duration_s": 1.0, "ttft_s": 0.2, "stream": True, "status": "ok", "tokens_in": 500,
        "tokens_cached_in": 0, "cost_known": True, "attempt_no": 0, "quality": 0, **more,
    }  # fmt: skip
    names = [c.name for c in Attempt.table().columns if c.name not in ("source", "ingested_at")]
    made: list[dict] = []  # type: ignore[type-arg]
    for i in range(n):
        ts, name = (
            start + timedelta(seconds=step * i),
            f"{model}{start:%H%M}{more.get('cluster')}{more.get('provider')}{i}",
        )
        made.append({**usual, "ts": ts, "ts_start": ts, "attempt_id": name, "trace_id": name})
    store.append(Batch("test", made[0]["attempt_id"], {"attempt": frame(Attempt.table(), {c: [r.get(c) for r in made] for c in names})}))  # fmt: skip


def test_two_models_of_a_node_with_an_xid_are_one_incident_that_names_it_and_a_third_elsewhere_stays_apart(
    world: World, store: Store
) -> None:
    runs(store, "chat", "n1", "GPU-1")
    runs(store, "code", "n1", "GPU-2")
    runs(store, "fraud", "n2", "GPU-3")
    world.put(XID)
    world.opens("chat", 4)
    world.opens("code", 5)
    world.opens("fraud", 6)

    assert world.groups() == ["chat+code", "fraud"]
    assert world.named() == "GPU GPU-1"


@pytest.mark.slow
@pytest.mark.parametrize("order", list(permutations(["xid", "chat", "code"])), ids="-".join)
def test_what_is_known_first_does_not_matter(world: World, store: Store, order: tuple[str, ...]) -> None:
    runs(store, "chat", "n1", "GPU-1")
    runs(store, "code", "n1", "GPU-2")
    for minute, what in enumerate(order, 4):
        if what == "xid":
            world.put(XID)
        else:
            world.opens(what, minute, onset=2)
    for minute in (8, 12, 20):
        world.looks(minute)

    assert sorted(world.groups()[0].split("+")) == ["chat", "code"]
    assert len(world.groups()) == 1


def test_models_of_one_node_that_nothing_is_known_of_stay_apart(world: World, store: Store) -> None:
    runs(store, "chat", "n1", "GPU-1")
    runs(store, "code", "n1", "GPU-2")
    world.opens("chat", 4)
    world.opens("code", 5)
    world.looks(10)

    assert world.groups() == ["chat", "code"]


def test_a_provider_that_fails_two_models_is_one_incident(world: World, store: Store) -> None:
    for model in ("chat", "code"):
        tried(store, model, at(-430), 430 * 4, step=15, provider="openai")
        tried(
            store,
            model,
            at(0),
            20 * 4,
            step=15,
            provider="openai",
            status="error",
            error_kind="overloaded",
            ttft_s=None,
        )
    world.opens("chat", 4, onset=0)
    world.opens("code", 5, onset=0)
    world.looks(10)

    assert world.groups() == ["chat+code"]
    assert world.named() == "provider openai"


def test_bad_requests_that_gather_in_a_cluster_take_in_the_model_that_has_no_other(world: World, store: Store) -> None:
    for cluster, slow in (("eu", 3.0), ("us", 0.2)):
        tried(store, "chat", at(-60), 300, cluster=cluster)
        tried(store, "chat", at(0), 200, cluster=cluster, ttft_s=slow)
    tried(store, "code", at(-30), 200, cluster="eu")
    tried(store, "fraud", at(-30), 200, cluster="us")
    world.opens("chat", 5, onset=0)
    world.opens("code", 6, onset=0)
    world.opens("fraud", 7, onset=0)

    assert world.groups() == ["chat+code", "fraud"]
    assert world.named() == "cluster eu"


def test_a_model_that_depends_on_one_that_burns_is_told_in_its_incident(world: World) -> None:
    world.opens("chat", 4)
    world.opens("search", 6)
    world.opens("code", 7)

    assert world.groups() == ["chat+search", "code"]
    assert world.named() == "model chat"


def together(world: World, store: Store, second: str = "page") -> None:
    runs(store, "chat", "n1", "GPU-1")
    runs(store, "code", "n1", "GPU-2")
    world.put(XID)
    world.opens("chat", 4, severity="ticket" if second == "louder" else "page")
    world.opens("code", 5)


def test_one_notice_is_told_of_one_incident_and_it_is_over_when_the_last_alert_is(world: World, store: Store) -> None:
    together(world, store)
    world.ends("chat", 9)
    open_now = [i.model for i in world.incidents if i.state == "open" and not i.part_of]
    world.ends("code", 12)

    told = notices(nouns(Incident, store.read("select * from core.incident order by changed_at")))
    assert open_now == ["chat"]
    assert [(n.kind, n.incident.model) for each in told.values() for n in each if n.kind != "grown"] == [("opened", "chat"), ("resolved", "chat")]  # fmt: skip


def test_a_page_that_joins_a_ticket_raises_it_and_is_not_kept_quiet(world: World, store: Store) -> None:
    together(world, store, "louder")
    head = next(i for i in world.incidents if i.models)
    quiet = Reading(store).standing(world.config, at(6)).quiet

    assert (head.severity, head.models) == ("page", ("chat", "code"))
    assert quiet.muted == []
    [kinds] = [
        [n.kind for n in each]
        for each in notices(nouns(Incident, store.read("select * from core.incident"))).values()
        if each
    ]
    assert kinds == ["opened", "raised"]


def test_the_budget_counts_incidents_and_not_their_parts(world: World, store: Store) -> None:
    from observe.app.declaring import declared

    for key, value in declared(world.config).items():
        store.set_setting(key, value)
    together(world, store)
    # the view looks back from the present: count what it would, by its own rule
    counted = store.read(
        "select count(*) from incident where part_of is null or incident_id in (select incident_id from core.incident where part_of is null)"
    ).item()

    assert (counted, len(world.incidents)) == (1, 2)


def test_who_hears_only_of_one_model_is_told_when_that_model_joins() -> None:
    from alerts.notices import Receiver
    from observe.spec.receiving import ReceiverSpec

    first = incident("chat", changed_at=at(4))
    grown = replace(first, models=("chat", "code"), changed_at=at(5))
    told = notices([first, grown])["inc-chat"]

    def hears(*models: str) -> list[str]:
        spec = ReceiverSpec.model_validate({"type": "slack", "webhook": "env:HOOK", "models": list(models)})
        return [n.kind for n in told if Receiver("x", spec).hears(n)]

    assert (hears(), hears("chat"), hears("code")) == (["opened"], ["opened"], ["grown"])


@pytest.mark.slow
def test_through_the_real_stages_two_burns_on_a_faulty_node_are_told_once(config: Config, store: Store) -> None:
    """Requests, detectors, policy, explanation and what leaves: nothing is handed in but rows."""
    from observe.app.replaying import InProcess
    from observe.app.stages import Stages
    from observe.telemetry import Telemetry

    for model, device in (("chat", "GPU-1"), ("code", "GPU-2")):
        runs(store, model, "n1", device)
        tried(store, model, at(-180), 180 * 6, step=10)
        tried(store, model, at(0), 30 * 6, step=10, ttft_s=4.0)
    with store.change() as tx:
        tx.insert([XID])
    clock, telemetry = EventClock(at(-10)), Telemetry()
    stages = Stages(config, store, clock, telemetry)
    try:
        for minute in range(-4, 26, 3):
            clock.set(at(minute))
            stages.tick(("burn",), InProcess(), at(minute))
    finally:
        telemetry.close()

    told = notices(nouns(Incident, store.read("select * from core.incident order by changed_at")))
    assert [(r["models"], r["severity"]) for r in listed(store, at(30)).to_dicts()] == [(["chat", "code"], "page")]
    [kinds] = [[n.kind for n in each] for each in told.values() if each]
    assert (kinds[0], kinds.count("opened")) == ("opened", 1)
