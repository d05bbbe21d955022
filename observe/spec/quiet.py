"""What is muted at an instant, by a person or by the calendar of the files; whoever tells and whoever shows ask the same.

Source: our own; docs/delivery.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from observe.spec.receiving import Maintenance

EVERYTHING: Final = "*"
_MOST: Final = 1000  # mutes that follow one another without a gap; enough is enough

Names = frozenset[str]  # everything that one alert may be muted by


@dataclass(frozen=True, slots=True)
class Mute:
    """One object muted by a person for a while, half-open."""

    object: str
    start: datetime
    end: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Quiet:
    """Everything that is muted at any time."""

    muted: Sequence[Mute] = ()
    calendar: Sequence[tuple[Maintenance, Names]] = field(default=())  # and the models it is about

    def until(self, names: Names, at: datetime) -> tuple[datetime, str] | None:
        """Until when an alert that is muted at an instant stays so, and why; None when it is not."""
        found = [(m.end, f"muted by {m.why}") for m in self.muted if m.object in names and m.start <= at < m.end]
        for maintenance, models in self.calendar:
            if names & models and (end := maintenance.until(at)) is not None:
                found.append((end, f"maintenance: {maintenance.why}"))
        return max(found, default=None)

    def free(self, each: Sequence[Names], at: datetime) -> datetime:
        """The first instant from `at` on at which not all of these alerts are muted."""
        for _ in range(_MOST):
            ends = [found[0] for names in each if (found := self.until(names, at)) is not None]
            if len(ends) < len(each):
                return at
            at = min(ends)
        return at

    def why(self, each: Sequence[Names], at: datetime) -> str:
        """Why these alerts are muted at an instant; "" when they are not."""
        found = [self.until(names, at) for names in each]
        told = [f[1] for f in found if f is not None]
        return told[0] if told and len(told) == len(found) else ""
