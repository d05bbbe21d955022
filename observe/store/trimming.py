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

RUNS: Final = timedelta(days=30)  # how long failed runs of collectors are kept, and samples of the service
FINE_RUNS: Final = timedelta(days=2)  # how long the others are; the newest of each target stays as long as failures
_BATCHES: Final = "FROM core.batch WHERE committed_at < ? AND seq < (SELECT max(seq) FROM core.batch)"
_RUNS: Final = "FROM core.collector_run WHERE ts < ?"
_FINE_RUNS: Final = (
    "FROM core.collector_run WHERE ok AND ts < ? AND (collector, target, ts) NOT IN "
    "(SELECT (collector, target, max(ts)) FROM core.collector_run WHERE ok GROUP BY collector, target)"
)
_SAMPLES: Final = "FROM core.service_sample WHERE ts < ?"
_DEPARTURES: Final = "FROM core.departure WHERE ingested_to < ?"  # verify compares batches of the last 24 h


def trim(database: Database, now: datetime) -> tuple[str, ...]:
    """Delete batches older than 24 h, runs older than 2 days (failures: 30) and the rest; names of the tables that lost rows."""
    at = now.astimezone(UTC)
    hour = (at - REMEMBERED).replace(minute=0, second=0, microsecond=0)
    day = (at - RUNS).replace(hour=0, minute=0, second=0, microsecond=0)
    fine = (at - FINE_RUNS).replace(minute=0, second=0, microsecond=0)
    rules = (
        ("batch", _BATCHES, hour), ("collector_run", _RUNS, day), ("collector_run", _FINE_RUNS, fine),
        ("departure", _DEPARTURES, hour), ("service_sample", _SAMPLES, day),
    )  # fmt: skip
    with database.cursor() as cursor:
        old = [r for r in rules if cursor.execute(f"SELECT EXISTS ({r[1]})", [r[2]]).fetchall() == [(True,)]]
    if old:
        with database.change() as cursor:
            for _, rows, before in old:
                cursor.execute(f"DELETE {rows}", [before])
    return tuple(dict.fromkeys(table for table, _, _ in old))
