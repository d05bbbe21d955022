"""The four burn tiers of an SLO, and which of them can ever fire.

Source: Google SRE Workbook, "Alerting on SLOs", table 5-8; factor = share of the budget x period / long window.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log, pi
from typing import Final, Literal

LEAST_FACTOR: Final = 0.9  # of the table's own windows the chronic tier over 28 d asks for least: 0.933
YEAR_S: Final = 360 * 86_400.0  # twelve months of 30 d, the year of the gate's constants


@dataclass(frozen=True, slots=True)
class Tier:
    """Two windows that must both burn: `budget` of the error budget gone within `long_s`."""

    name: str
    severity: Literal["page", "ticket"]
    long_s: int
    short_s: int
    budget: float  # fraction of the error budget

    def factor(self, period_s: float) -> float:
        """Burn rate, in multiples of the sustainable one, at which the tier fires.

        Over short periods the share of the budget asks for less than what spends the budget in time, and nobody is
        to be disturbed by that: it is 1 then.

        >>> round(TIERS[0].factor(30 * 86_400), 3), round(TIERS[3].factor(28 * 86_400), 3), TIERS[0].factor(86_400)
        (14.4, 0.933, 1.0)
        """
        factor = self.budget * period_s / self.long_s
        return factor if factor > LEAST_FACTOR else 1.0

    def can_fire(self, objective: float, period_s: float) -> bool:
        """Whether a total outage would reach the factor, and the long window fits into the period."""
        return self.factor(period_s) * (1 - objective) < 1 and self.long_s < period_s

    def outage_s(self, objective: float, period_s: float) -> float:
        """How long a total outage lasts before the long window reaches the factor, s."""
        return self.factor(period_s) * (1 - objective) * self.long_s

    def convinced_s(self, objective: float, period_s: float, gate: float, state: tuple[int, float]) -> float | None:
        """How long a total outage of an SLO over minutes lasts before the tier has its evidence, too, s; None: never.

        Args:
            objective: 0-1.
            period_s: of the objective, s.
            gate: evidence asked for, nats.
            state: events a minute, and how many of a bad state are one event.

        >>> TIERS[0].convinced_s(0.99, 30 * 86_400, 11.1, (1, 60.0)), TIERS[1].convinced_s(0.99, 30 * 86_400, 9.4, (1, 60.0))
        (None, 11040.0)
        """
        units, together = state
        allowed = self.long_s / 60 * units * (1 - objective) / together
        for minute in range(ceil(self.outage_s(objective, period_s) / 60), self.long_s // 60 + 1):
            e = minute * units / together
            if e > allowed and e * log(e / allowed) - e + allowed - 0.5 * log(max(e, 1.0) / (2 * pi)) > gate:
                return 60.0 * minute
        return None

    def gate_nats(self, alpha_per_year: float) -> float:
        """Evidence the gate asks for when `alpha_per_year` false alarms a 360-day year are allowed.

        >>> round(TIERS[0].gate_nats(0.5), 3), round(TIERS[1].gate_nats(0.5), 3)
        (9.757, 7.966)
        """
        return log(YEAR_S / (self.long_s * alpha_per_year))


TIERS: Final = (
    Tier("page-fast", "page", 3_600, 300, 0.02),
    Tier("page-slow", "page", 21_600, 1_800, 0.05),
    Tier("ticket-sustained", "ticket", 86_400, 7_200, 0.10),
    Tier("ticket-chronic", "ticket", 259_200, 21_600, 0.10),
)


def usable(objective: float, period_s: float) -> tuple[Tier, ...]:
    """The tiers that can fire for an objective (0-1) over a period (s)."""
    return tuple(t for t in TIERS if t.can_fire(objective, period_s))
