"""Pages of LiteLLM, Envoy and of model servers other than vLLM, written by hand after their exporters."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from collectors import exposition
from observe.schema import Parsed

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


def page(text: str, **labels: str) -> Parsed:
    parsed = exposition.parse(text.encode(), AT, {"target": "http://s/metrics", "source": "s", **labels})
    assert parsed.offered == parsed.items + sum(parsed.rejected.values())
    return parsed


def long(text: str) -> list[dict[str, Any]]:
    return page(text).tables["metric_sample"].to_dicts()


def serving(text: str, *columns: str, **labels: str) -> list[tuple[Any, ...]]:
    return page(text, **labels).tables["serving_sample"].select("model_id", "engine", "server", *columns).rows()


LITELLM = """\
# TYPE litellm_deployment_state gauge
litellm_deployment_state{api_base="None",api_provider="azure",litellm_model_name="gpt",model_id="dep-b"} 1.0
# TYPE litellm_deployment_cooled_down_total counter
litellm_deployment_cooled_down_total{api_provider="azure",exception_status="429",model_id="dep-b"} 2.0
# TYPE litellm_deployment_successful_fallbacks_total counter
litellm_deployment_successful_fallbacks_total{requested_model="chat",fallback_model="chat-slow",end_user="jane",team="None"} 3.0
# HELP litellm_team_budget_remaining_hours_metric Remaining days for team budget to be reset
# TYPE litellm_team_budget_remaining_hours_metric gauge
litellm_team_budget_remaining_hours_metric{team="t"} 12.0
# HELP litellm_overhead_latency_metric Latency overhead (milliseconds) added by LiteLLM processing
# TYPE litellm_overhead_latency_metric histogram
litellm_overhead_latency_metric_bucket{le="+Inf"} 4
litellm_overhead_latency_metric_sum 0.02
litellm_overhead_latency_metric_count 4
# TYPE litellm_request_queue_time_seconds histogram
litellm_request_queue_time_seconds_sum 0.5
# TYPE litellm_remaining_tokens_metric gauge
litellm_remaining_tokens_metric{model="m"} 9.223372036854775807e+18
"""


def test_a_litellm_page_keeps_its_state_fallbacks_and_budgets_with_true_units() -> None:
    rows = {r["metric"].removeprefix("litellm_"): r for r in long(LITELLM)}

    assert {name: (r["value"], r["kind"], r["unit"]) for name, r in rows.items()} == {
        "deployment_state": (1.0, "gauge", None), "deployment_cooled_down_total": (2.0, "counter", None),
        "deployment_successful_fallbacks_total": (3.0, "counter", None), "team_budget_remaining_hours_metric": (12.0, "gauge", "h"),
        "overhead_latency_metric_sum": (0.02, "sum", "s"), "overhead_latency_metric_count": (4.0, "count", None),
        "request_queue_time_seconds_sum": (0.5, "sum", "s"),
    }  # fmt: skip


def test_the_word_none_is_no_label_and_people_are_hashed() -> None:
    texts = [r["labels"] for r in long(LITELLM)]

    assert not any("None" in text or "jane" in text for text in texts)
    assert page(LITELLM).rejected == {"histogram": 1, "sentinel": 1}


def test_a_counter_that_goes_down_is_kept_as_it_is() -> None:
    line = 'litellm_deployment_total_requests_total{{model_id="d"}} {n}\n'

    assert [long(line.format(n=n))[0]["value"] for n in (500, 120, 480)] == [500.0, 120.0, 480.0]


def test_the_genai_metrics_of_envoy_are_kept() -> None:
    (row,) = long('gen_ai_client_token_usage_token_sum{gen_ai_token_type="cached_input",gen_ai_request_model="m"} 7\n')

    assert json.loads(row["labels"])["gen_ai_token_type"] == "cached_input"


def test_sglang_is_one_row_a_data_parallel_rank() -> None:
    text = "".join(
        f'sglang:{name}{{model_name="glm",engine_type="unified",tp_rank="0",dp_rank="{rank}"}} {value}\n'
        for rank in (0, 1)
        for name, value in (("num_queue_reqs", 3), ("num_running_reqs", 5), ("token_usage", 0.4), ("num_retracted_requests_total", 2))
    )  # fmt: skip
    text += 'sglang:prompt_tokens_total{model_name="glm"} 100\nsglang:num_aborted_requests_total{model_name="glm"} 4\n'

    columns = (
        "queue_depth",
        "running",
        "kv_util_ratio",
        "preemptions_total",
        "tokens_in_total",
        "requests_failed_total",
    )
    assert serving(text, *columns) == [
        ("glm", "0", "sglang", 3.0, 5.0, 0.4, 2.0, None, None), ("glm", "1", "sglang", 3.0, 5.0, 0.4, 2.0, None, None),
        ("glm", "", "sglang", None, None, None, None, 100.0, 4.0),
    ]  # fmt: skip


def test_a_tgi_page_needs_a_model_from_the_site() -> None:
    text = "tgi_queue_size 2\ntgi_batch_current_size 8\ntgi_request_success 90\n"

    assert page(text).rejected == {"no_model": 3}
    assert serving(text, "queue_depth", "running", "requests_ok_total", model="zephyr") == [
        ("zephyr", "", "tgi", 2.0, 8.0, 90.0)
    ]


def test_triton_is_one_row_a_model_version_and_failures_add_up_over_reasons() -> None:
    text = """\
nv_inference_pending_request_count{model="fraud",version="1"} 4
nv_inference_request_success{model="fraud",version="1"} 100
nv_inference_request_failure{model="fraud",version="1",reason="BACKEND"} 2
nv_inference_request_failure{model="fraud",version="1",reason="CANCELED"} 3
nv_inference_request_success{model="fraud",version="2"} 7
nv_trt_llm_request_metrics{model="trt",version="1",request_type="waiting"} 6
nv_trt_llm_request_metrics{model="trt",version="1",request_type="scheduled"} 9
nv_trt_llm_request_metrics{model="trt",version="1",request_type="max"} 512
nv_trt_llm_kv_cache_block_metrics{model="trt",version="1",kv_cache_block_type="fraction"} 0.25
nv_trt_llm_kv_cache_block_metrics{model="trt",version="1",kv_cache_block_type="max"} 6239
"""
    columns = ("queue_depth", "running", "kv_util_ratio", "requests_ok_total", "requests_failed_total")

    assert serving(text, *columns) == [
        ("fraud", "1", "triton", 4.0, None, None, 100.0, 5.0), ("fraud", "2", "triton", None, None, None, 7.0, None),
        ("trt", "1", "triton", 6.0, 9.0, 0.25, None, None),
    ]  # fmt: skip
    assert page(text).rejected == {"unknown_outcome": 2}


def test_trtllm_serve_and_ray_serve_have_their_own_names() -> None:
    text = """\
trtllm_num_requests_waiting{model_name="llama",engine_type="trtllm"} 1
trtllm_kv_cache_utilization{model_name="llama",engine_type="trtllm"} 0.62
ray_serve_deployment_queued_queries{application="app",deployment="Chat",WorkerId="w1"} 3
ray_serve_deployment_queued_queries{application="app",deployment="Chat",WorkerId="w2"} 4
"""

    assert serving(text, "queue_depth", "kv_util_ratio") == [
        ("llama", "", "trtllm", 1.0, 0.62), ("Chat", "w1", "ray-serve", 3.0, None), ("Chat", "w2", "ray-serve", 4.0, None),
    ]  # fmt: skip


@pytest.mark.parametrize("reverse", [False, True])
def test_of_an_endpoint_pickers_two_names_the_newer_counts_and_nothing_is_added_up(reverse: bool) -> None:
    lines = [
        'llm_d_epp_average_queue_size{name="pool"} 2', 'inference_pool_average_queue_size{name="pool"} 2',
        'inference_pool_average_running_requests{name="pool"} 5', 'llm_d_epp_request_total{model_name="m"} 10',
        'inference_objective_request_total{model_name="m"} 10',
    ]  # fmt: skip
    text = "\n".join(reversed(lines) if reverse else lines) + "\n"

    assert serving(text, "queue_depth", "running") == [("pool", "", "llm-d-epp", 2.0, 5.0)]
    assert [r["metric"] for r in long(text)] == ["llm_d_epp_request_total"]
    assert page(text).rejected == {"superseded": 2}


def test_an_older_endpoint_picker_is_taken_by_its_older_names() -> None:
    (row,) = long('inference_objective_request_total{model_name="m"} 10\n')

    assert row["value"] == 10.0


def test_minus_one_is_rays_way_to_say_that_there_is_no_hit_rate_yet() -> None:
    text = 'ray_vllm:gpu_prefix_cache_hit_rate{model_name="m",WorkerId="w"} -1.0\nray_vllm:num_requests_running{model_name="m",WorkerId="w"} 2\n'

    assert page(text).rejected == {"sentinel": 1}
    assert serving(text, "running") == [("m", "w", "vllm", 2.0)]
