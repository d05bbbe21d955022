"""Features become typed columns, decided once."""

from datetime import timedelta

import polars as pl
import pytest

from observe.schema import Batch, Receipt
from observe.store import Store
from observe.store.predictions import MAX_FEATURES


@pytest.fixture
def predict(store, noon):
    """`predict(model, **features)`: store one row for each value."""
    made = iter(range(1_000_000))

    def send(model: str = "fraud", **features: object) -> Receipt:
        frame = pl.DataFrame(features)
        ids = [f"p{next(made)}" for _ in range(frame.height)]
        rows = frame.with_columns(pl.lit(noon - timedelta(hours=1)).alias("ts"), pl.Series("prediction_id", ids))
        return store.append(Batch("kserve", ids[0], {f"prediction:{model}": rows}))

    return send


def test_numbers_truth_values_and_text_get_their_types(store, predict) -> None:
    predict(amount=[3], flag=[True], country=["DE"])

    assert store.features() == {"fraud": {"amount": "DOUBLE", "flag": "BOOLEAN", "country": "VARCHAR"}}
    assert store.read("SELECT amount, flag, country FROM predictions.fraud").rows() == [(3.0, True, "DE")]


def test_a_value_of_another_type_becomes_null_and_is_counted(store, predict) -> None:
    predict(amount=[1.5], country=["DE"])

    receipt = predict(amount=["12.5", "a lot"], country=[7, 8])

    assert receipt.notes == {"type_conflict:amount": 1, "type_conflict:country": 2}
    assert receipt.examples == {
        "type_conflict:amount": "'a lot' is no DOUBLE", "type_conflict:country": "'7' is no VARCHAR",
    }  # fmt: skip
    assert store.read("SELECT amount, country, quality FROM predictions.fraud ORDER BY ALL").rows() == [
        (1.5, "DE", 0), (12.5, None, 16), (None, None, 16),
    ]  # fmt: skip


def test_a_missing_value_is_no_conflict(store, predict) -> None:
    predict(amount=[1.5])

    assert predict(amount=[None]).notes == {}
    assert store.read("SELECT sum(quality) FROM predictions.fraud").item() == 0


def test_a_feature_that_is_always_null_waits_for_its_type(store, predict) -> None:
    predict(late=[None], amount=[1.0])
    predict(late=["now"], amount=[1.0])

    assert store.features()["fraud"]["late"] == "VARCHAR"


def test_names_that_differ_in_case_get_columns_of_their_own(store, predict) -> None:
    predict(z=[1], Z=["x"], TS=[5])

    assert store.read('SELECT z, "Z_2", "TS_2" FROM predictions.fraud').rows() == [(1.0, "x", 5.0)]


def test_a_name_is_data_and_never_sql(store, predict) -> None:
    predict(**{'a"; DROP TABLE hot.attempt; --': [1], "extra": [2], "seq": [3]})

    assert store.read("SELECT count(*) FROM attempt").item() == 0
    assert set(store.features()["fraud"]) == {'a"; DROP TABLE hot.attempt; --', "extra", "seq"}


def test_new_features_join_a_table_whose_older_rows_are_sealed(store, predict, noon) -> None:
    predict(amount=[1])
    store.seal(noon)
    predict(amount=[2], device=["ios"])

    assert store.read("SELECT amount, device FROM predictions.fraud ORDER BY 1").rows() == [(1.0, None), (2.0, "ios")]


def test_features_beyond_the_limit_are_kept_as_json(store, predict) -> None:
    predict(**{f"f{i}": [i] for i in range(MAX_FEATURES + 2)})

    assert len(store.features()["fraud"]) == MAX_FEATURES
    assert store.read("SELECT extra FROM predictions.fraud").item() == '{"f500": 500, "f501": 501}'


def test_nested_values_are_kept_as_json_text(store, predict) -> None:
    predict(words=[["a", "b"]])

    assert store.read("SELECT words FROM predictions.fraud").item() == '["a", "b"]'


def test_models_whose_names_collide_keep_apart(store, predict) -> None:
    predict("Fraud", a=[1])
    predict("fraud", a=[2])
    predict("../fraud", a=[3])

    found = store.read("SELECT model_id, count(*) FROM prediction GROUP BY 1 ORDER BY 1").rows()
    assert found == [("../fraud", 1), ("Fraud", 1), ("fraud", 1)]


def test_decisions_outlive_a_restart(store, predict, folder, clock) -> None:
    predict(amount=[1], Amount=["x"])
    store.close()

    again = Store.open(folder, clock)

    assert again.features() == {"fraud": {"amount": "DOUBLE", "Amount": "VARCHAR"}}
    again.close()


def test_a_model_that_is_rolled_back_is_not_known(store, noon) -> None:
    rows = pl.DataFrame({"ts": [noon], "prediction_id": ["a"], "x": [1]})
    with pytest.raises(ZeroDivisionError), store.change() as change:  # noqa: PT012 - the block is the transaction
        change.insert_frame("prediction:fraud", rows)
        raise ZeroDivisionError

    assert store.features() == {}
    assert store.append(Batch("kserve", "a", {"prediction:fraud": rows})).stored == {"prediction:fraud": 1}


def test_a_feature_declared_a_number_is_one_whatever_comes_first(store, predict) -> None:
    store.declare({"fraud": {"amount"}})
    receipt = predict(amount=["44.1", "lots"])
    predict(amount=[7])

    assert store.features() == {"fraud": {"amount": "DOUBLE"}}
    assert receipt.examples == {"type_conflict:amount": "'lots' is no DOUBLE"}
    assert store.read("SELECT amount FROM predictions.fraud ORDER BY 1 NULLS LAST")["amount"].to_list() == [
        7.0,
        44.1,
        None,
    ]


def test_a_number_taken_for_text_goes_on_in_a_column_of_its_own_once_it_is_declared(
    store, predict, folder, clock, noon
) -> None:
    predict(amount=["lots"])
    assert predict(amount=[7]).notes == {"type_conflict:amount": 1}
    store.seal(noon + timedelta(days=1))
    store.declare({"fraud": {"amount"}})
    assert predict(amount=[8]).notes == {}
    store.close()

    again = Store.open(folder, clock)
    again.append(
        Batch(
            "s",
            "x",
            {
                "prediction:fraud": pl.DataFrame(
                    {"ts": [noon], "prediction_id": ["z"], "amount": [9], "AMOUNT_2": [1.5]}
                )
            },
        )
    )
    columns = {c: k for _, _, c, k in again.read("SELECT * FROM core.feature_column").iter_rows()}
    rows = again.read("SELECT amount, amount_2 FROM predictions.fraud ORDER BY prediction_id").rows()
    again.close()

    assert columns == {"amount_2": "DOUBLE", "AMOUNT_2_2": "DOUBLE"}
    assert rows == [("lots", None), (None, None), (None, 8.0), (None, 9.0)]


def test_a_number_that_does_not_fit_is_told_as_it_was_written(predict) -> None:
    predict(country=["DE"])

    assert predict(country=[1.0]).examples == {"type_conflict:country": "'1' is no VARCHAR"}
