"""What time it is, as told to the stages: the wall, or replayed event time.

Source: our own. Only `observe.app` makes a wall clock; every stage is handed one, so replay
and tests run the same code over event time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Anything that tells the time."""

    def now(self) -> datetime:
        """The present instant, aware UTC."""
        ...


class WallClock:
    """The machine's clock, in UTC."""

    def now(self) -> datetime:
        """The present instant, aware UTC."""
        return datetime.now(UTC)  # noqa: TID251 - the one place that reads the machine's clock


class RisingClock:
    """A clock that never goes back: what it stamps is in the order of the stamping, whatever the machine's clock does."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._highest = clock, clock.now()

    def now(self) -> datetime:
        """The latest instant the other clock has told."""
        self._highest = max(self._highest, self._clock.now())
        return self._highest


@dataclass(slots=True)
class EventClock:
    """A clock that stands where it was put; replay and tests move it."""

    instant: datetime

    def now(self) -> datetime:
        """The instant it was set to."""
        return self.instant

    def set(self, instant: datetime) -> None:
        """Move to `instant` (aware UTC)."""
        self.instant = instant
