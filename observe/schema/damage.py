"""For how long a damage that was found is told: the same everywhere, or one screen contradicts the other.

Source: our own; TRUST section 1, fact 3.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

TOLD: Final = timedelta(days=7)  # what is lost cannot be undone; after this it is kept, and no more told
STILL_TOLD: Final = f"found_at >= now() - INTERVAL {TOLD.days} DAY"  # of a line of core.damage, as SQL
