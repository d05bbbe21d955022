"""Would it have paid to train again? Policies lived through on one table with its truth: never, by the calendar, ours.

A small honest model (ridge: logistic for a truth of 0 and 1, linear for numbers) learns from the first days and answers
the rest in order of time; a row's truth is known `delay` after the row. Ours looks once a day: drift that has stayed
for `for:`, a loss proven by the labels, or both, as a rule's `needs:` says; it learns from where the last change was
over, once there are rows enough, or at once from as long a time as the first training ("older rows too"), or from
that time with older rows counting as much as they help the newest ones ("older rows weighed"). Every
policy is scored on the same rows, and differences are told with an interval from blocks of whole weeks, as one day
resembles the next.

Source: our own; Ibrahim and Chen (2000), power priors, for rows that count less; Kunsch (1989), the block bootstrap.
Assumes: the truth does not hang on the answers (no feedback), and the model is one that a ridge can stand for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from observe.app.backtest import Found
from observe.app.ridge import Floats, Model, fit, loss
from observe.app.training import ENOUGH

Ints = NDArray[np.int64]
Needs = Literal["drift", "performance", "both"]

DAY: Final = 86_400  # s
LOOK: Final = 14  # labelled days by which a loss is proven
_FEWEST: Final = 7  # of them
_SURE: Final = 2.98  # standard errors: 99 % two-sided, 14 days (Student)
_OPEN: Final = 28 * DAY  # how long a confirmed drift waits for rows or for proof of a loss
_COOLDOWN: Final = 7 * DAY
OLDER: Final = (0.0, 0.02, 0.05, 0.2, 1.0)  # what a row from before a change may count, beside 1 of a row after it
_TOO, _WEIGHED = ", older rows too", ", older rows weighed"  # what ours may learn from besides
_HELD_OUT: Final = 0.2  # newest part of the rows after a change, by which that is chosen
_MATTERS: Final = 0.01  # of a probability; of a number, in standard deviations of the truth: 0.05
_BLOCK: Final = 7  # days
_DRAWS: Final = 2_000  # of the bootstrap


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows in order of time."""

    ts: Ints  # epoch s
    x: Floats  # NaN where missing
    y: Floats  # the truth; NaN where it never came

    @property
    def binary(self) -> bool:
        """Whether the truth is a yes or no."""
        known = self.y[~np.isnan(self.y)]
        return bool(np.isin(known, (0.0, 1.0)).all())


@dataclass(frozen=True, slots=True)
class Drift:
    """A drift that stayed long enough: when that was known, and where its change was over at the latest."""

    known: int  # epoch s
    onset: int


@dataclass(frozen=True, slots=True)
class Training:
    """When a model went live, and what it had learnt from."""

    at: int  # epoch s
    since: int
    rows: int
    model: Model


@dataclass(frozen=True, slots=True)
class Asked:
    """The terms of all policies."""

    start: int  # epoch s: what is before teaches, the rest is lived through
    delay: int = DAY  # how late the truth comes, s
    enough: int = ENOUGH  # labelled rows a training of ours waits for; with older ones weighed of new ones alone
    span: int = 0  # s: how far back a training of ours learns at least, across the change
    weighed: bool = False  # whether rows from before the change count as much as they help, else as much as the others


@dataclass(frozen=True, slots=True)
class Policy:
    """What became of one policy: its trainings, and its loss and rows by day."""

    name: str
    trainings: tuple[Training, ...]  # the first is every policy's
    loss: Floats  # summed by day
    n: Floats

    @property
    def error(self) -> float:
        """Mean loss of a row: log-loss, or absolute error."""
        return float(self.loss.sum() / self.n.sum())


def train(rows: Rows, since: int, at: int, delay: int, change: int = 0, older: float = 1.0) -> Training | None:
    """What can be learnt at an instant from the truth known by then; None when there is none.

    Args:
        rows: what is known.
        since: the first row that is learnt from, epoch s.
        at: when it is learnt.
        delay: how late the truth comes, s.
        change: rows before it count `older`, epoch s.
        older: of 1.
    """
    mine = _known(rows, since, at, delay)
    if int(mine.sum()) < 2:
        return None
    counts = np.where(rows.ts[mine] < change, older, 1.0)
    return Training(at, since, int(mine.sum()), fit(rows.x[mine], rows.y[mine], rows.binary, counts))


def weighed(rows: Rows, since: int, at: int, delay: int, change: int) -> float:
    """What a row from before a change is to count, so that the newest rows after it are answered best.

    A power prior whose power is chosen by what was held out: the newest fifth of the rows after the change, which a
    model of the others has not seen. Where older rows are wrong now, they count next to nothing.
    """
    known = _known(rows, since, at, delay)
    new = known & (rows.ts >= change)
    cut = np.quantile(rows.ts[new], 1 - _HELD_OUT)
    taught, asked = known & (rows.ts < cut), new & (rows.ts >= cut)
    losses = []
    for older in OLDER:
        counts = np.where(rows.ts[taught] < change, older, 1.0)
        made = fit(rows.x[taught], rows.y[taught], rows.binary, counts)
        losses.append(float(loss(rows.y[asked], made.answers(rows.x[asked]), rows.binary).mean()))
    return OLDER[int(np.argmin(losses))]


def _known(rows: Rows, since: int, at: int, delay: int) -> NDArray[np.bool_]:
    """The rows from an instant on whose truth is known at another."""
    return (rows.ts >= since) & (rows.ts + delay <= at) & ~np.isnan(rows.y)


def lived(name: str, rows: Rows, trainings: Sequence[Training]) -> Policy:
    """A policy scored: every row by the model that was live when it came."""
    start = trainings[0].at
    mine = (rows.ts >= start) & ~np.isnan(rows.y)
    ts, x, y = rows.ts[mine], rows.x[mine], rows.y[mine]
    answers = np.empty(ts.size)
    ends = [*(t.at for t in trainings[1:]), np.iinfo(np.int64).max]
    for training, end in zip(trainings, ends, strict=True):
        part = (ts >= training.at) & (ts < end)
        answers[part] = training.model.answers(x[part])
    lost = loss(y, answers, rows.binary)
    day = (ts - start) // DAY
    days = int(day.max()) + 1
    n = np.bincount(day, minlength=days).astype(np.float64)
    return Policy(name, tuple(trainings), np.bincount(day, lost, days).astype(np.float64), n)


def by_calendar(rows: Rows, asked: Asked, every: int, span: int) -> tuple[Training, ...]:
    """Trainings each so many seconds, from the last `span` seconds whose truth is known."""
    made = [train(rows, at - span, at, asked.delay) for at in range(asked.start, int(rows.ts[-1]), every)]
    return tuple(t for t in made if t is not None)


def ours(rows: Rows, asked: Asked, drifts: Sequence[Drift], needs: Needs, first: Training) -> tuple[Training, ...]:
    """Trainings as a rule with these `needs` proposes them, each approved and done at once."""
    trainings, answered = [first], set[Drift]()
    for at in range(asked.start + DAY, int(rows.ts[-1]), DAY):
        live = trainings[-1]
        waiting = [d for d in drifts if d.known <= at < d.known + _OPEN and d not in answered]
        if (not waiting and needs != "performance") or (len(trainings) > 1 and at - live.at < _COOLDOWN):
            continue
        if needs != "drift" and not is_worse(rows, live, at, asked.delay):
            continue
        change = max((d.onset for d in waiting), default=at - LOOK * DAY)
        made = _answer(rows, asked, change, at)
        if made is not None:
            trainings.append(made)
            answered.update(waiting)
    return tuple(trainings)


def _answer(rows: Rows, asked: Asked, change: int, at: int) -> Training | None:
    """A training of ours, where there is enough to learn from."""
    since = min(change, at - asked.span) if asked.span else change
    fresh = int(_known(rows, change, at, asked.delay).sum())
    found = int(_known(rows, since, at, asked.delay).sum()) if not asked.weighed else fresh
    if found < asked.enough or at - since < DAY:
        return None
    older = weighed(rows, since, at, asked.delay, change) if asked.weighed else 1.0
    return train(rows, since, at, asked.delay, change, older)


def is_worse(rows: Rows, live: Training, at: int, delay: int) -> bool:
    """Whether the labels of the last fortnight prove that what is live is off by more than matters.

    The mean of truth less answer is 0 for a good model whatever it is asked. Days are what is counted, and where one
    resembles the one before, they count for less.
    """
    known = (rows.ts >= max(live.at, at - delay - LOOK * DAY)) & (rows.ts + delay <= at) & ~np.isnan(rows.y)
    if not known.any():
        return False
    left = rows.y[known] - live.model.answers(rows.x[known])
    day = (rows.ts[known] - rows.ts[known][0]) // DAY
    n = np.bincount(day)
    means = (np.bincount(day, left) / np.maximum(n, 1))[n > 0]
    if means.size < _FEWEST:
        return False
    rest = means - means.mean()
    alike = float(np.clip((rest[1:] @ rest[:-1]) / max(float(rest @ rest), 1e-12), 0.0, 0.9))
    error = means.std(ddof=1) * np.sqrt((1 + alike) / (1 - alike) / means.size)
    matters = _MATTERS if rows.binary else 5 * _MATTERS * float(np.nanstd(rows.y))
    return bool(abs(means.mean()) - _SURE * error > matters)


def confirmed(found: Sequence[Found], for_s: float) -> tuple[Drift, ...]:
    """The alarms of a backtest that stayed for so long, in order of time."""
    stayed = [f for f in found if f.until is None or (f.until - f.at).total_seconds() >= for_s]
    made = {Drift(int(f.at.timestamp() + for_s), int(f.onset_interval[1].timestamp())) for f in stayed}
    return tuple(sorted(made, key=lambda d: (d.known, d.onset)))


def beside(policy: Policy, other: Policy, seed: int) -> tuple[float, float, float]:
    """How much less a policy errs than another, relative to that one: estimate and 95 % interval (negative: less)."""
    gain, base, n = policy.loss - other.loss, other.loss, policy.n
    days = n.size
    starts = np.random.default_rng(seed).integers(0, max(1, days - _BLOCK + 1), (_DRAWS, -(-days // _BLOCK)))
    index = (starts[:, :, None] + np.arange(min(_BLOCK, days))).reshape(_DRAWS, -1)
    draws = gain[index].sum(axis=1) / base[index].sum(axis=1)
    low, high = np.quantile(draws, (0.025, 0.975))
    return float(gain.sum() / base.sum()), float(low), float(high)


def policies(
    rows: Rows, asked: Asked, drifts: Sequence[Drift], told: Callable[[str], None] = lambda name: None
) -> list[Policy]:
    """Never, monthly and ours with each `needs`, lived through on the same rows.

    Args:
        rows: what is known.
        asked: the terms.
        drifts: what stayed long enough.
        told: told the name of the policy that is lived through now.
    """
    span = asked.start - int(rows.ts[0])
    [first] = by_calendar(rows, asked, int(rows.ts[-1]) - asked.start + DAY, span)
    made = [lived("never", rows, [first])]
    told("monthly")
    made.append(lived("monthly", rows, by_calendar(rows, asked, 30 * DAY, span)))
    needs: tuple[Needs, ...] = ("drift", "both", "performance")
    older = replace(asked, span=span)
    for words, terms in {"": asked, _TOO: older, _WEIGHED: replace(older, weighed=True)}.items():
        for need in needs:
            name = f"ours, needs: {need}{words}"
            told(name)
            made.append(lived(name, rows, ours(rows, terms, drifts, need, first)))
    return made
