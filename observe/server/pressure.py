"""Bodies in hand are bounded: how many bytes of them wait, and how many large ones are decoded at once.

A body may be 16 MiB on the wire and some hundred as objects, so what many senders send at once must
not sum up. Who finds no place waits two seconds, then is told to come again.

Source: our own; TRUST section 2, "bombs".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from starlette.concurrency import run_in_threadpool

from observe.errors import Overloaded

HELD: Final = 64 * 2**20  # bytes of bodies as they came, of all requests together
LARGE: Final = 2**20  # bytes of a body that takes a place while it is decoded
PLACES: Final = 2
PATIENCE_S: Final = 2.0

T = TypeVar("T")


class Pressure:
    """What one listener has in hand; used in its event loop only."""

    def __init__(self) -> None:
        self.held = 0
        self._places = asyncio.Semaphore(PLACES)

    def hold(self, size: int) -> None:
        """Take bytes of a body in hand; whoever does lets go of them by lowering `held`.

        Raises:
            Overloaded: too many bytes of other bodies are.
        """
        if self.held + size > HELD:
            raise Overloaded("too many large bodies came at once, nothing of this one was taken", 2)
        self.held += size

    async def run(self, size: int, work: Callable[[], T]) -> T:
        """Decode in a thread; a large body waits for a place.

        Args:
            size: of the body when inflated, as far as it is known, bytes.
            work: what decodes it.

        Raises:
            Overloaded: no place within two seconds.
        """
        if size <= LARGE:
            return await run_in_threadpool(work)
        try:
            await asyncio.wait_for(self._places.acquire(), PATIENCE_S)
        except TimeoutError:
            raise Overloaded("other large bodies are being read, nothing of this one was taken", 2) from None
        try:
            return await run_in_threadpool(work)
        finally:
            self._places.release()
