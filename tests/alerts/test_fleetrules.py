"""Rules about drift, GPUs and Observe itself, before the real promtool."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from alerts import fleetrules
from alerts.wording import NAMES

pytestmark = [pytest.mark.servers, pytest.mark.slow]
GPU = 'Hostname="n1",gpu="0",UUID="GPU-1",modelName="H100"'
OTHER = 'Hostname="n1",gpu="1",UUID="GPU-2",modelName="H100"'
TOLD = {"Hostname": "n1", "gpu": "0", "UUID": "GPU-1", "modelName": "H100", "severity": "ticket"}
ALIVE = {'observe_watermark_timestamp_seconds{stage="detect.burn"}': "0+60x1000"}


def firing(folder: Path, fed: dict[str, str], at: str, wanted: dict[str, list[dict[str, str]]]) -> str:
    """What promtool says against `wanted`: alerts that fire, by name; "" when it agrees."""
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": fleetrules.groups()}))
    samples = [
        {"labels": "ALERTS{" + ", ".join(f'{k}="{v}"' for k, v in {**labels, "alertname": name, "alertstate": "firing"}.items()) + "}", "value": 1}
        for name, alerts in wanted.items()
        for labels in alerts
    ]  # fmt: skip
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in {**ALIVE, **fed}.items()],
        "promql_expr_test": [{"expr": 'ALERTS{alertstate="firing"}', "eval_time": at, "exp_samples": samples}],
    }
    (folder / "test.yml").write_text(
        yaml.safe_dump({"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]})
    )
    command = [shutil.which("promtool") or "promtool", "test", "rules", str(folder / "test.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.stdout if done.returncode else ""


@pytest.mark.parametrize(
    ("codes", "fires"),
    [
        ("0x10 79x20", True),  # a fault
        ("79x30", False),  # the gauge keeps an old one: no news
        ("0x10 31x20", False),  # the application's own doing
        ("0x30", False),
        ("79x10 48x20", True),  # another fault
    ],
)
def test_a_new_xid_is_told_and_an_old_one_is_not(tmp_path: Path, codes: str, fires: bool) -> None:
    fed = {f"DCGM_FI_DEV_XID_ERRORS{{{GPU}}}": codes}

    assert firing(tmp_path, fed, "13m", {"GpuXid": [TOLD]} if fires else {}) == ""


@pytest.mark.parametrize(
    ("fault", "burn", "wakes"),
    [
        ({"cluster": "eu"}, {"cluster": "eu"}, True),
        ({"cluster": "eu"}, {"cluster": "us"}, False),
        ({}, {"cluster": "eu"}, True),  # which cluster this Prometheus is of is added as alerts leave
        ({"cluster": "eu"}, {}, True),
        ({}, {}, True),
    ],
)
def test_an_xid_becomes_a_page_while_slos_of_its_cluster_page(
    tmp_path: Path, fault: dict[str, str], burn: dict[str, str], wakes: bool
) -> None:
    burns = {"alertname": "SloBurn", "severity": "page", "slo_id": "chat.ttft", **burn}
    series = ",".join([GPU, *(f'{k}="{v}"' for k, v in fault.items())])
    paging = ",".join(f'{k}="{v}"' for k, v in {**burns, "alertstate": "firing"}.items())
    fed = {f"DCGM_FI_DEV_XID_ERRORS{{{series}}}": "0x10 79x20", f"ALERTS{{{paging}}}": "_x11 1x19"}
    xid = {**TOLD, **fault}

    wanted = {"GpuXid": [xid, {**xid, "severity": "page"}] if wakes else [xid], "SloBurn": [burns]}
    assert firing(tmp_path, fed, "14m", wanted) == ""


@pytest.mark.parametrize(
    ("fault", "burn", "wakes"),
    [
        ({"cluster": "eu"}, ',alert_cluster="eu",cluster="where-the-service-runs"', True),
        ({"cluster": "eu"}, ',alert_cluster="us"', False),
        ({"cluster": "eu"}, ',alert_cluster="none"', False),  # served in several: no XID keeps it quiet
        ({}, ',alert_cluster="eu"', True),  # the cluster is added as alerts leave
        ({}, ',alert_cluster="none"', False),
        ({"cluster": "eu"}, "", True),  # an older service does not say where: rather once too often
    ],
)
def test_an_xid_is_a_page_too_when_only_the_service_knows_of_the_burn(
    tmp_path: Path, fault: dict[str, str], burn: str, wakes: bool
) -> None:
    series = ",".join([GPU, *(f'{k}="{v}"' for k, v in fault.items())])
    pushed = f'observe_alerts_firing{{model="chat",kind="slo",severity="page"{burn}}}'
    fed = {f"DCGM_FI_DEV_XID_ERRORS{{{series}}}": "0x10 79x20", pushed: "_x11 1x19"}
    xid = {**TOLD, **fault}

    assert firing(tmp_path, fed, "14m", {"GpuXid": [xid, {**xid, "severity": "page"}] if wakes else [xid]}) == ""


@pytest.mark.parametrize(
    ("more", "fires"),
    [
        ({"DCGM_FI_PROF_GR_ENGINE_ACTIVE": "0x500", "DCGM_FI_DEV_GPU_UTIL": "0x500"}, True),
        ({"DCGM_FI_DEV_GPU_UTIL": "1x500"}, True),  # no profiling: utilisation tells
        ({"DCGM_FI_PROF_GR_ENGINE_ACTIVE": "0x500", "DCGM_FI_DEV_GPU_UTIL": "99x500"}, False),  # profiling is stuck
        ({"DCGM_FI_PROF_GR_ENGINE_ACTIVE": "0x200 0.9x10 0x290"}, False),
        ({}, False),  # nothing says what it does
    ],
)
def test_an_idle_gpu_with_its_memory_taken_is_told_after_six_hours(
    tmp_path: Path, more: dict[str, str], fires: bool
) -> None:
    fed = {f"{metric}{{{GPU}}}": values for metric, values in more.items()}
    fed |= {f"DCGM_FI_DEV_FB_USED{{{GPU}}}": "40000x500", f"DCGM_FI_DEV_FB_USED{{{OTHER}}}": "10x500"}

    assert firing(tmp_path, fed, "400m", {"GpuIdle": [TOLD]} if fires else {}) == ""


@pytest.mark.parametrize("values", ["_x380 40000x120", "40000x330 stale"])
def test_a_pod_that_is_new_or_has_gone_is_not_idle(tmp_path: Path, values: str) -> None:
    fed = {f"DCGM_FI_DEV_FB_USED{{{GPU}}}": values, f"DCGM_FI_DEV_GPU_UTIL{{{GPU}}}": values.replace("40000", "0")}

    assert firing(tmp_path, fed, "400m", {}) == ""


def test_every_kind_of_alert_that_the_service_sends_has_a_rule() -> None:
    assert set(fleetrules._KINDS) == set(NAMES) - {"slo"}


def test_what_the_service_found_is_told_with_its_severity(tmp_path: Path) -> None:
    fed = {
        'observe_alerts_firing{model="chat",kind="drift",severity="ticket"}': "3x30",
        'observe_alerts_firing{model="chat",kind="slo",severity="page"}': "1x30",
        'observe_alerts_firing{model="site",kind="silence",severity="ticket"}': "0x30",
    }

    drift = {"kind": "drift", "model": "chat", "severity": "ticket"}
    assert firing(tmp_path, fed, "10m", {"Drift": [drift]}) == ""


def test_a_service_that_is_gone_is_told(tmp_path: Path) -> None:
    fed = {'observe_watermark_timestamp_seconds{stage="detect.burn"}': "0+60x5 stale"}

    assert firing(tmp_path, fed, "20m", {"ObserveDown": [{"severity": "ticket"}]}) == ""
