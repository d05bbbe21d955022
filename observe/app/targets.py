"""The targets whose faults are followed: so many of a source, and none for ever.

A target lies in memory and, by its key, in the store's state. Where there is no room, one that has been
silent for an hour makes it; one that has been silent for a month is forgotten in any case. To be told from
those, a target that speaks but never changes is written down once a day.

Source: our own; TRUST section 2: whoever may send must not fill memory or disk by inventing names.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from observe.store import Store

MAX_TARGETS: Final = 2_000  # of one source; a target is a node
SILENT: Final = timedelta(hours=1)  # after which a target makes room for a new one
FORGOTTEN: Final = timedelta(days=30)
_WRITTEN: Final = timedelta(days=1)
_PREFIX: Final = "faults/"


def key_of(source: str, target: str, cluster: str = "") -> str:
    """The key of a target's state; nodes of two clusters may share a name."""
    return f"{_PREFIX}{source}/{target}" + (f"?cluster={cluster}" if cluster else "")


@dataclass(slots=True, eq=False)
class Target:
    """What is known of one target; to be read and changed while its `turn` is held."""

    key: str
    heard: datetime
    turn: threading.Lock = field(default_factory=threading.Lock)
    state: Mapping[str, Any] | None = None  # None: not read yet
    written: datetime | None = None
    newest: dict[str, datetime] = field(default_factory=dict)  # up to when each device is judged


class Targets:
    """Everybody who has sent pages of GPUs; safe to call from any thread."""

    def __init__(self, store: Store) -> None:
        self._store, self._lock = store, threading.Lock()
        self._since: datetime | None = None
        self._known: dict[str, OrderedDict[str, Target]] = defaultdict(OrderedDict)  # by source, longest silent first
        rows = store.read(
            "select key, updated_at from core.state where starts_with(key, $prefix) order by updated_at",
            {"prefix": _PREFIX},
        )
        for key, heard in rows.iter_rows():
            self._known[key.split("/")[1]][key] = Target(key, heard)

    def of(self, source: str, key: str, now: datetime) -> Target | None:
        """The target of a key, which is heard now; None when there is no room for another one.

        Raises:
            StoreError: what made room could not be forgotten.
        """
        with self._lock:
            known = self._known[source]
            leaving = self._leaving(known, now, crowded=key not in known and len(known) >= MAX_TARGETS)
            found = known.get(key)
            if found is None and len(known) < MAX_TARGETS:
                found = known[key] = Target(key, now)
            if found is not None:
                found.heard = now
                known.move_to_end(key)
        if leaving:
            with self._store.change() as tx:
                tx.execute("DELETE FROM core.state WHERE list_contains(?, key)", [leaving])
        return found

    def _leaving(self, known: OrderedDict[str, Target], now: datetime, *, crowded: bool) -> list[str]:
        """Keys of those that make room, taken out."""
        since = self._since = self._since or now  # nobody has spoken since a start: that is no silence yet
        gone: list[str] = []
        while known:
            first = next(iter(known.values()))
            if now - first.heard <= FORGOTTEN and not (crowded and not gone and now - max(first.heard, since) > SILENT):
                break
            gone.append(first.key)
            del known[first.key]
        return gone

    def read(self, target: Target) -> Mapping[str, Any]:
        """The state of a target as it was left."""
        if target.state is None:
            rows = self._store.read("select updated_at from core.state where key = $key", {"key": target.key})
            target.state = self._store.state([target.key]).get(target.key, {})
            target.written = rows.item() if rows.height else None
        return target.state

    def write(self, target: Target, state: Mapping[str, Any], now: datetime) -> None:
        """Keep the state of a target, also in the store when it has changed or was written long ago.

        Raises:
            StoreError: it could not be written; the state is the one before.
        """
        if state != target.state or target.written is None or now - target.written > _WRITTEN:
            with self._store.change() as tx:
                tx.set_state(target.key, state)
            target.state, target.written = state, now
