"""One batch on its way into the store, and the two promises made of it: safe, then stored.

Source: our own; ARCHITECTURE section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic

from observe.schema import Receipt
from observe.store.rows import Part


class Pending(Future[Receipt]):
    """The receipt of a batch, there once its rows are stored and can be read."""

    def __init__(self) -> None:
        super().__init__()
        self._safe: Future[None] = Future()
        for promise in (self, self._safe):  # a caller that goes away must not stop the committer
            promise.set_running_or_notify_cancel()
        self._wanted = False

    def safe(self) -> Future[None]:
        """Done as soon as no kill and no power cut can take the rows any more.

        That is when they are stored, or before it where a slow commit holds many up: who asks for it need not wait
        for such a commit. It fails as the receipt does, if it was not done by then.
        """
        self._wanted = True
        return self._safe

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits to know that the rows are safe."""
        return self._wanted and not self._safe.done()

    def keep(self) -> bool:
        """The rows are safe; False where it was said already that they could not be stored."""
        with suppress(InvalidStateError):
            self._safe.set_result(None)
        return self._safe.exception() is None

    def settle(self, receipt: Receipt) -> None:
        """The rows are stored."""
        self.set_result(receipt)
        self.keep()

    def fail(self, error: Exception) -> bool:
        """The rows could not be stored; False where they are safe, so that it must be tried again."""
        with suppress(InvalidStateError):
            self._safe.set_exception(error)
        if self._safe.exception() is None:
            return False
        self.set_exception(error)
        return True

    def give_up(self, error: Exception) -> None:
        """Nobody will store the rows while this process runs."""
        if not self.fail(error):
            self.set_exception(error)


@dataclass(slots=True, eq=False)
class Entry:
    """One batch on its way: its parts, what the parser left out, and who waits for the receipt."""

    source: str
    batch_id: str
    parts: tuple[Part, ...]
    rejected: Mapping[str, int]
    size: int  # bytes
    future: Pending = field(default_factory=Pending)
    since: float = field(default_factory=monotonic)

    @property
    def rows(self) -> int:
        """Rows offered, those without a key included."""
        return sum(p.frame.height + p.missing_key for p in self.parts)
