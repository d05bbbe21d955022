"""Questions: one SELECT, one moment, and only the files that matter."""

from datetime import timedelta

import polars as pl
import pyarrow as pa
import pytest

from observe.errors import QueryError
from observe.schema import Batch, Window

HOUR = timedelta(hours=1)


@pytest.fixture
def filled(store, attempts, noon):
    for hours in (1, 5, 26):
        store.append(attempts(f"h{hours}", 2, ago=hours * HOUR, trace_id=f"t{hours}"))
    store.seal(noon)
    store.append(attempts("hot", 1))
    return store


@pytest.mark.parametrize(
    "sql", ["DELETE FROM attempt", "SELECT 1; SELECT 2", "COPY attempt TO '/tmp/x'", "ATTACH 'x.db'", ""]
)
def test_only_one_select_is_answered(filled, sql) -> None:
    with pytest.raises(QueryError):
        filled.read(sql)


def test_duckdbs_own_message_is_told(filled) -> None:
    with pytest.raises(QueryError, match="attempd"):
        filled.read("SELECT * FROM attempd")


def test_parameters_are_bound_by_name(filled) -> None:
    assert filled.read("SELECT $a || $b AS x", {"a": "'", "b": ";"}).item() == "';"


def test_sums_are_integers_and_decimals_floats_and_times_utc(filled, noon) -> None:
    answer = filled.read("SELECT sum(quality) AS s, 1.5 AS d, max(ts) AS t FROM attempt")

    assert answer.schema == {"s": pl.Int64, "d": pl.Float64, "t": pl.Datetime("us", "UTC")}
    assert answer.row(0) == (0, 1.5, noon)


def test_with_a_window_only_its_rows_exist(filled, noon) -> None:
    window = Window(noon - 6 * HOUR, noon)

    assert filled.read("SELECT count(*) FROM attempt", window=window).item() == 4
    assert filled.read("SELECT count(*) FROM request", window=window).item() == 2


def test_a_window_prunes_whatever_the_form_of_the_query(filled, noon) -> None:
    window = Window(noon - 6 * HOUR, noon)
    forms = (
        "WITH attempt AS (SELECT * FROM attempt WHERE attempt_id <> 'h5-0') SELECT count(*) FROM attempt",
        "SELECT count(*) FROM \"attempt\" AS a, (SELECT 1) WHERE a.attempt_id <> 'h5-0';",
        "SELECT (SELECT count(*) FROM attempt WHERE attempt_id <> 'h5-0') -- a remark",
    )

    assert [filled.read(sql, window=window).item() for sql in forms] == [3, 3, 3]


def test_a_window_keeps_the_order_of_the_query(filled, noon) -> None:
    ids = filled.read(
        "SELECT attempt_id FROM attempt ORDER BY attempt_id DESC", window=Window(noon - 48 * HOUR, noon + HOUR)
    )

    assert ids["attempt_id"].to_list() == sorted(ids["attempt_id"].to_list(), reverse=True)


def test_a_window_prunes_predictions_of_one_model_and_of_all(store, noon) -> None:
    for model in ("fraud", "churn"):
        rows = pl.DataFrame({"ts": [noon - HOUR, noon - 9 * HOUR], "prediction_id": ["a", "b"], "x": [1, 2]})
        store.append(Batch("kserve", model, {f"prediction:{model}": rows}))
    store.seal(noon)
    window = Window(noon - 2 * HOUR, noon)

    assert store.read('SELECT x FROM predictions."fraud"', window=window).rows() == [(1.0,)]
    assert (
        store.read("SELECT p.x FROM predictions.fraud AS p JOIN prediction USING (prediction_id)", window=window).height
        == 2
    )
    assert store.read("SELECT model_id FROM prediction ORDER BY 1", window=window)["model_id"].to_list() == [
        "churn",
        "fraud",
    ]


def test_native_tables_stay_whole_under_a_window(filled, noon) -> None:
    filled.append(
        Batch(
            "argo",
            "e",
            {"change_event": pl.DataFrame({"ts": [noon - 99 * HOUR], "event_id": ["e"], "kind": ["deploy"]})},
        )
    )

    assert filled.read("SELECT count(*) FROM change_event", window=Window(noon, noon + HOUR)).item() == 1


def test_an_ipc_stream_holds_the_same_rows(filled) -> None:
    sql = "SELECT * FROM request ORDER BY ts"

    table = pa.ipc.open_stream(filled.read_ipc(sql)).read_all()

    assert pl.from_arrow(table).equals(filled.read(sql))


def test_an_empty_answer_keeps_its_columns(store) -> None:
    answer = store.read("SELECT ts, sum(tokens_in) AS n FROM attempt GROUP BY 1")

    assert answer.schema == {"ts": pl.Datetime("us", "UTC"), "n": pl.Int64}
