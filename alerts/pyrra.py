"""Pyrra's `ServiceLevelObjective`: SLOs read from it and written to it.

Source: github.com/pyrra-dev/pyrra, custom resource `pyrra.dev/v1alpha1`: names of fields and their meaning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from alerts import counting
from alerts.promise import Promise, Sli
from alerts.reading import Field
from observe.spec.burn import TIERS, Tier
from observe.spec.quantity import write_duration

VERSION: Final = "pyrra.dev/v1alpha1"
KIND: Final = "ServiceLevelObjective"
_PREFIX: Final = "pyrra.dev/"
_METRIC: Final[Mapping[str, Any]] = {"metric": None}
FIELDS: Final[Mapping[str, Any]] = {
    "apiVersion": None, "kind": None, "status": {},
    "metadata": {"name": None, "namespace": None, "labels": {}, "annotations": {}},
    "spec": {
        "target": None, "window": None, "description": None, "partial_response_strategy": None,
        "alerting": {"disabled": None, "burnrates": None, "absent": None, "name": None, "absentName": None},
        "indicator": {
            "ratio": {"errors": _METRIC, "total": _METRIC, "grouping": None},
            "latency": {"success": _METRIC, "total": _METRIC, "grouping": None},
            "latencyNative": {"total": _METRIC, "latency": None, "grouping": None},
            "bool_gauge": {"metric": None, "grouping": None},
        },
    },
}  # fmt: skip
_COUNTER = re.compile(r"sum\(increase\((.*)\[\$window\]\)\)", re.DOTALL)


def promise(root: Field) -> Promise:
    """The SLO of one document.

    Raises:
        ConfigError: it cannot be kept.
    """
    name, spec = root("metadata", "name").needed(), root("spec")
    labels, annotations = (_propagated(root("metadata", kind)) for kind in ("labels", "annotations"))
    service = labels.pop("service", "") or root("metadata", "namespace").text() or name
    owner = labels.pop("owner", "") or labels.get("team", "")
    _tell(spec)
    return Promise(
        slo_id=f"{service}.{name}", service=service, name=name, objective=spec("target").share(),
        window_s=_window(spec("window")), sli=_sli(spec("indicator")), owner=owner,
        description=spec("description").text(), tiers=_tiers(spec("alerting")), labels={"": labels}, annotations={"": annotations},
        no_data=spec("alerting", "absent").flag(True), origin=root("metadata", "name").where,
    )  # fmt: skip


def _window(window: Field) -> float:
    """The last so long; Pyrra knows neither months nor calendars."""
    if window.text()[-1:] in {"M", "Q", "Y"}:
        raise window.refused(f"Pyrra's windows roll over days or weeks, and {window.text()} is neither", "30d, 4w")
    return window.seconds()


def _propagated(given: Field) -> dict[str, str]:
    """What Pyrra hands on to alerts, without its prefix; the rest is Kubernetes' and told."""
    texts = given.texts()
    rest = [name for name in texts if not name.startswith(_PREFIX)]
    if rest:
        given.note(f"{', '.join(rest)}: only what begins with {_PREFIX} goes onto alerts")
    return {name.removeprefix(_PREFIX): text for name, text in texts.items() if name.startswith(_PREFIX)}


def _tell(spec: Field) -> None:
    for name in ("name", "absentName"):
        field = spec("alerting", name)
        if field.given:
            field.note(f"alerts go by SloBurn and SloNoData, not {field.text()!r}")
    for kind in ("ratio", "latency", "bool_gauge"):
        grouping = spec("indicator", kind, "grouping")
        if grouping.given:
            groups = ", ".join(item.text() for item in grouping.items())
            grouping.note(f"grouping by {groups} is not kept: all groups are judged together")
    if spec("partial_response_strategy").given:
        spec("partial_response_strategy").note("partial_response_strategy is Thanos' and not kept")


def _tiers(alerting: Field) -> tuple[Tier, ...]:
    return TIERS if alerting("burnrates").flag(True) and not alerting("disabled").flag(False) else ()


def _sli(indicator: Field) -> Sli:
    ratio, latency, gauge = indicator("ratio"), indicator("latency"), indicator("bool_gauge", "metric")
    if ratio.given:
        with ratio.refusing():
            return counting.events(ratio("total", "metric").needed(), ratio("errors", "metric").needed())
    if latency.given:
        with latency.refusing():
            return counting.events(latency("total", "metric").needed(), good=latency("success", "metric").needed())
    if gauge.given:
        metric = gauge.needed()
        if not counting.is_selector(metric):
            raise gauge.refused(f"{metric!r} is not a vector selector")
        seen = f"sum(count_over_time({metric}[$window]))"
        return Sli(seen, f"clamp_min({seen} - sum(sum_over_time({metric}[$window])), 0)", by_time=True)
    if indicator("latencyNative").given:
        hint = "count with latency: {success: {metric: x_bucket{le=...}}, total: {metric: x_count}}"
        raise indicator("latencyNative").refused("native histograms are not counted by these rules", hint)
    raise indicator.refused("an SLO needs an indicator: ratio, latency or bool_gauge")


def documents(found: Sequence[Promise], notes: list[str]) -> list[dict[str, Any]]:
    """SLOs as Pyrra objects; those that are not two plain counters are noted and left out."""
    made = []
    for each in found:
        indicator = _indicator(each.sli) if each.sli is not None else None
        if indicator is None:
            notes.append(f"{each.slo_id} is left out: Pyrra counts two plain counters, and it is not made of them")
            continue
        labels = {f"{_PREFIX}service": each.service, **({f"{_PREFIX}owner": each.owner} if each.owner else {})}
        labels |= {f"{_PREFIX}{name}": value for name, value in each.given("labels", "").items()}
        spec: dict[str, Any] = {"target": f"{100 * each.objective:.12g}", "window": write_duration(each.window_s)}
        if each.description:
            spec["description"] = each.description
        if not each.usable:
            spec["alerting"] = {"burnrates": False}
        if each.calendar:
            notes.append(
                f"{each.slo_id}: Pyrra has no calendar windows; {each.over} is written as {write_duration(each.window_s)}"
            )
        metadata = {"name": object_name(each), "labels": labels}
        made.append(
            {"apiVersion": VERSION, "kind": KIND, "metadata": metadata, "spec": {**spec, "indicator": indicator}}
        )
    return made


def object_name(promise: Promise) -> str:
    """What the object of an SLO is called."""
    return re.sub(r"[^a-z0-9.-]+", "-", promise.name.lower())


def can_say(sli: Sli) -> bool:
    """Whether it is two plain counters, which is all that Pyrra counts."""
    return _indicator(sli) is not None


def _indicator(sli: Sli) -> dict[str, Any] | None:
    total, part = _COUNTER.fullmatch(sli.total), _COUNTER.fullmatch(sli.good or sli.errors)
    if total is None or part is None:
        return None
    whole = {"metric": total[1]}
    if sli.good:
        return {"latency": {"success": {"metric": part[1]}, "total": whole}}
    return {"ratio": {"errors": {"metric": part[1]}, "total": whole}}
