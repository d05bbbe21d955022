"""Rows become summaries: counted exactly, once, when their window closes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from observe import summaries
from observe.clock import EventClock
from observe.schema import Batch, Binning
from observe.spec import Config, Model, Monitoring, Site
from observe.store import Store
from observe.summaries import Grid, bins, count

T0 = datetime(2026, 3, 2, tzinfo=UTC)
SLOS = [
    {"name": "fast", "latency": "ttft_s", "below": "800ms", "objective": "99%"},
    {"name": "fine", "good": "status = ok", "objective": "99.9%"},
]


def config(*names: str, **monitoring: object) -> Config:
    given = {n: Monitoring.model_validate({"metadata": {"name": n}, **monitoring}) for n in names or ("m",)}
    return Config(Site(), {n: Model(n, monitoring=m) for n, m in given.items()})


@contextmanager
def opened(path: Path, now: datetime) -> Iterator[tuple[Store, EventClock]]:
    clock = EventClock(now)
    store = Store.open(path / "data", clock, threads=1, memory="500MB")
    try:
        yield store, clock
    finally:
        store.close()


def attempts(times: list[datetime], **columns: list[object]) -> pl.DataFrame:
    n = len(times)
    given = {
        "ts": pl.Series(times, dtype=pl.Datetime("us", "UTC")), "ts_start": pl.Series(times, dtype=pl.Datetime("us", "UTC")),
        "attempt_id": [f"a{t.timestamp()}-{i}" for i, t in enumerate(times)], "model_id": ["m"] * n, "duration_s": [1.0] * n,
        "status": ["ok"] * n, "cost_known": [False] * n, "quality": [0] * n, "ttft_s": [0.1] * n, "tokens_in": [5] * n,
    }  # fmt: skip
    return pl.DataFrame({**given, **columns})


def slo_rows(store: Store) -> dict[tuple[str, datetime, bool], tuple[int, int]]:
    rows = store.read("select measure, ts, late, n, events from summary where measure like '%/slo/%'")
    return {(m.rpartition("/")[2], ts, late): (n, e) for m, ts, late, n, e in rows.iter_rows()}


def binning(values: np.ndarray, feature: str = "x") -> Binning:
    edges = tuple(np.unique(np.quantile(values, np.arange(1, 256) / 256, method="inverted_cdf")).tolist())
    return Binning(
        f"m/predictions/{feature}@1",
        "m",
        "predictions",
        feature,
        "numeric",
        1,
        edges,
        None,
        (0,) * (len(edges) + 1),
        None,
        None,
        None,
        T0,
    )


def spread(n: int, minutes: int) -> pl.Series:
    step = minutes * 60_000_000 // n
    return pl.Series([T0 + timedelta(microseconds=i * step) for i in range(n)], dtype=pl.Datetime("us", "UTC"))


@pytest.mark.parametrize("shape", ["lognormal", "normal", "counts", "narrow", "half_zero", "heavy", "two"])
def test_bins_of_many_values_are_those_of_a_binary_search(shape: str) -> None:
    rng = np.random.default_rng(3)
    n = 30_000
    x = {
        "lognormal": rng.lognormal(3, 1, n), "normal": np.round(rng.normal(0, 1, n), 3), "counts": rng.poisson(50, n) * 1.0,
        "narrow": 1e6 + rng.normal(0, 1, n), "half_zero": np.where(rng.random(n) < 0.5, -0.0, rng.exponential(1, n)),
        "heavy": rng.standard_t(1, n), "two": rng.integers(0, 2, n) * 1.0,
    }[shape]  # fmt: skip
    edges = binning(x[:9_000]).edges
    assert edges is not None

    assert (bins.place(x, edges) == np.searchsorted(edges, x, side="right")).all()


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=300, unique=True), st.integers(0, 2**32 - 1))
def test_bins_are_exact_for_any_edges_and_for_values_on_them(values: list[float], seed: int) -> None:
    edges = tuple(sorted(values))
    near = np.concatenate([edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf)])
    x = np.random.default_rng(seed).choice(near, 5_000)

    assert (bins.place(x, edges) == np.searchsorted(edges, x, side="right")).all()


def test_missing_nan_infinite_and_zero_values_are_counted_apart() -> None:
    rows = pl.DataFrame({"ts": spread(6, 5), "x": [1.0, None, float("nan"), float("inf"), 0.0, 2.5]})

    [row] = count(rows, Grid(T0, 300, 1), [binning(np.arange(10.0))]).to_dicts()

    assert (row["n"], row["missing"], row["nan"], row["inf"], row["zero"]) == (3, 1, 1, 1, 1)
    assert (row["low"], row["high"], row["value_sum"], sum(row["counts"])) == (0.0, 2.5, 3.5, 3)


def test_levels_beyond_the_binning_are_counted_as_other() -> None:
    levels = Binning(
        "m/predictions/c@1",
        "m",
        "predictions",
        "c",
        "categorical",
        1,
        None,
        ("a", "b"),
        (5, 3, 0),
        None,
        None,
        None,
        T0,
    )
    rows = pl.DataFrame({"ts": spread(5, 5), "c": ["a", "z", None, "b", "a"]})

    [row] = count(rows, Grid(T0, 300, 1), [levels]).to_dicts()

    assert (row["counts"], row["n"], row["missing"]) == ([2, 1, 1], 4, 1)


def test_summaries_of_parts_add_up_to_the_summary_of_the_whole() -> None:
    x = np.random.default_rng(1).lognormal(0, 1, 4_000)
    rows, b, grid = pl.DataFrame({"ts": spread(4_000, 20), "x": x}), binning(x), Grid(T0, 300, 4)
    mixed = rows.sample(fraction=1.0, shuffle=True, seed=5)

    whole = count(rows, grid, [b])
    parts = pl.concat([count(mixed[:1_500], grid, [b]), count(mixed[1_500:], grid, [b])])

    sums = {ts: np.sum(group["counts"].to_list(), axis=0).tolist() for (ts,), group in parts.group_by("ts")}
    assert sums == dict(whole.select("ts", "counts").iter_rows())
    assert whole["n"].sum() == 4_000


def test_counting_chunk_by_chunk_changes_nothing() -> None:
    rng, n = np.random.default_rng(2), 3 * bins.BLOCK
    values = {f"f{i}": rng.normal(i, 1, n) for i in range(4)}
    rows, grid = pl.DataFrame({"ts": spread(n, 60), **values}), Grid(T0, 300, 12)
    features = [binning(v, name) for name, v in values.items()]
    chunks = pl.concat([rows[: bins.BLOCK + 7], rows[bins.BLOCK + 7 :]], rechunk=False)

    assert chunks.n_chunks() == 2
    assert count(rows, grid, features).equals(count(chunks, grid, features))


def test_failed_requests_are_bad_cancelled_and_inapplicable_ones_do_not_count(tmp_path: Path) -> None:
    at = [T0 + timedelta(seconds=s) for s in range(6)]
    frame = attempts(
        at, status=["ok", "ok", "ok", "error", "cancelled", "ok"], ttft_s=[0.5, 0.9, None, None, 0.2, 0.8],
    )  # fmt: skip
    with opened(tmp_path, T0 + timedelta(minutes=3)) as (store, clock):
        store.append(Batch("t", "1", {"attempt": frame}))
        summaries.close(store, config(slos=SLOS), clock.now())

        assert slo_rows(store) == {("fast", T0, False): (4, 2), ("fine", T0, False): (5, 1)}


def test_a_retried_request_counts_once_by_its_last_attempt(tmp_path: Path) -> None:
    at = [T0 + timedelta(seconds=50), T0 + timedelta(seconds=70)]
    frame = attempts(at, trace_id=["t1", "t1"], status=["error", "ok"])
    with opened(tmp_path, T0 + timedelta(minutes=3)) as (store, clock):
        store.append(Batch("t", "1", {"attempt": frame}))
        summaries.close(store, config(slos=SLOS), clock.now())

        minute = T0 + timedelta(minutes=1)
        fine = {key: value for key, value in slo_rows(store).items() if key[0] == "fine"}
        assert fine == {
            ("fine", T0, False): (1, 1),  # as it stood at the end of that minute
            ("fine", minute, False): (0, -1),  # taken back, where burn sees it
            ("fine", T0, True): (-1, -1),
            ("fine", minute, True): (1, 1),
        }
        assert fine_totals(store) == {minute: (1, 0)}


def test_a_window_closes_once_and_only_after_its_lateness(tmp_path: Path) -> None:
    with opened(tmp_path, T0 + timedelta(seconds=119)) as (store, clock):
        store.append(Batch("t", "1", {"attempt": attempts([T0 + timedelta(seconds=5)])}))

        early = summaries.close(store, config(slos=SLOS), clock.now())
        clock.set(T0 + timedelta(seconds=120))
        closed = summaries.close(store, config(slos=SLOS), clock.now())
        again = summaries.close(store, config(slos=SLOS), clock.now())

        assert (early.rows, closed.rows, again.rows) == (0, 2, 0)
        assert summaries.closed_until(store)["m/slo"] == T0 + timedelta(minutes=1)


def test_rows_that_come_late_become_a_delta_that_is_marked(tmp_path: Path) -> None:
    with opened(tmp_path, T0 + timedelta(minutes=6)) as (store, clock):
        store.append(Batch("t", "1", {"attempt": attempts([T0 + timedelta(seconds=5)])}))
        summaries.close(store, config(slos=SLOS), clock.now())
        clock.set(T0 + timedelta(minutes=12))
        late = attempts([T0 + timedelta(seconds=s) for s in (6, 7)], status=["error", "ok"], attempt_id=["l1", "l2"])
        store.append(Batch("t", "2", {"attempt": late}))
        clock.set(T0 + timedelta(minutes=16))
        summaries.close(store, config(slos=SLOS), clock.now())
        clock.set(T0 + timedelta(minutes=26))
        summaries.close(store, config(slos=SLOS), clock.now())

        fine = {key: value for key, value in slo_rows(store).items() if key[0] == "fine"}
        assert fine == {("fine", T0, False): (1, 0), ("fine", T0, True): (2, 1)}
        error = store.read(
            "select sum(n) as n, sum(events) as e, count(*) filter (late) as late from summary where measure = 'm/attempts/error'"
        )
        assert error.row(0) == (3, 1, 1)


def test_older_history_that_is_imported_later_gets_ordinary_summaries(tmp_path: Path) -> None:
    with opened(tmp_path, T0 + timedelta(days=1, minutes=6)) as (store, clock):
        store.append(Batch("t", "1", {"attempt": attempts([T0 + timedelta(days=1)])}))
        summaries.close(store, config(slos=SLOS), clock.now())
        clock.set(T0 + timedelta(days=1, minutes=11))
        store.append(Batch("t", "2", {"attempt": attempts([T0, T0 + timedelta(hours=3)])}))
        clock.set(T0 + timedelta(days=1, minutes=16))
        summaries.close(store, config(slos=SLOS), clock.now())

        assert store.read(
            "select late, sum(n)::BIGINT as n from summary where measure = 'm/slo/fine' group by all"
        ).rows() == [(False, 3)]


def predictions(hours: float, n: int, seed: int = 4) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame({
        "ts": spread(n, int(hours * 60)), "prediction_id": [f"p{seed}-{i}" for i in range(n)],
        "amount": rng.lognormal(3, 1, n), "items": rng.poisson(2, n) * 1.0, "country": rng.choice(["DE", "FR"], n),
    })  # fmt: skip


def test_a_binning_waits_for_a_day_and_ten_thousand_rows(tmp_path: Path) -> None:
    drift = config(drift={"source": "predictions"})
    with opened(tmp_path, T0 + timedelta(hours=21)) as (store, clock):
        store.append(Batch("t", "1", {"prediction:m": predictions(20, 12_000)}))
        summaries.close(store, drift, clock.now())
        few = store.read("select * from binning").height
        more = predictions(10, 6_000, seed=5).with_columns(pl.col("ts") + timedelta(hours=20))
        store.append(Batch("t", "2", {"prediction:m": more}))
        clock.set(T0 + timedelta(hours=31))
        summaries.close(store, drift, clock.now())

        made = store.read(
            "select feature, kind, version, len(reference) as k, list_sum(reference)::BIGINT as n from binning where kind <> 'pair' order by feature"
        )
        assert few == 0
        assert [row[:3] for row in made.rows()] == [
            ("amount", "numeric", 1),
            ("country", "categorical", 1),
            ("items", "numeric", 1),
        ]
        assert made["k"][0] == 256
        assert made["n"].n_unique() == 1
        assert (
            store.read("select sum(n)::BIGINT as n from summary where measure = 'm/predictions/amount'").item()
            == 18_000
        )


def test_equal_mass_bins_hold_equal_shares_of_the_reference(tmp_path: Path) -> None:
    with opened(tmp_path, T0 + timedelta(hours=31)) as (store, clock):
        store.append(Batch("t", "1", {"prediction:m": predictions(30, 25_600)}))
        summaries.close(store, config(drift={"source": "predictions"}), clock.now())

        row = store.read("select reference, quantiles from binning where feature = 'amount'").row(0)
        assert max(row[0]) - min(row[0]) <= 2
        assert len(row[1]) == 101
        assert row[1] == sorted(row[1])


def test_the_last_so_long_until_a_week_ago_is_the_reference_where_there_is_as_much(tmp_path: Path) -> None:
    last = config(drift={"source": "predictions", "reference": {"last": "14d"}})
    for days, spans in ((30, (9, 23)), (20, (0, 14))):
        with opened(tmp_path / str(days), T0 + timedelta(days=days, hours=1)) as (store, clock):
            store.append(Batch("t", "1", {"prediction:m": predictions(24 * days, 25_600)}))
            summaries.close(store, last, clock.now())
            row = store.read("select reference_from, reference_to from binning where feature = 'amount'").row(0)

            assert tuple(round((t - T0) / timedelta(days=1)) for t in row) == spans


def test_only_listed_features_are_counted_and_unknown_ones_left_out(tmp_path: Path) -> None:
    drift = config(drift={"source": "predictions", "features": [{"name": "items", "kind": "categorical"}, "nosuch"]})
    with opened(tmp_path, T0 + timedelta(hours=31)) as (store, clock):
        store.append(Batch("t", "1", {"prediction:m": predictions(30, 12_000)}))
        summaries.close(store, drift, clock.now())

        assert store.read("select distinct measure, binning_id from summary").rows() == [
            ("m/predictions/items", "m/predictions/items@1")
        ]
        assert store.read("select kind from binning").item() == "categorical"


def test_the_score_is_watched_when_it_is_listed(tmp_path: Path) -> None:
    drift = config(drift={"source": "predictions", "features": ["score"]})
    with opened(tmp_path, T0 + timedelta(hours=31)) as (store, clock):
        store.append(Batch("t", "1", {"prediction:m": predictions(30, 12_000).with_columns(score=pl.lit(0.5))}))
        summaries.close(store, drift, clock.now())

        assert store.read("select measure, sum(n) as n from summary group by all").rows() == [
            ("m/predictions/score", 12_000)
        ]


def test_a_model_that_cannot_be_summarised_is_told_and_does_not_stop_the_others(tmp_path: Path) -> None:
    with opened(tmp_path, T0 + timedelta(minutes=3)) as (store, clock):
        frame = attempts([T0, T0], attempt_id=["a", "b"], model_id=["broken", "m"])
        store.append(Batch("t", "1", {"attempt": frame}))
        with store.change() as tx:  # somebody else came further
            mark = {"until": T0.isoformat(), "seen": T0.isoformat()}
            tx.set_state("summaries/broken/slo", mark, T0 + timedelta(days=1))

        closed = summaries.close(store, config("broken", "m", slos=SLOS), clock.now())

        assert list(closed.failures) == ["broken/slo"]
        assert "cannot go back" in closed.failures["broken/slo"]
        assert ("fine", T0, False) in slo_rows(store)
        assert summaries.closed_until(store)["m/slo"] == T0 + timedelta(minutes=2)


def test_text_in_a_feature_that_is_declared_numeric_is_counted_as_missing(tmp_path: Path) -> None:
    drift = config(drift={"source": "predictions", "features": [{"name": "amount", "kind": "numeric"}]})
    text = pl.when(pl.int_range(pl.len()) % 4 == 0).then(pl.lit("oops")).otherwise(pl.col("amount").cast(pl.String))
    with opened(tmp_path, T0 + timedelta(hours=31)) as (store, clock):
        store.append(Batch("t", "1", {"prediction:m": predictions(30, 20_000).with_columns(amount=text)}))
        closed = summaries.close(store, drift, clock.now())

        assert not closed.failures
        sums = store.read("select sum(n)::BIGINT as n, sum(missing)::BIGINT as missing from summary")
        assert sums.row(0) == (15_000, 5_000)


@pytest.mark.parametrize("order", [("Fraud", "fraud"), ("fraud", "Fraud")])
def test_a_model_gets_its_own_rows_beside_a_namesake_in_other_case(tmp_path: Path, order: tuple[str, str]) -> None:
    sizes = {"Fraud": 12_000, "fraud": 15_000}
    with opened(tmp_path, T0 + timedelta(hours=31)) as (store, clock):
        for name in order:
            store.append(Batch("t", name, {f"prediction:{name}": predictions(30, sizes[name])}))
        summaries.close(store, config("fraud", drift={"source": "predictions"}), clock.now())

        found = store.read("select model, sum(n)::BIGINT as n from summary where measure like '%/amount' group by all")
        assert found.rows() == [("fraud", 15_000)]


def test_a_model_without_predictions_does_not_get_those_of_a_namesake(tmp_path: Path) -> None:
    with opened(tmp_path, T0 + timedelta(hours=31)) as (store, clock):
        store.append(Batch("t", "1", {"prediction:Fraud": predictions(30, 12_000)}))
        closed = summaries.close(store, config("fraud", drift={"source": "predictions"}), clock.now())

        assert (closed.rows, dict(closed.failures)) == (0, {})


def fine_totals(store: Store) -> dict[datetime, tuple[int, int]]:
    rows = store.read(
        "select ts, sum(n)::BIGINT as n, sum(events)::BIGINT as e from summary where measure = 'm/slo/fine'"
        " group by ts having sum(n) <> 0 or sum(events) <> 0"
    )
    return {ts: (n, e) for ts, n, e in rows.iter_rows()}


@pytest.mark.parametrize(
    "second", [pytest.param(at, marks=() if at in (30, 330) else pytest.mark.slow) for at in range(30, 630, 60)]
)
def test_a_request_retried_after_its_window_closed_counts_once_wherever_it_falls(tmp_path: Path, second: int) -> None:
    failed = T0 + timedelta(seconds=second)
    again = failed + timedelta(minutes=3)
    with opened(tmp_path, T0) as (store, clock):
        for minute in range(22):
            clock.set(T0 + timedelta(minutes=minute, seconds=50))
            for at, status in ((failed, "error"), (again, "ok")):
                if at <= clock.now() < at + timedelta(minutes=1):
                    store.append(Batch("t", status, {"attempt": attempts([at], trace_id=["t1"], status=[status])}))
            assert not summaries.close(store, config(slos=SLOS), clock.now()).failures

        assert fine_totals(store) == {again.replace(second=0): (1, 0)}
        assert slo_rows(store)["fine", failed.replace(second=0), True] == (-1, -1)


def test_a_request_that_ends_with_another_model_leaves_the_first_one(tmp_path: Path) -> None:
    with opened(tmp_path, T0 + timedelta(minutes=6)) as (store, clock):
        frame = attempts([T0 + timedelta(seconds=5)], trace_id=["t1"], status=["error"])
        store.append(Batch("t", "1", {"attempt": frame}))
        summaries.close(store, config(slos=SLOS), clock.now())
        clock.set(T0 + timedelta(minutes=12))
        other = attempts([T0 + timedelta(minutes=2)], trace_id=["t1"], model_id=["spare"])
        store.append(Batch("t", "2", {"attempt": other}))
        clock.set(T0 + timedelta(minutes=16))
        summaries.close(store, config(slos=SLOS), clock.now())

        assert fine_totals(store) == {}


class Watched:
    """A store that remembers which SQL it was asked."""

    def __init__(self, store: Store) -> None:
        self._store, self.asked = store, list[str]()

    def read(self, sql: str, *rest: object) -> pl.DataFrame:
        self.asked.append(sql)
        return self._store.read(sql, *rest)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


def test_a_model_without_rows_is_looked_for_once_a_window_and_only_in_new_time(tmp_path: Path) -> None:
    with opened(tmp_path, T0 + timedelta(minutes=10)) as (store, clock):
        store.append(Batch("t", "1", {"attempt": attempts([T0], model_id=["other"])}))
        watched = Watched(store)
        asked = []
        for second in (0, 2, 4, 60):
            clock.set(T0 + timedelta(minutes=10, seconds=second))
            summaries.close(watched, config(slos=SLOS[1:]), clock.now())  # type: ignore[arg-type]
            asked.append([sql for sql in watched.asked if "from attempt" in sql])
            watched.asked.clear()

        assert [bool(some) for some in asked] == [True, False, False, True]
        assert all("ts >= $none" in sql or "ingested_at >= $seen" in sql for sql in asked[3])


def test_an_idle_model_is_summarised_from_its_first_row_however_old(tmp_path: Path) -> None:
    with opened(tmp_path, T0 + timedelta(days=1)) as (store, clock):
        store.append(Batch("t", "1", {"attempt": attempts([T0], model_id=["other"])}))
        summaries.close(store, config(slos=SLOS), clock.now())
        clock.set(T0 + timedelta(days=1, minutes=1))
        store.append(Batch("t", "2", {"attempt": attempts([T0 + timedelta(hours=3)])}))
        clock.set(T0 + timedelta(days=1, minutes=5))
        summaries.close(store, config(slos=SLOS), clock.now())

        assert fine_totals(store) == {T0 + timedelta(hours=3): (1, 0)}


def test_another_name_for_an_idle_model_is_looked_for_in_all_of_the_past(tmp_path: Path) -> None:
    with opened(tmp_path, T0 + timedelta(minutes=10)) as (store, clock):
        store.append(Batch("t", "1", {"attempt": attempts([T0], model_id=["old-name"])}))
        plain = config(slos=SLOS)
        summaries.close(store, plain, clock.now())
        clock.set(T0 + timedelta(minutes=20))
        renamed = Config(plain.site, {"m": replace(plain.models["m"], aliases=("old-name",))})
        summaries.close(store, renamed, clock.now())

        assert fine_totals(store) == {T0: (1, 0)}
