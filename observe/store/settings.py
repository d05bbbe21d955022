"""Plain JSON that is kept by key: the state of detectors and monitors, and settings.

Source: our own; ARCHITECTURE section 3.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from observe.schema import Json
from observe.store.database import Database


def state(database: Database, keys: Sequence[str] | None = None) -> dict[str, Json]:
    """State of detectors and monitors, of all or of those of `keys` that have one."""
    if keys is None:
        return _plain(database, "SELECT key, value FROM core.state")
    sql = "SELECT key, value FROM core.state WHERE list_contains($keys, key)"
    return _plain(database, sql, {"keys": list(keys)})


def judged_until(database: Database) -> dict[str, datetime]:
    """Event time up to which each state has judged, of those that say so."""
    return dict(_rows(database, "SELECT key, judged_until FROM core.state WHERE judged_until IS NOT NULL"))


def settings(database: Database) -> dict[str, Any]:
    """All settings by key."""
    return _plain(database, "SELECT key, value FROM core.setting")


def _plain(database: Database, sql: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {key: json.loads(value) for key, value in _rows(database, sql, params)}


def _rows(database: Database, sql: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
    with database.cursor() as cursor:
        return cursor.execute(sql, params).fetchall()
