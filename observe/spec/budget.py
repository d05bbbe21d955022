"""The site's promise of false alarms, divided over everything that may alarm.

One number of false alarms per severity is divided by part (SLO, drift, fleet), inside a part over
models that state a share and over the streams of the others, and for two-sided questions over both
sides. A stream with share s, judged W times in the period in which B false alarms are allowed, needs
`h = ln(W/(B*s))` nats. Of the drift part 20 % is always kept for features that arrive after the count
of streams was frozen (once a day): a newborn raises nobody's threshold before the next freeze, and
freezing an unchanged set changes none, so `observe check` shows what is in effect.

Source: METHODS sections 1.4, 4 (Cadence) and 6; ARCHITECTURE section 5, "One budget".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from math import log
from typing import Any, Final

from observe.schema import Monitor, Severity
from observe.spec.burn import YEAR_S, usable
from observe.spec.config import Config
from observe.spec.quantity import Rate
from observe.spec.streams import Draft

RESERVE: Final = 0.2  # of the drift part, for newborn streams


def threshold_nats(windows: float, allowed: float, share: float) -> float:
    """`h = ln(W/(B*share))`, never below 0.

    Args:
        windows: judged windows in the period.
        allowed: false alarms allowed in it, at the whole site.
        share: of one one-sided stream, 0-1.

    >>> round(threshold_nats(720, 1, 1 / 120), 2)  # 120 streams hourly, 1 per 30 d
    11.37
    """
    return max(0.0, log(windows / (allowed * share)))


def per_year(rate: Rate) -> float:
    """Events of a rate in a year of 360 d."""
    return rate.count * YEAR_S / rate.period_s


class Budget:
    """Divides the site's promise over drafts."""

    def __init__(self, config: Config, drafts: Sequence[Draft]) -> None:
        self._site = config.site
        self._stated = {
            m.name: m.monitoring.share
            for m in config.models.values()
            if m.monitoring is not None and m.monitoring.share is not None
        }
        self._weights: dict[tuple[str, str, bool], float] = defaultdict(float)
        for d in drafts:
            self._weights[self._pot(d)] += d.weight

    def _pot(self, draft: Draft) -> tuple[str, str, bool]:
        model = draft.monitor.model if draft.monitor.model in self._stated else ""
        return draft.part, model, draft.newborn

    def share(self, draft: Draft) -> float:
        """What one one-sided stream of `draft` may spend of the site's budget, 0-1."""
        part, model, newborn = self._pot(draft)
        whole = self._site.shares[draft.part]
        if part == "drift":
            whole *= RESERVE if newborn else 1 - RESERVE
        whole *= self._stated[model] if model else 1 - sum(self._stated.values()) if part != "fleet" else 1.0
        return whole * draft.weight / draft.sides / self._weights[self._pot(draft)]

    def with_threshold(self, draft: Draft) -> Monitor:
        """The draft's monitor with share and threshold."""
        monitor, one_side = draft.monitor, self.share(draft)
        if monitor.detector == "burn":
            return self._with_tiers(monitor, one_side)
        rate = self._site.false_alarms["page" if monitor.severity == "page" else "ticket"]
        needed = threshold_nats(rate.period_s / monitor.window_s, rate.count, one_side)
        return replace(monitor, share=one_side * draft.sides, threshold_nats=needed)

    def _with_tiers(self, monitor: Monitor, share: float) -> Monitor:
        """A burn monitor whose tiers know their gate; the share of each severity is split over its tiers."""
        alphas = {severity: per_year(rate) * share for severity, rate in self._site.false_alarms.items()}
        tiers = usable(monitor.params["objective"], monitor.params["window_s"])
        rows: list[dict[str, Any]] = []
        for t in tiers:
            alpha = alphas[t.severity] / sum(other.severity == t.severity for other in tiers)
            rows.append({
                "name": t.name, "severity": t.severity, "long_s": t.long_s, "short_s": t.short_s,
                "factor": t.factor(monitor.params["window_s"]), "alpha_per_year": alpha, "gate_nats": t.gate_nats(alpha),
            })  # fmt: skip
        params = {
            **monitor.params, "tiers": rows,
            "alpha_per_year": alphas["page"], "ticket_alpha_per_year": alphas["ticket"],
        }  # fmt: skip
        pages = monitor.severity == "page" and any(t.severity == "page" for t in tiers)
        severity: Severity = "page" if pages else "ticket"  # what opens tickets only does so in every tier
        gate = min(row["gate_nats"] for row in rows if row["severity"] == "page" or not pages)
        return replace(monitor, severity=severity, share=share, threshold_nats=gate, params=params)
