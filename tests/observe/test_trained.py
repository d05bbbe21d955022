"""A training file beside what is served: counted, counted anew when it changes, told when it cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from observe import summaries
from observe.app.accepting import accepted
from observe.app.evidence import Gathering
from observe.app.stages import Stages
from observe.clock import EventClock
from observe.registry import plugin
from observe.schema import Batch, Command, Detected, Evidence, Finding, Window
from observe.spec import Config, load
from observe.spec.monitors import derive
from observe.store import Store
from observe.telemetry import Telemetry

T0 = datetime(2026, 3, 2, tzinfo=UTC)
DAYS, PER_DAY = 3, 6_000
SITE = "apiVersion: observe/v1\nkind: Site\n---\napiVersion: observe/v1\nkind: Monitoring\nmetadata: {name: m}\n"
SPEC = "drift: {skew: {file: train.parquet}, features: [amount, card, age]}\n"


def rows(seed: int, n: int, dear: float = 1.0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "amount": rng.lognormal(3.0, 0.8, n) * dear,
        "card": rng.choice(["visa", "amex", "debit"], n, p=[0.6, 0.1, 0.3]),
    }


def config(folder: Path) -> Config:
    (folder / "observe.yaml").write_text(SITE + SPEC)
    return load(folder / "observe.yaml")


@contextmanager
def world(folder: Path) -> Iterator[tuple[Store, EventClock, Config]]:
    clock = EventClock(T0 + timedelta(days=DAYS, hours=1))
    store = Store.open(folder / "data", clock, threads=1, memory="500MB")
    n = DAYS * PER_DAY
    ts = pl.Series([T0 + timedelta(seconds=86_400 / PER_DAY * i) for i in range(n)], dtype=pl.Datetime("us", "UTC"))
    served = pl.DataFrame({"ts": ts, "prediction_id": [f"p{i}" for i in range(n)], "item_idx": [0] * n, **rows(1, n)})
    try:
        store.append(Batch("t", "1", {"prediction:m": served}))
        yield store, clock, config(folder)
    finally:
        store.close()


def closed(store: Store, clock: EventClock, site: Config) -> pl.DataFrame:
    clock.set(clock.now() + timedelta(minutes=5))  # looked at whenever windows close
    summaries.close(store, site, clock.now())
    return store.read("select * exclude (made_at) from training_column order by feature")


def judged(store: Store, clock: EventClock, site: Config) -> dict[str, Finding]:
    asked = [m for m in derive(site, {}) if m.detector == "skew"]
    window = Window(T0 + timedelta(days=DAYS - 1), T0 + timedelta(days=DAYS))
    skew = plugin("observe.detectors", "skew")
    since = min(skew.since(m, {}, window) for m in asked)
    found = skew.detect(Gathering(site, store).evidence(asked, window, since, clock.now()))
    return {f.subject: f for f in found.findings}


def test_a_file_is_counted_in_the_bins_of_what_is_served(tmp_path: Path) -> None:
    pl.DataFrame({**rows(2, 20_000), "age": [1.0] * 20_000, "label": [0] * 20_000}).write_parquet(
        tmp_path / "train.parquet"
    )
    with world(tmp_path) as (store, clock, site):
        found = {r["feature"]: r for r in closed(store, clock, site).iter_rows(named=True)}

    assert sorted(found) == ["age", "amount", "card", "label"]
    assert (found["amount"]["rows"], sum(found["amount"]["counts"]), found["amount"]["missing"]) == (20_000, 20_000, 0)
    assert found["card"]["counts"][0] / 20_000 > 0.58
    assert (found["label"]["counts"], found["label"]["kind"]) == (None, None)


def test_what_differs_is_found_from_the_file_to_the_finding(tmp_path: Path) -> None:
    pl.DataFrame({**rows(2, 20_000, dear=100.0), "age": [1.0] * 20_000}).write_parquet(tmp_path / "train.parquet")
    with world(tmp_path) as (store, clock, site):
        closed(store, clock, site)
        found = judged(store, clock, site)

    assert found["amount"].state == "alarm"
    assert "lower by" in found["amount"].note
    assert "instead of 2" in found["amount"].note  # the median in the file is 100 times that served, about 2000
    assert found["card"].state == "learning"
    assert found["(columns)"].note == "the model was trained with age, it was never served"


class Here:
    def detect(self, name: str, evidence: Evidence) -> Detected:
        return plugin("observe.detectors", name).detect(evidence)  # type: ignore[no-any-return]


def test_what_differs_becomes_one_alert_that_a_person_can_accept(tmp_path: Path) -> None:
    pl.DataFrame({**rows(2, 20_000, dear=100.0), "age": [1.0] * 20_000}).write_parquet(tmp_path / "train.parquet")
    with world(tmp_path) as (store, clock, site):
        stages = Stages(site, store, clock, Telemetry())
        for _ in range(3):
            clock.set(clock.now() + timedelta(minutes=1))
            stages.tick(("skew",), Here(), clock.now())
        told = store.read("select subject, labels ->> '$.alertname' as name, alert_id from alert order by subject")
        said = Command(clock.now(), "cmd-1", "ada", "operator", "accept_normal", told["alert_id"][1], None, {}, "")
        with store.change() as tx:
            tx.insert([said])
        taken = accepted(store, ["m/skew/amount"])

    assert told.drop("alert_id").rows() == [("(columns)", "TrainingServingSkew"), ("amount", "TrainingServingSkew")]
    assert list(taken) == ["m/skew/amount"]


def test_a_file_that_changed_is_counted_anew_and_one_that_did_not_is_left_alone(tmp_path: Path) -> None:
    frame = pl.DataFrame(rows(2, 5_000))
    frame.write_parquet(tmp_path / "train.parquet")
    with world(tmp_path) as (store, clock, site):
        first = closed(store, clock, site)
        many = store.read("select count(*) from core.training_column").item()
        summaries.close(store, site, clock.now())
        same = store.read("select count(*) from core.training_column").item()
        pl.DataFrame(rows(3, 7_000)).write_parquet(tmp_path / "train.parquet")
        second = closed(store, clock, site)

    assert same == many
    assert second["rows"].unique().to_list() == [7_000]
    assert set(second["fingerprint"]) & set(first["fingerprint"]) == set()


def test_a_file_that_is_missing_or_broken_is_unknown_with_its_reason(tmp_path: Path) -> None:
    with world(tmp_path) as (store, clock, site):
        missing = closed(store, clock, site)
        (tmp_path / "train.parquet").write_bytes(b"no parquet at all")
        broken = closed(store, clock, site)
        states = {f.state for f in judged(store, clock, site).values()}

    assert missing["error"].to_list() == ["there is no such file"]
    assert broken.height == 1
    assert "arquet" in broken["error"][0]
    assert states == {"unknown"}


def test_text_where_numbers_are_served_is_told_as_text(tmp_path: Path) -> None:
    made = rows(2, 5_000)
    pl.DataFrame({**made, "amount": [f"{v:.0f} EUR" for v in made["amount"]]}).write_parquet(tmp_path / "train.parquet")
    with world(tmp_path) as (store, clock, site):
        found = closed(store, clock, site).row(by_predicate=pl.col("feature") == "amount", named=True)

    assert (found["kind"], found["counts"]) == ("text", None)
