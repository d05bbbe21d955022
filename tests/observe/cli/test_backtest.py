"""`observe backtest` of files and of what is stored: what it prints, what it exits with."""

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from running import Service, started

from observe import summaries
from observe.cli.backtest import Asked, run
from observe.clock import EventClock
from observe.errors import UsageError
from observe.schema import Batch
from observe.spec import load
from observe.store import Store

T0 = datetime(2026, 1, 5, tzinfo=UTC)
FIELDS = {
    "days", "windows", "streams", "budget_per_30d", "alarms_per_30d", "upper95_per_30d", "alarms", "states", "min_detectable_24h",
}  # fmt: skip
OF_AN_ALARM = {
    "feature", "kind", "at", "onset", "onset_interval", "effect", "effect_ci", "unit", "evidence_nats",
}  # fmt: skip


def series(days: int = 18, shift: float = 15.0) -> pl.DataFrame:
    x = 100 + 5 * np.random.default_rng(1).normal(size=24 * days)
    x[24 * (days - 2) :] += shift
    return pl.DataFrame({"when": [T0 + timedelta(hours=i) for i in range(24 * days)], "load": x})


def refused(path: Path, **asked: str) -> str:
    with pytest.raises(UsageError) as error:
        run(str(path), Asked(time="when", **asked), None, None, as_json=True, quiet=True)  # type: ignore[arg-type]
    return str(error.value)


def test_a_csv_is_judged_without_any_service_and_the_json_has_the_promised_fields(tmp_path: Path) -> None:
    series().sample(fraction=1.0, shuffle=True, seed=1).write_csv(tmp_path / "t.csv")
    command = [sys.executable, "-m", "observe", "backtest", "t.csv", "--time", "when", "--fit", "14d", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told.keys() >= FIELDS
    [alarm] = told["alarms"]
    assert alarm.keys() >= OF_AN_ALARM
    assert (alarm["feature"], told["states"], told["windows"]) == ("load", {"load": "alarm"}, 96)


@pytest.mark.parametrize("write", ["write_parquet", "write_ndjson", "write_ipc"])
def test_every_format_is_told_to_people_with_the_level_before_and_after(
    tmp_path: Path, write: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "table.bin"
    getattr(series(17), write)(path)

    assert run(str(path), Asked(time="when", fit="14d"), None, None, as_json=False, quiet=False) == 0

    told = capsys.readouterr().out
    assert "load location" in told
    assert "1 alarm (1 incident) in 3 judged days of 1 feature: 2.33 per week (95 %: 0.059 to 13)" in told
    assert "the budget is 0.233 per week, 1 per 30 d" in told


def test_what_cannot_be_judged_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path, broken = tmp_path / "t.parquet", tmp_path / "broken.parquet"
    series().write_parquet(path)
    broken.write_bytes(b"PAR1 and nothing more")

    assert "--fit 28d needs 28 d before the first judged window; the file spans 18 d; use --fit 10d" in refused(path)
    assert "did you mean 'load'?" in refused(path, features="laod")
    assert "broken.parquet cannot be read: " in refused(broken)
    assert "no_such.csv: no such file" in refused(tmp_path / "no_such.csv")
    assert "--budget: 'many' is not a rate" in refused(path, budget="many")
    with pytest.raises(UsageError, match="no column 'ts' for --time"):
        run(str(path), Asked(time="ts"), None, None, as_json=True, quiet=True)
    with pytest.raises(UsageError, match="--time is missing"):
        run(str(path), Asked(), None, None, as_json=True, quiet=True)


def test_a_usage_error_exits_with_2_and_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "observe", "backtest", "none.csv", "--time", "ts"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)

    assert done.returncode == 2
    assert done.stderr.startswith("error: none.csv: no such file")


FRAUD = "apiVersion: observe/v1\nkind: Monitoring\nmetadata: {name: fraud}\ndrift: {source: predictions, features: [amount]}\n"


def stored(folder: Path, days: int = 16) -> Path:
    """A data directory with `days` of predictions that shift by a third for the last day, and its site."""
    (folder / "models").mkdir()
    (folder / "observe.yaml").write_text("apiVersion: observe/v1\nkind: Site\nstore: {path: ./data}\n")
    (folder / "models" / "fraud.yaml").write_text(FRAUD)
    return filled(folder, days, T0)


def filled(folder: Path, days: int, begin: datetime) -> Path:
    """The data directory of a site that has been written."""
    rng, n = np.random.default_rng(3), days * 24 * 120
    seconds = np.sort(rng.uniform(0, days * 86_400, n))
    amount = rng.lognormal(3, 0.5, n) * np.where(seconds > (days - 1) * 86_400, 1.3, 1.0)
    ts = pl.Series((seconds * 1e6).astype(np.int64) + int(begin.timestamp()) * 10**6).cast(pl.Datetime("us", "UTC"))
    rows = pl.DataFrame({"ts": ts, "prediction_id": [f"p{i}" for i in range(n)], "amount": amount})
    store = Store.open(folder / "data", EventClock(begin + timedelta(days=days, hours=2)))
    for i, part in enumerate(rows.iter_slices(10_000)):
        store.append(Batch("test", f"b{i}", {"prediction:fraud": part}))
    summaries.close(store, load(folder / "observe.yaml"), begin + timedelta(days=days, hours=2))
    store.close()
    return folder / "data"


@pytest.mark.slow
def test_what_is_stored_is_judged_without_writing_by_directory_or_by_site(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = stored(tmp_path)
    for site, directory in ((None, data), (tmp_path / "observe.yaml", None)):
        assert run("fraud", Asked(fit="14d"), site, directory, as_json=True, quiet=True) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["model"] == "fraud"
        assert any(
            abs(datetime.fromisoformat(a["onset"]) - (T0 + timedelta(days=15))) <= timedelta(hours=2)
            for a in told["alarms"]
        )
    with pytest.raises(UsageError, match=r"stored history spans 16 d; use --fit 10d"):
        run("fraud", Asked(), None, data, as_json=True, quiet=True)
    with pytest.raises(UsageError, match="did you mean 'fraud'"):
        run("frau", Asked(fit="14d"), None, data, as_json=True, quiet=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_running_service_is_asked_and_answers_as_its_stopped_directory_does(tmp_path: Path) -> None:
    service = Service(tmp_path, models={"fraud": FRAUD})
    begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=16, hours=6)
    data = filled(tmp_path, 16, begin)
    command = [sys.executable, "-m", "observe", "backtest", "fraud", "--fit", "14d", "--json"]

    with started(service):
        by_site, bar = on_a_terminal([*command, "-c", str(service.site)])
        by_directory = subprocess.run([*command, "-d", str(data)], capture_output=True, text=True, check=False)
        stranger = subprocess.run(
            [*command, "-d", str(data)], capture_output=True, text=True, check=False,
            env={**os.environ, "OBSERVE_TOKEN": "nobody"},
        )  # fmt: skip
        verbs = service.sql("select verb from command")["verb"].to_list()
    stopped = subprocess.run([*command, "-c", str(service.site)], capture_output=True, text=True, check=False)

    told = json.loads(by_site)
    assert told == json.loads(stopped.stdout)
    onsets = [datetime.fromisoformat(a["onset"]) for a in told["alarms"]]
    assert any(abs(onset - (begin + timedelta(days=15))) <= timedelta(hours=2) for onset in onsets)
    assert [a["onset"] for a in json.loads(by_directory.stdout)["alarms"]] != []
    assert "judging the past" in bar
    assert verbs == []  # nothing was written
    assert stranger.returncode != 0
    assert "refuses to be read (HTTP 401)" in stranger.stderr
    assert "Traceback" not in stranger.stderr


def on_a_terminal(command: list[str]) -> tuple[str, str]:
    """What a command prints on stdout, and on a stderr that is a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        os.close(theirs)
        assert process.stdout is not None
        shown = ""
        with suppress(OSError):  # the other end is closed
            while part := os.read(ours, 4096):
                shown += part.decode(errors="replace")
        printed = process.stdout.read()
    os.close(ours)
    return printed, shown
