"""When a stream learns anew: once a day, each model at its own hour, so that fits spread over the day.

Source: our own; METHODS section 4, Cost.
"""

from __future__ import annotations

import hashlib
from typing import Final

from detectors.series import epoch
from observe.schema import Json, Monitor, Window

DAY_S: Final = 86_400
HOUR_S: Final = 3_600
HISTORY_S: Final = 28 * DAY_S
HELD_S: Final = (
    2 * DAY_S
)  # the newest windows of a long history are not learnt from, so that a shift under way is not absorbed


def slot(model: str) -> int:
    """Second of the day at which the streams of a model are fitted anew, together."""
    return int.from_bytes(hashlib.sha256(model.encode()).digest()[:4], "big") % 24 * HOUR_S


def learnt_s(monitor: Monitor) -> int:
    """How long a history its stream learns from, s; `drift.reference.last` says less than 28 d."""
    last = (monitor.params.get("reference") or {}).get("last_s")
    return HISTORY_S if last is None else min(int(last), HISTORY_S)


def due(monitor: Monitor, state: Json, window: Window) -> bool:
    """Whether a stream learns anew while `window` is judged, so that its history is wanted."""
    made, alarm = state.get("tried", 0), state.get("alarm")
    if not state.get("fit") or state.get("until", 0) < epoch(window.start):
        return True
    if alarm:  # learns when it has been calm for a day, which may come to be inside `window`
        calm = epoch(window.start) if alarm["calm"] is None else alarm["calm"]
        return bool(epoch(window.end) - calm >= DAY_S)
    first = slot(monitor.model)
    return bool((epoch(window.end) - monitor.window_s - first) // DAY_S > (made - first) // DAY_S)
