"""What one question about a feature found, in the reader's terms: before, now, and how sure that is.

A location is told by its median, a spread by the middle half, a share as a share, a pair by its correlation.

Source: METHODS section 4, "After an alarm"; section 5 for shares that are counted as rates.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np

from dashboards import words
from dashboards.report_facts import at_sigma, watched
from dashboards.scope import Scope
from observe.schema import OWN_LEVELS

Finding = Mapping[str, Any]
Bins = Mapping[str, Any]
SHARE: Final = "share:"
OTHER: Final = "(other)"
_SHARES: Final = frozenset({"share", "missing", "unseen", "exceedance"})  # rates that are no level's
_NAMES: Final = {
    "location": "location", "spread": "spread", "third": "skew", "fourth": "tails", "pair": "correlation", "missing": "missing values",
    "unseen": "unknown levels", "share": "share", "exceedance": "above the usual p99",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Told:
    """A figure before and now, with the 95 % interval of the latter where one is known."""

    name: str  # median | middle half | share | correlation
    before: float | None
    now: float | None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    share: bool = False
    digits: int = 3

    def bare(self, value: float | None) -> str:
        """One of its figures as people read it, without the unit."""
        return words.share(value) if self.share else words.number(value, self.digits)

    @property
    def change(self) -> str:
        """`31 → 44 EUR`."""
        return f"{self.bare(self.before)} → {self.bare(self.now)} {self.unit}".rstrip()

    @property
    def interval(self) -> str | None:
        """The 95 % interval of what is now; None where none is known."""
        if not words.known(self.low) or not words.known(self.high):
            return None
        low, high = sorted((self.low or 0.0, self.high or 0.0))
        return f"{self.bare(low)} to {self.bare(high)} {self.unit}".rstrip()


def score(finding: Finding) -> str:
    """What a question watches, as its monitor's id has it: location, share:visa, missing."""
    return watched(str(finding["monitor_id"]), str(finding["subject"])).removesuffix(", fast")


def fast(finding: Finding) -> bool:
    """Whether it is the quick question that looks for large shifts only."""
    return str(finding["monitor_id"]).endswith("/location_fast")


def pair(finding: Finding) -> bool:
    """Whether it is about two features together."""
    return bool(finding["detector"] == "level") and score(finding) == "pair"


def since(finding: Finding) -> datetime | None:
    """When the change began that a finding tells; None where it tells none."""
    at: datetime | None = finding["onset"]
    return at if finding["state"] in ("alarm", "inform_only") else None


def details(finding: Finding) -> dict[str, Any]:
    """The numbers of a finding that are numbers."""
    found = json.loads(finding["details"] or "{}")
    return {k: v for k, v in found.items() if not isinstance(v, float) or math.isfinite(v)}


def name(finding: Finding, bins: Bins | None = None) -> str:
    """What is watched, in words.

    >>> name({"monitor_id": "fraud/level/card/share:visa", "subject": "card"})
    'share of visa'
    """
    found = score(finding)
    if found.startswith(SHARE):
        return f"share of {level(finding, bins)}"
    return _NAMES.get(found, found) + (", fast" if fast(finding) else "")


def level(finding: Finding, bins: Bins | None = None) -> str:
    """The level whose share a question watches; one with an odd name stands in its monitor's id by rank."""
    found = score(finding).removeprefix(SHARE)
    levels = (bins or {}).get("levels") or ()
    if found == OTHER:
        return "other levels"
    rank = int(found[1:]) if found.startswith("#") and found[1:].isdigit() else 0
    return str(levels[rank - 1]) if 0 < rank <= len(levels) else found


def told(finding: Finding, bins: Bins | None, unit: str = "") -> Told | None:
    """The figure a question is about, before and now; None for the shape's scores, which have none.

    Args:
        finding: the newest of its monitor.
        bins: newest binning of the feature, where there is one.
        unit: of the feature, for people.
    """
    if finding["detector"] == "rate":
        return _rate(finding)
    if score(finding).startswith(SHARE):
        return _share(finding, bins)
    made = {"location": _median, "spread": _half, "pair": _correlation}.get(score(finding))
    return made(finding, bins, unit) if made else None


def _rate(finding: Finding) -> Told:
    known = details(finding)
    now, effect = known.get("share_to"), finding["effect"]
    if since(finding) is None or now is None or not effect:
        return Told("share", known.get("share_from"), known.get("share"), share=True)
    low, high = (min(1.0, now * ci / effect) if words.known(ci) else None for ci in _interval(finding))
    return Told("share", known.get("share_from"), now, low, high, share=True)


def _share(finding: Finding, bins: Bins | None) -> Told:
    known = details(finding)
    before, now = known.get("share_from"), known.get("share_to")
    if before is None or now is None:
        before, now = _of_score(known, reference_share(finding, bins))
    low, high = (
        _clip(before + ci / 100) if before is not None and words.known(ci) else None for ci in _interval(finding)
    )
    return Told("share", before, now, low, high, share=True)


def _of_score(known: Mapping[str, Any], p: float | None) -> tuple[float | None, float | None]:
    """Share expected and seen, from a score in standard deviations of one row's share."""
    if p is None or "delta_sigma" not in known:
        return p, None
    deviation = math.sqrt(p * (1 - p))
    seen = float(known["score"])
    return _clip(p + deviation * (seen - known["delta_sigma"])), _clip(p + deviation * seen)


def reference_share(finding: Finding, bins: Bins | None) -> float | None:
    """The share of a level in the reference, 0-1; None where it is not known."""
    if bins is None or not bins.get("levels"):
        return None
    counts, names = np.asarray(bins["reference"], dtype=float), [str(x) for x in bins["levels"]]
    if score(finding) == SHARE + OTHER:
        kept = counts[OWN_LEVELS : len(names)].sum()
    else:
        wanted = level(finding, bins)
        kept = counts[names.index(wanted)] if wanted in names else None
    return None if kept is None or not counts.sum() else float(kept / counts.sum())


def _median(finding: Finding, bins: Bins | None, unit: str) -> Told | None:
    known, quantiles = details(finding), (bins or {}).get("quantiles")
    before, now = known.get("median_from"), known.get("median_to")
    if before is None or now is None:
        return None
    low, high = (at_sigma(quantiles, ci) if quantiles and words.known(ci) else None for ci in _interval(finding))
    return Told("median", before, now, low, high, unit)


def _half(finding: Finding, bins: Bins | None, unit: str) -> Told | None:
    known = details(finding)
    before, now = known.get("iqr_from"), known.get("iqr_to")
    if before is None or now is None:
        return None
    low, high = (before * ci if words.known(ci) else None for ci in _interval(finding))
    return Told("middle half", before, now, low, high, f"{unit} wide".strip())


def _correlation(finding: Finding, bins: Bins | None, unit: str) -> Told | None:
    known = details(finding)
    before, now = known.get("correlation_from"), known.get("correlation_to")
    if (before is None or now is None) and {"score", "delta_sigma"} <= known.keys():
        before, now = known["score"] - known["delta_sigma"], known["score"]
    if before is None or now is None:
        return None
    low, high = (before + ci if words.known(ci) else None for ci in _interval(finding))
    return Told("correlation", before, now, low, high, digits=2)


def _interval(finding: Finding) -> tuple[Any, Any]:
    return finding["ci_low"], finding["ci_high"]


def _clip(share: float) -> float:
    return min(1.0, max(0.0, share))


def facts(finding: Finding, bins: Bins | None, unit: str, view: Scope) -> list[tuple[str, Any]]:
    """The figures of a question that changed or did not: effect, before and now, since when, how sure."""
    figure = told(finding, bins, unit)
    effect = None if finding["effect"] is None else words.effect(finding["effect"], finding["unit"])
    span = words.interval(finding["ci_low"], finding["ci_high"]) if words.known(finding["ci_low"]) else None
    return [
        ("factor" if finding["unit"] == "ratio" else "effect", effect),
        ("95 % interval", span),
        (figure.name if figure else "", figure.change if figure and figure.now is not None else None),
        ("95 % interval of now", figure.interval if figure and figure.now is not None else None),
        ("since", onset(finding, view)),
        ("evidence", evidence(finding)),
    ]


def onset(finding: Finding, view: Scope) -> str | None:
    """The most likely start, with how sure that is where it is not sure."""
    if since(finding) is None:
        return None
    at, low, high = (words.clock(finding[k], view.now) for k in ("onset", "onset_low", "onset_high"))
    if finding["onset_low"] is None or low == high:
        return at
    return f"{at} (±{words.span((finding['onset_high'] - finding['onset_low']) / 2)})"


def evidence(finding: Finding) -> str | None:
    """How strong the evidence is beside what an alarm needs."""
    if not words.known(finding["evidence_nats"]) or not words.known(finding["threshold_nats"]):
        return None
    return f"{words.number(finding['evidence_nats'])} of {words.number(finding['threshold_nats'])} nats"


def smallest(finding: Finding) -> str | None:
    """The smallest lasting change of this question that is found within a day, in its unit."""
    known = details(finding)
    least, units = known.get("min_detectable_24h"), known.get("min_detectable_24h_units")
    if finding["unit"] == "pp":
        return f"{words.number(units, 2)} pp" if units else None
    if finding["detector"] == "rate":
        return f"{words.size(least)}×" if least else None
    return f"{words.number(least, 2)} σ" if least and finding["unit"] in ("σ", "sigma") else None
