"""Credentials in the store's settings: only their sha256, so a copy of the data gives nobody access.

Source: our own; TRUST section 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Final

from observe.access import Credential
from observe.store import Store

_PREFIX: Final = "credential/"


class StoredTokens:
    """A `TokenStore` over `core.setting`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def load(self) -> Iterator[Credential]:
        """All that are kept."""
        for key, value in self._store.settings().items():
            if key.startswith(_PREFIX):
                times = {
                    k: datetime.fromisoformat(value[k]) if value[k] else None for k in ("created_at", "expires_at")
                }
                yield Credential(**{**value, **times})

    def save(self, credential: Credential) -> None:
        """Keep one; when this returns it is durable."""
        said = {k: v.isoformat() if isinstance(v, datetime) else v for k, v in asdict(credential).items()}
        self._store.set_setting(_PREFIX + credential.sha256, said)

    def drop(self, digest: str) -> None:
        """Forget one by its sha256; unknown ones are fine."""
        with self._store.change() as tx:
            tx.execute("delete from core.setting where key = ?", [_PREFIX + digest])
