"""What a retrain action hands to the trainer: which features moved, since when, and how far.

It is proposed only for a drift that has stayed for as long as the rule's `for:` says.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Sequence

from alerts.wording import instant
from observe.schema import Alert, Incident, Json

NOT_DRIFT = "/rate/"  # monitors of missing values and errors: a pipeline is broken, training would learn it


def calls_for(alert: Alert) -> bool:
    """Whether an alert is about a distribution that moved."""
    return alert.kind == "drift" and NOT_DRIFT not in alert.key


def parameters(incident: Incident, firing: Sequence[Alert]) -> Json:
    """Features that moved, first instant of the data that differ, and the measured effect."""
    features = sorted({a.subject for a in firing if a.incident_id == incident.incident_id and calls_for(a)})
    return {
        "features": features, "since": instant(incident.since), "effect": incident.effect, "unit": incident.unit,
        "summary": incident.summary,
    }  # fmt: skip
