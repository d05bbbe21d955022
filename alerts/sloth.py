"""Sloth's `prometheus/v1`: SLOs read from it and written to it.

Source: sloth.dev and pkg.go.dev/github.com/slok/sloth/pkg/prometheus/api/v1: names of fields and their meaning.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from alerts import counting
from alerts.promise import WINDOW, WINDOW_S, Promise, Sli
from alerts.reading import Field
from observe.spec.burn import TIERS, Tier
from observe.spec.quantity import write_duration

VERSION: Final = "prometheus/v1"
PERIOD_S: Final = 30 * 86_400.0  # Sloth's default; files do not say
OURS: Final = ("slo_id", "service", "owner", "severity", "burn_tier", "alertname")  # labels that only we set
_ALERT: Final[Mapping[str, Any]] = {"disable": None, "labels": {}, "annotations": {}}
FIELDS: Final[Mapping[str, Any]] = {
    "version": None, "service": None, "labels": {}, "slo_plugins": {},
    "slos": {
        "name": None, "objective": None, "description": None, "labels": {}, "plugins": {},
        "sli": {
            "events": {"error_query": None, "total_query": None}, "raw": {"error_ratio_query": None},
            "plugin": {"id": None, "options": {}},
        },
        "alerting": {
            "name": None, "labels": {}, "annotations": {}, "page_alert": _ALERT, "ticket_alert": _ALERT,
        },
    },
}  # fmt: skip


def promises(root: Field) -> Iterator[Promise]:
    """The SLOs of one file.

    Raises:
        ConfigError: an SLO cannot be kept.
    """
    service = root("service").needed()
    for name in ("slo_plugins",):
        if root(name).given:
            root(name).note(f"{name} are Sloth's own and not kept")
    for slo in root("slos").items():
        yield _promise(root, service, slo)


def _promise(root: Field, service: str, slo: Field) -> Promise:
    name, alerting = slo("name").needed(), slo("alerting")
    if slo("plugins").given:
        slo("plugins").note("plugins are Sloth's own and not kept")
    common = {**root("labels").texts(), **slo("labels").texts()}
    if alerting("name").given:
        alerting("name").note(f"the alert goes by SloBurn, not {alerting('name').text()!r}; tell SLOs apart by slo_id")
    labels, annotations = {"": {**common, **alerting("labels").texts()}}, {"": alerting("annotations").texts()}
    for severity in ("page", "ticket"):
        own = alerting(f"{severity}_alert")
        labels[severity], annotations[severity] = own("labels").texts(), own("annotations").texts()
        _tell_ours(own("labels"))
    _tell_ours(alerting("labels"))
    runbook = annotations[""].get("runbook")
    if runbook:
        annotations[""].setdefault("runbook_url", runbook)
    return Promise(
        slo_id=f"{service}.{name}", service=service, name=name, objective=slo("objective").share(), window_s=PERIOD_S,
        sli=_sli(slo("sli")), owner=common.get("owner", common.get("team", "")), description=slo("description").text(),
        tiers=_tiers(alerting), labels=labels, annotations=annotations, origin=slo("name").where,
    )  # fmt: skip


def _tell_ours(labels: Field) -> None:
    for name in labels.texts():
        if name in OURS:
            labels(name).note(f"label {name} is set by the rules; {labels(name).text()!r} is not kept")


def _sli(sli: Field) -> Sli:
    events, raw = sli("events"), sli("raw", "error_ratio_query")
    if events.given:
        with events("total_query").refusing():
            counting.counted(events("total_query").needed())
        with events("error_query").refusing():
            return counting.events(events("total_query").needed(), events("error_query").needed())
    if raw.given:
        raw.note("a ratio without counts: no evidence is asked for, so two errors can page")
        with raw.refusing():
            return counting.share(raw.needed())
    if sli("plugin").given:
        raise sli("plugin").refused("a plugin's queries are unknown here", "write events: {error_query:, total_query:}")
    raise sli.refused("an SLO needs sli.events or sli.raw")


def _tiers(alerting: Field) -> tuple[Tier, ...]:
    return tuple(t for t in TIERS if not alerting(f"{t.severity}_alert", "disable").flag(False))


def documents(found: Sequence[Promise], notes: list[str]) -> list[dict[str, Any]]:
    """SLOs as Sloth files, one document a service; what Sloth cannot say is noted."""
    services: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for promise in found:
        if promise.sli is None:
            notes.append(f"{promise.slo_id} is left out: Prometheus cannot count it")
            continue
        if promise.calendar:
            notes.append(f"{promise.slo_id}: Sloth has no calendar windows; {promise.over} becomes a rolling one")
        if promise.window_s != PERIOD_S:
            window = write_duration(promise.window_s)
            notes.append(f"{promise.slo_id}: Sloth's window is a flag; run it with --default-slo-period {window}")
        services[promise.service].append(_written(promise, promise.sli))
    return [{"version": VERSION, "service": service, "slos": slos} for service, slos in services.items()]


def _written(promise: Promise, sli: Sli) -> dict[str, Any]:
    queries = (
        {"events": {"error_query": query(f"({sli.errors}) or vector(0)"), "total_query": query(sli.total)}}
        if sli.counts
        else {"raw": {"error_ratio_query": query(sli.ratio)}}
    )
    alerting: dict[str, Any] = {"name": "SloBurn"}
    for severity in ("page", "ticket"):
        if not any(promise.severity(t) == severity for t in promise.usable):
            alerting[f"{severity}_alert"] = {"disable": True}
            continue
        more = {key: promise.given(key, severity) for key in ("labels", "annotations")}
        alerting[f"{severity}_alert"] = {key: value for key, value in more.items() if value} | {}
    made: dict[str, Any] = {"name": promise.name, "objective": float(f"{100 * promise.objective:.12g}")}
    if promise.description:
        made["description"] = promise.description
    if promise.owner:
        made["labels"] = {"owner": promise.owner}
    return {**made, "sli": queries, "alerting": {key: value for key, value in alerting.items() if value}}


def query(expression: str) -> str:
    """An expression with Sloth's placeholder; rates stay rates, for only their ratio counts there."""
    return expression.replace(f" * {WINDOW_S}", "").replace(WINDOW, "{{.window}}")
