"""Which known name did they mean?

Source: our own; similarity by `difflib` (Ratcliff and Obershelp, 1988).
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str], at_least: float = 0.7) -> str | None:
    """The known name most like `name`, case ignored, or None when nothing is alike.

    Args:
        name: what was written.
        known: what exists.
        at_least: similarity from 0 (nothing in common) to 1 (the same).

    >>> nearest("belw", ["below", "objective"])
    'below'
    """
    folded = {k.casefold(): k for k in known}
    found = get_close_matches(name.casefold(), folded, n=1, cutoff=at_least)
    return folded[found[0]] if found else None


def meant(name: str, known: Iterable[str], shortest: int = 5) -> str | None:
    """The only known name that begins with `name`, of so many characters at least; else the nearest.

    >>> meant("inc-3f", ["inc-3f2a9c81", "inc-77aa0000"]), meant("inc-", ["inc-3f2a9c81", "inc-77aa0000"])
    ('inc-3f2a9c81', None)
    """
    names = list(known)
    begun = [n for n in names if len(name) >= shortest and n.startswith(name)]
    return begun[0] if len(begun) == 1 else nearest(name, names)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint for a person: the nearest known name, else all of them."""
    names = sorted(known)
    best = nearest(name, names)
    if best is not None:
        return f"did you mean {best!r}?"
    return f"there are: {', '.join(names)}" if names else ""
