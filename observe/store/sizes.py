"""How much is stored: rows by table, files, bytes.

Source: our own; what `/metrics` and the Health page tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from observe.store.database import Database
from observe.store.opening import DATABASE
from observe.store.predictions import all_bulks

_SEALED: Final = "SELECT table_name, count(*), sum(rows)::BIGINT, sum(bytes)::BIGINT FROM core.manifest WHERE dead_at IS NULL GROUP BY 1"


def sizes(database: Database, path: Path) -> Mapping[str, Any]:
    """seq, hot_rows, rows and files by table, lake_bytes, database_bytes of the data directory `path`."""
    with database.cursor() as cursor:
        hot = {b.key: cursor.execute(f"SELECT count(*) FROM {b.hot}").fetchall()[0][0] for b in all_bulks(cursor)}
        sealed = cursor.execute(_SEALED).fetchall()
    return {
        "seq": database.seq,
        "hot_rows": hot,
        "rows": {key: count + sum(s[2] for s in sealed if s[0] == key) for key, count in hot.items()},
        "files": {key: count for key, count, _, _ in sealed},
        "lake_bytes": sum(size for *_, size in sealed),
        "database_bytes": sum(f.stat().st_size for f in path.glob(f"{DATABASE}*")),
    }
