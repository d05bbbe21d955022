"""The past comes in whole, once, and every row of a file is accounted for."""

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import running, until

from observe.app.files import bodies, fingerprint
from observe.app.importing import Counted, Importing, Told
from observe.app.intake import Intake
from observe.clock import WallClock
from observe.errors import UsageError
from observe.spec import Config, Site
from observe.store import Store
from observe.telemetry import Telemetry

T0 = datetime(2024, 2, 28, 23, tzinfo=UTC)
FRAUD = Told("predictions", "fraud")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    found = Store.open(tmp_path_factory.mktemp("import") / "data", WallClock())
    yield found
    found.close()


@pytest.fixture(scope="module")
def desk(store: Store) -> Importing:
    return Importing(store, Intake(store, WallClock(), Telemetry(), Config(Site())), WallClock())


def take(desk: Importing, path: Path, told: Told) -> Counted:
    total, name = Counted(), fingerprint(path)
    for body in bodies(path, features=told.kind == "predictions"):
        total.add(desk.take(told, body, name))
    desk.finish(told, name)
    assert total.read == total.stored + total.duplicate + sum(total.rejected.values())
    return total


def written(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows(name: str, n: int) -> pl.DataFrame:
    at = pl.Series([T0 + timedelta(minutes=i) for i in range(n)], dtype=pl.Datetime("us", "UTC"))
    return pl.DataFrame({"ts": at, "prediction_id": [f"{name}{i:05}" for i in range(n)], "amount": np.arange(n) + 0.5})


def test_the_same_rows_as_parquet_csv_ndjson_and_gzip_are_stored_once(tmp_path: Path, desk: Importing) -> None:
    frame, text = rows("same", 300), rows("same", 300).with_columns(pl.col("ts").dt.to_string("iso:strict"))
    frame.write_parquet(tmp_path / "p.parquet")
    text.write_csv(tmp_path / "p.csv")
    text.write_ndjson(tmp_path / "p.ndjson")
    (tmp_path / "p.csv.gz").write_bytes(gzip.compress((tmp_path / "p.csv").read_bytes()))

    counts = [take(desk, tmp_path / name, FRAUD) for name in ("p.parquet", "p.csv", "p.ndjson", "p.csv.gz")]

    assert [(c.stored, c.duplicate) for c in counts] == [(300, 0), (0, 300), (0, 300), (0, 300)]


def test_leap_day_and_local_offsets_of_a_clock_change_become_the_instants_they_are(
    tmp_path: Path, desk: Importing, store: Store
) -> None:
    told = ["2024-02-29T12:00:00Z", "2024-03-31T01:59:59+01:00", "2024-03-31T03:00:00+02:00", "2024-10-27 02:30:00+02:00",
            "2024-10-27T02:30:00+01:00"]  # fmt: skip
    (tmp_path / "dst.csv").write_text("ts,prediction_id\n" + "".join(f"{t},dst{i}\n" for i, t in enumerate(told)))

    assert take(desk, tmp_path / "dst.csv", FRAUD).stored == 5

    found = store.read("select ts from predictions.fraud where prediction_id like 'dst%' order by prediction_id")
    assert found["ts"].to_list() == [datetime.fromisoformat(t).astimezone(UTC) for t in told]


def test_text_of_a_csv_stays_as_it_is_written_and_records_may_span_lines(
    tmp_path: Path, desk: Importing, store: Store
) -> None:
    text = 'ts,prediction_id,zip,said,n,ok\n2024-01-01,007,01069,"two\nlines, ""quoted""",3,true\n2024-01-01,8,99999,x,4.5,false\nshort,1\n'
    (tmp_path / "text.csv").write_text(text)

    counted = take(desk, tmp_path / "text.csv", Told("predictions", "texts"))

    assert (counted.stored, dict(counted.rejected)) == (2, {"syntax": 1})
    found = store.read('select prediction_id, zip, said, n, ok from predictions."texts" order by 1')
    assert found.rows() == [("007", "01069", 'two\nlines, "quoted"', 3.0, True), ("8", "99999", "x", 4.5, False)]


def test_attempts_with_our_columns_need_two_of_three_times(tmp_path: Path, desk: Importing, store: Store) -> None:
    at = T0.isoformat()
    path = written(tmp_path / "a.ndjson", [
        {"attempt_id": "c1", "ts": at, "duration_s": 2.0, "status": "ok", "tags": ["x"], "stream": True, "cost_usd": 0.1},
        {"attempt_id": "c2", "ts_start": T0.timestamp(), "ts": T0.timestamp() + 3, "status": "error"},
        {"attempt_id": "c3", "ts": at, "ts_start": (T0 + timedelta(seconds=1)).isoformat(), "status": "ok"},
        {"attempt_id": "c4", "ts": at, "duration_s": 1, "status": "fine"}, {"attempt_id": "c5", "duration_s": 1, "status": "ok"},
    ])  # fmt: skip

    counted = take(desk, path, Told("attempts", "chat"))

    assert dict(counted.rejected) == {"bad_times": 1, "bad_status": 1, "missing_key": 1}
    found = store.read(
        "select duration_s, model_id, cost_known, stream, tags from attempt where attempt_id like 'c%' order by attempt_id"
    )
    assert found.rows() == [(2.0, "chat", True, True, ["x"]), (3.0, "chat", False, None, None)]


def test_attempts_as_the_gateway_logs_them_come_in_as_they_are(tmp_path: Path, desk: Importing) -> None:
    start = T0.timestamp()
    payload = {
        "id": "l1",
        "trace_id": "l1",
        "status": "success",
        "startTime": start,
        "endTime": start + 1,
        "model": "chat",
    }

    assert take(desk, written(tmp_path / "l.ndjson", [payload]), Told("attempts")).stored == 1


def test_gpu_samples_describe_their_devices(tmp_path: Path, desk: Importing, store: Store) -> None:
    (tmp_path / "g.csv").write_text(
        "ts,device_id,util_ratio,model\n2024-01-01,GPU-i,0.5,H100\n1704067215,GPU-i,0.7,H100\n"
    )

    assert take(desk, tmp_path / "g.csv", Told("gpu")).stored == 2
    assert store.read("select model, last_seen from gpu_device where device_id = 'GPU-i'").rows() == [
        ("H100", datetime(2024, 1, 1, 0, 0, 15, tzinfo=UTC))
    ]


def test_labels_and_events_of_a_table_come_in_by_their_collectors(tmp_path: Path, desk: Importing) -> None:
    (tmp_path / "l.csv").write_text("prediction_id,value,ts\np1,1,2024-01-01\np2,0,2024-01-02\n")
    (tmp_path / "e.csv").write_text("ts,kind,model_id,after\n2024-01-01,deploy,fraud,v2\n")

    assert take(desk, tmp_path / "l.csv", Told("labels", "fraud")).stored == 2
    assert take(desk, tmp_path / "e.csv", Told("events")).stored == 1


def test_a_column_we_do_not_have_is_refused_by_name(tmp_path: Path, desk: Importing) -> None:
    (tmp_path / "x.csv").write_text("attempt_id,ts,modle_id\n1,2024-01-01,x\n")

    with pytest.raises(UsageError, match=r"column 'modle_id' is none of attempt's; did you mean 'model_id'\?"):
        take(desk, tmp_path / "x.csv", Told("attempts"))


@pytest.mark.slow
@pytest.mark.parametrize("told", [FRAUD, Told("attempts"), Told("gpu"), Told("labels", "fraud"), Told("events")])
@given(value=st.sampled_from([0, -1, 2**31, 2**53, 2**63 - 1, 2**64, 1e400, float("nan"), "NaN", "0001-01-01", "9999-12-31T23:59:59-14:00",
                              "2023-02-29", "24:61", "", True, [], 2.5]))  # fmt: skip
@settings(max_examples=17)
def test_any_timestamp_is_stored_right_or_refused_with_a_reason(
    desk: Importing, tmp_path_factory: pytest.TempPathFactory, told: Told, value: object
) -> None:
    folder = tmp_path_factory.mktemp("ts")
    row = {
        "predictions": {"prediction_id": f"t{value}"}, "attempts": {"attempt_id": f"t{value}", "status": "ok", "duration_s": 1},
        "gpu": {"device_id": "t"}, "labels": {"prediction_id": f"t{value}", "value": 1}, "events": {"kind": "deploy"},
    }[told.kind]  # fmt: skip
    (folder / "t.csv").write_text(",".join(["ts", *row]) + "\n" + ",".join(map(str, [value, *row.values()])) + "\n")

    for path in (written(folder / "t.ndjson", [{"ts": value, **row}]), folder / "t.csv"):
        if not isinstance(value, list) or path.suffix != ".csv":
            assert take(desk, path, told).read == 1


def test_a_file_of_no_known_format_and_an_unclosed_quote_are_told(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"\x00\x01")
    with pytest.raises(UsageError, match="neither Parquet, nor CSV"):
        list(bodies(tmp_path / "x.bin"))
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(UsageError, match="not a readable Parquet file"):
        list(bodies(tmp_path / "cut.parquet"))


def test_bodies_of_a_large_file_are_small_and_always_the_same(tmp_path: Path) -> None:
    rows("b", 120_000).write_parquet(tmp_path / "b.parquet")

    first, again = ([(b.number, b.rows, b.content) for b in bodies(tmp_path / "b.parquet")] for _ in range(2))

    assert first == again
    assert [rows_ for _, rows_, _ in first] == [50_000, 50_000, 20_000]


def observe(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "observe", *arguments], capture_output=True, timeout=120, check=False, text=True
    )


@pytest.mark.slow
def test_a_second_run_stores_nothing_and_says_so(tmp_path: Path) -> None:
    rows("again", 50).write_parquet(tmp_path / "again.parquet")
    argv = [
        "import",
        str(tmp_path / "*.parquet"),
        "--as",
        "predictions",
        "--model",
        "fraud",
        "-d",
        str(tmp_path / "data"),
    ]

    first, second = observe(*argv), observe(*argv)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert "50 rows read, 50 stored, 0 duplicate, 0 rejected" in first.stdout
    assert "50 rows read, 0 stored, 50 duplicate, 0 rejected (imported before, nothing new)" in second.stdout


@pytest.mark.slow
def test_when_nothing_can_be_stored_the_exit_code_is_1(tmp_path: Path) -> None:
    path = written(tmp_path / "bad.ndjson", [{"attempt_id": "a", "ts": "never", "status": "ok", "duration_s": 1}])

    done = observe("import", str(path), "--as", "attempts", "-d", str(tmp_path / "data"), "--json")

    assert done.returncode == 1
    assert json.loads(done.stdout)["rejected"] == {"bad_ts": 1}


@pytest.mark.slow
def test_an_import_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    path, data = tmp_path / "k.parquet", tmp_path / "data"
    rows("k", 400_000).write_parquet(path)
    argv = [
        sys.executable,
        "-m",
        "observe",
        "import",
        str(path),
        "--as",
        "predictions",
        "--model",
        "k",
        "-d",
        str(data),
    ]
    started = subprocess.Popen(argv, stdout=subprocess.DEVNULL, start_new_session=True)
    until(lambda: any((data / "lake").rglob("*.parquet")), 60, 0.02)  # sealed on the way
    os.kill(started.pid, signal.SIGKILL)
    started.wait(30)

    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120)

    assert "400,000 rows read" in done.stdout
    assert "went on after" in done.stdout
    stored = Store.open(data, WallClock(), must_exist=True)
    assert stored.read("select count(*) as n, count(distinct prediction_id) as d from predictions.k").rows() == [
        (400_000, 400_000)
    ]
    stored.close()


@pytest.mark.slow
def test_a_running_service_takes_the_past_of_the_directory_it_owns(tmp_path: Path) -> None:
    rows("s", 60_000).write_parquet(tmp_path / "s.parquet")
    argv = [
        "import",
        str(tmp_path / "s.parquet"),
        "--as",
        "predictions",
        "--model",
        "fraud",
        "-c",
        str(tmp_path / "observe.yaml"),
    ]
    with running(tmp_path) as service:
        first, second = observe(*argv), observe(*argv)
        stored = service.sql("select count(*) as n from predictions.fraud").item()
        with service.client("nobody") as stranger:
            refused = stranger.post("/api/v1/import/events", content=b"{}").status_code

    assert "60,000 stored" in first.stdout, first.stderr
    assert "imported before, nothing new" in second.stdout
    assert (stored, refused) == (60_000, 401)


def test_the_end_of_a_file_waits_for_the_body_in_hand(desk: Importing) -> None:
    done = threading.Thread(target=desk.finish, args=(FRAUD.checked(), "held"))
    with desk._lock:
        done.start()
        done.join(0.3)
        assert done.is_alive()
    done.join()

    assert desk.mark(FRAUD, "held")["whole"]
