"""A page becomes rows: units, sentinels, contradictions, identity, accounting."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors import exposition
from observe.schema import TABLES, Parsed
from observe.schema.exchange import frame_schema

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
GOLDEN = Path(__file__).parents[1] / "golden"
LABELS = {"cluster": "eu-west", "target": "http://n1:9400/metrics", "source": "gpus"}


def page(text: str, **labels: str) -> Parsed:
    parsed = exposition.parse(text.encode(), AT, {**LABELS, **labels})
    assert parsed.offered == parsed.items + sum(parsed.rejected.values())
    return parsed


def golden(name: str) -> Parsed:
    return page((GOLDEN / name).read_text())


def rows(parsed: Parsed, table: str) -> list[dict[str, Any]]:
    return parsed.tables[table].to_dicts()


def gpu(text: str, **labels: str) -> dict[str, Any]:
    return rows(page(text, **labels), "gpu_sample")[0]


def test_a_busy_board_is_one_wide_row_in_our_units() -> None:
    busy = rows(golden("dcgm_h100.prom"), "gpu_sample")[0]

    assert (busy["device_id"], busy["node"], busy["cluster"]) == ("GPU-aaaa", "n1", "eu-west")
    assert (busy["util_ratio"], busy["util_source"]) == (0.91, "gr_engine")
    assert (busy["energy_j"], busy["power_w"]) == (2147483.633, 643.5)  # an int32 blank is an honest energy
    assert (busy["nvlink_tx_bps"], busy["quality"]) == (1.2e9, 8)
    assert (busy["namespace"], busy["pod"], busy["container"]) == ("chat", "llama-0", "vllm")


def test_sentinels_and_impossible_values_are_null_flagged_and_counted() -> None:
    parsed = golden("dcgm_h100.prom")
    idle = rows(parsed, "gpu_sample")[1]

    assert (idle["power_w"], idle["util_ratio"], idle["mem_temp_c"]) == (None, None, None)
    assert idle["quality"] == 1 | 2
    assert parsed.notes == {"sentinel": 1, "out_of_range": 1, "no_sensor": 1}


def test_a_device_is_described_once_with_its_total_memory() -> None:
    first, second = rows(golden("dcgm_h100.prom"), "gpu_device")

    assert (first["model"], first["driver"], first["gpu_index"]) == ("NVIDIA H100 80GB HBM3", "570.1", 0)
    assert first["mem_total_mib"] == 70000 + 11000 + 559
    assert (second["pci_bus_id"], second["mem_total_mib"], second["last_seen"]) == ("00000000:2A:00.0", None, AT)


def test_an_unmapped_dcgm_series_is_kept_in_the_long_form_with_the_right_kind() -> None:
    (count,) = rows(golden("dcgm_h100.prom"), "metric_sample")

    assert (count["metric"], count["kind"], count["value"]) == ("DCGM_EXP_XID_ERRORS_COUNT", "gauge", 1.0)
    assert '"cluster":"eu-west"' in count["labels"]
    assert '"instance":"http://n1:9400/metrics"' in count["labels"]


def test_frames_have_the_types_of_their_tables() -> None:
    tables = golden("dcgm_h100.prom").tables | golden("vllm.prom").tables

    for name, frame in tables.items():
        wanted = frame_schema(TABLES[name])
        assert {c: wanted[c] for c in frame.columns} == dict(frame.schema)


def test_each_engine_of_a_model_server_is_one_row() -> None:
    zero, one = rows(golden("vllm.prom"), "serving_sample")

    assert (zero["model_id"], zero["engine"], zero["server"]) == ("llama", "0", "vllm")
    assert (zero["running"], zero["queue_depth"], zero["tokens_in_total"]) == (12.0, 3.0, 1.5e6)
    assert (zero["requests_ok_total"], zero["requests_failed_total"]) == (120.0, 4.0)
    assert (one["engine"], one["running"], one["queue_depth"]) == ("1", 9.0, None)


def test_of_two_names_for_one_thing_the_newer_wins_and_nothing_is_summed() -> None:
    zero, one = rows(golden("vllm.prom"), "serving_sample")

    assert (zero["kv_util_ratio"], one["kv_util_ratio"]) == (0.42, 0.10)
    assert golden("vllm.prom").rejected == {
        "superseded": 1, "created": 1, "histogram": 4, "unknown_outcome": 1, "unmapped": 1,
    }  # fmt: skip


def test_ray_repeats_vllm_under_its_own_prefix_one_row_a_worker() -> None:
    parsed = page(
        'ray_vllm:num_requests_running{model_name="m",engine="0",WorkerId="w1"} 1\n'
        'ray_vllm:num_requests_running{model_name="m",engine="0",WorkerId="w2"} 2\n'
    )

    assert parsed.tables["serving_sample"].select("engine", "running").rows() == [("0/w1", 1.0), ("0/w2", 2.0)]


def test_infiniband_series_are_kept_with_their_kind() -> None:
    found = golden("infiniband.prom").tables["metric_sample"].select("kind", "value").rows()

    assert found == [("counter", 18527668.0), ("gauge", 4.0)]


def test_a_broken_line_is_counted_and_the_rest_goes_on() -> None:
    parsed = page(
        'node_infiniband_state_id{port="1"} 4\nnode_infiniband_state_id{port="2} 4\n!!\nDCGM_FI_DEV_GPU_TEMP 1_0\n'
    )

    assert parsed.rejected == {"syntax": 3}
    assert parsed.examples["syntax"].startswith("node_infiniband_state_id")


def test_escapes_braces_and_spaces_in_labels_are_read_as_written() -> None:
    parsed = page('node_infiniband_info{ a = "x\\"y\\\\z\\n}" , b="" , } 1\n')

    assert r'"a":"x\"y\\z\n}","b":"' in parsed.tables["metric_sample"]["labels"][0]


def test_quoted_names_of_newer_prometheus_are_read() -> None:
    parsed = page('{"node_infiniband_state_id", port="1"} 4\n')

    assert parsed.tables["metric_sample"]["metric"].to_list() == ["node_infiniband_state_id"]


def test_a_timestamp_on_a_sample_is_its_time() -> None:
    before = AT - timedelta(minutes=5)
    text = (
        f'DCGM_FI_DEV_GPU_TEMP{{UUID="a"}} 40 {int(before.timestamp() * 1000)}\nDCGM_FI_DEV_GPU_TEMP{{UUID="a"}} 41\n'
    )
    found = page(text).tables["gpu_sample"].select("ts", "temp_c").rows()

    assert found == [(before, 40.0), (AT, 41.0)]


def test_openmetrics_counts_time_in_seconds_and_carries_exemplars() -> None:
    at = AT.timestamp() - 60
    parsed = page(f'litellm_x_total{{a="b"}} 5 {at} # {{trace_id="}}"}} 0.67 1520879607.789\n# EOF\n')

    assert parsed.tables["metric_sample"].select("ts", "value", "kind").rows() == [
        (AT - timedelta(seconds=60), 5.0, "counter")
    ]


@pytest.mark.parametrize(("shift", "reason"), [(timedelta(days=-8), "too_old"), (timedelta(minutes=11), "in_future")])
def test_a_sample_out_of_the_accepted_time_is_refused(shift: timedelta, reason: str) -> None:
    ms = int((AT + shift).timestamp() * 1000)

    assert page(f'DCGM_FI_DEV_GPU_TEMP{{UUID="a"}} 40 {ms}\n').rejected == {reason: 1}


def test_values_that_are_no_numbers_never_reach_the_long_form() -> None:
    text = "node_infiniband_a NaN\nnode_infiniband_b +Inf\nDCGM_FI_X 2147483633\nnode_infiniband_c 2147483633\n"

    assert page(text).rejected == {"not_finite": 2, "sentinel": 1}


def test_a_series_twice_on_a_page_counts_once() -> None:
    parsed = page(
        'DCGM_FI_DEV_GPU_TEMP{UUID="a"} 40\nDCGM_FI_DEV_GPU_TEMP{UUID="a"} 41\nnode_infiniband_a 1\nnode_infiniband_a 1\n'
    )

    assert parsed.rejected == {"duplicate_series": 2}
    assert parsed.tables["gpu_sample"]["temp_c"].to_list() == [40.0]


def test_sm_activity_outranks_every_other_utilisation() -> None:
    found = gpu(
        'DCGM_FI_DEV_GPU_UTIL{UUID="a"} 100\nDCGM_FI_PROF_GR_ENGINE_ACTIVE{UUID="a"} 0.9\nDCGM_FI_PROF_SM_ACTIVE{UUID="a"} 0.3\n'
    )

    assert (found["util_ratio"], found["sm_active_ratio"], found["util_source"]) == (0.3, 0.3, "sm_active")


def test_names_of_older_exporters_are_understood() -> None:
    found = gpu('DCGM_FI_DEV_GPU_TEMP{uuid="a",Hostname="n9",pod_name="p",pod_namespace="ns",container_name="c"} 40\n')

    assert (found["device_id"], found["node"], found["namespace"], found["pod"], found["container"]) == (
        "a",
        "n9",
        "ns",
        "p",
        "c",
    )


def test_a_gpu_series_without_a_device_is_refused() -> None:
    assert page('DCGM_FI_DEV_GPU_TEMP{gpu="0"} 40\n').rejected == {"no_device": 1}


def test_a_link_is_not_a_gpu() -> None:
    parsed = page('DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL{nvlink="3",gpu_uuid="a"} 40\n')

    assert list(parsed.tables) == ["metric_sample"]


def test_litellm_labels_lose_the_word_none_and_hide_people() -> None:
    parsed = page('litellm_spend_metric_total{team="None",end_user="eve@example.com",model="m"} 1.5\n')
    labels = parsed.tables["metric_sample"]["labels"][0]

    assert '"model":"m"' in labels
    assert "None" not in labels
    assert "eve" not in labels


def test_labels_of_the_site_reach_rows_even_when_two_targets_expose_the_same_text() -> None:
    text = 'node_infiniband_state_id{device="mlx5_0",port="1"} 4\n'
    a, b = (page(text, target=t).tables["metric_sample"]["labels"][0] for t in ("http://a/", "http://b/"))

    assert a != b


def test_more_frames_do_not_change_the_account() -> None:
    parsed = golden("infiniband.prom")
    more = exposition.with_table(parsed, "change_event", pl.DataFrame({"event_id": ["x"]}))

    assert (more.items, more.offered) == (2, 2)
    assert set(more.tables) == {"metric_sample", "change_event"}


LINE = st.one_of(
    st.text(max_size=60),
    st.from_regex(
        r'(DCGM_FI_DEV_GPU_TEMP|vllm:num_requests_running|x)(\{(UUID|model_name)="[^"\n]{0,5}"\})? [-+0-9.eNaInf_]{1,8}( [0-9]{1,19})?',
        fullmatch=True,
    ),
)


@settings(max_examples=150)
@given(st.lists(LINE, max_size=8))
def test_whatever_a_page_holds_every_line_is_kept_or_counted_and_a_good_one_beside_it_is_stored(
    lines: list[str],
) -> None:
    parsed = page("\n".join([*lines, 'DCGM_FI_DEV_POWER_USAGE{UUID="GPU-sure"} 7']))

    assert parsed.offered == parsed.items + sum(parsed.rejected.values())
    assert (7.0, "GPU-sure") in [(r["power_w"], r["device_id"]) for r in rows(parsed, "gpu_sample")]


@settings(max_examples=60)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_text_never_stop_the_parser(body: bytes) -> None:
    parsed = exposition.parse(body, AT, LABELS)

    assert parsed.offered == parsed.items + sum(parsed.rejected.values())
