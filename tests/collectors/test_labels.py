import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot

from collectors import labels
from observe.errors import PayloadError
from observe.schema import TABLES, Parsed
from observe.schema.exchange import frame_schema

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


def parse(*rows: Any, **told: str) -> Parsed:
    return labels.parse("\n".join(map(json.dumps, rows)).encode(), AT, {"model": "fraud", **told})


def test_a_label_is_text_and_where_it_can_be_a_number() -> None:
    whole = parse(
        *({"prediction_id": str(i), "value": v} for i, v in enumerate(["fraud", 3, 0.5, True, "false", "1e3", "nan"]))
    )

    assert whole.tables["label"].select("value", "value_num").rows() == snapshot(
        [("fraud", None), ("3", 3.0), ("0.5", 0.5), ("true", 1.0), ("false", 0.0), ("1e3", 1000.0), ("nan", None)]
    )


def test_what_is_not_told_is_the_models_first_label_now() -> None:
    one = parse({"prediction_id": 7, "value": 1}).tables["label"].row(0, named=True)

    assert one == {
        "prediction_id": "7",
        "value": "1",
        "item_idx": 0,
        "revision": 0,
        "ts": AT,
        "model_id": "fraud",
        "value_num": 1.0,
    }


def test_what_is_told_is_kept() -> None:
    told = {
        "prediction_id": "p",
        "value": "b",
        "model_id": "other",
        "item_idx": 2,
        "revision": 1,
        "ts": "2026-11-20T11:00:00Z",
        "ts_event": "2020-01-01",
    }
    one = parse(told).tables["label"].row(0, named=True)

    assert (one["model_id"], one["item_idx"], one["revision"]) == ("other", 2, 1)
    assert (one["ts"], one["ts_event"]) == (AT - timedelta(hours=1), datetime(2020, 1, 1, tzinfo=UTC))


def test_labels_that_cannot_be_stored_are_counted() -> None:
    ok = {"prediction_id": "p", "value": 1}
    whole = parse(
        {"value": 1},
        {"prediction_id": "p"},
        ok | {"ts": "soon"},
        ok | {"ts": "2026-11-01T00:00:00Z"},
        ok | {"ts_event": "once"},
        3,
    )

    assert whole.rejected == {"missing_key": 2, "bad_ts": 1, "too_old": 1, "syntax": 1}
    assert (whole.notes, whole.items) == ({"bad_ts_event": 1}, 1)


def test_parquet_labels_equal_ndjson_labels() -> None:
    body = io.BytesIO()
    pl.DataFrame(
        {"prediction_id": ["a", "b"], "label": [1, None], "ts": [AT, AT], "unknown": [[1], [2]]}
    ).write_parquet(body)
    whole = labels.parse(body.getvalue(), AT, {"model": "fraud"})

    assert whole.rejected == {"missing_key": 1}
    same = parse({"prediction_id": "a", "label": 1, "ts": "2026-11-20T12:00:00Z"}).tables["label"]
    assert whole.tables["label"].equals(same.select(whole.tables["label"].columns))


def test_every_column_has_the_type_of_the_table() -> None:
    schema = frame_schema(TABLES["label"])
    frame = parse(
        {"prediction_id": "p", "value": None, "revision": 1}, {"prediction_id": "q", "value": 2, "ts_event": 0}
    ).tables["label"]

    assert {n: t for n, t in frame.schema.items() if t != schema[n]} == {}


def test_a_label_needs_a_model() -> None:
    with pytest.raises(PayloadError, match="model"):
        parse({"prediction_id": "p", "value": 1}, model="")


@settings(max_examples=150)
@given(st.binary(max_size=120) | st.lists(st.dictionaries(st.sampled_from(["prediction_id", "value", "ts", "revision"]), st.none() | st.integers() | st.text(max_size=5)), max_size=4).map(lambda x: json.dumps(x).encode()))  # fmt: skip
def test_any_bytes_are_parsed_or_refused(body: bytes) -> None:
    try:
        whole = labels.parse(body, AT, {"model": "fraud"})
    except PayloadError:
        return
    assert whole.offered == whole.items + sum(whole.rejected.values())
