"""Backup, restore and verify as a person uses them: the command, on a running service and on a stopped directory."""

import json
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from running import Service, running, until

from observe.clock import WallClock
from observe.store import Store


def observe(*argv: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "observe", *map(str, argv)], capture_output=True, text=True, check=False
    )


def send(service: Service, name: str, rows: int = 10) -> None:
    now = datetime.now(UTC).isoformat()
    body = "\n".join(json.dumps({"id": f"{name}-{i}", "ts": now, "x": i}) for i in range(rows))
    with service.client() as client:
        answer = client.post(
            "/ingest/predictions/fraud", content=body, headers={"content-type": "application/x-ndjson"}
        )
    assert answer.json()["stored"] == rows, answer.text


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> Path:
    """The data directory of a service that stored a hundred rows, made a backup beside it, and ended."""
    folder = tmp_path_factory.mktemp("stopped")
    with running(folder) as service:
        for number in range(10):
            send(service, f"n{number}")
        assert observe("backup", folder / "backup", "-c", service.site).returncode == 0
    return folder / "data"


@pytest.mark.slow
def test_a_backup_under_load_holds_all_that_was_acknowledged_before(tmp_path: Path) -> None:
    stop, sent = threading.Event(), []

    def load(service: Service) -> None:
        while not stop.is_set():
            name = f"n{len(sent)}"
            send(service, name)
            sent.append(name)

    with running(tmp_path) as service:
        sender = threading.Thread(target=load, args=[service])
        sender.start()
        until(lambda: len(sent) > 5)
        before = list(sent)
        made = observe("backup", tmp_path / "b", "-d", tmp_path / "data")
        stop.set()
        sender.join()
        service.stop(signal.SIGKILL)
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith(f"{tmp_path / 'b'}: ")

    assert observe("restore", tmp_path / "b", "-d", tmp_path / "r").returncode == 0
    verified = observe("verify", "-d", tmp_path / "r")
    assert (verified.returncode, verified.stdout.split(":")[0]) == (0, "clean")
    store = Store.open(tmp_path / "r", WallClock())
    found = store.read("SELECT split_part(prediction_id, '-', 1) AS n, count(*) AS rows FROM prediction GROUP BY 1")
    store.close()
    assert len(before) > 5
    assert set(before) <= set(found["n"])
    assert set(found["rows"]) == {10}


@pytest.mark.slow
def test_a_second_start_is_refused_with_the_holders_pid(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        second = subprocess.run(service.command, capture_output=True, text=True, check=False, timeout=30)

        assert service.process is not None
        assert second.returncode == 2
        assert f"another process owns this data directory (pid {service.process.pid})" in second.stderr
        assert "Traceback" not in second.stderr


@pytest.mark.slow
def test_verify_asks_the_service_that_runs_and_says_what_is_wrong(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        send(service, "a")
        clean = observe("verify", "-c", service.site, "--json")
        service.stop(signal.SIGKILL)
        (tmp_path / "data" / "observe.duckdb.wal").unlink()
        service.start()
        wrong = observe("verify", "-c", service.site)

        assert (clean.returncode, json.loads(clean.stdout)["clean"]) == (0, True)
        assert json.loads(clean.stdout)["checked"]["rows"] == 10
        assert wrong.returncode == 1
        assert "10 acknowledged rows of 1 batches are gone" in wrong.stdout
        assert "\n  do: check the disk; let these sources send this time again" in wrong.stdout
        assert service.metric("observe_store_damages")['{kind="commits"}'] == 1


@pytest.mark.slow
def test_verify_and_restore_of_a_stopped_directory(stopped: Path, tmp_path: Path) -> None:
    verified = observe("verify", "-d", stopped, "--json")
    restored = observe("restore", stopped.parent / "backup", "-d", tmp_path / "r")
    refused = observe("restore", stopped.parent / "backup", "-d", tmp_path / "r")

    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["checked"]["commands"] == 1  # the backup is in the audit
    assert restored.stdout.startswith(f"{tmp_path / 'r'}: ")
    assert "without its admin.token set server.token" in restored.stderr
    assert refused.returncode == 2
    assert "is not empty; restore into a folder that is" in refused.stderr


@pytest.mark.slow
def test_a_changed_audit_row_is_told(stopped: Path) -> None:
    store = Store.open(stopped, WallClock())
    with store.change() as change:
        change.execute("UPDATE core.command SET object = 'elsewhere' WHERE verb = 'backup'")
    store.close()

    verified = observe("verify", "-d", stopped)

    assert verified.returncode == 1
    assert verified.stdout.startswith("audit cmd-")
    assert "the chain of sha256 breaks here" in verified.stdout


@pytest.mark.slow
def test_a_directory_that_cannot_be_opened_is_a_finding_and_a_wrong_one_an_error(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "observe.duckdb").write_bytes(b"no database" * 1000)

    broken, absent = observe("verify", "-d", tmp_path / "data"), observe("verify", "-d", tmp_path / "nowhere")

    assert broken.returncode == 1
    assert broken.stdout.startswith("opening ")
    assert absent.returncode == 2
    assert "is not a directory" in absent.stderr
