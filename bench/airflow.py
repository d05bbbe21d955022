"""Our sink against a real Airflow 3: one run for one key, refused as a second, followed to its end, told in `conf`.

Builds an environment of its own (about 1 GB on disk, some minutes), with SQLite, the simple auth manager and two DAGs:
one writes down what it was told and succeeds, one fails. Then asks the sink the questions that its tests ask of a
small server, and compares what the run got with what we meant to tell it.

    python -m bench.airflow [--version 3.3.2] [--keep FOLDER]

With --keep the environment stays in FOLDER and is used again.

Source: Apache Airflow 3, "Installation from PyPI", "Simple auth manager".
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from alerts import airflow, asking
from observe.clock import EventClock
from observe.schema import Action
from observe.schema.acting import Receipt
from observe.spec.acting import Target, TargetSpec

PASSWORD = "of-this-bench-only"
USER = "observe"
DAGS = """\
import json
from pathlib import Path

from airflow.sdk import dag, get_current_context, task

HERE = Path(__file__).parents[1]


@dag(schedule=None, catchup=False, is_paused_upon_creation=False)
def retrain_fraud():
    @task
    def train():
        run = get_current_context()["dag_run"]
        (HERE / f"{run.run_id}.json").write_text(json.dumps(run.conf))

    train()


@dag(schedule=None, catchup=False, is_paused_upon_creation=False)
def retrain_badly():
    @task(retries=0)
    def train():
        raise RuntimeError("out of memory")

    train()


@dag(schedule=None, catchup=False, is_paused_upon_creation=True)
def retrain_asleep():
    @task
    def train():
        pass

    train()


retrain_fraud()
retrain_badly()
retrain_asleep()
"""


def installed(folder: Path, version: str) -> Path:
    """Airflow's program in an environment of its own."""
    program = folder / "venv" / "bin" / "airflow"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
        pip = [str(program.parent / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "uv"], check=True)
        uv = [str(program.parent / "uv"), "pip", "install", "-q", "--python", str(program.parent / "python")]
        subprocess.run([*uv, f"apache-airflow-core=={version}", "apache-airflow-providers-standard"], check=True)
    return program


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def surroundings(home: Path, port: int) -> Mapping[str, str]:
    """Airflow's configuration, as variables."""
    (home / "dags").mkdir(parents=True, exist_ok=True)
    (home / "dags" / "retrain.py").write_text(DAGS)
    (home / "passwords.json").write_text(json.dumps({USER: PASSWORD}))
    address = f"http://127.0.0.1:{port}"
    said = {
        "CORE__LOAD_EXAMPLES": "False", "CORE__DAGS_FOLDER": str(home / "dags"), "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": "2", "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}", "API__BASE_URL": address, "API__HOST": "127.0.0.1",
        "API__PORT": str(port), "API__WORKERS": "1", "API_AUTH__JWT_SECRET": "a secret of this bench, long enough for HS512, " * 2,
        "SCHEDULER__ENABLE_HEALTH_CHECK": "False", "DAG_PROCESSOR__REFRESH_INTERVAL": "5", "LOGGING__LOGGING_LEVEL": "WARNING",
    }  # fmt: skip
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
    return {**clean, "AIRFLOW_HOME": str(home), **{f"AIRFLOW__{k}": v for k, v in said.items()}}


@contextmanager
def running(program: Path, home: Path, port: int) -> Iterator[str]:
    """An API server, a scheduler and a DAG processor; ended by their process groups."""
    env = surroundings(home, port)
    with (home / "airflow.log").open("ab") as log:
        subprocess.run([str(program), "db", "migrate"], env=env, check=True, stdout=log, stderr=log)
        parts = [
            subprocess.Popen([str(program), part], env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
            for part in ("api-server", "scheduler", "dag-processor")
        ]  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            for part in parts:
                if part.poll() is None or number == signal.SIGKILL:
                    _signal(part.pid, number)
            time.sleep(3 if number == signal.SIGTERM else 0)
        for part in parts:
            part.wait(30)


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def action_of(number: int) -> Action:
    """A retraining as the service would ask for it."""
    now = datetime.now(UTC)
    key = f"0e0f1f4e-6f0b-5c86-9d59-{int(now.timestamp() * 1e6) % 10**10:010d}{number:02d}"
    told = {"features": ["amount"], "since": "2026-11-20T08:00:00.000Z", "effect": 0.4, "unit": "sigma"}
    return Action(
        f"act-{key}", "inc-1", "fraud", "retrain", "airflow:retrain_fraud", "approval", "sent", "drift.confirmed: amount moved by 0.4 σ",
        told, now + timedelta(days=7), now, key, "ann",
    )  # fmt: skip


def until(ask: Any, seconds: float) -> Any:
    """What `ask()` returns once it is not None."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = ask()
        if found is not None:
            return found
        time.sleep(1)
    raise SystemExit(f"nothing within {seconds:g} s; see airflow.log")


def asked(url: str, home: Path) -> Mapping[str, Any]:
    """What the sink says of this Airflow, and whether it is what it should say."""
    clock = EventClock(datetime.now(UTC))
    os.environ["BENCH_AIRFLOW"] = PASSWORD
    spec = TargetSpec.model_validate(
        {"type": "airflow", "url": url, "username": USER, "password": "env:BENCH_AIRFLOW", "timeout_s": 30.0}
    )
    good, bad = Target("airflow", "retrain_fraud", spec), Target("airflow", "retrain_badly", spec)
    until(lambda: (airflow.check(good)[0] and airflow.check(bad)[0]) or None, 240)
    action, failing = action_of(1), action_of(2)
    first, again = airflow.send(action, good, clock), airflow.send(action, good, clock)
    lost = airflow.send(failing, bad, clock)
    ended = until(lambda: airflow.follow(replace(action, receipt=first.as_json()), good, clock), 240)
    broke = until(lambda: airflow.follow(replace(failing, receipt=lost.as_json()), bad, clock), 240)
    written = home / f"{action.key}.json"
    got = json.loads(written.read_text()) if written.exists() else None
    unknown = airflow.send(action, replace(good, what="retrain_nothing"), clock)
    paused = airflow.check(replace(good, what="retrain_asleep"))
    os.environ["BENCH_AIRFLOW"] = "wrong"
    stranger = airflow.send(action, good, clock)
    return {
        "taken": (first.taken, first.status, first.text), "taken_again": (again.taken, again.status, again.text), "succeeded": ended.done, "ended": ended.text,
        "failed_is_told": broke.done is False, "conf_as_told": got == asking.told(action, good),
        "unknown_dag": _refusal(unknown), "paused": paused[0] is None, "wrong_password": _refusal(stranger),
    }  # fmt: skip


def _refusal(receipt: Receipt) -> tuple[int | None, bool, str | None]:
    return receipt.status, receipt.retry, receipt.text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", default="3.3.2")
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        place = given.keep or Path(folder)
        program = installed(place, given.version)
        ready = time.perf_counter()
        home = place / f"home-{int(time.time())}"
        home.mkdir(parents=True)
        with running(program, home, free_port()) as url:
            found = asked(url, home)
    fine = (
        found["taken"][:2] == (True, 200) and found["taken_again"][:2] == (True, 409) and found["unknown_dag"][:2] == (404, False)
        and found["wrong_password"][:2] == (401, True)
        and all(found[name] is True for name in ("succeeded", "failed_is_told", "conf_as_told", "paused"))
    )  # fmt: skip
    print(json.dumps({"name": "airflow", "version": given.version, "as_expected": fine, **found,
                      "install_s": round(ready - begun), "asked_s": round(time.perf_counter() - ready)}, ensure_ascii=False))  # fmt: skip
    raise SystemExit(0 if fine else 1)


if __name__ == "__main__":
    main()
