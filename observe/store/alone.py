"""Long work that must not run twice at once: whoever comes second is told, and does not wait.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from observe.errors import StoreError


@contextmanager
def alone(lock: Lock, name: str) -> Iterator[None]:
    """Hold `lock` for the block.

    Args:
        lock: one for each sort of work.
        name: the work, for the message.

    Raises:
        StoreError: it is held.
    """
    if not lock.acquire(blocking=False):
        raise StoreError(f"another {name} of this data directory is running: wait until it is done, then try again")
    try:
        yield
    finally:
        lock.release()
