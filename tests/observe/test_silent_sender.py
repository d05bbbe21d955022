"""One of many agents that push stops: the alert and the Health page name it, and it comes back."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dashboards import health
from dashboards.reader import used
from observe.app import senders
from observe.app.declaring import declared
from observe.app.hearing import last_seen, pushed
from observe.app.intake import Intake
from observe.app.pages import Pages
from observe.app.stages import QUICK, Stages
from observe.app.vitals import Vitals
from observe.clock import EventClock
from observe.registry import plugin
from observe.schema import ChangeEvent, Detected, Evidence
from observe.spec import load
from observe.store import Store
from observe.telemetry import Telemetry

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SITE = "apiVersion: observe/v1\nkind: Site\nstore: {path: ./data}\ncollectors:\n"
DECLARED = "  nodes: {type: exposition, every: 1m}\n"
PAGE = 'DCGM_FI_DEV_GPU_UTIL{{gpu="0",UUID="GPU-{0}",modelName="H100",hostname="{0}"}} 50 {1}\n'


class Here:
    def detect(self, name: str, evidence: Evidence) -> Detected:
        return plugin("observe.detectors", name).detect(evidence)  # type: ignore[no-any-return]


class Fleet:
    """A site to which agents push, over a clock that only `minutes` moves."""

    def __init__(self, folder: Path, site: str = SITE + DECLARED) -> None:
        (folder / "observe.yaml").write_text(site)
        self.config, self.clock, telemetry = load(folder / "observe.yaml"), EventClock(START), Telemetry()
        self.store = Store.open(folder / "data", self.clock)
        for key, value in declared(self.config).items():
            self.store.set_setting(key, value)
        self.intake = Intake(self.store, self.clock, telemetry, self.config)
        self.pages = Pages(self.intake, self.store)
        self.stages = Stages(self.config, self.store, self.clock, telemetry)
        self.vitals = Vitals(self.config, self.store, self.clock, telemetry, self.intake)

    def minutes(self, n: int, *nodes: str, late: timedelta = timedelta(0)) -> None:
        for _ in range(n):
            self.clock.set(self.clock.now() + MINUTE)
            for node in nodes:
                page = PAGE.format(node, int((self.clock.now() - late).timestamp() * 1000))
                self.pages.take("exposition", node, page.encode(), self.clock.now(), {"cluster": "eu"})
            self.vitals.take()
            self.stages.tick(QUICK, Here(), self.clock.now())

    def page(self) -> str:
        from plotly.utils import PlotlyJSONEncoder

        def read(sql: str, params: Any = None) -> pl.DataFrame:
            return self.store.read(sql, used(sql, params))

        shown = health.page(read, {"now": self.clock.now().isoformat(), "theme": "dark"})
        return json.dumps(shown, cls=PlotlyJSONEncoder, ensure_ascii=False)

    def alerts(self) -> list[tuple[Any, ...]]:
        return self.store.read("select state, summary from alert").rows()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path)
    yield made
    made.pages.stop()
    made.store.close()


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path, SITE.removesuffix("collectors:\n"))
    yield made
    made.pages.stop()
    made.store.close()


@pytest.mark.slow
def test_an_agent_that_stops_while_others_go_on_is_told_and_comes_back(fleet: Fleet) -> None:
    fleet.minutes(2, "n1", "n2")
    assert (fleet.alerts(), "You can trust this screen" in fleet.page()) == ([], True)

    fleet.minutes(4, "n1")
    assert fleet.alerts() == [("firing", "nodes: eu/n2 has been silent for 4 min (usual: below 3 min)")]
    assert "1 of 3 sources does not speak: exposition eu/n2." in fleet.page()

    fleet.minutes(2, "n1", "n2")
    assert [state for state, _ in fleet.alerts()] == ["resolved"]
    assert "You can trust this screen" in fleet.page()


def test_each_sender_has_its_newest_page_and_its_lag(fleet: Fleet) -> None:
    fleet.minutes(1, "n1")
    fleet.minutes(1, "n2", late=40 * MINUTE)
    told = fleet.store.read(
        "select target, state, last_heard, stored_1h, lag_s from source_health order by target"
    ).rows()

    assert told == [
        ("push", "ok", START + 2 * MINUTE, 4, 2400.0), ("push/eu/n1", "ok", START + MINUTE, 2, 0.0),
        ("push/eu/n2", "ok", START + 2 * MINUTE, 2, 2400.0),
    ]  # fmt: skip


def test_senders_that_are_told_once_a_minute_are_due_no_sooner(tmp_path: Path) -> None:
    quick = Fleet(tmp_path, SITE + DECLARED.replace("1m", "5s"))
    quick.minutes(1, "n1")
    seen = last_seen(quick.config, quick.store, quick.clock.now(), START)
    quick.pages.stop()
    quick.store.close()

    assert seen.select("sender", "every_s").rows() == [(False, 5.0), (True, 60.0)]


def test_a_page_that_was_stored_before_is_still_a_sign_of_life(fleet: Fleet) -> None:
    fleet.minutes(1, "n1")
    for _ in range(2):
        fleet.pages.take(
            "exposition", "n1", PAGE.format("n1", 1).encode(), fleet.clock.now(), {"cluster": "eu"}, "again"
        )

    assert fleet.intake.senders.told()["exposition", "eu/n1"].pages == 3


def test_agents_that_nobody_declared_are_watched_once_they_push(bare: Fleet) -> None:
    def asked() -> set[str]:
        return {m.monitor_id for m in bare.stages._monitors()}

    before = asked()
    bare.minutes(1, "n1")

    assert asked() - before == {"site/silence/exposition", "site/imbalance/gpu", "site/straggler/gpu"}
    assert pushed(bare.store) == {"exposition"}


def test_an_undeclared_agent_that_stops_raises_an_alert_that_stays(bare: Fleet) -> None:
    bare.minutes(1, "n1", "n2")
    bare.clock.set(bare.clock.now() + 15 * MINUTE)
    bare.stages.tick((), Here(), bare.clock.now())
    bare.minutes(2, "n1")
    bare.minutes(1, "n1")

    assert [state for state, _ in bare.alerts()] == ["firing"]
    assert "exposition: eu/n2 has been silent" in bare.alerts()[0][1]


def test_a_node_that_was_taken_out_is_shown_as_such_and_one_that_is_not_ready_is_not(fleet: Fleet) -> None:
    fleet.minutes(1, "n1", "n2")
    now = fleet.clock.now() + 10 * MINUTE
    empty = dict.fromkeys(
        (
            "object_kind",
            "object_name",
            "namespace",
            "cluster",
            "model_id",
            "before",
            "after",
            "revision",
            "actor",
            "severity",
        )
    )
    told = [("n1", "RemovingNode: gone"), ("n2", "NodeNotReady: kubelet stopped")]
    with fleet.store.change() as tx:
        tx.insert([
            ChangeEvent(ts=now, event_id=node, kind="node_remove", node=node, message=message, source="k8s", ingested_at=now, **empty)
            for node, message in told
        ])  # fmt: skip
    seen = last_seen(fleet.config, fleet.store, now, START).filter(pl.col("sender")).sort("target")

    assert seen["removed_ts"].to_list() == [now, None]


def test_only_so_many_senders_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders, "MAX_TARGETS", 2)
    known = senders.Senders()
    for n in range(4):
        known.heard(("exposition", f"n{n}"), START, 1, None)
    assert sorted(known.told()) == [("exposition", "__other__"), ("exposition", "n0"), ("exposition", "n1")]

    known.heard(("exposition", "n9"), START + timedelta(days=2), 1, None)
    assert ("exposition", "n0") not in known.told()


def test_a_sender_is_told_once_however_often_it_spoke() -> None:
    known = senders.Senders()
    known.heard(("exposition", "n1"), START, 3, 1.0)
    before = known.told()
    for _ in range(2):
        known.heard(("exposition", "n1"), START + MINUTE, 3, 2.0)
    [run] = senders.runs(before, known.told())

    assert (run.target, run.ts, run.stored, run.lag_s) == ("push/n1", START + MINUTE, 6, 2.0)
    assert list(senders.runs(known.told(), known.told())) == []
