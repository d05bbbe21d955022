"""`observe report` as a person uses it: on a stopped directory, and through a running service."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import drifted
import pytest
from inprocess import in_process
from running import running

from observe.cli.report import period
from observe.errors import UsageError

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


def test_stdout_is_the_report_and_stderr_says_where_it_is_kept(data: Path) -> None:
    done = observe("fraud", "-d", str(data), *SPAN)

    assert done.returncode == 0
    assert done.stdout.startswith("# Drift of fraud\n\n**▲ drift** — 1 of 4 features drifts: amount")
    assert "kept as hand-" in done.stderr


def test_a_file_is_written_by_its_name_and_the_report_is_listed(data: Path, tmp_path: Path) -> None:
    done = observe("fraud", "-d", str(data), *SPAN, "-o", str(tmp_path / "r.html"))
    listed = json.loads(observe("--list", "-d", str(data), "--json").stdout)

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
def test_a_running_service_makes_keeps_and_gives_out_a_report(tmp_path: Path) -> None:
    with drifted.drifted(tmp_path / "data"):
        pass
    with running(tmp_path) as service:
        done = observe("fraud", "-c", str(service.site), *SPAN, "-o", str(tmp_path / "r.json"))
        [kept] = service.sql("select verdict, model from report").rows()
        [command] = service.sql("select verb, object from command where verb = 'report'").rows()

    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "r.json").read_text())["verdict"] == "drift"
    assert (kept, command) == (("drift", "fraud"), ("report", "fraud"))
