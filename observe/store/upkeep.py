"""What is done with stored rows every few minutes: seal, merge, unlink, let go; one at a time.

Source: our own; MECHANISMS (c), ARCHITECTURE section 3.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from threading import Lock

from observe.store.database import Database
from observe.store.ddl import Bulk
from observe.store.folds import ROLLED
from observe.store.forgetting import forget
from observe.store.isolating import Isolation
from observe.store.lake import Lake, Sealed, joined
from observe.store.manifest import Manifest
from observe.store.predictions import all_bulks
from observe.store.retention import Policy, Retention
from observe.store.snapshot import Snapshots
from observe.store.trimming import trim


class Upkeep:
    """Seals and lets go under the lock it is given; a damaged file is set aside and the rest goes on."""

    def __init__(
        self, database: Database, manifest: Manifest, isolation: Isolation, snapshots: Snapshots, sealing: Lock
    ) -> None:
        self._database, self._isolation, self._snapshots, self._sealing = database, isolation, snapshots, sealing
        self._lake = Lake(database, manifest)
        self._retention = Retention(database, manifest, self._lake)

    def seal(self, now: datetime) -> Sealed:
        """Move the rows of every window closed at `now` to the lake, merge small files, unlink dead ones."""
        with self._sealing:
            bulks = self._bulks()
            for bulk in bulks:
                self._isolation.surviving(partial(self._lake.roll, bulk, now), bulk.view)
            done = {bulk.key: self._isolation.surviving(partial(self._lake.seal, bulk, now)) for bulk in bulks}
            for bulk in bulks:
                self._isolation.surviving(partial(self._lake.compact, bulk, now), bulk.view)
            self._lake.sweep(now)
        return joined([sealed for key, sealed in done.items() if key not in ROLLED])

    def retain(self, now: datetime, policy: Policy) -> int:
        """Let files and old lines leave as `policy` says; how many files left."""
        with self._sealing:
            bulks = self._bulks()
            left = sum(self._isolation.surviving(partial(self._retention.by_age, b, now, policy)) for b in bulks)
            if policy.size_bytes is not None:
                left += self._isolation.surviving(partial(self._retention.by_size, bulks, now, policy))
            for table in (*trim(self._database, now), *forget(self._database, now, policy.keep)):
                self._snapshots.forget(table)
        return left

    def _bulks(self) -> tuple[Bulk, ...]:
        with self._database.cursor() as cursor:
            return all_bulks(cursor)
