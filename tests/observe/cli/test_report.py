"""`observe report` as a person uses it: on a stopped directory, and through a running service."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import drifted
import numpy as np
import polars as pl
import pytest
from inprocess import in_process
from running import running
from typer.testing import CliRunner

from observe.cli import app
from observe.cli.report import period
from observe.errors import UsageError
from observe.schema import KeptReport

SPAN = (
    "--from",
    f"{drifted.WEEK.start:%Y-%m-%dT%H:%MZ}",
    "--to",
    f"{drifted.WEEK.end:%Y-%m-%dT%H:%MZ}",
    "--no-evidently",
)


def observe(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "observe", "report", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "data"
    with drifted.drifted(path):
        pass
    return path


@pytest.mark.slow
def test_stdout_is_the_report_and_stderr_says_where_it_is_kept(data: Path) -> None:
    done = observe("fraud", "-d", str(data), *SPAN)

    assert done.returncode == 0
    assert done.stdout.startswith("# Drift of fraud\n\n**▲ drift** — 1 of 4 features drifts: amount")
    assert "kept as hand-" in done.stderr


@pytest.mark.slow
def test_a_file_is_written_by_its_name_and_the_report_is_listed(data: Path, tmp_path: Path) -> None:
    done = observe("fraud", "-d", str(data), *SPAN, "-o", str(tmp_path / "r.html"))
    listed = json.loads(observe("--list", "-d", str(data), "--json").stdout)

    assert json.loads(observe("chat", "--list", "-d", str(data), "--json").stdout) == []
    assert done.stdout.startswith("drift: 1 of 4 features drifts: amount")
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert (listed[0]["model"], listed[0]["verdict"]) == ("fraud", "drift")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("frud", *SPAN), "did you mean 'fraud'"),
        (("fraud", "--last", "7"), "write 24h, 7d or 30d"),
        (("fraud", "--from", "2026-01-02", "--to", "2026-01-01"), "must go forward"),
        (("fraud", "-o", "report.pdf"), "write to a file.html, .md or .json"),
        ((), "name a model"),
    ],
)
def test_a_slip_is_told_with_what_to_do(data: Path, arguments: tuple[str, ...], told: str) -> None:
    done = observe(*arguments, "-d", str(data))

    assert done.returncode == 2
    assert told in done.stderr


def test_the_period_is_the_last_seven_days_unless_said() -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)

    assert period((None, None, None), now) == (now - timedelta(days=7), now)
    assert period((None, "2026-11-01", "24h"), now) == (
        datetime(2026, 10, 31, tzinfo=UTC),
        datetime(2026, 11, 1, tzinfo=UTC),
    )
    with pytest.raises(UsageError, match="contradict"):
        period(("2026-11-01", None, "7d"), now)


def test_the_api_refuses_what_is_no_request(tmp_path: Path) -> None:
    with in_process(tmp_path) as (client, _):
        good = {"model": "fraud", "from": "2026-11-16", "to": "2026-11-23"}
        for wrong in (
            {},
            {**good, "formats": ["pdf"]},
            {**good, "to": "2026-11-16"},
            {**good, "evidently": "no"},
            {**good, "model": 7},
            good,
        ):
            answer = client.post("/api/v1/reports", json.dumps(wrong))
            assert answer.status_code == 400, answer.text
        assert client.request("GET", "/api/v1/reports").json() == []
        assert client.request("GET", "/api/v1/reports/..%2F..%2FLOCK/report.html").status_code == 404


@pytest.mark.slow
def test_a_running_service_makes_keeps_gives_out_and_backs_up_a_report(tmp_path: Path) -> None:
    with drifted.drifted(tmp_path / "data"):
        pass
    with running(tmp_path) as service:
        done = observe("fraud", "-c", str(service.site), *SPAN, "-o", str(tmp_path / "r.json"))
        [kept] = service.sql("select verdict, model from report").rows()
        [command] = service.sql("select verb, object from command where verb = 'report'").rows()
        backup = said("backup", str(tmp_path / "b"), "-c", str(service.site))
    said("restore", str(tmp_path / "b"), "-d", str(tmp_path / "again"))
    [restored] = (tmp_path / "again" / "reports").glob("*/report.json")

    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "r.json").read_text())["verdict"] == "drift"
    assert (kept, command) == (("drift", "fraud"), ("report", "fraud"))
    assert backup.startswith(f"{tmp_path / 'b'}: ")
    assert restored.read_bytes() == (tmp_path / "r.json").read_bytes()
    assert said("verify", "-d", str(tmp_path / "again")).startswith("clean: looked at ")


def said(*arguments: str, folder: Path | None = None) -> str:
    """What a command prints that must not fail."""
    done = subprocess.run(
        [sys.executable, "-m", "observe", *arguments], capture_output=True, text=True, check=False, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


HISTORY_D, MOVED_D = 11, 9
BEGIN = datetime(2026, 2, 2, tzinfo=UTC)
WATCHED = """apiVersion: observe/v1
kind: Site
store: {path: ./data}
---
apiVersion: observe/v1
kind: Monitoring
metadata: {name: fraud}
drift: {source: predictions}
"""


def history() -> pl.DataFrame:
    """Predictions in the first five minutes of every hour; from the tenth day on `amount` lies half a sigma higher."""
    rng, an_hour = np.random.default_rng(11), 450
    hour = np.repeat(np.arange(24 * HISTORY_D), an_hour)
    at = BEGIN.timestamp() + 3600 * hour + np.tile(np.linspace(1, 290, an_hour), 24 * HISTORY_D)
    amount = 50 + 10 * (rng.normal(size=at.size) + 0.5 * (hour >= 24 * MOVED_D))
    return pl.DataFrame(
        {
            "ts": pl.Series((at * 1e6).astype(np.int64)).cast(pl.Datetime("us", "UTC")),
            "prediction_id": [f"p{i}" for i in range(at.size)],
            "amount": amount,
            "age": rng.normal(40, 9, at.size),
        }
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_drift_in_imported_predictions_is_found_by_the_detectors_and_named_by_the_report(tmp_path: Path) -> None:
    (tmp_path / "observe.yaml").write_text(WATCHED)
    history().write_parquet(tmp_path / "history.parquet")
    span = ("--from", f"{BEGIN:%Y-%m-%d}", "--to", f"{BEGIN + timedelta(days=HISTORY_D):%Y-%m-%d}")

    said("import", "history.parquet", "--as", "predictions", "--model", "fraud", folder=tmp_path)
    said("replay", *span, "--into", "lived", folder=tmp_path)
    told = json.loads(said("report", "fraud", "-d", "lived", *span, "--no-evidently", "--json", folder=tmp_path))

    [moved] = told["drifting"]
    assert (told["verdict"], moved["feature"], moved["watched"]) == ("drift", "amount", "location")
    assert told["headline"].startswith("1 of 2 features drifts: amount +0.")
    assert abs(datetime.fromisoformat(moved["onset"]) - (BEGIN + timedelta(days=MOVED_D))) <= timedelta(hours=2)
    assert moved["ci_low"] - 0.05 < 0.5 < moved["ci_high"] + 0.05
    assert {s["state"] for s in told["streams"] if s["feature"] == "age"} == {"ok"}


def test_the_list_in_a_pipe_has_each_report_in_one_line_with_its_whole_id(tmp_path: Path) -> None:
    made = drifted.END - timedelta(hours=1)
    named, span = "hand-" + "0f" * 40, (drifted.WEEK.start, drifted.WEEK.end)
    kept = KeptReport(named, None, "fraud", *span, made, "drift", "amount moved " * 20, (), None, ())
    with drifted.drifted(tmp_path / "data") as store, store.change() as change:
        change.insert([kept])

    head, row = CliRunner().invoke(app, ["report", "--list", "-d", str(tmp_path / "data")]).stdout.splitlines()

    assert head.split() == ["verdict", "model", "period", "made", "report", "says"]
    assert "2026-11-16T06:00 – 2026-11-23T06:00  2026-11-23T05:00  " + named in row
