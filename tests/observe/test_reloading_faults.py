"""A configuration that cannot be taken: nothing is half taken, nothing is written again and again, no secret is told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from running import until

from observe.access import Principal
from observe.app.reloading import Reloading
from observe.clock import EventClock
from observe.errors import ConfigError
from observe.spec import Config, load
from observe.store import Store
from observe.telemetry import Telemetry

SITE = "apiVersion: observe/v1\nkind: Site\nstore: {path: ./data}\n"
WHO = Principal("ann", "operator")


@dataclass
class Taker:
    """Whoever goes by the configuration; it fails where it is told to."""

    fails: str = ""
    asked: int = 0
    taken: list[Config] = field(default_factory=list)

    def prepared(self, config: Config) -> Callable[[], None]:
        self.asked += 1
        if self.fails == "before":
            raise OverflowError("too long")
        return lambda: self._take(config)

    def _take(self, config: Config) -> None:
        if self.fails == "after":
            raise TypeError("no such thing")
        self.taken.append(config)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "data", EventClock(datetime(2026, 11, 20, tzinfo=UTC)))
    yield opened
    opened.close()


@pytest.fixture
def taker() -> Taker:
    return Taker()


@pytest.fixture
def reloading(tmp_path: Path, store: Store, taker: Taker) -> Iterator[Reloading]:
    (tmp_path / "observe.yaml").write_text(SITE)
    made = Reloading(
        tmp_path / "observe.yaml",
        load(tmp_path / "observe.yaml"),
        store,
        Telemetry(),
        EventClock(datetime(2026, 11, 20, 12, tzinfo=UTC)),
        taker.prepared,
    )
    yield made
    made.stop()


def commands(store: Store) -> int:
    return int(store.read("select count(*) as n from command").item())


@pytest.mark.parametrize(("fails", "kept"), [("before", 0), ("after", 1)])
def test_a_fault_of_ours_is_told_and_not_repeated(
    tmp_path: Path,
    store: Store,
    taker: Taker,
    reloading: Reloading,
    fails: str,
    kept: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("EVERY_S", "_RETRY_S"):
        monkeypatch.setattr(f"observe.app.reloading.{name}", 0.05)
    taker.fails = fails
    (tmp_path / "observe.yaml").write_text(SITE + "prices: {h100: 2 USD/h}\n")
    reloading.start()
    told = until(lambda: (said := reloading.told())["errors"] and said, 10)
    time.sleep(1)

    assert (commands(store), taker.asked, told["valid"]) == (kept, 1, False)
    assert ("OverflowError" if fails == "before" else "TypeError") in told["errors"][0]


def test_what_fails_before_it_is_written_leaves_the_old_configuration_whole(
    tmp_path: Path, store: Store, taker: Taker, reloading: Reloading
) -> None:
    taker.fails = "before"
    before = reloading.told()
    (tmp_path / "observe.yaml").write_text(SITE + "prices: {h100: 2 USD/h}\n")
    with pytest.raises(ConfigError, match="OverflowError"):
        reloading.now(WHO, None)
    after = reloading.told()

    assert (after["hash"], after["config"], taker.taken) == (before["hash"], before["config"], [])
    assert json.loads(store.read("select parameters from command").item())["refused"]
    taker.fails = ""
    assert reloading.now(WHO, None).parameters["changed"] == 1
    assert reloading.told()["valid"] is True


def test_a_reason_is_cut_and_no_line_of_the_files_leaves_the_machine(
    tmp_path: Path, store: Store, reloading: Reloading
) -> None:
    (tmp_path / "observe.yaml").write_text(SITE + "server: {listen: hunter2}  # a remark\n")
    with pytest.raises(ConfigError) as refused:
        reloading.now(WHO, "x" * 5000)

    reason, parameters = store.read("select reason, parameters from command").row(0)
    assert len(reason) == 2000
    for said in (str(refused.value), parameters, reloading.told()["errors"][0]):
        assert "observe.yaml:4:" in said
        assert "a remark" not in said
