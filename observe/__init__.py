"""Observe watches an AI platform: GPU telemetry, gateway traces and predictions in one DuckDB, alerts inside a declared false-alarm budget.

>>> from observe import compare
>>> compare({"x": [1, 2, 3] * 100}, {"x": [1, 2, 3] * 100}).drifted
()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from observe.app.frames_compare import compare as compare
    from observe.app.frames_result import Comparison as Comparison

__all__ = ["Comparison", "compare"]

_HOMES = {"compare": "observe.app.frames_compare", "Comparison": "observe.app.frames_result"}


def __getattr__(name: str) -> Any:
    """Names for notebooks and tests, loaded at first use: importing `observe` alone must stay cheap."""
    if name not in _HOMES:
        raise AttributeError(f"module 'observe' has no attribute {name!r}; there are: {', '.join(__all__)}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
