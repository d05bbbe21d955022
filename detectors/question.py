"""One question about a canary: are its errors, slow requests or predictions of one kind more than they should be?

A question compares the canary with the old version beside it; agreement, counted where both answered the same
request, is compared with the share that was declared. The questions' e-values are averaged with fixed weights.

Source: METHODS section 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp
from typing import Final

import numpy as np

from detectors import sequential
from detectors.sequential import GRID, Clumps, Counts, Floats
from observe.schema import Json

WEIGHTS: Final[Mapping[str, float]] = {"error": 0.4, "latency": 0.3, "prediction": 0.3, "agreement": 0.3}  # of families
AGREEMENT: Final = "agreement"
_GUARDS: Final = ("error", "latency")  # families of which a canary must be as good


@dataclass(slots=True)
class Question:
    """What is known of one question: evidence, clumps, and the counts of both sides."""

    ll: Floats = field(default_factory=lambda: np.zeros(GRID.size))
    clumps: Clumps = field(default_factory=Clumps)
    sums: Floats = field(default_factory=lambda: np.zeros(4))  # canary's events and all, the baseline's

    def add(self, row: Sequence[float]) -> None:
        """Take in one minute: events and all of the canary, then of the baseline."""
        x, n, y, m = row
        if n > 0 and m > 0:
            counts = Counts(*(np.array([v]) for v in (x, n, y, m)))
            self.ll = self.ll + sequential.gained(counts, np.array([self.clumps.phi()]))[0]
            self.sums += np.asarray(row)
        self.clumps.add(y, m)

    def add_declared(self, events: float, n: float, share: float) -> None:
        """Take in one minute of pairs: how many differ of all, against the share that may."""
        if n > 0:
            self.ll = self.ll + sequential.gained_against(events, n, share) / self.clumps.phi()
            self.sums += np.array([events, n, 0.0, 0.0])
        self.clumps.add(events, n)

    def dumped(self) -> Json:
        """As plain JSON."""
        c = self.clumps
        return {
            "ll": self.ll.tolist(),
            "clumps": [c.events, c.n, c.squares, c.minutes],
            "sums": self.sums.tolist(),
        }

    @classmethod
    def loaded(cls, state: Json) -> Question:
        """The inverse of `dumped`."""
        return cls(np.array(state["ll"]), Clumps(*state["clumps"]), np.array(state["sums"]))

    def needed(self, nats: float) -> float:
        """Further requests of both sides until a canary that is as good is known to be, on average."""
        x, n, y, m = self.sums.tolist()
        share, part = (x + y) / max(n + m, 1.0), n / max(n + m, 1.0)
        return sequential.needed(self.ll, share, part, nats) * self.clumps.phi()


def family(question: str) -> str:
    """What a question is about: error, latency, prediction or agreement."""
    return question.partition(":")[0]


def guards(questions: Mapping[str, Question]) -> dict[str, Question]:
    """Those that must be answered before a canary is as good: errors and latency that ever happened."""
    return {n: q for n, q in questions.items() if family(n) in _GUARDS and q.sums[0] + q.sums[2] > 0}


def weighted(questions: Sequence[str]) -> dict[str, float]:
    """Each question's part of the mean e-value; a family's part is shared by its questions, and parts sum to 1.

    >>> weighted(["error", "latency:ttft_s:p50", "latency:ttft_s:p99"])["error"].__round__(3)
    0.571
    """
    size = {f: sum(family(q) == f for q in questions) for f in {family(q) for q in questions}}
    parts = {q: WEIGHTS[family(q)] / size[family(q)] for q in questions}
    whole = sum(parts.values())
    return {q: part / whole for q, part in parts.items()}


def evidence(question: str, known: Question) -> float:
    """Nats against "the canary is like the baseline": worse, or for predictions different."""
    return sequential.differs(known.ll) if family(question) == "prediction" else sequential.worse(known.ll)


def times(question: str, ratio: float) -> float:
    """By how much a question stands out: rarer predictions count as much as more frequent ones."""
    return max(ratio, 1.0 / ratio) if family(question) == "prediction" else ratio


def e_value(nats: float) -> float:
    """The e-value of so many nats, finite."""
    return exp(min(nats, 700.0))


def words(question: str) -> str:
    """A question as people say it.

    >>> words("latency:ttft_s:p99"), words("prediction:10")
    ('ttft_s beyond the old p99', 'predictions in the highest tenth')
    """
    kind, _, rest = question.partition(":")
    if kind == "latency":
        column, _, quantile = rest.partition(":")
        return f"{column} beyond the old {quantile}"
    if kind == "prediction":
        return f"predictions in {_TENTHS.get(rest, f'tenth {rest} of 10')}"
    return "answers unlike the old version's" if kind == AGREEMENT else "errors"


_TENTHS: Final = {"1": "the lowest tenth", "10": "the highest tenth"}
