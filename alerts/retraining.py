"""When a drift asks for a new training, and what the trainer is told: which features moved, since when, how far.

Confirmed is a drift that has stayed for as long as the rule's `for:` says. What the labels show since then is told
beside it, and the rule's `needs:` says whether it decides:

    drift        confirmed drift is enough; whoever approves reads whether performance has suffered
    performance  a proven loss of performance is enough, whether a feature moved or not
    both         confirmed drift, and a proven loss

Where nothing is written: `drift` when a person approves, `both` when nobody does. Streams of missing, unseen and
failed values never ask for a training, and a feature of which one fires is not counted as moved: its pipeline is
broken, and a training would learn that.

Source: our own; METHODS section 9 for what performance is judged by.
Assumes: a finding of kind `performance` in state ok or alarm rests on labels of its window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

from alerts.wording import instant
from observe.schema import Action, Alert, Finding, Incident, Json

if TYPE_CHECKING:
    from observe.spec import ActionRule

Needs = Literal["drift", "performance", "both"]
NOT_DRIFT: Final = "/rate/"  # monitors of missing values and errors: a pipeline is broken, training would learn it
HELD: Final = "held"  # in parameters: why nothing is proposed although the rule's event came
_METRICS: Final = ("accuracy", "auc", "mae", "log_loss", "calibration", "bias")  # in the order people ask for them
_SHOWN: Final = 2  # metrics named in one line


@dataclass(frozen=True, slots=True)
class Performance:
    """What the labels say since the drift began, and the words for it."""

    state: Literal["lost", "kept", "unknown"]
    said: str


def calls_for(alert: Alert) -> bool:
    """Whether an alert is about a distribution that moved."""
    return alert.kind == "drift" and NOT_DRIFT not in alert.key


def concerns(rule: ActionRule, alert: Alert) -> bool:
    """Whether an alert is what a retrain rule waits for."""
    return alert.kind == "performance" if rule.proof == "performance" else calls_for(alert)


def performance(findings: Sequence[Finding], model: str, since: datetime) -> Performance:
    """What is known of a model's performance in windows that end after an instant.

    Args:
        findings: of kind `performance`, in any order; others are passed over.
        model: whose.
        since: start of the drift; what was judged before it tells nothing about it.
    """
    newest: dict[str, Finding] = {}
    for f in sorted(findings, key=lambda f: (f.window_end, f.finding_id)):
        if (
            f.kind == "performance"
            and f.model == model
            and (f.state not in ("ok", "unknown") or f.details.get("labelled"))
        ):
            newest[f.monitor_id] = f
    judged = sorted((f for f in newest.values() if f.state in ("ok", "alarm") and f.window_end > since), key=_rank)
    lost = [f for f in judged if f.state == "alarm"]
    if lost:
        return Performance("lost", "; ".join(f.note for f in lost[:_SHOWN]))
    if judged:
        return Performance("kept", ", ".join(_unchanged(f) for f in judged[:_SHOWN]))
    if newest:
        return Performance("unknown", "labels of the time since then are not in yet")
    return Performance("unknown", "no labels tell how it performs")


def is_held(action: Action) -> bool:
    """Whether a row only tells why nothing was proposed."""
    return HELD in action.parameters


def said_before(action: Action, actions: Sequence[Action]) -> bool:
    """Whether a held action was told before for the same reason; numbers may differ."""
    same = [a for a in actions if a.action_id == action.action_id and is_held(a)]
    known = action.parameters.get("performance_state")
    return is_held(action) and any(a.parameters.get("performance_state") == known for a in same)


def parameters(rule: ActionRule, incident: Incident, firing: Sequence[Alert], known: Performance) -> Json:
    """Features and pairs of them that moved, first instant of the data that differ, the measured effect, and what the labels say.

    Args:
        rule: what the team declared.
        incident: what it is about.
        firing: everything that fires now.
        known: what the labels say.

    Returns:
        The parameters of the action; with `held` where the rule does not let it be proposed.
    """
    mine = [a for a in firing if a.incident_id == incident.incident_id and a.kind == "drift"]
    broken = {a.subject for a in mine if NOT_DRIFT in a.key}
    pairs = {a.subject for a in mine if calls_for(a) and a.key.endswith("/pair")}
    features = sorted({a.subject for a in mine if calls_for(a)} - broken - pairs)
    told: Json = {
        "features": features, "since": instant(incident.since), "effect": incident.effect, "unit": incident.unit,
        "summary": incident.summary, "performance": known.said, "performance_state": known.state,
    }  # fmt: skip
    named: Json = {"pairs": sorted(pairs), "broken": sorted(broken)}
    left = {**told, **{what: names for what, names in named.items() if names}}
    why = _held(rule.proof, [*features, *pairs], broken, known)
    return {**left, HELD: why} if why else left


def _held(needs: Needs, features: Sequence[str], broken: set[str], known: Performance) -> str:
    """Why nothing is proposed; "" when it is."""
    if broken and not features:
        named = ", ".join(sorted(broken))
        return f"values of {named} are missing or new: mend the pipeline first, a training would learn the fault"
    if needs == "drift" or known.state == "lost":
        return ""
    what = "drift is confirmed, but " if needs == "both" else ""
    return f"{what}{known.said}: not proposed, the rule needs {'both' if needs == 'both' else 'a loss of performance'}"


def _rank(finding: Finding) -> tuple[int, str]:
    known = finding.subject in _METRICS
    return _METRICS.index(finding.subject) if known else len(_METRICS), finding.subject


def _unchanged(finding: Finding) -> str:
    """A metric that shows no loss, with how much of one an hour may hide."""
    name = finding.subject.replace("_", " ")
    if finding.ci_low is None or finding.ci_high is None:
        return finding.note
    within = max(abs(finding.ci_low), abs(finding.ci_high))
    unit = "σ" if finding.unit == "sigma" else finding.unit or ""
    return f"{name} unchanged within ±{within:.2g} {unit}".rstrip()
