"""Event time lived through again says the same, whatever order rows came in and however the clock went."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from observe.app import replaying
from observe.app.replaying import ASKED, InProcess, Replaying
from observe.app.stages import Stages
from observe.clock import EventClock, RisingClock, WallClock
from observe.schema import Batch, Window
from observe.spec import Config, Model, Monitoring, Site
from observe.store import Store
from observe.telemetry import Telemetry

T0 = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LENGTH = 30 * MINUTE
WATCHED = {
    "slos": [{"name": "fine", "good": "status = ok", "objective": "99.9%", "window": "30d"}],
    "drift": {"source": "predictions", "features": ["amount", "kind"],
              "reference": {"from": T0.isoformat(), "to": (T0 + 10 * MINUTE).isoformat()}},
}  # fmt: skip
SEEN = {
    "summary": "select * exclude (ingested_at) from summary order by all",
    "finding": "select * exclude (made_at) from finding order by all",
    "binning": "select * exclude (made_at) from binning order by all",
}


def config() -> Config:
    monitoring = Monitoring.model_validate({"metadata": {"name": "m"}, **WATCHED})
    return Config(Site(), {"m": Model("m", monitoring=monitoring)})


def traffic(seed: int = 5) -> dict[str, pl.DataFrame]:
    """Requests of which some are tried again, also in other windows and at the same instant, and predictions."""
    rng = np.random.default_rng(seed)
    tries: list[dict[str, object]] = []
    for i in range(120):
        at = T0 + timedelta(seconds=float(rng.uniform(0, 1500)))
        for k in range(int(rng.choice([1, 1, 1, 2, 3]))):
            at = at + timedelta(seconds=float(rng.choice([0, 5, 70, 200]))) if k else at
            status = str(rng.choice(["ok", "ok", "error", "cancelled"]))
            tries.append({"ts": at, "ts_start": at - timedelta(seconds=1), "attempt_id": f"a{i}-{k}", "trace_id": f"t{i}",
                          "model_id": "m", "duration_s": 1.0, "status": status, "attempt_no": k})  # fmt: skip
    ts = pl.Series(np.sort(rng.integers(0, 1_800_000_000, 600)) + int(T0.timestamp()) * 1_000_000).cast(
        pl.Datetime("us", "UTC")
    )
    answers = {"ts": ts, "prediction_id": [f"p{i}" for i in range(600)], "amount": rng.lognormal(3, 2, 600) * 1e-3,
               "kind": rng.choice(["a", "b"], 600)}  # fmt: skip
    return {"attempt": pl.DataFrame(tries).sort("ts"), "prediction:m": pl.DataFrame(answers)}


@contextmanager
def opened(path: Path, clock: EventClock | RisingClock) -> Iterator[Store]:
    store = Store.open(path, clock, threads=1, memory="500MB")
    try:
        yield store
    finally:
        store.close()


def seen(store: Store) -> dict[str, pl.DataFrame]:
    return {name: store.read(sql) for name, sql in SEEN.items()}


def live(
    path: Path, rows: dict[str, pl.DataFrame], delays: dict[str, Sequence[float]], seed: int
) -> dict[str, pl.DataFrame]:
    """Live through `rows`, each arriving `delays` seconds after its time, in shuffled batches."""
    clock, rng = EventClock(T0), np.random.default_rng(seed)
    arriving = {
        key: frame.with_columns(came=pl.col("ts") + pl.duration(microseconds=pl.Series(delays[key]) * 1e6))
        for key, frame in rows.items()
    }
    with opened(path, clock) as store:
        stages = Stages(config(), store, clock, Telemetry())
        for minute in range(1, 42):
            now = T0 + minute * MINUTE
            clock.set(now)
            for key, frame in arriving.items():
                part = frame.filter(pl.col("came") <= now).drop("came").sample(fraction=1.0, shuffle=True, seed=seed)
                arriving[key] = frame.filter(pl.col("came") > now)
                for i in range(0, part.height, size := int(rng.integers(1, 40))):
                    store.append(Batch("live", f"{key}{minute}/{i}", {key: part[i : i + size]}))
            stages.tick(ASKED, InProcess(), now)
        return seen(store)


@pytest.fixture(scope="module")
def prompt(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    """What is seen when every row comes at once."""
    rows = traffic()
    found = live(tmp_path_factory.mktemp("prompt") / "data", rows, {k: [0.0] * f.height for k, f in rows.items()}, 1)
    assert found["finding"].height > 10
    assert found["summary"].filter(pl.col("measure") == "m/slo/fine")["late"].any()  # some were tried again later
    assert found["binning"].height == 2
    return found


@pytest.mark.slow
@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31))
def test_rows_in_any_order_and_batches_within_lateness_give_the_same(
    prompt: dict[str, pl.DataFrame], tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    rows, rng = traffic(), np.random.default_rng(seed)
    most = {"attempt": 59.9, "prediction:m": 299.9}
    delays = {key: rng.uniform(0, most[key], frame.height).tolist() for key, frame in rows.items()}

    found = live(tmp_path_factory.mktemp("late") / "data", rows, delays, seed)

    for name, frame in prompt.items():
        assert found[name].equals(frame), name


@pytest.mark.slow
def test_every_request_is_judged_once_and_shown_where_it_ended(prompt: dict[str, pl.DataFrame]) -> None:
    tries = traffic()["attempt"].sort("ts", "attempt_no")
    last = tries.group_by("trace_id", maintain_order=True).last().filter(pl.col("status") != "cancelled")
    slo = prompt["summary"].filter(pl.col("measure") == "m/slo/fine")
    ended = last.group_by(pl.col("ts").dt.truncate("1m")).agg(
        n=pl.len().cast(pl.Int64), events=(pl.col("status") == "error").sum().cast(pl.Int64)
    )

    judged = slo.filter(~pl.col("late"))
    assert (judged["n"].sum(), judged["events"].sum()) == (last.height, (last["status"] == "error").sum())
    shown = slo.group_by("ts").agg(pl.col("n", "events").sum()).filter((pl.col("n") != 0) | (pl.col("events") != 0))
    assert shown.sort("ts").rows() == ended.sort("ts").rows()


def replayed(past: Store, path: Path) -> dict[str, pl.DataFrame]:
    clock = EventClock(T0)
    with opened(path, clock) as scratch:
        Replaying(config(), past, scratch, clock).run(Window(T0, T0 + LENGTH))
        return seen(scratch)


@pytest.mark.slow
def test_a_replay_sees_no_row_early_and_what_living_through_it_saw(
    tmp_path: Path, prompt: dict[str, pl.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = EventClock(T0 + timedelta(days=1))
    with opened(tmp_path / "past", clock) as past:
        past.append(Batch("import", "1", {k: f.reverse() for k, f in traffic().items()}))
        at_once = replayed(past, tmp_path / "day")
        monkeypatch.setattr(replaying, "_BLOCK", 5 * MINUTE)
        in_steps = replayed(past, tmp_path / "steps")

    for name, frame in at_once.items():
        assert in_steps[name].equals(frame), name
    judged = [
        f["finding"].filter(pl.col("detector") == "burn").select("window_end", "state", "n", "effect")
        for f in (at_once, prompt)
    ]
    assert judged[0].height > 4
    assert (
        judged[0]
        .join(judged[1], on="window_end", how="semi")
        .equals(judged[1].join(judged[0], on="window_end", how="semi"))
    )


@pytest.mark.slow
def test_what_a_prometheus_counted_is_lived_through_again_and_other_series_are_left(tmp_path: Path) -> None:
    shop = {
        "name": "shop",
        "objective": "99%",
        "window": "30d",
        "prometheus": {"from": "main", "total": "x_total", "errors": "x_failed_total"},
    }
    watched = Monitoring.model_validate({"metadata": {"name": "m"}, "slos": [shop]})
    labels = json.dumps({"slo_id": "m.shop"})
    told = (("observe_sli_events", 60.0), ("observe_sli_bad_events", 30.0), ("node_load1", 2.0))
    rows = [
        {"ts": T0 + i * MINUTE, "metric": name, "labels": labels, "value": value}
        for i in range(30)
        for name, value in told
    ]
    with opened(tmp_path / "past", EventClock(T0 + timedelta(days=1))) as past:
        past.append(
            Batch("main", "1", {"metric_sample": pl.DataFrame(rows, schema_overrides={"ts": pl.Datetime("us", "UTC")})})
        )
        with past.change() as tx:
            tx.set_state("promql/m.shop", {"until": (T0 + LENGTH).isoformat()}, None)
        clock = EventClock(T0)
        with opened(tmp_path / "again", clock) as scratch:
            done = Replaying(Config(Site(), {"m": Model("m", monitoring=watched)}), past, scratch, clock).run(
                Window(T0, T0 + LENGTH)
            )
            counted = scratch.read(
                "select sum(n)::BIGINT as n, sum(events)::BIGINT as bad from summary where measure = 'm/slo/shop'"
            )
            burns = scratch.read("select 1 from finding where detector = 'burn' and state = 'alarm'").height

    assert (done.rows, counted.row(0)) == (60, (1800, 900))
    assert burns > 0


@pytest.mark.slow
def test_a_feature_that_went_on_in_another_column_is_replayed_as_the_number_it_is(tmp_path: Path) -> None:
    rows = traffic()["prediction:m"]
    with opened(tmp_path / "past", EventClock(T0 + timedelta(days=1))) as past:
        past.append(Batch("import", "1", {"prediction:m": rows[:1].with_columns(amount=pl.lit("a lot"))}))
        past.declare({"m": {"amount"}})
        past.append(Batch("import", "2", {"prediction:m": rows[1:]}))
        found = replayed(past, tmp_path / "again")

    assert set(past.features()["m"]) == {"amount", "kind"}
    assert found["binning"].height == 2


@pytest.mark.slow
@pytest.mark.parametrize("jump", [timedelta(hours=-1), timedelta(hours=1)])
def test_a_clock_that_jumps_skips_and_repeats_no_window(tmp_path: Path, jump: timedelta) -> None:
    rows, machine = traffic(), EventClock(T0)
    with opened(tmp_path / "data", RisingClock(machine)) as store:
        telemetry = Telemetry()
        stages = Stages(config(), store, machine, telemetry)
        begin, came = T0 + timedelta(hours=2), T0
        for minute in range(1, 110):
            now = T0 + minute * MINUTE + (jump if minute > 15 else timedelta(0))
            machine.set(now + (begin - T0))
            until = T0 + minute * MINUTE
            for key, frame in rows.items():  # senders' clocks are right all the time
                part = frame.filter((pl.col("ts") >= came) & (pl.col("ts") < until)).with_columns(
                    pl.col("ts") + (begin - T0)
                )
                store.append(Batch("t", f"{key}{minute}", {key: part}))
            came = until
            if minute < 20 or minute % 5 == 0:
                stages.tick(ASKED, InProcess(), machine.now())

        total = store.read(
            "select sum(n)::BIGINT as n, sum(events)::BIGINT as e from summary where measure = 'm/slo/fine'"
        ).row(0)
        last = (
            rows["attempt"]
            .sort("ts", "attempt_no")
            .group_by("trace_id", maintain_order=True)
            .last()
            .filter(pl.col("status") != "cancelled")
        )
        assert total == (last.height, (last["status"] == "error").sum())
        once = store.read("select monitor_id, window_end from finding")
        assert once.is_unique().all()
        assert not [s for s in telemetry.stage_errors.collect()[0].samples if s.value]


def observe(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "observe", *arguments], capture_output=True, text=True, timeout=170, check=False
    )


SITE = "apiVersion: observe/v1\nkind: Site\nstore: {path: ./data}\n"
MODEL = """\
apiVersion: observe/v1
kind: Monitoring
metadata: {name: m}
slos: [{name: fine, good: status = ok, objective: 99%, window: 30d}]
"""


def outage(folder: Path) -> None:
    """Seven hours of requests; from 05:00 on half of them fail."""
    (folder / "models").mkdir()
    (folder / "observe.yaml").write_text(SITE)
    (folder / "models" / "m.yaml").write_text(MODEL)
    at = [T0 + timedelta(seconds=30 * i) for i in range(840)]
    ts = pl.Series(at, dtype=pl.Datetime("us", "UTC"))
    status = ["error" if t >= T0 + timedelta(hours=5) and i % 2 else "ok" for i, t in enumerate(at)]
    frame = pl.DataFrame({"ts": ts, "ts_start": ts, "attempt_id": [f"a{i}" for i in range(840)], "model_id": ["m"] * 840,
                          "duration_s": [1.0] * 840, "status": status})  # fmt: skip
    with opened(folder / "data", WallClock()) as store:  # type: ignore[arg-type]
        store.append(Batch("import", "1", {"attempt": frame}))


@pytest.mark.slow
def test_a_replay_tells_when_the_outage_would_have_paged_and_keeps_it(tmp_path: Path) -> None:
    outage(tmp_path)
    span = ["replay", "--from", "2026-03-02", "--to", "2026-03-02T07:00:00Z", "-c", str(tmp_path / "observe.yaml")]

    done = observe(*span, "--into", str(tmp_path / "found"), "--json")
    said = json.loads(done.stdout)
    kept = observe("sql", "-d", str(tmp_path / "found"), "select count(*) as n from incident", "-f", "json", "-q")
    again = observe(*span, "--into", str(tmp_path / "found"))

    pages = [a for a in said["alarms"] if a["severity"] == "page"]
    assert len(pages) == 1, done.stderr
    assert timedelta(0) < datetime.fromisoformat(pages[0]["fired"]) - (T0 + timedelta(hours=5)) < timedelta(minutes=20)
    assert abs(datetime.fromisoformat(pages[0]["onset"]) - (T0 + timedelta(hours=5))) <= timedelta(minutes=5)
    assert json.loads(kept.stdout)[0]["n"] >= 1
    assert again.returncode == 2
    assert "is not empty" in again.stderr


@pytest.mark.slow
def test_a_directory_in_use_is_told_what_to_do(tmp_path: Path) -> None:
    outage(tmp_path)
    with opened(tmp_path / "data", WallClock()):  # type: ignore[arg-type]
        done = observe("replay", "--from", "2026-03-02", "--to", "2026-03-03", "-c", str(tmp_path / "observe.yaml"))

    assert done.returncode == 2
    assert "observe backup" in done.stderr
