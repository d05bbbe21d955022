"""XID errors as events: a code that changed is a fault, a code that stands is not a new one.

Source: dcgm-exporter #500 (the gauge keeps the last code until the driver restarts); NVIDIA, "XID
Errors", for the meaning of codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import polars as pl

_MEANING: Final[Mapping[int, str]] = {
    13: "graphics engine exception", 31: "memory page fault", 32: "invalid push buffer", 43: "stopped processing",
    45: "preemptive cleanup", 48: "double-bit ECC error", 61: "internal micro-controller breakpoint",
    62: "internal micro-controller halt", 63: "row remapping recorded", 64: "row remapping failed",
    69: "graphics engine class error", 74: "NVLink error", 79: "GPU has fallen off the bus",
    92: "high single-bit ECC error rate", 94: "contained ECC error", 95: "uncontained ECC error",
    109: "context switch timeout", 119: "GSP RPC timeout", 120: "GSP error", 121: "chip-to-chip link error",
    140: "unrecovered ECC error", 149: "NVLink error",
}  # fmt: skip
_APPLICATION: Final = frozenset({13, 31, 32, 43, 45, 69, 109})  # as a rule the program's fault, not the board's


def xid_events(previous: Mapping[str, int], samples: pl.DataFrame, at: datetime) -> tuple[pl.DataFrame, dict[str, int]]:
    """Change events for XID codes that are not what they were.

    A device seen for the first time only sets the state, whatever its code: it may have stood there
    for weeks. A return to 0 is a driver restart and no fault.

    Args:
        previous: last code by device_id.
        samples: rows of `gpu_sample` of one target.
        at: instant for rows without one; the scrape.

    Returns:
        Rows of `change_event` in order of time, and the codes now; devices not in `samples` keep theirs.
    """
    import polars as pl

    from observe.schema import TABLES
    from observe.schema.exchange import frame, frame_schema

    state = dict(previous)
    events: list[dict[str, Any]] = []
    if "xid_last" in samples.columns:
        wanted = [c for c in ("ts", "device_id", "cluster", "node", "namespace", "xid_last") if c in samples.columns]
        rows = samples.select(wanted).filter(pl.col("xid_last").is_not_null())
        for row in rows.sort("ts", maintain_order=True).iter_rows(named=True):
            device, code = row["device_id"], row["xid_last"]
            before = state.get(device)
            state[device] = code
            if before is not None and code not in (0, before):
                events.append(_event(row, before, at))
    table = TABLES["change_event"]
    if not events:
        return pl.DataFrame(schema=frame_schema(table)).select(_NAMES), state
    return frame(table, {name: [event[name] for event in events] for name in _NAMES}), state


_NAMES: Final = (
    "ts", "event_id", "kind", "object_kind", "object_name", "namespace", "cluster", "node", "before", "after", "severity", "message",
)  # fmt: skip


def _event(row: Mapping[str, Any], before: int, at: datetime) -> dict[str, Any]:
    ts, device, code = row.get("ts") or at, row["device_id"], row["xid_last"]
    return {
        "ts": ts, "event_id": f"xid/{device}/{int(ts.timestamp() * 1000)}/{code}", "kind": "xid",
        "object_kind": "GPU", "object_name": device, "namespace": row.get("namespace"), "cluster": row.get("cluster"),
        "node": row.get("node"), "before": str(before), "after": str(code),
        "severity": "warning" if code in _APPLICATION else "error",
        "message": f"XID {code}: {_MEANING.get(code, 'see the vendor catalogue')} on {row.get('node') or device}",
    }  # fmt: skip
