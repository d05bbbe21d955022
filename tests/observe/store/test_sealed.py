"""Plain columns of sealed predictions are the same, whoever reads them."""

from datetime import timedelta

import polars as pl
import pytest

from observe.schema import Batch, Window
from observe.store import Store, sealed

MINUTE = timedelta(minutes=1)
SQL = (
    'select ts, try_cast("x" as DOUBLE) as f0, try_cast("kind" as VARCHAR) as f1 from predictions."fraud"'
    " where true and ts >= $from and ts < $to"
)
BY_DUCKDB = SQL.replace("where true", "where 1 = 1")  # no plain question any more


def predictions(first, n: int, **features) -> pl.DataFrame:
    at = pl.datetime_range(first, first + MINUTE * (n - 1), MINUTE, time_unit="us", eager=True)
    return pl.DataFrame({"ts": at, "prediction_id": [str(t) for t in at.to_list()], **features})


@pytest.fixture
def window(store, noon) -> Window:
    """Two files of predictions, and the middle of what they hold."""
    n = sealed.MANY // 2 + 500  # the newest are not sealed yet
    first = noon - n * 2 * MINUTE
    for i, start in enumerate((first, first + n * MINUTE)):
        x = [None if k % 7 == 0 else k * 0.1 for k in range(n)]
        rows = predictions(start, n, x=x, kind=[None if k % 5 == 0 else str(k % 3) for k in range(n)])
        store.append(Batch("kserve", f"b{i}", {"prediction:fraud": rows}))
        store.seal(noon)
    return Window(first + 99 * MINUTE, noon - 99 * MINUTE)


def plainly(store: Store, window: Window) -> pl.DataFrame | None:
    """What is answered without DuckDB."""
    with store._database.snapshot() as cursor:
        return sealed.columns(cursor, store._manifest, SQL, {"from": window.start, "to": window.end})


def asked(store: Store, sql: str, window: Window) -> pl.DataFrame:
    return store.read(sql, {"from": window.start, "to": window.end}, window).sort("ts")


def test_sealed_rows_read_plainly_are_those_that_duckdb_answers(store, window) -> None:
    plain = plainly(store, window)

    assert plain is not None
    assert plain.height > sealed.MANY
    assert plain.sort("ts").equals(asked(store, BY_DUCKDB, window))


def test_a_row_that_is_not_sealed_is_answered_too(store, window) -> None:
    late = predictions(window.start + MINUTE / 2, 1, x=[7.0], kind=["new"])
    store.append(Batch("kserve", "late", {"prediction:fraud": late}))

    assert plainly(store, window) is None
    assert asked(store, SQL, window)["f1"].to_list().count("new") == 1


def test_a_file_from_before_a_feature_has_nothing_in_its_place(store, window, noon) -> None:
    sql = SQL.replace('"kind"', '"fresh"')
    rows = predictions(window.end + MINUTE / 2, 1, x=[7.0], kind=["c"], fresh=["here"])
    store.append(Batch("kserve", "fresh", {"prediction:fraud": rows}))
    store.seal(noon)
    later = Window(window.start, window.end + MINUTE)

    assert asked(store, sql, later)["f1"].drop_nulls().to_list() == ["here"]


def test_a_damaged_file_is_set_aside_and_the_rest_answered(store, window) -> None:
    whole = asked(store, SQL, window).height
    damaged = sorted(store.path.glob("lake/prediction/fraud/*/*.parquet"))[3]
    damaged.write_bytes(damaged.read_bytes()[:-200] + b"x" * 200)

    assert 0 < asked(store, SQL, window).height < whole
    assert not damaged.exists()
