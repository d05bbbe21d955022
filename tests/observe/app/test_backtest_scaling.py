"""Policies side by side on a small seeded trace; figures that are reported are made by bench/scaling.py."""

import json
import subprocess
import sys

import pytest

from observe.app.backtest_scaling import Asked, Compared, compare, flaps
from observe.app.queueing import Server
from observe.app.traces import synthetic

ASKED = Asked(server=Server(slots=4, decode_s=0.05), high=10)


@pytest.fixture(scope="module")
def found() -> Compared:
    return compare(synthetic(1, days=0.25, per_s=0.4), ASKED)


@pytest.mark.slow
def test_every_policy_is_judged_on_the_same_second_half(found: Compared) -> None:
    ours, fixed, hpa, best = found.outcomes

    assert [o.policy.split(" ")[0] for o in found.outcomes] == ["Observe", "fixed", "HPA", "best"]
    assert len({o.minutes for o in found.outcomes}) == 1
    assert found.carried.basis == "measured"
    assert best.lost <= fixed.lost
    assert (fixed.changes, best.changes, fixed.flaps) == (0, 0, 0)
    assert ours.flaps <= hpa.flaps
    assert json.loads(json.dumps(found.as_json(), allow_nan=False))["outcomes"][0]["policy"] == "Observe"


@pytest.mark.slow
def test_the_command_prints_a_table_and_json() -> None:
    argv = [sys.executable, "-m", "observe", "backtest", "--policy", "scaling", "-q"]
    for setting in ("days=0.1", "perSecond=0.4", "slots=4", "token=50ms", "max=8"):
        argv += ["--set", setting]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    told = json.loads(subprocess.run([*argv, "--json"], capture_output=True, text=True, check=True).stdout)

    assert "one replica carries" in shown
    assert "GPU hours" in shown
    assert told["outcomes"][0]["policy"] == "Observe"


def test_a_setting_that_nobody_knows_is_refused_with_the_nearest() -> None:
    argv = [sys.executable, "-m", "observe", "backtest", "--policy", "scaling", "--set", "tftt=2s"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "did you mean 'ttft'" in done.stderr


def test_a_flap_is_a_change_that_takes_the_one_before_back_soon() -> None:
    assert flaps([(0, 2), (100, 3), (200, 4), (300, 3), (5000, 2), (5060, 3)]) == 2
