import io
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot

from collectors import predictions
from collectors.instants import instant
from collectors.shape import FEATURE_LIMIT
from observe.errors import PayloadError, PayloadTooLarge
from observe.schema import Parsed

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
GOLDEN = Path(__file__).parents[1] / "golden" / "predictions.ndjson"


def lines(*rows: dict[str, Any]) -> bytes:
    return b"\n".join(
        json.dumps({"prediction_id": str(i), "ts": "2026-11-20T11:00:00Z", **row}).encode()
        for i, row in enumerate(rows)
    )


def parquet(**columns: Any) -> bytes:
    body = io.BytesIO()
    height = len(next(iter(columns.values())))
    pl.DataFrame({"prediction_id": [str(i) for i in range(height)], "ts": [AT] * height, **columns}).write_parquet(body)
    return body.getvalue()


def parse(payload: bytes, **labels: str) -> Parsed:
    return predictions.parse(payload, AT, {"model": "fraud", **labels})


def rows(payload: bytes) -> pl.DataFrame:
    return parse(payload).tables["prediction:fraud"]


def test_the_golden_log_becomes_typed_rows_and_reasons() -> None:
    whole = parse(GOLDEN.read_bytes())

    assert (whole.offered, whole.items) == (8, 3)
    assert whole.rejected == {"missing_key": 1, "bad_ts": 1, "too_old": 1, "in_future": 1, "syntax": 1}
    assert whole.tables["prediction:fraud"].select(
        "prediction_id", "item_idx", "prediction", "score", "amount", "country", "first"
    ).rows() == snapshot(
        [
            ("p-1", 0, "fraud", 0.93, 31.5, "NL", True),
            ("p-2", 0, "0", 0.0, 44.0, None, False),
            ("p-3", 2, "1", 1.0, 12.25, "DE", None),
        ]
    )


def test_flat_keys_and_nested_features_are_the_same_features() -> None:
    flat, nested = (
        rows(lines({"amount": 1.5, "country": "NL"})),
        rows(lines({"features": {"amount": 1.5, "country": "NL"}})),
    )

    assert flat.equals(nested)
    assert parse(lines({"amount": 1})).tables["prediction:fraud"]["amount"].to_list() == [1.0]


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ([1, 2.5, None], [1.0, 2.5, None]), ([True, False], [True, False]), ([True, 2], [1.0, 2.0]), (["a", 1, True, 2.5], ["a", "1", "true", "2.5"]),
        ([1, [2], {"a": 3}], [1.0, None, None]), ([10**400, 1], [None, 1.0]), (["\ud800x"], ["?x"]),
    ],
)  # fmt: skip
def test_a_feature_has_one_type_which_all_its_values_share(values: list[Any], kept: list[Any]) -> None:
    assert rows(lines(*({"features": {"x": v}} for v in values)))["x"].to_list() == kept


def test_repairs_are_counted() -> None:
    notes = parse(
        lines(
            {"x": [1]}, {"x": 1, "y": "a"}, {"y": 2, "latency_s": "slow"}, {"features": {"": 1, "score": 2, "a\nb": 3}}
        )
    ).notes

    assert notes == {
        "nested_value": 1,
        "mixed_column:y": 1,
        "bad_latency_s": 1,
        "bad_feature_name": 2,
        "feature_renamed": 1,
    }


def test_features_never_collide_with_fixed_columns() -> None:
    frame = rows(lines({"features": {"ts": 1, "Source": "x", "seq": 2, "time": 3}, "time": 4}))

    assert set(frame.columns) == {
        "prediction_id",
        "ts",
        "item_idx",
        "ts_feature",
        "Source_feature",
        "seq_feature",
        "time",
    }


def test_more_than_500_features_are_dropped_and_counted() -> None:
    whole = parse(lines({"features": {f"f{i}": i for i in range(FEATURE_LIMIT + 7)}}))

    assert whole.notes == {"feature_dropped": 7}


def test_other_names_for_id_and_time_count_only_where_the_right_one_is_absent() -> None:
    frame = rows(b'{"id": "a", "timestamp": 1795172400}\n{"prediction_id": "b", "ts": 1795172400, "id": 9}')

    assert frame["prediction_id"].to_list() == ["a", "b"]
    assert frame["id"].to_list() == [None, 9.0]


@pytest.mark.parametrize(
    "told",
    [
        "2026-11-20T11:00:00Z",
        "2026-11-20T12:00:00+01:00",
        "2026-11-20 11:00:00",
        "1795172400",
        1795172400,
        1795172400.0,
        1795172400_000,
        1795172400_000_000,
        1795172400 * 10**9,
    ],
)
def test_a_time_is_iso_or_epoch_by_its_size(told: str | float) -> None:
    assert instant(told) == 1795172400_000_000
    assert rows(lines({"ts": told}))["ts"].to_list() == [AT - timedelta(hours=1)]


@pytest.mark.parametrize("told", ["", "soon", -1, 1e300, float("nan"), True, [], "9" * 70])
def test_what_is_no_time_is_none(told: Any) -> None:
    assert instant(told) is None


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([AT, None]), pl.Series([AT.replace(tzinfo=None), None]), pl.Series([AT, None]).cast(pl.Datetime("ns", "Europe/Berlin")),
        pl.Series([1795176000, None]), pl.Series([1795176000_000.0, None]), pl.Series([1795176000 * 10**9, None]), pl.Series([1795176000, None], dtype=pl.Int32),
        pl.Series(["2026-11-20T12:00:00Z", None]), pl.Series(["2026-11-20 12:00", "never"]), pl.Series(["2026-11-20T13:00:00+01:00", ""]),
    ],
)  # fmt: skip
def test_parquet_times_of_every_kind_are_understood(column: pl.Series) -> None:
    whole = parse(parquet(ts=column))

    assert whole.tables["prediction:fraud"]["ts"].to_list() == [AT]
    assert sum(whole.rejected.values()) == 1


def test_parquet_features_are_numbers_booleans_or_text_and_nested_columns_are_refused() -> None:
    body = parquet(
        i=[1, None], d=[Decimal("1.5"), None], b=[True, None], s=["a", None], day=[date(2026, 1, 2), None], took=[timedelta(seconds=3), None],
        nothing=[None, None], many=[[1], [2]], raw=[b"x", b"y"], cat=pl.Series(["u", "v"], dtype=pl.Categorical), features=[{"q": 1, "score": 2}] * 2,
    )  # fmt: skip
    whole = parse(body)

    assert whole.tables["prediction:fraud"].drop("prediction_id", "ts").row(0, named=True) == snapshot(
        {
            "i": 1.0,
            "d": 1.5,
            "b": True,
            "s": "a",
            "day": "2026-01-02",
            "took": 3.0,
            "cat": "u",
            "q": 1.0,
            "score_feature": 2.0,
            "item_idx": 0,
        }
    )
    assert whole.notes == {"nested_column": 2, "feature_renamed": 1}
    assert whole.examples == {"nested_column": "many, raw"}


def test_parquet_and_ndjson_of_the_same_rows_are_equal() -> None:
    body = parquet(
        score=[0.5, 0.25], latency_s=[0.1, 0.2], prediction=[True, False], amount=[1, 2], country=["NL", None]
    )
    text = lines(*(
        {"ts": "2026-11-20T12:00:00Z", "score": a, "latency_s": b, "prediction": c, "amount": d, "country": e}
        for a, b, c, d, e in [(0.5, 0.1, True, 1, "NL"), (0.25, 0.2, False, 2, None)]
    ))  # fmt: skip

    assert rows(body).equals(rows(text).select(rows(body).columns))


def test_parquet_rows_are_refused_one_by_one() -> None:
    body = parquet(prediction_id=["a", None, "", "d", "e"], ts=[AT, AT, AT, None, AT - timedelta(days=8)])

    assert parse(body).rejected == {"missing_key": 3, "too_old": 1}


def test_a_parquet_file_that_would_fill_memory_is_413() -> None:
    body = io.BytesIO()
    pl.DataFrame({"x": ["y" * 1000]}).select(pl.col("x").repeat_by(400_000).explode()).write_parquet(
        body, use_pyarrow=True
    )

    assert len(body.getvalue()) < 100_000
    with pytest.raises(PayloadTooLarge, match="text"):
        parse(body.getvalue())


@pytest.mark.parametrize("body", [b"PAR1", b"PAR1" + bytes(100) + b"PAR1", parquet(x=[1])[:-20]])
def test_a_damaged_parquet_file_is_refused_as_a_whole(body: bytes) -> None:
    with pytest.raises(PayloadError, match="Parquet"):
        parse(body)


def test_a_body_announced_as_parquet_must_be_one() -> None:
    with pytest.raises(PayloadError, match="PAR1"):
        parse(lines({}), content_type="application/vnd.apache.parquet")


@pytest.mark.parametrize("model", ["", "../x", "a b", "x" * 200])
def test_a_model_needs_a_name(model: str) -> None:
    with pytest.raises(PayloadError, match="model"):
        parse(b"", model=model)


def test_an_empty_body_is_no_rows_and_no_fault() -> None:
    assert parse(b"\n \n") == Parsed({}, 0)
    assert parse(parquet(x=pl.Series([], dtype=pl.Float64))).offered == 0


def test_a_json_array_is_as_good_as_lines() -> None:
    array = b"[" + b",".join(lines({"x": 1}, {"x": 2}).split(b"\n")) + b"]"

    assert rows(array).equals(rows(lines({"x": 1}, {"x": 2})))
    with pytest.raises(PayloadError):
        parse(b"[{]")


def test_ever_new_keys_do_not_fill_memory() -> None:
    whole = parse(lines(*({f"k{i}": 1} for i in range(6000))))

    assert (whole.items, whole.notes) == (6000, {"feature_dropped": 6000 - FEATURE_LIMIT})


def test_a_sparse_body_that_would_be_laid_out_wide_is_413() -> None:
    with pytest.raises(PayloadTooLarge, match="cells"):
        parse(lines(*({f"k{i % 400}": 1} for i in range(21_000))))


def test_blocks_that_disagree_about_a_feature_make_it_text_as_it_was_written() -> None:
    body = lines(*({"x": i, **{f"f{k}": True for k in range(60)}} for i in range(20_000)), {"x": "a"})
    whole = parse(body)

    assert whole.tables["prediction:fraud"]["x"].to_list()[-3:] == ["19998", "19999", "a"]
    assert whole.notes == {"mixed_column:x": 1}


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=6)  # fmt: skip
NAMES = st.sampled_from(
    ["prediction_id", "ts", "item_idx", "score", "prediction", "features", "latency_s", "trace_id", "x", "id"]
) | st.text(max_size=4)


@settings(max_examples=200)
@given(st.lists(st.dictionaries(NAMES, JSON, max_size=6), max_size=5))
def test_every_line_is_a_row_or_a_reason(objects: list[dict[str, Any]]) -> None:
    whole = parse("\n".join(map(json.dumps, objects)).encode())

    assert whole.offered == len(objects) == whole.items + sum(whole.rejected.values())


@settings(max_examples=200)
@given(st.binary(max_size=200), st.sampled_from([b"", b"PAR1", b"[", b"{"]))
def test_any_bytes_are_parsed_or_refused(body: bytes, start: bytes) -> None:
    try:
        whole = parse(start + body)
    except PayloadError:
        return
    assert whole.offered == whole.items + sum(whole.rejected.values())


WHOLE = parquet(x=[1.5, 2.5], s=["a", "b"], score=[0.1, 0.2])


@settings(max_examples=300)
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_a_parquet_file_with_any_byte_changed_is_parsed_or_refused(place: int, byte: int) -> None:
    try:
        whole = parse(WHOLE[:place] + bytes([byte]) + WHOLE[place + 1 :])
    except PayloadError:
        return
    assert whole.offered == whole.items + sum(whole.rejected.values())
