"""Pages: the same one twice is stored once, and a fault is told once, also after a restart."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from observe.app import pages as pages_module
from observe.app import targets
from observe.app.intake import Intake, Taken
from observe.app.pages import Pages
from observe.clock import Clock, EventClock, WallClock
from observe.errors import PayloadTooLarge
from observe.spec import load
from observe.store import Store
from observe.telemetry import Telemetry

NOW = datetime.now(UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "observe.yaml").write_text("apiVersion: observe/v1\nkind: Site\nstore: {path: ./data}\n")
    store = Store.open(tmp_path / "data", WallClock())
    yield store
    store.close()


def pages(store: Store, folder: Path, clock: Clock | None = None) -> Pages:
    return Pages(Intake(store, clock or WallClock(), Telemetry(), load(folder / "observe.yaml")), store)


def page(seconds: int, xid: int, gpu: str = "a") -> bytes:
    """Of an instant some seconds from a common start, as an agent stamps it."""
    ms = int((NOW + timedelta(seconds=seconds)).timestamp() * 1000)
    return f'DCGM_FI_DEV_XID_ERRORS{{UUID="{gpu}"}} {xid} {ms}\n'.encode()


def take(made: Pages, seconds: int, xid: int, key: str = "") -> Taken:
    return made.take("exposition", "n1", page(seconds, xid), NOW, {}, key)


def events(store: Store) -> list[tuple[str, str]]:
    return store.read("select before, after from change_event order by ts").rows()


def test_a_page_sent_again_after_a_lost_answer_is_stored_once(store: Store, tmp_path: Path) -> None:
    made = pages(store, tmp_path)
    take(made, 0, 0, "k0")
    first, again = take(made, 15, 79, "k1"), take(made, 15, 79, "k1")

    assert (first.wait().duplicate, again.wait().duplicate) == (False, True)
    assert store.read("select count(*) as n from gpu_sample").item() == 2
    assert events(store) == [("0", "79")]


def test_a_page_of_a_past_that_is_judged_tells_no_fault(store: Store, tmp_path: Path) -> None:
    made = pages(store, tmp_path)
    for seconds, xid in ((0, 0), (30, 79), (15, 0), (45, 79)):
        take(made, seconds, xid)

    assert events(store) == [("0", "79")]
    assert store.read("select count(*) as n from gpu_sample").item() == 4


def test_a_restart_between_the_rows_and_the_state_repeats_no_fault(store: Store, tmp_path: Path) -> None:
    take(pages(store, tmp_path), 0, 0, "k0")
    before = store.state(["faults/exposition/n1"])["faults/exposition/n1"]
    take(pages(store, tmp_path), 15, 79, "k1")
    with store.change() as tx:  # as if it had been killed before the state was written
        tx.set_state("faults/exposition/n1", before)
    made = pages(store, tmp_path)
    take(made, 15, 79, "k1")  # the agent got no answer
    take(made, 30, 79, "k2")

    assert events(store) == [("0", "79")]


def test_a_board_cut_into_instances_is_one_device_of_the_fleet(store: Store, tmp_path: Path) -> None:
    board, small = 'UUID="G",modelName="H100"', 'UUID="G",modelName="H100",GPU_I_PROFILE="1g.10gb",GPU_I_ID="7"'
    page = f"DCGM_FI_DEV_POWER_USAGE{{{board}}} 300\nDCGM_FI_PROF_SM_ACTIVE{{{small}}} 0.7\n"
    pages(store, tmp_path).take("gpus", "t", page.encode(), NOW, {})

    fleet = store.read("select sku, devices, round(util_mean, 6) as util, power_w_sum from gpu_5m").rows()
    assert fleet == [("H100", 1, 0.1, 300.0)]


@pytest.mark.parametrize("clusters", [("eu", "us"), ("", "")])
def test_nodes_of_one_name_hide_each_others_faults_neither_with_clusters_nor_without(
    store: Store, tmp_path: Path, clusters: tuple[str, str]
) -> None:
    made = pages(store, tmp_path)
    for seconds, gpu, xid in ((0, "b", 0), (300, "a", 0), (15, "b", 79), (315, "a", 31)):
        made.take("exposition", "n1", page(seconds, xid, gpu), NOW, {"cluster": clusters[gpu == "b"]})

    found = store.read("select object_name, after from change_event order by object_name").rows()
    assert found == [("a", "31"), ("b", "79")]
    assert len(store.state()) == len(set(clusters))


def test_targets_beyond_their_room_are_counted_until_one_has_been_silent_for_an_hour(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "MAX_TARGETS", 2)
    clock = EventClock(NOW)
    made = pages(store, tmp_path, clock)
    for name in ("n1", "n2"):
        made.take("exposition", name, page(0, 0), NOW, {})
    refused = made.take("exposition", "n3", page(1, 0), NOW, {})
    assert refused.reasons(refused.wait()) == {"too_many_targets": 1}

    clock.set(NOW + targets.SILENT / 2)
    made.take("exposition", "n1", page(2, 0), NOW, {})
    clock.set(NOW + targets.SILENT * 1.1)
    made.take("exposition", "n3", page(3, 0), NOW, {})

    assert sorted(store.state()) == ["faults/exposition/n1", "faults/exposition/n3"]
    restarted = pages(store, tmp_path, clock)
    assert restarted.take("exposition", "n4", page(4, 0), NOW, {}).parsed.rejected == {"too_many_targets": 1}


def test_what_is_known_of_a_target_outlives_its_silence_for_a_month_and_no_longer(store: Store, tmp_path: Path) -> None:
    clock = EventClock(NOW)
    store.close()
    later = Store.open(tmp_path / "data", clock)
    for days in range(0, 41, 10):  # n2 speaks once, n1 all the time and always says the same
        clock.set(NOW + timedelta(days=days))
        made = pages(later, tmp_path, clock)
        for name in ("n1", "n2") if days == 0 else ("n1",):
            made.take("exposition", name, page(0, 0), NOW, {"accept_past_s": "inf"})
    left = list(later.state())
    later.close()

    assert left == ["faults/exposition/n1"]


def test_a_pushed_page_of_more_gpus_than_a_node_has_is_refused(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_module, "MAX_DEVICES", 2)
    with pytest.raises(PayloadTooLarge, match="3 GPUs and instances, 2 are the most"):
        pages(store, tmp_path).take("exposition", "n1", b"".join(page(0, 0, gpu) for gpu in "abc"), NOW, {})
