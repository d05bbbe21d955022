"""Rows become Summaries when their window closes: what detectors read instead of rows.

`close` is one tick of the stage: it counts every window that has closed since the last tick, for
every model with drift or SLOs, and writes summaries, new binnings and how far it came in one
transaction. A window closes at its end + lateness; rows that come later add a delta marked `late`.

Source: our own; ARCHITECTURE section 3 (Summaries, Time, Binnings), METHODS section 2.
"""

from __future__ import annotations

from observe.summaries.closing import Closed, close, closed_until
from observe.summaries.counting import Grid, count
from observe.summaries.pace import GENTLE, WHOLE, Pace
from observe.summaries.promises import source_of

__all__ = ["GENTLE", "WHOLE", "Closed", "Grid", "Pace", "close", "closed_until", "count", "source_of"]
