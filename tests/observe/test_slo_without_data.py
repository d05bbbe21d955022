"""An SLO of which nothing is known is neither met nor broken; where a time is declared, somebody is told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from observe.app.stages import QUICK, Stages
from observe.clock import EventClock
from observe.registry import plugin
from observe.schema import Batch, Detected, Evidence
from observe.spec import load
from observe.store import Store
from observe.telemetry import Telemetry

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
MODEL = """\
apiVersion: observe/v1
kind: Monitoring
metadata: {name: chat}
slos:
  - {name: told, good: status = ok, objective: 99%, alertWhenNoData: 15m}
  - {name: idle, good: status = ok, objective: 99%}
"""


class Here:
    def detect(self, name: str, evidence: Evidence) -> Detected:
        return plugin("observe.detectors", name).detect(evidence)  # type: ignore[no-any-return]


class Site:
    """The stages over a clock that only `minutes` moves."""

    def __init__(self, folder: Path) -> None:
        (folder / "observe.yaml").write_text("apiVersion: observe/v1\nkind: Site\nstore: {path: ./data}\n")
        (folder / "models").mkdir()
        (folder / "models/chat.yaml").write_text(MODEL)
        config, self.clock = load(folder / "observe.yaml"), EventClock(START)
        self.store = Store.open(folder / "data", self.clock, threads=1, memory="500MB")
        self.stages, self.n = Stages(config, self.store, self.clock, Telemetry()), 0

    def minutes(self, n: int, *, traffic: bool) -> None:
        for _ in range(n):
            self.clock.set(self.clock.now() + timedelta(minutes=1))
            if traffic:
                self.n += 1
                self.store.append(Batch("t", str(self.n), {"attempt": self.attempt(self.clock.now())}))
            self.stages.tick(QUICK, Here(), self.clock.now())

    def attempt(self, now: datetime) -> pl.DataFrame:
        at = pl.Series([now - timedelta(seconds=1)], dtype=pl.Datetime("us", "UTC"))
        rest = {
            "attempt_id": [str(self.n)],
            "model_id": ["chat"],
            "duration_s": [1.0],
            "status": ["ok"],
            "cost_known": [False],
            "quality": [0],
        }
        return pl.DataFrame({"ts": at, "ts_start": at, **rest})

    def alerts(self) -> list[tuple[Any, ...]]:
        return self.store.read("select subject, state, summary from alert").rows()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.store.close()


@pytest.mark.slow
def test_missing_data_is_told_after_the_declared_time_and_ends_when_data_is_back(site: Site) -> None:
    site.minutes(10, traffic=True)
    site.minutes(14, traffic=False)
    early = site.alerts()
    site.minutes(6, traffic=False)
    late = site.alerts()
    site.minutes(6, traffic=True)

    assert early == []
    [(subject, state, summary)] = late  # of the SLO that declares no time nobody is told
    assert (subject, state) == ("SLO chat.told", "firing")
    assert "has had no data for" in summary
    assert "declared: 15 min" in summary
    assert [(s, state) for s, state, _ in site.alerts()] == [("SLO chat.told", "resolved")]


@pytest.mark.slow
def test_an_slo_that_never_had_data_alarms_nobody(site: Site) -> None:
    site.minutes(25, traffic=False)

    assert site.alerts() == []
