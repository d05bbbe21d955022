"""Every row offered is stored or rejected with a reason, whatever comes in."""

from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observe.clock import EventClock
from observe.schema import Batch
from observe.store import Store

rows = st.lists(
    st.tuples(st.none() | st.integers(0, 600), st.none() | st.sampled_from("abcdefgh"), st.one_of(st.none(), st.booleans(), st.integers(0, 9))),
    max_size=12,
)  # fmt: skip
batches = st.lists(st.tuples(st.sampled_from(("p", "q")), st.integers(0, 5), rows, rows), max_size=8)


def frame(noon, items, key: str) -> pl.DataFrame:  # type: ignore[no-untyped-def]
    times = [None if m is None else noon - timedelta(minutes=m) for m, _, _ in items]
    value = (
        [None if v is None else str(v) for _, _, v in items]
        if len(items) % 2
        else [None if v is None else float(v) for _, _, v in items]
    )
    ids = [i for _, i, _ in items]
    columns = {"ts": times, key: ids} | ({"x": value} if key == "prediction_id" else {})
    types = {"ts": pl.Datetime("us", "UTC"), key: pl.String}
    return pl.DataFrame(columns, schema_overrides=types)


@pytest.mark.slow
@settings(max_examples=12)
@given(batches)
def test_offered_is_stored_plus_rejected(sent) -> None:  # type: ignore[no-untyped-def]
    from datetime import UTC, datetime

    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    with TemporaryDirectory() as folder:
        store = Store.open(Path(folder), EventClock(noon))
        waiting = []
        for source, name, attempts, predictions in sent:
            tables = {
                "attempt": frame(noon, attempts, "attempt_id"),
                "prediction:m": frame(noon, predictions, "prediction_id"),
            }
            waiting.append((len(attempts) + len(predictions), store.submit(Batch(source, str(name), tables))))
        stored = 0
        for offered, future in waiting:
            receipt = future.result()
            assert offered == sum(receipt.stored.values()) + sum(receipt.rejected.values())
            stored += sum(receipt.stored.values())
        store.seal(noon)
        rows = store.stats()["rows"]
        assert stored == rows["attempt"] + rows.get("prediction:m", 0)
        store.close()
