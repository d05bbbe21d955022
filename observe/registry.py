"""What is plugged in: collectors, detectors, channels and pages are found by entry point.

Source: our own. A plugin is a module; its group says which attributes it must have.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Final

from observe.errors import UsageError

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "observe.collectors": ("parse",),
    "observe.detectors": ("detect", "since"),
    "observe.channels": ("send",),
    "observe.receivers": ("compose", "send", "probe"),
    "observe.actions": ("send", "check"),
    "observe.pages": ("PATH", "TITLE", "QUESTION", "page"),
}
WINGS: Final = ("collectors", "detectors", "alerts", "dashboards")


@cache
def names(group: str) -> tuple[str, ...]:
    """Names of everything plugged into `group`, sorted."""
    return tuple(sorted({e.name for e in entry_points(group=group)}))


@cache
def plugin(group: str, name: str) -> ModuleType:
    """The module plugged into `group` as `name`.

    Raises:
        LookupError: nothing of that name, with the names there are.
        UsageError: the module lacks what its group must have.
    """
    found = {e.name: e for e in entry_points(group=group)}.get(name)
    if found is None:
        kind = group.rpartition(".")[2].removesuffix("s")
        raise LookupError(f"no {kind} named {name!r}; there are: {', '.join(names(group))}")
    module = import_module(found.value)
    missing = [a for a in GROUPS[group] if not hasattr(module, a)]
    if missing:
        raise UsageError(f"{found.value} is plugged into {group} but has no {', '.join(missing)}")
    return module


def check_wings() -> None:
    """Fail when another package shadows one of ours on the import path.

    Raises:
        UsageError: naming the shadowing folder and what to do.
    """
    home = find_spec("observe")
    ours = Path(next(iter(home.submodule_search_locations or ()))).parent if home else Path()
    for wing in WINGS:
        spec = find_spec(wing)
        origin = Path(spec.origin).parent.parent if spec and spec.origin else None
        if origin != ours:
            where = origin / wing if origin else "nowhere"
            raise UsageError(
                f"the package {wing!r} comes from {where}, expected {ours / wing}; "
                f"run observe from a folder without a {wing!r} package of its own, or rename that one"
            )
