"""Old lines leave the tables that every batch and every scrape adds to.

Whole hours and whole days leave, so that this seldom writes. The newest batch stays however old it
is: it tells the watermark after a restart.

Source: our own; ARCHITECTURE section 3, retention.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from observe.store.database import Database
from observe.store.ledger import REMEMBERED

RUNS: Final = timedelta(days=30)  # how long runs of collectors are kept
_BATCHES: Final = "FROM core.batch WHERE committed_at < ? AND seq < (SELECT max(seq) FROM core.batch)"
_RUNS: Final = "FROM core.collector_run WHERE ts < ?"


def trim(database: Database, now: datetime) -> tuple[str, ...]:
    """Delete batches older than 24 h and runs of collectors older than 30 days; names of the tables that lost rows."""
    at = now.astimezone(UTC)
    hour = (at - REMEMBERED).replace(minute=0, second=0, microsecond=0)
    day = (at - RUNS).replace(hour=0, minute=0, second=0, microsecond=0)
    rules = (("batch", _BATCHES, hour), ("collector_run", _RUNS, day))
    with database.cursor() as cursor:
        old = [r for r in rules if cursor.execute(f"SELECT EXISTS ({r[1]})", [r[2]]).fetchall() == [(True,)]]
    if old:
        with database.change() as cursor:
            for _, rows, before in old:
                cursor.execute(f"DELETE {rows}", [before])
    return tuple(table for table, _, _ in old)
