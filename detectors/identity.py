"""The same question about the same window has the same finding id, however often it is asked.

Source: our own.
"""

from __future__ import annotations

import hashlib
from datetime import datetime


def finding_id(monitor_id: str, end: datetime, part: str = "") -> str:
    """Id of what `monitor_id` says about the window that ends at `end`, about `part` of its subject."""
    text = f"{monitor_id}|{int(end.timestamp())}|{part}"
    return f"fnd-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
