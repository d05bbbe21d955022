"""How much of a long past is written at once, so that neither intake nor a killed writer waits for all of it.

Source: our own; ARCHITECTURE section 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from observe.schema import Binning, Window
from observe.summaries.rows import Source

_RUNS: Final = 50  # stretches of one transaction: each costs a few reads, however short it is


@dataclass(frozen=True, slots=True)
class Pace:
    """How much of a long past is written at once: bins and windows of one transaction, transactions of one call.

    The transactions of a call are shared out over the sources in turn; each source gets at least one.
    """

    cells: int
    windows: int
    steps: int | None = None  # None: until everything is written

    def after(self, made: int) -> int | None:
        """Transactions that are left after `made`, at least one."""
        return None if self.steps is None else max(1, self.steps - made)


WHOLE: Final = Pace(20_000_000, 100_000)  # 160 MB a transaction: nobody waits
GENTLE: Final = Pace(200_000, 2_000, 20)  # about 30 ms of the writer lock a transaction: intake goes on between them


def pieces(source: Source, binnings: Sequence[Binning], span: Window, pace: Pace) -> Iterator[Window]:
    """`span` cut so that each piece is small enough for one transaction."""
    step = timedelta(seconds=source.window_s * _windows(binnings, pace))
    start = span.start
    while start < span.end:
        end = min(start + step, span.end)
        yield Window(start, end)
        start = end


def bundles(
    source: Source, binnings: Sequence[Binning], spans: Iterable[Window], pace: Pace
) -> Iterator[tuple[Window, ...]]:
    """`spans` in order, those that fit in one transaction together."""
    most, held, size = _windows(binnings, pace), list[Window](), 0
    for piece in (p for span in spans for p in pieces(source, binnings, span, pace)):
        n = int(piece.length.total_seconds()) // source.window_s
        if held and (size + n > most or len(held) == _RUNS):
            yield tuple(held)
            held, size = [], 0
        held, size = [*held, piece], size + n
    if held:
        yield tuple(held)


def _windows(binnings: Sequence[Binning], pace: Pace) -> int:
    """How many windows one transaction takes."""
    cells = sum(len(b.reference) for b in binnings)
    return min(pace.windows, max(1, pace.cells // cells) if cells else pace.windows)
