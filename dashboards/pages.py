"""Which pages there are: entry points in group `observe.pages`, one module each.

A page module has `PATH` ("/gpu", or "/model/<name>"), `TITLE`, `ICON` (a name of assets/icons.css),
`QUESTION` (what it answers), `ORDER` (place in the navigation), `SKELETON` (see `cards.skeleton`)
and `page(read, params) -> Component`.

Source: our own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any
from urllib.parse import unquote

from dashboards.reader import Reader

GROUP = "observe.pages"
Page = Callable[[Reader, Mapping[str, str]], Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One page as its module declares it."""

    path: str
    title: str
    icon: str
    question: str
    order: int
    skeleton: Sequence[tuple[int, int]]
    page: Page

    @property
    def named(self) -> bool:
        """Whether the path has a `<name>` part."""
        return "<" in self.path

    def match(self, path: str) -> Mapping[str, str] | None:
        """The parts of `path` when it is this page's, else None."""
        pattern = re.sub(r"<(\w+)>", r"(?P<\1>[^/]{1,200})", self.path)
        found = re.fullmatch(pattern, path.rstrip("/") or "/")
        return None if found is None else {k: unquote(v) for k, v in found.groupdict().items()}


@cache
def installed(module: str) -> bool:
    """Whether a page of this entry-point name is there to be linked to."""
    return any(point.name == module for point in entry_points(group=GROUP))


def load() -> tuple[Entry, ...]:
    """Every installed page, in the order of the navigation."""
    modules = [point.load() for point in entry_points(group=GROUP)]
    found = [Entry(m.PATH, m.TITLE, m.ICON, m.QUESTION, m.ORDER, m.SKELETON, m.page) for m in modules]
    return tuple(sorted(found, key=lambda e: e.order))


def find(entries: Sequence[Entry], path: str) -> tuple[Entry, Mapping[str, str]] | None:
    """The page of a path and the path's parts, or None."""
    for entry in entries:
        parts = entry.match(path)
        if parts is not None:
            return entry, parts
    return None
