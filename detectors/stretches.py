"""Long recursions cut into stretches that run side by side: the same answers in far fewer steps.

A recursion over thousands of windows of a few streams is mostly the cost of its steps, not of its numbers. So time
is cut into stretches that all begin with a guess and go on together; a stretch whose guess was not what the one
before it ended with is done again from there. Where streams forget their beginning (a filter) or begin anew now and
then (evidence that fell to 0), two or three rounds suffice; where they do not, it takes as long as one step at a time.

Source: the idea of "parareal" (Lions, Maday and Turinici 2001) with the recursion itself as its own guess.
Assumes: nothing; the rounds end when every stretch begins where the one before ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LEAST: Final = 40  # windows of a stretch: shorter ones are done again too often
_COLUMNS: Final = 3_000  # numbers in one step that cost about as much as the step itself

Advance = Callable[[NDArray[np.intp], Floats], Floats]


def many(windows: int, lanes: int) -> int:
    """Into how many stretches a recursion of so many windows and lanes is best cut, with few windows left over."""
    most = max(1, min(windows // _LEAST, _COLUMNS // max(lanes, 1)))
    return min(range(most - most // 4, most + 1), key=lambda count: (windows % count, -count))


def cut(values: Floats, stretches: int, rest: float) -> Floats:
    """Windows (T, ...) as steps of stretches side by side, (L, stretches x rest of the shape); `rest` fills up the front.

    >>> cut(np.arange(5.0)[:, None], 2, -1.0).tolist()
    [[-1.0, 2.0], [0.0, 3.0], [1.0, 4.0]]
    """
    steps = -(-len(values) // stretches)
    whole = np.full((steps * stretches, *values.shape[1:]), rest)
    whole[len(whole) - len(values) :] = values
    lanes = int(np.prod(values.shape[1:]))
    side = whole.reshape(stretches, steps, lanes).transpose(1, 0, 2)
    return np.ascontiguousarray(side).reshape(steps, stretches * lanes)


def joined(steps: Floats, windows: int, stretches: int) -> Floats:
    """The inverse of `cut`: (windows, lanes)."""
    lanes = steps.shape[1] // stretches
    whole = steps.reshape(len(steps), stretches, lanes).transpose(1, 0, 2).reshape(len(steps) * stretches, lanes)
    return whole[len(whole) - windows :]


def run(first: Floats, stretches: int, advance: Advance) -> Floats:
    """Let all stretches run until each begins where the one before ended.

    Args:
        first: states before the first window, (numbers of a state, lanes).
        stretches: how many; column `k * lanes + i` is stretch k of lane i.
        advance: runs some columns from the states they begin with, keeps what they say, returns how they end.

    Returns:
        States after the last window, shape of `first`.
    """
    lanes = first.shape[1]
    begun = np.tile(first, stretches)
    ended = np.empty_like(begun)
    todo = np.arange(begun.shape[1])
    for _ in range(stretches):  # after round k the first k stretches are right, whatever the recursion
        ended[:, todo] = advance(todo, begun[:, todo])
        before = np.concatenate([first, ended[:, :-lanes]], axis=1)
        todo = np.flatnonzero((before != begun).any(axis=0))  # to the last bit: no answer depends on the cut
        begun[:, todo] = before[:, todo]
        if not todo.size:
            break
        if 2 * todo.size > begun.shape[1]:  # picking most of them costs more than taking all again
            todo = np.arange(begun.shape[1])
    return ended[:, -lanes:]
