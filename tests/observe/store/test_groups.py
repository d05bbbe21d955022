"""Batches that are committed together keep out of each other's way, and are counted once."""

from datetime import datetime, timedelta

import polars as pl
import pytest

from observe.schema import Batch
from observe.store import Store
from observe.store import committer as committer_module


def change(noon: datetime, name: str, **columns: object) -> Batch:
    row = {"ts": noon - timedelta(hours=1), "event_id": name, "kind": "deploy", **columns}
    return Batch("ci", name, {"change_event": pl.DataFrame([row])})


def test_sources_that_fill_different_columns_share_a_transaction(
    store: Store, noon: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer_module, "LINGER_S", 0.2)
    receipts = [store.submit(b) for b in (change(noon, "a"), change(noon, "b", message="x", node="n1"))]

    assert len({r.result().seq for r in receipts}) == 1


def test_a_batch_sent_again_is_a_duplicate_even_when_its_group_is_tried_again(store: Store, noon: datetime) -> None:
    batch = change(noon, "a")
    first = store.append(batch)
    entries = []
    store._committer._write, write = (lambda es, doubt: entries.extend(es) or write(es, True)), store._committer._write  # type: ignore[func-returns-value]
    again = store.append(batch)

    assert (first.duplicate, again.duplicate, len(entries)) == (False, True, 1)
    assert dict(again.stored) == {}
