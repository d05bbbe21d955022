"""`observe backtest TABLE --policy retraining` as a person calls it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from observe.cli.backtest_asked import Asked
from observe.cli.backtest_retraining import run
from observe.errors import UsageError

DAYS, PER_DAY, CHANGE = 70, 600, 45


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seventy days; on the 46th `amount` moves, and what it means turns round."""
    rng = np.random.default_rng(1)
    ts = np.sort(rng.integers(0, DAYS * 86_400, DAYS * PER_DAY)) + 1_700_006_400
    late = ts >= 1_700_006_400 + CHANGE * 86_400
    amount, shop = rng.normal(0, 1, ts.size) + late, rng.choice(["web", "app"], ts.size)
    z = np.where(late, -1.5, 1.5) * amount + (shop == "web")
    fraud = np.where(rng.random(ts.size) < 1 / (1 + np.exp(-z)), "yes", "no")
    path = tmp_path_factory.mktemp("policy") / "fraud.parquet"
    pl.DataFrame({"ts": ts, "amount": amount, "shop": shop, "fraud": fraud}).write_parquet(path)
    return path


def call(*more: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "observe", "backtest", *more]
    return subprocess.run(argv, capture_output=True, text=True, timeout=170, check=False)


@pytest.mark.slow
def test_training_on_drift_is_held_beside_never_and_monthly(table: Path) -> None:
    done = call(
        str(table), "--policy", "retraining", "--time", "ts", "--set", "label=fraud", "--set", "rows=2000", "--json"
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    by = {p["policy"]: p for p in found["policies"]}
    assert found["loss"] == "log-loss"
    assert by["never"]["beside_never"] is None
    assert len(by["ours, needs: both"]["trainings"]) == 1
    assert by["ours, needs: both"]["beside_never"][0] < -0.1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "which column is the truth"),
        (["lable=fraud"], "did you mean 'label'"),
        (["label=frod"], "no such column; there are: amount, fraud, shop"),
        (["label=shop", "rows=0"], "--set rows=0: '0' is no whole number above 0; write 10000"),
        (["label=fraud", "delay=1"], "--set delay=1:"),
    ],
)
def test_what_makes_no_sense_is_said(table: Path, more: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        run(str(table), Asked(time="ts"), more, as_json=True)


def test_without_a_column_of_time_it_shows_how_it_is_called(table: Path) -> None:
    with pytest.raises(UsageError, match="--policy retraining --time ts --set label=late"):
        run(str(table), Asked(), ["label=fraud"], as_json=True)
