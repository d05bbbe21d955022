"""What XID codes mean, and how grave they are.

Source: NVIDIA, "XID Errors".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

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


def meaning(code: int) -> str:
    """A code in words.

    >>> meaning(79), meaning(7)
    ('GPU has fallen off the bus', 'see the vendor catalogue')
    """
    return _MEANING.get(code, "see the vendor catalogue")


def severity(code: int) -> str:
    """`warning` for what a program may do by itself, `error` for what the board does."""
    return "warning" if code in _APPLICATION else "error"
