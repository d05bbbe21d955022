"""People's SQL: right answers, caps, and plain words when it cannot be answered."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from observe.errors import QueryError
from observe.sqlworker import Limits, SqlWorker, landlock
from observe.sqlworker.answering import needed

START = datetime(2026, 11, 20, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = tmp_path_factory.mktemp("data") / "lake"
    lake.mkdir()
    times = [START + timedelta(minutes=i) for i in range(6)]
    pl.DataFrame({"ts": times, "amount": [1.0, 2, 3, 4, 5, 6]}).write_parquet(lake / "a.parquet")
    return lake


@pytest.fixture(scope="module")
def views(lake: Path) -> dict[str, str]:
    rows = f"select * from read_parquet(['{lake}/a.parquet'], union_by_name=true)"
    return {"payment": rows, "large": "select * from payment where amount > 3", 'predictions."my-Model"': rows}


@pytest.fixture(scope="module")
def worker(lake: Path) -> Iterator[SqlWorker]:
    worker = SqlWorker([lake], allow_unsandboxed=True)
    worker.start()
    yield worker
    worker.stop()


def frame(answer: bytes) -> pl.DataFrame:
    return pl.read_ipc_stream(io.BytesIO(answer))


def test_a_query_over_a_view_of_a_view_is_answered(worker: SqlWorker, views: dict[str, str]) -> None:
    answer = worker.query("select max(ts) as newest, count(*) as n from large", views)

    assert frame(answer.arrow_ipc).rows() == [(START + timedelta(minutes=5), 3)]
    assert (answer.rows, answer.truncated) == (1, False)


def test_times_are_aware_utc(worker: SqlWorker, views: dict[str, str]) -> None:
    answer = worker.query("select ts, date_trunc('hour', ts) as hour from payment limit 1", views)

    assert frame(answer.arrow_ipc).rows() == [(START, START)]
    assert frame(answer.arrow_ipc).schema["ts"] == pl.Datetime("us", "UTC")


def test_columns_of_one_name_are_told_apart_and_all_answered(worker: SqlWorker, views: dict[str, str]) -> None:
    answer = frame(
        worker.query("select *, 1 as amount_1 from payment a join payment b on a.ts = b.ts", views).arrow_ipc
    )

    assert answer.columns == ["ts", "amount", "ts_1", "amount_2", "amount_1"]
    assert (answer["amount"] == answer["amount_2"]).all()


def test_a_models_own_predictions_are_found_by_quoted_name(worker: SqlWorker, views: dict[str, str]) -> None:
    answer = worker.query('select sum(amount) from predictions."my-model"', views)

    assert frame(answer.arrow_ipc).item() == 21.0


def test_show_tables_lists_every_view(worker: SqlWorker, views: dict[str, str]) -> None:
    assert frame(worker.query("show tables", views).arrow_ipc)["name"].to_list() == ["large", "payment"]


def test_rows_beyond_the_cap_are_cut_and_said(worker: SqlWorker) -> None:
    answer = worker.query("select * from range(100000)", {}, Limits(rows=1000))

    assert (frame(answer.arrow_ipc).height, answer.rows, answer.truncated) == (1000, 1000, True)


def test_an_answer_as_long_as_the_cap_is_whole(worker: SqlWorker) -> None:
    assert worker.query("select * from range(1000)", {}, Limits(rows=1000)).truncated is False


def test_bytes_beyond_the_cap_are_cut_and_said(worker: SqlWorker) -> None:
    answer = worker.query("select repeat('x', 1000) from range(100000)", {}, Limits(answer_bytes=20_000_000))

    assert answer.truncated
    assert len(answer.arrow_ipc) < 21_000_000


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("select 1; select 2", "one statement at a time, this is 2"),
        ("", "one statement at a time, this is 0"),
        ("selec 1", 'syntax error at or near "selec"'),
        ("select amonut from payment", "amount"),
        ("select * from paymnt", "paymnt"),
        ("delete from payment", "DELETE is not answered here"),
        ("create table x (a int)", "CREATE is not answered here"),
        ("set threads = 8", "SET is not answered here"),
    ],
)
def test_what_cannot_be_answered_is_said_plainly(worker: SqlWorker, views: dict[str, str], sql: str, said: str) -> None:
    with pytest.raises(QueryError) as refused:
        worker.query(sql, views)

    assert said in str(refused.value)


def test_a_query_beyond_its_time_is_stopped(worker: SqlWorker) -> None:
    with pytest.raises(QueryError, match=r"stopped after 0\.5 s"):
        worker.query("select sum(a.range * b.range) from range(1000000) a, range(1000000) b", {}, Limits(seconds=0.5))


def test_queries_from_several_threads_do_not_mix(worker: SqlWorker) -> None:
    answers: dict[int, int] = {}

    def ask(n: int) -> None:
        answers[n] = frame(worker.query(f"select {n} as n", {}).arrow_ipc).item()

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == {n: n for n in range(6)}


def test_a_fallen_zygote_is_started_again(worker: SqlWorker) -> None:
    worker.query("select 1", {})
    fallen = worker.pid
    assert fallen is not None
    os.kill(fallen, signal.SIGKILL)
    wait_until(lambda: worker.pid is None)

    assert worker.query("select 1", {}).rows == 1
    assert worker.pid != fallen


def test_the_death_of_the_parent_leaves_no_process(lake: Path) -> None:
    script = (
        "import threading, time; from observe.sqlworker import SqlWorker, Limits\n"
        f"w = SqlWorker([{str(lake)!r}], allow_unsandboxed=True); w.start()\n"
        "endless = 'select sum(a.range * b.range) from range(1000000) a, range(1000000) b'\n"
        "threading.Thread(target=w.query, args=(endless, {}, Limits(seconds=60)), daemon=True).start()\n"
        "print(w.pid, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        zygote = int(parent.stdout.readline())
        wait_until(lambda: children(zygote))
        family = [zygote, *children(zygote)]
        parent.kill()

    assert len(family) == 2
    wait_until(lambda: not any(alive(pid) for pid in family))


def test_without_landlock_nothing_is_answered_unless_allowed(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    worker = SqlWorker([lake])
    worker.start()

    with pytest.raises(QueryError, match="SQL is off: this kernel has no Landlock"):
        worker.query("select 1", {})
    assert worker.pid is None


def test_only_views_that_a_query_may_need_are_made() -> None:
    views = {"a": "select 1", "b": "select * from a", "unrelated": "select 2", 'predictions."m.x"': "select 3"}

    assert needed("select * from B", views) == ("a", "b")
    assert needed("show tables", views) == tuple(views)


def children(pid: int) -> list[int]:
    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: object, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
