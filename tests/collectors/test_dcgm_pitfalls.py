"""What dcgm-exporter's pages say that is not so: one test for each known pitfall, then what other entities say."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from collectors import exposition
from observe.schema import Parsed

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
BOARD = 'gpu="0",UUID="G",modelName="NVIDIA H100 80GB HBM3",hostname="n1"'
SMALL = f'{BOARD},GPU_I_PROFILE="1g.10gb",GPU_I_ID="7"'
LARGE = f'{BOARD},GPU_I_PROFILE="3g.40gb",GPU_I_ID="2"'


def page(*lines: str) -> Parsed:
    """A page of lines `NAME{labels} value`, where the prefix DCGM_FI_ is left out."""
    text = "".join(f"{line if line.startswith(('DCGM', 'gpu_', 'amd_')) else f'DCGM_FI_{line}'}\n" for line in lines)
    parsed = exposition.parse(text.encode(), AT, {"cluster": "eu", "target": "http://n1:9400/metrics"})
    assert parsed.offered == parsed.items + sum(parsed.rejected.values())
    return parsed


def gpus(parsed: Parsed, *columns: str) -> list[tuple[Any, ...]]:
    frame = parsed.tables["gpu_sample"]
    return frame.select([c if c in frame.columns else pl.lit(None).alias(c) for c in columns]).rows()


def gpu(*lines: str) -> dict[str, Any]:
    return page(*lines).tables["gpu_sample"].to_dicts()[0]


def test_pitfall_1_gpu_util_is_zero_under_mig_by_design_and_never_idleness() -> None:
    cut = page(
        f"DEV_GPU_UTIL{{{BOARD}}} 0", f"PROF_GR_ENGINE_ACTIVE{{{SMALL}}} 0.7", f"PROF_GR_ENGINE_ACTIVE{{{LARGE}}} 0.7"
    )
    silent = page(f"DEV_GPU_UTIL{{{BOARD}}} 0", f"DEV_FB_USED{{{SMALL}}} 5")

    assert gpus(cut, "device_id", "util_source") == [("G", "mig"), ("G/7", "gr_engine"), ("G/2", "gr_engine")]
    assert cut.tables["gpu_sample"]["util_ratio"][0] == pytest.approx(0.7 * 1 / 7 + 0.7 * 3 / 7)
    assert gpus(silent, "util_ratio", "util_source")[0] == (None, None)


def test_a_page_of_instances_alone_has_a_row_for_their_board_too() -> None:
    parsed = page(f"PROF_GR_ENGINE_ACTIVE{{{LARGE}}} 0.7")

    assert gpus(parsed, "device_id", "util_ratio") == [("G/2", 0.7), ("G", pytest.approx(0.3))]
    assert parsed.tables["gpu_device"].select("device_id", "model", "mig_gi").rows()[1] == (
        "G",
        "NVIDIA H100 80GB HBM3",
        None,
    )


def test_pitfall_2_an_xid_gauge_is_kept_as_the_last_code_and_counts_are_gauges() -> None:
    parsed = page(
        f"DEV_XID_ERRORS{{{BOARD}}} 79", f'DCGM_EXP_XID_ERRORS_COUNT{{{BOARD},xid="79",window_size_in_ms="300000"}} 2'
    )

    assert gpus(parsed, "xid_last") == [(79,)]
    assert parsed.tables["metric_sample"].select("kind", "value").rows() == [("gauge", 2.0)]


def test_pitfall_3_nvlink_bandwidth_total_is_a_gauge_of_megabytes_whatever_its_type_says() -> None:
    total = gpu(f"DEV_NVLINK_BANDWIDTH_TOTAL{{{BOARD}}} 9")
    exact = gpu(f"DEV_NVLINK_BANDWIDTH_TOTAL{{{BOARD}}} 9", f"PROF_NVLINK_TX_BYTES{{{BOARD}}} 5e6")

    assert (total["nvlink_tx_bps"], total["quality"]) == (9e6, 8)
    assert (exact["nvlink_tx_bps"], exact["quality"]) == (5e6, 0)


@pytest.mark.parametrize("impossible", ["1340", "200000", "4294967295", "-1"])
def test_pitfall_4_utilisation_out_of_range_is_null_and_flagged(impossible: str) -> None:
    found = gpu(f"DEV_GPU_UTIL{{{BOARD}}} {impossible}")

    assert (found["util_ratio"], found["quality"]) == (None, 1)


def test_pitfall_5_profiling_that_stands_at_zero_beside_a_busy_gpu_is_not_idleness() -> None:
    stuck = gpu(f"DEV_GPU_UTIL{{{BOARD}}} 100", f"PROF_GR_ENGINE_ACTIVE{{{BOARD}}} 0", f"PROF_DRAM_ACTIVE{{{BOARD}}} 0")

    assert (stuck["util_ratio"], stuck["util_source"], stuck["dram_active_ratio"]) == (1.0, "gpu_util", None)
    assert stuck["quality"] == 4


@pytest.mark.parametrize("blank", [str(2**63 - k) for k in (13, 14, 15, 16)] + ["2147483634", "140737488355330"])
def test_pitfall_6_every_spelling_of_no_value_is_null(blank: str) -> None:
    found = gpu(f"DEV_POWER_USAGE{{{BOARD}}} {blank}")

    assert (found["power_w"], found["quality"]) == (None, 2)


def test_pitfall_7_a_memory_temperature_of_zero_is_a_missing_sensor() -> None:
    assert gpu(f"DEV_MEMORY_TEMP{{{BOARD}}} 0", f"DEV_GPU_TEMP{{{BOARD}}} 41")["mem_temp_c"] is None
    assert gpu(f"DEV_MEMORY_TEMP{{{BOARD}}} 0", f"DEV_GPU_TEMP{{{BOARD}}} 0")["mem_temp_c"] == 0.0


def test_pitfall_8_the_workload_is_never_the_exporter() -> None:
    own = 'pod="nvidia-dcgm-exporter-zn7",namespace="gpu"'
    scraped = gpu(f'DEV_GPU_TEMP{{{BOARD},{own},exported_pod="train-1",exported_namespace="ml"}} 1')
    alone = gpu(f"DEV_GPU_TEMP{{{BOARD},{own}}} 1")

    assert (scraped["namespace"], scraped["pod"]) == ("ml", "train-1")
    assert (alone["namespace"], alone["pod"]) == (None, None)


def test_pitfall_9_a_device_shared_by_time_slicing_is_one_sample_and_belongs_to_nobody() -> None:
    parsed = page(*(f'DEV_GPU_UTIL{{{BOARD},pod="p{i}",vgpu="{i}"}} 80' for i in range(3)))

    assert gpus(parsed, "util_ratio", "pod") == [(0.8, None)]
    assert parsed.rejected == {"shared_device": 2}


def test_pitfall_10_a_pod_label_that_comes_and_goes_leaves_the_sample_unattributed() -> None:
    seen = [
        gpus(page(f"DEV_GPU_UTIL{{{BOARD}{pod}}} 80"), "pod")[0][0] for pod in (',pod="p"', "", ',pod=""', ',pod="p"')
    ]

    assert seen == ["p", None, None, "p"]


def test_pitfall_11_a_gpu_without_profiling_falls_back_to_gpu_util() -> None:
    old = gpu(f"DEV_GPU_UTIL{{{BOARD}}} 30", f"DEV_GPU_TEMP{{{BOARD}}} 60")

    assert (old["util_ratio"], old["util_source"]) == (0.3, "gpu_util")
    assert "sm_active_ratio" not in old


def test_pitfall_12_values_of_the_whole_board_come_from_one_row_and_instances_have_their_weight() -> None:
    parsed = page(
        f"DEV_GPU_TEMP{{{BOARD}}} 61", f"DEV_GPU_TEMP{{{SMALL}}} 61", f"DEV_POWER_USAGE{{{LARGE}}} 400",
        f"PROF_GR_ENGINE_ACTIVE{{{SMALL}}} 0.5", f"DEV_FB_USED{{{LARGE}}} 9",
    )  # fmt: skip
    devices = (
        parsed.tables["gpu_device"].select("device_id", "parent_uuid", "mig_profile", "mig_gi", "mig_fraction").rows()
    )

    assert gpus(parsed, "device_id", "temp_c", "power_w") == [
        ("G", 61.0, 400.0),
        ("G/7", None, None),
        ("G/2", None, None),
    ]
    assert parsed.rejected == {"device_wide": 1}
    assert devices == [
        ("G", None, None, None, None),
        ("G/7", "G", "1g.10gb", "7", 1 / 7),
        ("G/2", "G", "3g.40gb", "2", 3 / 7),
    ]


@pytest.mark.parametrize(
    ("model", "profile", "share"),
    [("NVIDIA A30", "2g.12gb", 0.5), ("NVIDIA A100", "7g.80gb", 1.0), ("NVIDIA H200", "1c.2g.35gb", 2 / 7), ("x", "odd", None)],
)  # fmt: skip
def test_the_weight_of_an_instance_goes_by_the_slices_of_its_board(
    model: str, profile: str, share: float | None
) -> None:
    parsed = page(f'DEV_FB_USED{{UUID="G",modelName="{model}",GPU_I_PROFILE="{profile}",GPU_I_ID="1"}} 5')

    assert parsed.tables["gpu_device"]["mig_fraction"].to_list() == [share, None]


def test_pitfall_13_a_virtual_gpu_says_little_and_the_rest_is_null() -> None:
    names = ["SM_CLOCK", "MEM_CLOCK", "PCIE_REPLAY_COUNTER", "GPU_UTIL", "MEM_COPY_UTIL", "ENC_UTIL", "DEC_UTIL", "FB_FREE", "FB_USED", "FB_RESERVED", "VGPU_LICENSE_STATUS"]  # fmt: skip
    parsed = page(*(f"DEV_{name}{{{BOARD}}} 7" for name in names))

    assert gpus(parsed, "util_ratio", "mem_used_mib", "power_w", "temp_c", "quality") == [(0.07, 7.0, None, None, 0)]
    assert parsed.rejected == {}


def test_pitfall_14_energy_may_fall_and_samples_may_bring_their_own_time() -> None:
    past = AT - timedelta(minutes=5)
    parsed = page(
        f"DEV_TOTAL_ENERGY_CONSUMPTION{{{BOARD}}} 9000000 {int(past.timestamp() * 1000)}",
        f"DEV_TOTAL_ENERGY_CONSUMPTION{{{BOARD}}} 1000",
    )

    assert gpus(parsed, "ts", "energy_j") == [(past, 9000.0), (AT, 1.0)]


def test_links_switches_and_processors_are_no_gpus_and_keep_their_own_labels() -> None:
    parsed = page(
        'DEV_NVLINK_BANDWIDTH_TOTAL{nvlink="3",gpu_uuid="G",model_name="H100",hostname="n1"} 40',
        'DEV_NVSWITCH_TEMPERATURE_CURRENT{nvswitch="0",hostname="n1"} 41',
        'DEV_CPU_UTIL_TOTAL{cpu="0",cpucore="17",hostname="n1"} 0.4',
    )
    found = (
        parsed.tables["metric_sample"].select("metric", "kind", pl.col("labels").str.json_path_match("$.nvlink")).rows()
    )

    assert list(parsed.tables) == ["metric_sample"]
    assert found[0] == ("DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL", "gauge", "3")
    assert [name for name, _, _ in found[1:]] == [
        "DCGM_FI_DEV_NVSWITCH_TEMPERATURE_CURRENT",
        "DCGM_FI_DEV_CPU_UTIL_TOTAL",
    ]


def test_throttled_time_comes_in_seconds_and_counters_of_trouble_have_columns() -> None:
    found = gpu(
        f"DEV_POWER_VIOLATION{{{BOARD}}} 1500000000", f"DEV_THERMAL_VIOLATION{{{BOARD}}} 250000000",
        f"DEV_PCIE_REPLAY_COUNTER{{{BOARD}}} 4", f"DEV_CORRECTABLE_REMAPPED_ROWS{{{BOARD}}} 2", f"DEV_ROW_REMAP_PENDING{{{BOARD}}} 1",
    )  # fmt: skip

    assert (found["power_violation_s"], found["thermal_violation_s"], found["pcie_replay_total"]) == (1.5, 0.25, 4.0)
    assert (found["remapped_corr"], found["row_remap_pending"]) == (2.0, 1.0)


def test_an_amd_board_is_a_gpu_of_its_vendor_in_our_units() -> None:
    amd = 'gpu_id="2",serial_number="SN1",card_series="AMD Instinct MI300X OAM",hostname="n2",gpu_partition_id="0",gpu_compute_partition_type="spx",pod="p",namespace="ns"'
    parsed = page(
        f"gpu_gfx_activity{{{amd}}} 37", f"gpu_used_vram{{{amd}}} 1024", f"gpu_package_power{{{amd}}} 410", f"gpu_energy_consumed{{{amd}}} 5e6",
        f"amd_gpu_junction_temperature{{{amd}}} 61", f"gpu_ecc_uncorrect_total{{{amd}}} 1", f"gpu_health{{{amd}}} 1",
    )  # fmt: skip

    assert gpus(parsed, "device_id", "node", "pod", "util_ratio", "util_source") == [
        ("SN1", "n2", "p", 0.37, "gfx_activity")
    ]
    assert gpus(parsed, "mem_used_mib", "power_w", "energy_j", "temp_c", "ecc_dbe_total") == [
        (1024.0, 410.0, 5.0, 61.0, 1.0)
    ]
    assert parsed.tables["gpu_device"].select("vendor", "model", "gpu_index").rows() == [
        ("amd", "AMD Instinct MI300X OAM", 2)
    ]
    assert parsed.tables["metric_sample"]["metric"].to_list() == ["gpu_health"]


def test_partitions_of_an_amd_board_are_devices_of_their_own() -> None:
    parsed = page(
        *(
            f'gpu_gfx_activity{{serial_number="S",gpu_partition_id="{i}",gpu_compute_partition_type="cpx"}} 5'
            for i in (0, 1)
        )
    )

    assert gpus(parsed, "device_id") == [("S/0",), ("S/1",)]
