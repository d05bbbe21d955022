"""Those who push pages, each for itself: when it was last heard, with how many rows, how late they came.

A source that is sent to us is many nodes behind one address. While one of them speaks the source is
heard, so each is remembered here and told once a minute as a run of its own, target `push/<cluster>/<node>`;
its rows are part of those of the whole source, target `push`. So many are told apart; one that was
silent for a day makes room, what there is no room for is told together.

Source: our own; TRUST section 2: whoever may send must not fill memory or disk by inventing names.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from collectors.cardinality import OTHER
from observe.app.targets import MAX_TARGETS
from observe.schema import CollectorRun

PUSH: Final = "push"  # target of a run that tells of a pushed source
FORGOTTEN: Final = timedelta(days=1)  # after which a silent sender makes room


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of one sender since the start."""

    at: datetime
    pages: int
    rows: int
    lag_s: float | None


Sender = tuple[str, str]  # source, name


def name_of(target: str, cluster: str) -> str:
    """The name of a sender; nodes of two clusters may share one.

    >>> name_of("gpu-1", "eu-west"), name_of("gpu-1", ""), name_of("", "")
    ('eu-west/gpu-1', 'gpu-1', '(no name)')
    """
    return f"{cluster}/{target or '(no name)'}" if cluster else target or "(no name)"


class Senders:
    """Counts pages by sender; safe to call from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[Sender, Heard] = OrderedDict()  # longest silent first

    def heard(self, sender: Sender, at: datetime, rows: int, lag_s: float | None) -> None:
        """Count a page whose rows are durable.

        Args:
            sender: source and name.
            at: when.
            rows: stored of it.
            lag_s: age of its newest row, s; None without rows.
        """
        with self._lock:
            if sender not in self._known and not self._room(at):
                sender = sender[0], OTHER
            before = self._known.get(sender)
            pages, sum_of = (before.pages, before.rows) if before else (0, 0)
            self._known[sender] = Heard(at, pages + 1, sum_of + rows, lag_s)
            self._known.move_to_end(sender)

    def _room(self, at: datetime) -> bool:
        """Whether there is room for one more."""
        if len(self._known) < MAX_TARGETS:
            return True
        longest, heard = next(iter(self._known.items()))
        if at - heard.at > FORGOTTEN:
            del self._known[longest]
        return len(self._known) < MAX_TARGETS

    def told(self) -> Mapping[Sender, Heard]:
        """What every sender has come to."""
        with self._lock:
            return dict(self._known)


def runs(before: Mapping[Sender, Heard], after: Mapping[Sender, Heard]) -> Iterator[CollectorRun]:
    """A run for each sender that spoke between two tellings, at the instant it was last heard."""
    for (source, name), heard in sorted(after.items()):
        known = before.get((source, name))
        if known is None or heard.pages != known.pages:
            since = 0 if known is None or known.pages > heard.pages else known.rows
            rows = heard.rows - since
            yield CollectorRun(heard.at, source, f"{PUSH}/{name}", True, rows, rows, {}, heard.lag_s, None)
