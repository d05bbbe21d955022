"""Fits of coming weeks made together with today's, where the past that is judged is long.

A fit costs little more for many streams than for few, and hours of the day and weekends come again after seven
days: histories that end whole weeks apart stand side by side as so many streams. What is learnt so is what would
have been learnt on its day. Where an alarm ends or a shift is suspected until then, a stream asks for another fit,
and what was made ahead is left.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from detectors.fitting import Asked, Fit, History, fit
from detectors.grid import Grid
from detectors.slots import DAY_S, HELD_S, HISTORY_S

WEEK_S: Final = 7 * DAY_S
_CELLS: Final = 180_000  # windows times streams of one fit: beyond, another stream costs as much as it would alone


def ends(hours: Grid, own: Grid, streams: int, end: int) -> list[int]:
    """Where the histories end that are learnt from together: at `end`, and whole weeks after it.

    Args:
        hours: all that is known, in hours.
        own: the same in the windows that are judged.
        streams: how many learn.
        end: of today's history, epoch s.

    Returns:
        At least `end`; no more where the beginning of what is known would make histories of different length.
    """
    if not streams or end - HISTORY_S - HELD_S < max(hours.start, own.start):
        return [end]
    windows = (HISTORY_S + HELD_S) // own.step
    many = max(1, _CELLS // (windows * streams))
    known = hours.start + hours.step * len(hours.y)
    return [end, *range(end + WEEK_S, min(known, end + many * WEEK_S), WEEK_S)]


def fit_together(hours: Sequence[History], own: Sequence[History], asked: Sequence[Asked]) -> list[list[Fit | None]]:
    """What `fit` gives for each of some histories that end whole weeks apart, in one call.

    Args:
        hours: of the same streams, in hours; as long as each other.
        own: the same periods in the windows that are judged; the very same objects where these are hours.
        asked: what is asked of each.
    """
    first, count = asked[0], len(asked[0].delta)
    together = _beside(hours)
    joined = Asked(
        np.concatenate([a.delta for a in asked]), first.at,
        np.concatenate([a.since - (a.at - first.at) for a in asked]), [s for a in asked for s in a.score],
    )  # fmt: skip
    found = fit(together, together if own[0] is hours[0] else _beside(own), joined)
    return [[_later(f, a.at - first.at) for f in found[k * count : (k + 1) * count]] for k, a in enumerate(asked)]


def _beside(parts: Sequence[History]) -> History:
    first = parts[0]
    if len(parts) == 1:
        return first
    a = None if first.a is None else np.concatenate([p.a for p in parts if p.a is not None], axis=1)
    y, n = (np.concatenate([getattr(p, name) for p in parts], axis=1) for name in ("y", "n"))
    return History(y, n, first.epoch, first.window_s, a)


def _later(found: Fit | None, seconds: int) -> Fit | None:
    """A fit as it is so much later."""
    if found is None or not seconds:
        return found
    return replace(found, at=found.at + seconds, suspect=None if found.suspect is None else found.suspect + seconds)
