"""The agent of a node: what it shows, whom it lets in, and that an outage of the service leaves no gap."""

import gzip
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from nvml_stub import built, environment
from running import Service, free_port, started, until

from observe.app.agent import Agent
from observe.app.pushing import Answer, Push
from observe.app.spool import Spool
from observe.cli.agent import Options, run
from observe.clock import WallClock
from observe.errors import ObserveError

pytestmark = pytest.mark.compiler

ARGV = [sys.executable, "-m", "observe", "agent", "--every", "1s", "--node", "n1"]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("nvml"))


@contextmanager
def agent(library: Path | None, folder: Path, *more: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """An agent on the stub, its talk in agent.log."""
    (folder / "stub.txt").touch()
    env = {**environment(library, folder / "stub.txt"), **variables}
    with (folder / "agent.log").open("ab") as log:
        process = subprocess.Popen([*ARGV, *more], env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        assert process.wait(20) in (0, -signal.SIGKILL)


def get(port: int, path: str = "/metrics", **headers: str) -> httpx.Response | None:
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", headers=headers, trust_env=False)
    except httpx.HTTPError:
        return None


def shown(port: int, **headers: str) -> httpx.Response:
    """The first answer that is about GPUs, or the reason why there is none."""
    return until(lambda: (a := get(port, **headers)) and b"no reading yet" not in a.content and a)  # type: ignore[no-any-return]


def test_a_page_is_shown_in_dcgm_names_until_a_signal_ends_it(library: Path, tmp_path: Path) -> None:
    port = free_port()
    with agent(library, tmp_path, "--listen", f"127.0.0.1:{port}") as process:
        answer = shown(port)
        other, health = get(port, "/"), get(port, "/healthz")
        maps = Path(f"/proc/{process.pid}/maps").read_text()

    assert answer.status_code == 200
    assert 'DCGM_FI_DEV_POWER_USAGE{gpu="1",UUID="GPU-0001"' in answer.text
    assert other is not None
    assert health is not None
    assert (other.status_code, health.status_code, process.returncode) == (404, 200, 0)
    assert not any(heavy in maps for heavy in ("duckdb", "polars", "pyarrow"))


def test_without_a_driver_the_scraper_is_told_why(tmp_path: Path) -> None:
    port = free_port()
    with agent(None, tmp_path, "--listen", f"127.0.0.1:{port}"):
        answer = shown(port)

    assert (answer.status_code, "no NVIDIA driver library" in answer.text) == (503, True)
    assert (tmp_path / "agent.log").read_text().count("event=read_failed") == 1


def test_a_scraper_shows_the_token_where_there_is_one(library: Path, tmp_path: Path) -> None:
    port = free_port()
    with agent(library, tmp_path, "--listen", f"0.0.0.0:{port}", "--token", "env:AGENT_TOKEN", AGENT_TOKEN="s3cret"):
        answers = [
            shown(port, **headers)
            for headers in ({}, {"Authorization": "Bearer no"}, {"Authorization": "Bearer s3cret"})
        ]

    assert [a.status_code for a in answers] == [401, 401, 200]
    assert "s3cret" not in (tmp_path / "agent.log").read_text()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (Options(listen="0.0.0.0:9400"), "give a --token"),
        (Options(listen=":9400"), "give a --token"),
        (Options(push="http://127.0.0.1:1"), "--push needs --spool"),
        (Options(push="ftp://x", spool=Path("s")), "expected the address of the service"),
        (Options(token="plain"), "env:NAME or file:PATH"),
        (Options(token="env:OBSERVE_NO_SUCH_TOKEN"), "not set"),
        (Options(every="10ms"), "a second is the shortest"),
        (Options(listen="localhost:http"), "expected host:port"),
        (Options(cluster="eu"), "--cluster goes with --push"),
        (Options(ca=Path("ca.pem")), "--ca goes with --push"),
        (Options(node="n\n1"), "--node"),
    ],
)
def test_options_that_do_not_fit_end_it_at_once(options: Options, says: str) -> None:
    with pytest.raises(ObserveError, match=says) as refused:
        run(options)

    assert refused.value.exit_code == 2


def test_a_token_file_of_two_lines_is_refused_at_start(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first\nsecond")

    with pytest.raises(ObserveError, match=r"--token file:.*no header can carry") as refused:
        run(Options(push="http://127.0.0.1:1", spool=tmp_path, token=f"file:{tmp_path}/token"))
    assert (refused.value.exit_code, "second" in str(refused.value)) == (2, False)


class Faulty(Push):
    """Breaks in a way nobody foresaw, then keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1", None, ("n", ""))
        self.turns, self.came = 0, list[bytes]()

    def send(self, page: bytes) -> Answer:
        self.turns += 1
        if self.turns == 1:
            raise ValueError("never seen before")
        self.came.append(gzip.decompress(page))
        return Answer("taken")


def test_what_nobody_foresaw_ends_neither_reading_nor_pushing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("observe.app.agent.LONGEST_PAUSE_S", 0.05)
    turns: list[datetime] = []

    def read(at: datetime) -> bytes:
        turns.append(at)
        if len(turns) == 1:
            raise ZeroDivisionError("neither")
        return b"a 1\n"

    push = Faulty()
    with closing(Spool(tmp_path)) as spool:
        made = Agent(read, 'n"1', 0.05, WallClock(), spool, push)
        thread = threading.Thread(target=made.run)
        thread.start()
        until(lambda: len(push.came) >= 2)
        made.stop()
        thread.join()

    assert b'observe_agent_spool_pages{hostname="n\\"1"} 0 ' in push.came[0]
    assert [r.getMessage().split()[0] for r in caplog.records if r.levelname == "ERROR"] == ["event=turn_broke"] * 2


def test_pages_that_are_lost_for_want_of_room_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with closing(Spool(tmp_path, max_bytes=1)) as spool:
        made = Agent(lambda at: b"a 1\n", "n", 1.0, WallClock(), spool)
        for _ in range(3):
            made._once()

        assert (spool.dropped, len(spool)) == (2, 1)
    assert [r.getMessage() for r in caplog.records] == [
        "event=spool_failed error=the spool is full, its oldest pages are lost"
    ]


@pytest.mark.slow
def test_an_outage_of_the_service_and_a_kill_of_the_agent_leave_no_gap_and_no_duplicate(
    library: Path, tmp_path: Path
) -> None:
    service = Service(tmp_path)
    push = ("--push", service.url, "--token", f"file:{tmp_path}/data/admin.token", "--spool", str(tmp_path / "spool"))
    script = tmp_path / "stub.txt"

    def samples() -> int:
        return int(service.sql("select count(distinct ts) as n from gpu_sample where device_id = 'GPU-0000'")["n"][0])

    with started(service):
        with agent(library, tmp_path, *push) as first:
            until(lambda: samples() >= 3)
            service.stop(signal.SIGKILL)
            script.write_text("xid 0 79\necc 0 2\n")
            until(lambda: len(list((tmp_path / "spool").glob("*.page.gz"))) >= 4)
            os.kill(first.pid, signal.SIGKILL)
            first.wait(10)
        script.write_text("ecc 0 2\n")
        waited = len(list((tmp_path / "spool").glob("*.page.gz")))
        service.start()
        before = samples()
        with agent(library, tmp_path, *push):
            until(lambda: samples() >= before + waited + 2)
        gaps = service.sql(
            "select max(gap) as widest, min(gap) as narrowest, count(*) filter (gap > 4) as wide from"
            " (select epoch(ts - lag(ts) over (order by ts)) as gap from gpu_sample where device_id = 'GPU-0001')"
        ).row(0)
        events = service.sql("select kind, after, count(*) as n from change_event group by all order by kind").rows()
        rejected = service.metric("observe_rejected_total")

    assert gaps[1] > 0, "a page came twice"
    assert gaps[2] <= 1, f"only the kill of the agent may leave a gap: {gaps}"
    assert events == [("ecc", "2", 1), ("xid", "79", 1)]
    assert not any("too_old" in reason or "shared" in reason for reason in rejected)
