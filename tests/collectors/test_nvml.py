"""NVML on the real ctypes path: a stub of NVIDIA's library, in a process of its own."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from nvml_stub import built, pages

from collectors import exposition
from observe.schema import Parsed

pytestmark = pytest.mark.compiler

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("nvml"))


def parsed(page: str) -> Parsed:
    assert page.startswith("# TYPE"), page
    made = exposition.parse(page.encode(), AT, {"target": "this machine"})
    assert made.offered == made.items + sum(made.rejected.values())
    assert set(made.rejected) <= {"superseded"}
    return made


def gpus(page: str, *columns: str) -> list[tuple[Any, ...]]:
    return parsed(page).tables["gpu_sample"].select(columns).rows()


def values(page: str, metric: str) -> list[float]:
    return [float(v) for v in re.findall(rf"^{metric}\{{.*\}} (\S+)", page, re.MULTILINE)]


def test_two_gpus_say_everything_in_our_units(library: Path, tmp_path: Path) -> None:
    (page,) = pages(library, tmp_path, "0|")
    first, second = parsed(page).tables["gpu_sample"].to_dicts()

    assert (first["device_id"], second["device_id"], first["node"], first["state"]) == (
        "GPU-0000",
        "GPU-0001",
        "n1",
        "ok",
    )
    assert (first["util_ratio"], first["util_source"], second["util_ratio"]) == (0.4, "gpu_util", pytest.approx(0.41))
    assert (first["power_w"], first["energy_j"], first["temp_c"], first["mem_temp_c"]) == (
        350.5,
        123456.789,
        55.0,
        61.0,
    )
    assert (first["mem_used_mib"], first["mem_reserved_mib"], first["sm_clock_mhz"], first["throttle_mask"]) == (
        4096.0,
        1024.0,
        1980.0,
        4,
    )
    assert (first["processes"], first["pcie_replay_total"], first["ecc_dbe_total"], first["xid_last"]) == (
        2,
        3.0,
        0.0,
        0,
    )
    assert parsed(page).tables["gpu_device"].select("model", "driver", "pci_bus_id").rows()[0] == (
        "NVIDIA H100 80GB HBM3", "580.95.05", "00000000:01:00.0",
    )  # fmt: skip


def test_profiling_needs_two_samples_and_comes_as_ratios_and_bytes(library: Path, tmp_path: Path) -> None:
    first, second = pages(library, tmp_path, "0|", "0.25|")

    assert values(first, "DCGM_FI_PROF_SM_ACTIVE") == []
    assert values(second, "DCGM_FI_PROF_SM_ACTIVE") == [0.5, 0.5]
    assert values(second, "DCGM_FI_PROF_PCIE_TX_BYTES")[0] == 50 * 2**20
    assert "SM_OCCUPANCY" not in second  # this one metric the stub cannot say
    assert gpus(second, "util_source") == [("sm_active",), ("sm_active",)]


def test_instances_of_a_cut_gpu_are_devices_and_compute_instances_are_not(library: Path, tmp_path: Path) -> None:
    _, page = pages(library, tmp_path, "0|mig 1", "0.25|mig 1")
    devices = parsed(page).tables["gpu_device"].select("device_id", "mig_profile", "mig_fraction").rows()

    assert devices[2:] == [("GPU-0001/7", "1g.10gb", 1 / 7), ("GPU-0001/2", "3g.40gb", 3 / 7)]
    assert gpus(page, "util_ratio", "processes") == [(0.5, 2), (0.5, 2), (0.7, 2), (0.3, 2)]


def test_what_a_gpu_cannot_say_is_null_and_asked_again_after_a_while(library: Path, tmp_path: Path) -> None:
    no, yes = "fail DeviceGetPowerUsage 0 3", ""
    power = [
        values(page, "DCGM_FI_DEV_POWER_USAGE") for page in pages(library, tmp_path, f"0|{no}", f"5|{yes}", f"6|{yes}")
    ]

    assert power == [[350.5], [350.5], [350.5, 350.5]]


@pytest.mark.parametrize("code", [10, 19, 27, 999])
def test_what_a_gpu_cannot_say_just_now_is_null_this_once(library: Path, tmp_path: Path, code: int) -> None:
    first, second = pages(library, tmp_path, f"0|fail DeviceGetPowerUsage -1 {code}", "0.25|")

    assert values(first, "DCGM_FI_DEV_POWER_USAGE") == []
    assert len(values(second, "DCGM_FI_DEV_POWER_USAGE")) == 2


def test_older_drivers_are_asked_in_the_older_way(library: Path, tmp_path: Path) -> None:
    lacks = "\n".join(f"fail {name} -1 13" for name in ("DeviceGetMemoryInfo_v2", "DeviceGetTemperatureV"))
    (page,) = pages(library, tmp_path, f"0|{lacks}")

    assert gpus(page, "mem_used_mib", "temp_c") == [(5120.0, 54.0), (5120.0, 54.0)]


@pytest.mark.parametrize(
    "lost", ["fail DeviceGetPowerUsage 0 15", "fail DeviceGetHandleByIndex 0 16", "fail DeviceGetHandleByIndex 0 28"]
)
def test_a_gpu_that_is_lost_is_told_and_the_others_go_on(library: Path, tmp_path: Path, lost: str) -> None:
    _, gone, back = pages(library, tmp_path, "0|", f"0.25|{lost}", "0.25|")

    assert gpus(gone, "device_id", "state", "power_w") == [("GPU-0000", "lost", None), ("GPU-0001", "ok", 350.5)]
    assert gpus(back, "state") == [("ok",), ("ok",)]


def test_a_gpu_the_driver_no_longer_counts_is_lost(library: Path, tmp_path: Path) -> None:
    _, fewer = pages(library, tmp_path, "0|", "0.25|count 1")

    assert gpus(fewer, "device_id", "state") == [("GPU-0000", "ok"), ("GPU-0001", "lost")]


def test_a_gpu_lost_before_it_said_who_it_is_has_a_name_by_its_place(library: Path, tmp_path: Path) -> None:
    (page,) = pages(library, tmp_path, "0|fail DeviceGetHandleByIndex 1 15")

    assert gpus(page, "device_id", "state")[1] == ("unknown-n1-1", "lost")


def test_announced_xids_are_counted(library: Path, tmp_path: Path) -> None:
    first, second = pages(library, tmp_path, "0|", "0.25|xid 1 79\nxid 1 79\nxid 1 31")

    assert values(first, "DCGM_EXP_XID_ERRORS_TOTAL") == []
    assert gpus(second, "xid_last") == [(0,), (31,)]
    assert sorted(values(second, "DCGM_EXP_XID_ERRORS_TOTAL")) == [1.0, 2.0]


def test_a_driver_that_announces_no_xids_says_none_instead_of_zero(library: Path, tmp_path: Path) -> None:
    (page,) = pages(library, tmp_path, "0|fail DeviceRegisterEvents -1 3")

    assert values(page, "DCGM_FI_DEV_XID_ERRORS") == []


def test_a_driver_that_goes_away_is_told_in_words_and_found_again(library: Path, tmp_path: Path) -> None:
    said = pages(
        library,
        tmp_path,
        "0|fail Init -1 9",
        "1|",
        "1|fail DeviceGetCount -1 1",
        "1|fail DeviceGetCount -1 999",
        "1|count 0",
        "1|",
    )

    assert (
        said[0]
        == "NVML on n1: the NVIDIA driver is not loaded; nvidia-smi would fail, too: load it, or stop collecting here"
    )
    assert "opened again" in said[2]
    assert "asked again" in said[3]
    assert gpus(said[4], "state") == [("lost",), ("lost",)]
    assert gpus(said[5], "state") == [("ok",), ("ok",)]


@pytest.mark.parametrize(("code", "words"), [(18, "different versions"), (4, "/dev/nvidia"), (17, "error 17")])
def test_why_nvml_cannot_be_opened_is_said_in_words(library: Path, tmp_path: Path, code: int, words: str) -> None:
    (said,) = pages(library, tmp_path, f"0|fail Init -1 {code}")

    assert words in said


def test_without_a_library_that_is_said(tmp_path: Path) -> None:
    (said,) = pages(None, tmp_path, "0|")

    assert said.startswith("NVML on n1: no NVIDIA driver library (libnvidia-ml.so.1) on this machine")


def test_sixty_four_gpus_are_one_page(library: Path, tmp_path: Path) -> None:
    _, page = pages(library, tmp_path, "0|count 64", "0.25|count 64")

    assert len(gpus(page, "device_id")) == 64
    assert parsed(page).offered > 64 * 25


@pytest.mark.parametrize("code", [10, 19, 27, 999])
def test_a_gpu_that_does_not_take_a_listener_just_now_is_asked_again(library: Path, tmp_path: Path, code: int) -> None:
    first, second, third = pages(library, tmp_path, f"0|fail DeviceRegisterEvents 1 {code}", "0.25|", "0.25|xid 1 79")

    assert gpus(first, "xid_last") == [(0,), (None,)]
    assert gpus(second, "xid_last") == [(0,), (0,)]
    assert gpus(third, "xid_last") == [(0,), (79,)]


def test_a_gpu_that_cannot_announce_xids_is_asked_again_after_a_while(library: Path, tmp_path: Path) -> None:
    said = pages(library, tmp_path, "0|fail DeviceRegisterEvents -1 3", "5|", "6|")

    assert [values(page, "DCGM_FI_DEV_XID_ERRORS") for page in said] == [[], [], [0.0, 0.0]]


def test_a_gpu_lost_while_it_is_listened_to_is_lost_and_nothing_else(library: Path, tmp_path: Path) -> None:
    (page,) = pages(library, tmp_path, "0|fail DeviceRegisterEvents 0 15")

    assert gpus(page, "device_id", "state", "power_w") == [("GPU-0000", "lost", None), ("GPU-0001", "ok", 350.5)]


def test_links_between_gpus_are_counted_with_their_errors(library: Path, tmp_path: Path) -> None:
    one_down, none, older = pages(
        library, tmp_path, "0|nvlink 0 6\nnvlink 1 5", "15|", "15|nvlink 0 6\nnvlink 1 5\nfail NvLinkField -1 3"
    )

    assert values(one_down, "observe_gpu_nvlinks") == [6.0, 6.0]
    assert values(one_down, "observe_gpu_nvlinks_up") == [6.0, 5.0]
    assert values(one_down, "DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL") == [52.0, 52.0]
    assert values(none, "observe_gpu_nvlinks") == []
    assert values(older, "DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL") == [12.0, 12.0]
    kept = parsed(one_down).tables["metric_sample"]["metric"].to_list()
    assert {"observe_gpu_nvlinks_up", "DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL"} <= set(kept)


def test_processes_that_keep_a_gpu_busy_are_counted_and_one_that_idles_is_not(library: Path, tmp_path: Path) -> None:
    busy, idle, mute = pages(
        library, tmp_path, "0|busy 0 80\nbusy 1 20", "1|", "1|fail DeviceGetProcessUtilization -1 3"
    )

    assert values(busy, "observe_gpu_processes_busy") == [1.0, 1.0]
    assert values(busy, "observe_gpu_process_util_max") == [0.8, 0.2]
    assert (values(idle, "observe_gpu_processes_busy"), values(idle, "observe_gpu_process_util_max")) == (
        [0, 0],
        [0, 0],
    )
    assert values(mute, "observe_gpu_processes_busy") == []
