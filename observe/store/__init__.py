"""The store: DuckDB with one writer, a lake of Parquet files, and SQL over both.

Source: our own; ARCHITECTURE section 3.
"""

from __future__ import annotations

from observe.store.backup import Contents
from observe.store.damage import Damage, Report
from observe.store.entry import Pending
from observe.store.lake import Sealed
from observe.store.named import tables_named
from observe.store.retention import Passed
from observe.store.snapshot import Snapshot
from observe.store.store import Store
from observe.store.transaction import Transaction

__all__ = [
    "Contents",
    "Damage",
    "Passed",
    "Pending",
    "Report",
    "Sealed",
    "Snapshot",
    "Store",
    "Transaction",
    "tables_named",
]
