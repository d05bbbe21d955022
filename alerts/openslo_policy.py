"""OpenSLO's alert policies become burn tiers, and tiers become policies.

A condition has one window; the second one of a tier, which ends the alarm soon after the burn, is a twelfth of it.

Source: OpenSLO specification v1, AlertPolicy and AlertCondition; Google SRE Workbook, "Alerting on SLOs"
(short window = long / 12).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol

from alerts.reading import Field
from observe.spec.burn import TIERS, Tier

_PAGES: Final = frozenset({"page", "critical", "sev1", "p1", "high"})
_SHORTEST_S: Final = 300  # a shorter window sees too few scrapes
_FIELDS: Final = (
    "alertWhenBreaching",
    "alertWhenResolved",
    "alertWhenNoData",
    "conditions",
    "notificationTargets",
    "description",
)


class Known(Protocol):
    """Documents that can be referred to."""

    def of(self, kind: str, ref: Field) -> Field:
        """The document that a reference names."""
        ...


@dataclass(frozen=True, slots=True)
class Condition:
    """A burn rate over a window that somebody wants to know of."""

    name: str
    severity: Literal["page", "ticket"]
    factor: float
    long_s: int
    after_s: float


@dataclass(frozen=True, slots=True)
class Alarm:
    """What an SLO's policies ask for; without any, the usual tiers."""

    conditions: tuple[Condition, ...] = ()
    usual: bool = True
    no_data: bool = True


def policies(spec: Field, known: Known) -> Alarm:
    """The alarms of an SLO.

    Raises:
        ConfigError: a policy or condition cannot be kept, or is not there.
    """
    given = list(spec("alertPolicies").items())
    if not given:
        return Alarm()
    conditions, no_data = list[Condition](), False
    for item in given:
        policy = _resolved(item, known, "AlertPolicy", "alertPolicyRef")
        no_data |= policy("alertWhenNoData").flag(False)
        _tell(policy)
        if policy("alertWhenBreaching").flag(True):
            conditions += _conditions(policy, known)
    return Alarm(tuple(conditions), False, no_data)


def _resolved(item: Field, known: Known, kind: str, ref: str) -> Field:
    """The `spec` of what is written in place or referred to."""
    if item(ref).given:
        return known.of(kind, item(ref))("spec")
    return item("spec") if item("spec").given else known.of(kind, item)("spec")


def _tell(policy: Field) -> None:
    if policy("notificationTargets").given:
        policy("notificationTargets").note("who is told is Alertmanager's to route, by severity, service and owner")
    if policy("alertWhenResolved").flag(False):
        policy("alertWhenResolved").note("whether resolving is told is the receiver's send_resolved")
    if not policy("alertWhenBreaching").flag(True):
        policy("alertWhenBreaching").note("a policy that does not alert when breached makes no rule of its conditions")
    node = policy.node
    for key in node.keys if node is not None and node.keys is not None else ():
        if key.text not in _FIELDS:
            policy(key.text).note(f"field {key.text!r} is unknown to openslo/v1 and not used")


def _conditions(policy: Field, known: Known) -> Iterator[Condition]:
    for item in policy("conditions").items():
        whole = known.of("AlertCondition", item("conditionRef")) if item("conditionRef").given else item
        spec, asked = whole("spec"), whole("spec", "condition")
        kind, severity = asked("kind").text("burnrate"), spec("severity").needed()
        if kind.lower() != "burnrate":
            raise asked("kind").refused(f"a condition of kind {kind!r} is not kept", "burnrate")
        if asked("op").text("gte") not in {"gt", "gte"}:
            raise asked("op").refused(f"a burn that is {asked('op').text()} its threshold is no alarm", "gt or gte")
        ours: Literal["page", "ticket"] = "page" if severity.lower() in _PAGES else "ticket"
        if severity not in {"page", "ticket"}:
            spec("severity").note(f"severity {severity!r} is taken for {ours!r}")
        after = asked("alertAfter").seconds() if asked("alertAfter").given else 0.0
        if asked("lookbackWindow").seconds() < _SHORTEST_S:
            said = f"a look-back of {asked('lookbackWindow').text()} sees too few scrapes"
            raise asked("lookbackWindow").refused(said, "at least 5m")
        yield Condition(
            whole("metadata", "name").text(f"{ours}-{asked('lookbackWindow').text()}"), ours,
            asked("threshold").number(), int(asked("lookbackWindow").seconds()), after,
        )  # fmt: skip


def tiers_of(alarm: Alarm, window_s: float) -> tuple[tuple[Tier, ...], Mapping[str, float]]:
    """Tiers over a period, and how long each must hold before it alerts, s."""
    if alarm.usual:
        return TIERS, {}
    conditions = _distinct(alarm.conditions)
    made = tuple(
        Tier(c.name, c.severity, c.long_s, max(_SHORTEST_S, c.long_s // 12 // 60 * 60), c.factor * c.long_s / window_s)
        for c in conditions
    )
    return made, {c.name: c.after_s for c in conditions if c.after_s}


def _distinct(conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """Conditions without those that ask the same, under names that differ: the name is the label of the alert."""
    found: list[Condition] = []
    for condition in conditions:
        if any(replace(condition, name=other.name) == other for other in found):
            continue
        names = {other.name for other in found}
        spare = (f"{condition.name}-{i}" for i in range(2, len(conditions) + 2))
        found.append(
            condition
            if condition.name not in names
            else replace(condition, name=next(n for n in spare if n not in names))
        )
    return tuple(found)
