"""Values as written in YAML: scalars, lists and mappings that know their line and column.

Source: YAML 1.2.2, core schema (section 10.3.2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

_LONGEST_NUMBER: Final = 40  # characters; longer digits are an identifier
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: Final[Mapping[str, bool | None]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip

Scalar = str | int | float | bool | None
Loc = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """One value as written: a scalar, a list (`items`) or a mapping (`items` by `keys`), and where it stands."""

    line: int  # 1-based
    column: int  # 1-based
    scalar: Scalar = None
    text: str = ""  # a scalar as written
    items: tuple[Node, ...] = ()
    keys: tuple[Node, ...] | None = None
    is_list: bool = False

    @property
    def is_map(self) -> bool:
        """Whether it is a mapping."""
        return self.keys is not None

    def child(self, part: str | int) -> Node | None:
        """The value under a key or at an index; None when there is none."""
        if isinstance(part, int):
            return self.items[part] if self.is_list and part < len(self.items) else None
        return next((v for k, v in zip(self.keys or (), self.items, strict=False) if k.text == part), None)

    def key(self, name: str) -> Node | None:
        """The key itself, for its place."""
        return next((k for k in self.keys or () if k.text == name), None)

    def plain(self) -> Any:
        """The value as dicts, tuples and scalars."""
        if self.keys is not None:
            return {k.text: v.plain() for k, v in zip(self.keys, self.items, strict=True)}
        return tuple(v.plain() for v in self.items) if self.is_list else self.scalar


def scalar(text: str) -> Scalar:
    """A plain scalar by the core schema; everything it does not know is text.

    >>> [scalar(t) for t in ("no", "5m", "12", "1.5", "true", "~", "2026-11-20")]
    ['no', '5m', 12, 1.5, True, None, '2026-11-20']
    """
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INT.fullmatch(text):
        return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
    return float(text) if _FLOAT.fullmatch(text) and isfinite(float(text)) else text
