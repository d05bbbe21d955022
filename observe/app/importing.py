"""Rows that already have our columns go straight into a store: imported history.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from observe.schema import Batch
from observe.store import Store

if TYPE_CHECKING:
    import polars as pl

_ROWS: Final = 50_000  # per batch: bounds memory and the time one commit takes


def import_tables(store: Store, tables: Mapping[str, pl.DataFrame], name: str, now: datetime) -> Mapping[str, int]:
    """Append frames by table, once per `name`, and seal what is closed; returns rows stored by table."""
    stored: dict[str, int] = {}
    for table, frame in tables.items():
        for i, part in enumerate(frame.iter_slices(_ROWS)):
            receipt = store.append(Batch(f"import/{name}", f"{name}/{table}/{i}", {table: part}))
            stored[table] = stored.get(table, 0) + sum(receipt.stored.values())
    store.seal(now)
    return stored
