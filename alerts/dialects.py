"""Recordings and labels beside ours that dashboards made for Sloth or Pyrra read.

Budgets are by events here, also under Sloth's names: Sloth averages five-minute ratios, so that an outage
at night weighs as much as one at noon.

Source: sloth.dev (labels and recordings of generated rules); Pyrra, "Grafana Dashboards", generic rules.
"""

from __future__ import annotations

from typing import Any, Final

from alerts import promql, selectors
from alerts.promise import Promise
from observe.spec.quantity import write_duration

NAMES: Final = ("sloth", "pyrra")
_DAY_S: Final = 86_400.0


def labels(promise: Promise) -> dict[str, str]:
    """Labels by which a dialect's dashboards choose an SLO."""
    if promise.dialect == "sloth":
        sloth_id = f"{promise.service}-{promise.name}"
        return {"sloth_id": sloth_id, "sloth_service": promise.service, "sloth_slo": promise.name}
    return {"slo": promise.name} if promise.dialect == "pyrra" else {}


def window_label(promise: Promise, seconds: float) -> dict[str, str]:
    """The window as a label, where a dialect has it so."""
    return {"sloth_window": write_duration(seconds)} if promise.dialect == "sloth" else {}


def recordings(promise: Promise) -> list[dict[str, Any]]:
    """Further recordings of an SLO that Prometheus can count."""
    if promise.dialect == "sloth":
        return _sloth(promise)
    return _pyrra(promise) if promise.dialect == "pyrra" else []


def _record(promise: Promise, name: str, expression: str, **more: str) -> dict[str, Any]:
    own = {"slo_id": promise.slo_id, "service": promise.service}
    return {"record": name, "expr": expression, "labels": {**own, **labels(promise), **more}}


def _period(promise: Promise) -> str:
    """Share of bad events of the SLO's window."""
    if promise.sli is None or not promise.sli.counts:
        window = write_duration(promise.window_s)
        return f"avg_over_time({promql.series(promise, promql.RATIO, promql.SHORTEST_S)}[{window}])"
    bad, all_ = (promql.series(promise, name, promise.window_s) for name in (promql.ERRORS, promql.TOTAL))
    return f"{bad} / ({all_} > 0)"


def _sloth(promise: Promise) -> list[dict[str, Any]]:
    budget, objective = promql.number(promise.budget), promql.number(promise.objective)
    now = promql.series(promise, promql.RATIO, promql.SHORTEST_S)
    return [
        _record(promise, "slo:objective:ratio", f"vector({objective})"),
        _record(promise, "slo:error_budget:ratio", f"vector({budget})"),
        _record(promise, "slo:current_burn_rate:ratio", f"{now} / {budget}"),
        *_sloth_period(promise, budget),
        _record(promise, "sloth_slo_info", "vector(1)", sloth_spec="prometheus/v1", sloth_objective=objective),
    ]


def _sloth_period(promise: Promise, budget: str) -> list[dict[str, Any]]:
    """What is of the whole period; a calendar's is the service's to tell."""
    if promise.calendar:
        return []
    name = promql.recorded(promql.RATIO, promise.window_s)
    period = promql.series(promise, promql.RATIO, promise.window_s)
    days = promql.number(promise.window_s / _DAY_S)
    return [
        _record(promise, name, _period(promise), **window_label(promise, promise.window_s)),
        _record(promise, "slo:time_period:days", f"vector({days})"),
        _record(promise, "slo:period_burn_rate:ratio", f"{period} / {budget}"),
        _record(promise, "slo:period_error_budget_remaining:ratio", f"1 - {period} / {budget}"),
    ]


def _pyrra(promise: Promise) -> list[dict[str, Any]]:
    made = [_record(promise, "pyrra_objective", f"vector({promql.number(promise.objective)})")]
    if not promise.calendar:
        made += [
            _record(promise, "pyrra_window", f"vector({promql.number(promise.window_s)})"),
            _record(promise, "pyrra_availability", f"1 - {_period(promise)}"),
        ]
    found = selectors.two(promise.sli) if promise.sli is not None else None
    if found is None:
        return made
    all_, part = f"sum({found.total.text})", f"(sum({found.part.text}) or 0 * sum({found.total.text}))"
    return [
        *made,
        _record(promise, "pyrra_requests_total", all_),
        _record(promise, "pyrra_errors_total", f"{all_} - {part}" if found.good else part),
    ]
