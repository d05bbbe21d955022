"""From a finding's state to what people see; nothing is ok when it is stale or too small.

Source: our own, after UX.md.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from dashboards.cards import Badge

STALE_AFTER = timedelta(minutes=15)  # an SLO is judged every minute
STALE_DRIFT = timedelta(hours=3)  # drift is judged on hourly merges
_UNSURE = {
    "too_few": "too few", "learning": "learning", "not_identifiable": "not identifiable", "unknown": "unknown",
    "expected": "change announced",
}  # fmt: skip


def finding_badge(state: str, severity: str, at: datetime, now: datetime, limit: timedelta = STALE_AFTER) -> Badge:
    """The badge of a finding judged at `at`.

    Args:
        state: of the finding.
        severity: what its alarm becomes: page | ticket | inform.
        at: end of the judged window.
        now: the page's instant.
        limit: an older finding counts as stale.
    """
    if state == "alarm":
        return severity_badge(severity)
    if now - at > limit:
        return Badge("unknown", "stale")
    if state in _UNSURE:
        return Badge("unknown", _UNSURE[state])
    return Badge("info", "inform only") if state == "inform_only" else Badge("ok", "ok")


def severity_badge(severity: str) -> Badge:
    """The badge of something that alarms."""
    return Badge(severity, severity) if severity in ("page", "ticket") else Badge("info", "inform")


def worst(badges: list[Badge]) -> Badge:
    """The badge that needs a person most; unknown outranks ok, for silence is not health."""
    order = ("page", "ticket", "unknown", "info", "ok")
    return min(badges, key=lambda b: order.index(b.state), default=Badge("unknown", "no data"))
