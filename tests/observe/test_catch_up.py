"""Every window is judged once, whatever is killed in between."""

import shutil
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from running import Service, running, until

pytestmark = pytest.mark.slow

MODEL = """\
apiVersion: observe/v1
kind: Monitoring
metadata: {name: fraud}
drift: {source: predictions, features: [amount, items]}
"""
WATCHED = "  fraud: {type: files, path: ./predictions/*.parquet, model: fraud}"
JUDGED = "select finding_id, monitor_id, window_end, state, evidence_nats from finding where kind = 'drift' and window_end <= '{}' order by all"


def past(folder: Path) -> datetime:
    """Sixteen days of predictions until the last full hour."""
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    n = 16 * 24 * 60
    rng = np.random.default_rng(3)
    frame = pl.DataFrame({
        "ts": pl.Series([end - timedelta(minutes=i) for i in range(n, 0, -1)], dtype=pl.Datetime("us", "UTC")),
        "prediction_id": [f"p{i}" for i in range(n)], "amount": np.exp(rng.standard_normal(n)), "items": 1.0 + rng.poisson(2.0, n),
    })  # fmt: skip
    (folder / "predictions").mkdir(parents=True)
    frame.write_parquet(folder / "predictions" / "past.parquet")
    return end


def caught_up(service: Service, end: datetime) -> bool:
    until_hour = service.sql(
        "select min(w) as w from (select monitor_id, max(window_end) as w from finding where kind = 'drift' group by all)"
    )
    monitors = service.sql("select count(distinct monitor_id) from finding where kind = 'drift'").item()
    return monitors == 13 and until_hour.item() >= end - timedelta(hours=1)


def test_kills_between_windows_neither_skip_nor_repeat_one(tmp_path: Path) -> None:
    quiet, killed = tmp_path / "quiet", tmp_path / "killed"
    end = past(quiet)
    shutil.copytree(quiet, killed)
    with running(quiet, collectors=WATCHED, models={"fraud": MODEL}) as service:
        until(lambda: caught_up(service, end), 90, 0.5)
        expected = service.sql(JUDGED.format(end - timedelta(hours=1)))
    with running(killed, collectors=WATCHED, models={"fraud": MODEL}) as service:
        for turn in range(4):
            time.sleep(0.7 * turn)  # later each time: before, while and after the past is read and judged
            service.stop(signal.SIGKILL)
            service.start()
        until(lambda: caught_up(service, end), 90, 0.5)
        found = service.sql(JUDGED.format(end - timedelta(hours=1)))

    assert found["finding_id"].is_unique().all()
    assert found.height > 500
    assert found.equals(expected)
