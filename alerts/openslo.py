"""OpenSLO v1: SLOs read from its documents, which may refer to each other, and written to it.

Source: OpenSLO specification v1 (github.com/OpenSLO/OpenSLO): kinds, names of fields and their meaning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from alerts import counting
from alerts.openslo_policy import policies, tiers_of
from alerts.openslo_window import period
from alerts.promise import Promise, Sli
from alerts.promql import number, within
from alerts.reading import Field
from observe.spec.nearest import did_you_mean

VERSION: Final = "openslo/v1"
REFERRED: Final = ("SLI", "AlertPolicy", "AlertCondition", "DataSource", "AlertNotificationTarget", "Service")
_BAD_WHEN: Final[Mapping[str, str]] = {"lte": ">", "lt": ">=", "gte": "<", "gt": "<="}
_META: Final[Mapping[str, Any]] = {"name": None, "displayName": None, "labels": {}, "annotations": {}}
_METRIC: Final[Mapping[str, Any]] = {"metricSource": {"metricSourceRef": None, "type": None, "spec": {}}}
_SLI: Final[Mapping[str, Any]] = {
    "description": None, "thresholdMetric": _METRIC,
    "ratioMetric": {"counter": None, "good": _METRIC, "bad": _METRIC, "total": _METRIC, "rawType": None, "raw": _METRIC},
}  # fmt: skip
_SLO: Final[Mapping[str, Any]] = {
    "description": None, "service": None, "indicator": {"metadata": _META, "spec": _SLI}, "indicatorRef": None,
    "timeWindow": {"duration": None, "isRolling": None, "calendar": {"startTime": None, "timeZone": None}},
    "budgetingMethod": None, "alertPolicies": {},
    "objectives": {
        "displayName": None, "op": None, "value": None, "target": None, "targetPercent": None,
        "timeSliceTarget": None, "timeSliceWindow": None,
    },
}  # fmt: skip
FIELDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "SLO": {"apiVersion": None, "kind": None, "metadata": _META, "spec": _SLO},
    "SLI": {"apiVersion": None, "kind": None, "metadata": _META, "spec": _SLI},
}


@dataclass(frozen=True, slots=True)
class Objects:
    """Documents that others refer to, by kind and name."""

    found: Mapping[tuple[str, str], Field]

    def of(self, kind: str, ref: Field) -> Field:
        """The document that a reference names.

        Raises:
            ConfigError: there is none.
        """
        name = ref.needed()
        if (kind, name) not in self.found:
            known = [other for k, other in self.found if k == kind]
            raise ref.refused(
                f"no {kind} named {name!r}", did_you_mean(name, known) or f"give the file with the {kind}, too"
            )
        return self.found[kind, name]


def objects(roots: Sequence[Field]) -> Objects:
    """What can be referred to.

    Raises:
        ConfigError: two of a kind share a name.
    """
    found: dict[tuple[str, str], Field] = {}
    for root in roots:
        key = (root("kind").text(), root("metadata", "name").needed())
        if key in found:
            raise root("metadata", "name").refused(
                f"{key[0]} {key[1]!r} is there twice", f"the first is at {found[key].where}"
            )
        found[key] = root
    return Objects(found)


def promises(root: Field, known: Objects) -> Iterator[Promise]:
    """The SLOs of one document of kind SLO: one for each objective.

    Raises:
        ConfigError: it cannot be kept.
    """
    name, spec = root("metadata", "name").needed(), root("spec")
    service, labels = spec("service").needed(), _plain(root("metadata", "labels"))
    over, objectives = period(spec), list(spec("objectives").items())
    if not objectives:
        raise spec("objectives").refused("an SLO needs objectives", "objectives: [{target: 0.999}]")
    alarm = policies(spec, known)
    named: set[str] = set()
    for i, objective in enumerate(objectives):
        told = re.sub(r"[^a-z0-9]+", "-", objective("displayName").text(str(i + 1)).lower()).strip("-") or str(i + 1)
        whole = name if len(objectives) == 1 else f"{name}.{told}" if told not in named else f"{name}.{i + 1}"
        named.add(told)
        tiers, after = tiers_of(alarm, over.window_s)
        yield Promise(
            slo_id=f"{service}.{whole}", service=service, name=whole, objective=_target(objective), window_s=over.window_s, calendar=over.calendar,
            sli=_sli(spec, objective, known), owner=labels.get("owner", labels.get("team", "")),
            description=spec("description").text(root("metadata", "displayName").text()), tiers=tiers, after_s=after, labels={"": _labels(labels)},
            annotations={"": _annotations(root)}, no_data=alarm.no_data, origin=root("metadata", "name").where,
        )  # fmt: skip


def _plain(labels: Field) -> dict[str, str]:
    """Labels of one value; those of several are told."""
    node = labels.node
    for key in node.keys if node is not None and node.keys is not None else ():
        if any(labels(key.text).items()):
            labels(key.text).note(f"label {key.text} has several values and is not kept")
    return labels.texts()


def _labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels that Prometheus can carry."""
    return {re.sub(r"[^a-zA-Z0-9_]", "_", name): value for name, value in labels.items() if name != "owner"}


def _annotations(root: Field) -> dict[str, str]:
    given = root("metadata", "annotations").texts()
    kept = {"runbook_url": ("runbook_url", "runbook"), "dashboard_url": ("dashboard_url", "dashboard")}
    for name in given:
        if not any(name in names for names in kept.values()):
            root("metadata", "annotations", name).note(
                f"annotation {name} is not kept; runbook_url and dashboard_url are"
            )
    found = {ours: next((given[name] for name in names if name in given), "") for ours, names in kept.items()}
    return {name: text for name, text in found.items() if text}


def _target(objective: Field) -> float:
    target, percent = objective("target"), objective("targetPercent")
    if target.given == percent.given:
        raise objective.refused("an objective needs either target or targetPercent", "target: 0.999")
    return percent.share() if percent.given else target.inside(target.number(), "between 0 and 1: 0.999")


def _sli(spec: Field, objective: Field, known: Objects) -> Sli:
    sli = spec("indicator", "spec") if spec("indicator").given else known.of("SLI", spec("indicatorRef"))("spec")
    method = spec("budgetingMethod").text("Occurrences")
    if sli("thresholdMetric").given:
        return _threshold(sli("thresholdMetric"), objective, known)
    made = _ratio(sli("ratioMetric"), known)
    if method == "Timeslices":
        return _slices(spec("budgetingMethod"), objective, made)
    if method != "Occurrences":
        raise spec("budgetingMethod").refused(f"budgeting by {method} is not kept", "Occurrences or Timeslices")
    return made


def _threshold(metric: Field, objective: Field, known: Objects) -> Sli:
    """Minutes in which a value is on the wrong side of the objective's."""
    operator = objective("op").needed()
    if operator not in _BAD_WHEN:
        raise objective("op").refused(f"op is never {operator!r}", did_you_mean(operator, _BAD_WHEN))
    query = _query(metric, known)
    if objective("timeSliceWindow").given:
        objective("timeSliceWindow").note("a threshold is looked at each minute: a slice is a minute")
    return counting.minutes(f"({query}) {_BAD_WHEN[operator]} {number(objective('value').number())}", query)


def _slices(method: Field, objective: Field, sli: Sli) -> Sli:
    """Minutes at whose end the slice behind them misses its target."""
    window = objective("timeSliceWindow")
    seconds = float(window.text()) * 60 if window.text().isdigit() else window.seconds()
    allowed = number(round(1 - objective("timeSliceTarget").number(), 12))
    method.note("time slices slide by a minute here; they are not cut at fixed times")
    if not sli.counts:
        ratio = within(sli.ratio, seconds)
        return counting.minutes(f"({ratio}) > {allowed}", ratio)
    seen = f"(sum({within(sli.total, seconds)}) > 0)"
    return counting.minutes(f"sum({within(sli.errors, seconds)}) / {seen} > {allowed}", seen)


def _ratio(ratio: Field, known: Objects) -> Sli:
    if not ratio.given:
        raise ratio.refused("an SLI needs a ratioMetric or a thresholdMetric")
    if ratio("raw").given:
        return _raw(ratio, known)
    part = "good" if ratio("good").given else "bad"
    if ratio("good").given == ratio("bad").given:
        raise ratio.refused("a ratioMetric needs either good or bad beside total")
    total, some = _query(ratio("total"), known), _query(ratio(part), known)
    if not ratio("counter").flag(True):
        ratio("counter").note("gauges are not counted: no evidence is asked for, so two errors can page")
        share = f"avg_over_time(({some})[$window:1m]) / avg_over_time(({total})[$window:1m])"
        return Sli(ratio=share if part == "bad" else f"1 - {share}")
    with ratio(part).refusing():
        return counting.events(total, **{"good" if part == "good" else "errors": some})


def _raw(ratio: Field, known: Objects) -> Sli:
    kind, query = ratio("rawType").needed(), _query(ratio("raw"), known)
    if kind not in {"success", "failure"}:
        raise ratio("rawType").refused(f"rawType is never {kind!r}", "success or failure")
    ratio("raw").note("a ratio without counts: no evidence is asked for, so two errors can page")
    with ratio("raw").refusing():
        return counting.share(query if kind == "failure" else f"1 - ({query})")


def _query(metric: Field, known: Objects) -> str:
    source = metric("metricSource")
    kind = source("type")
    if not kind.given and source("metricSourceRef").given:
        kind = known.of("DataSource", source("metricSourceRef"))("spec", "type")
    if not kind.given:
        source.note("no type is given: taken for Prometheus")
    if kind.text("prometheus").lower() not in {"prometheus", "mimir", "thanos", "cortex", "victoriametrics"}:
        raise kind.refused(f"Prometheus cannot ask {kind.text()}", "rules are made for metrics that Prometheus has")
    spec = source("spec")
    found = next((spec(name) for name in ("query", "promql", "expr") if spec(name).given), spec("query"))
    return found.needed()
