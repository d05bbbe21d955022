"""First uses are slow: imports, plans, thread pools. Intake pays for them before it says that it is ready.

Without it the first body of each kind held the event loop for up to 2.5 s while others waited (`bench.load`).

Source: our own.
"""

from __future__ import annotations

import io
import json
from datetime import datetime

from observe.registry import plugin

_SPANS = b'{"resourceSpans": []}'


def warm(now: datetime) -> None:
    """Parse one small body of every kind that comes live, and forget it."""
    import polars as pl

    row = {"prediction_id": "warm", "ts": now.isoformat(), "score": 0.5, "warm": 1.0}
    parquet = io.BytesIO()
    pl.DataFrame([row]).write_parquet(parquet)
    bodies = (
        ("otlp", "application/json", _SPANS),
        ("predictions", "application/x-ndjson", json.dumps(row).encode()),
        ("predictions", "application/vnd.apache.parquet", parquet.getvalue()),
        ("prometheus", "text/plain", b'DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-warm"} 1\n'),
    )
    for kind, content_type, body in bodies:
        labels = {"source": "warm", "model": "warm", "target": "warm", "content_type": content_type}
        plugin("observe.collectors", kind).parse(body, now, labels)
