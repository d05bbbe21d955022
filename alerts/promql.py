"""The expressions behind one SLO's rules: counts, ratios, evidence, and who speaks for it.

Everything recorded carries `slo_id` and `service`. A series that is missing counts as no events, a
window without events has no ratio, and nothing is ever NaN.

Source: METHODS section 6 for the gate; Prometheus querying documentation, "Operators" and "Functions".
"""

from __future__ import annotations

from math import pi
from typing import Final

from alerts.counting import summed
from alerts.promise import WINDOW, WINDOW_S, Promise
from observe.spec.burn import Tier
from observe.spec.quantity import write_duration

FRESH_S: Final = 180  # s; younger judgements of the service count, older ones do not
SHORTEST_S: Final = 300  # s; what the budget is added up from
QUIET_S: Final = 86_400  # s; how long a ratio may be gone: without traffic there is none
EVERY_S: Final = 60  # s; how often rules are evaluated
TOTAL: Final = "slo:sli_total:increase"
ERRORS: Final = "slo:sli_error:increase"
RATIO: Final = "slo:sli_error:ratio_rate"
NATS: Final = "slo:burn_evidence:nats"
LEFT: Final = "slo:error_budget:remaining_ratio"
NORMAL: Final = 1.96  # 95 % of a normal distribution


def number(value: float) -> str:
    """A number as PromQL, without digits that mean nothing.

    >>> number(14.4 * (1 - 0.999))
    '0.0144'
    """
    return f"{value:.10g}"


def quoted(text: str) -> str:
    """A text as a PromQL string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def within(expression: str, seconds: float) -> str:
    """An expression with its range filled in."""
    return expression.replace(WINDOW_S, number(seconds)).replace(WINDOW, write_duration(seconds))


def recorded(name: str, seconds: float) -> str:
    """The name of a recording over a window."""
    return f"{name}{write_duration(seconds)}"


def series(promise: Promise, name: str, seconds: float) -> str:
    """A selector of one recording of an SLO."""
    return f"{recorded(name, seconds)}{{slo_id={quoted(promise.slo_id)}}}"


def of_slo(promise: Promise, metric: str, more: str = "") -> str:
    """One of the service's metrics about the SLO, with no label but `slo_id`."""
    return f"max by (slo_id) ({metric}{{slo_id={quoted(promise.slo_id)}{more}}})"


def total(promise: Promise, seconds: float) -> str:
    """Events in a window."""
    assert promise.sli is not None
    return within(summed(promise.sli.total), seconds)


def errors(promise: Promise, seconds: float) -> str:
    """Bad events in a window: none when their series is missing and there were events."""
    assert promise.sli is not None
    return f"{within(summed(promise.sli.errors), seconds)} or 0 * sum({series(promise, TOTAL, seconds)})"


def ratio(promise: Promise, seconds: float) -> str:
    """Share of bad events in a window; nothing where there were no events."""
    assert promise.sli is not None
    if not promise.sli.counts:
        return f"max({within(promise.sli.ratio, seconds)}) >= 0"  # NaN is not at least 0
    return f"{series(promise, ERRORS, seconds)} / ({series(promise, TOTAL, seconds)} > 0)"


def evidence(promise: Promise, seconds: float) -> str:
    """Nats that the budget burns faster than allowed; 0 unless E >= 1 and E > mu."""
    bad, all_ = series(promise, ERRORS, seconds), series(promise, TOTAL, seconds)
    phi, allowed = number(promise.phi), f"{number(promise.budget)} * {series(promise, TOTAL, seconds)}"
    return (
        f"clamp_min(\n"
        f"  ({bad} * ln({bad} / ({allowed})) - {bad} + {allowed}) / {phi}\n"
        f"  - 0.5 * ln(clamp_min({bad}, {phi}) / {number(2 * pi * promise.phi)}), 0\n"
        f")\n"
        f"and {bad} >= 1 and {bad} > {allowed} and {all_} > 0\n"
        f"or 0 * {all_}"
    )


def over_period(promise: Promise, name: str) -> str:
    """Events of the SLO's window: each is in as many five-minute counts as there are evaluations in five minutes."""
    times = SHORTEST_S // EVERY_S
    told = f"sum_over_time({series(promise, name, SHORTEST_S)}[{write_duration(promise.window_s)}])"
    return f"sum by (slo_id) ({told}) / {times}"  # by id: other labels may have changed within the window


def budget_left(promise: Promise) -> str:
    """Share of the error budget that is left; by events where they are counted, by time otherwise."""
    assert promise.sli is not None
    budget, window = number(promise.budget), write_duration(promise.window_s)
    if not promise.sli.counts:
        return f"1 - max by (slo_id) (avg_over_time({series(promise, RATIO, SHORTEST_S)}[{window}])) / {budget}"
    bad, all_ = series(promise, ERRORS, promise.window_s), series(promise, TOTAL, promise.window_s)
    return f"1 - {bad} / ({all_} > 0) / {budget}"


def fresh(promise: Promise) -> str:
    """The SLO's id while the service's judgement of it is younger than 180 s, else nothing."""
    age = f"time() - {of_slo(promise, 'observe_slo_evaluated_timestamp_seconds')}"
    return f"(abs({age}) < {FRESH_S})"  # a clock far ahead is no judgement either


def service_fires(promise: Promise, tier: Tier) -> str:
    """The service says that a tier fires, and said so just now."""
    tier_label = f",burn_tier={quoted(tier.name)}"
    firing = of_slo(promise, "observe_slo_firing", tier_label)
    return f"{firing} == 1\n  and on (slo_id) {fresh(promise)}"


def gate(promise: Promise, tier: Tier) -> str:
    """Both windows of a tier burn, and the errors are more than chance can explain."""
    threshold = number(promise.factor(tier) * promise.budget)
    parts = [
        f"max by (slo_id) ({series(promise, RATIO, seconds)}) > {threshold}" for seconds in (tier.long_s, tier.short_s)
    ]
    if promise.sli is not None and promise.sli.counts:
        needed = f"{promise.gate_nats(tier):.3f}"
        parts.append(f"max by (slo_id) ({series(promise, NATS, tier.long_s)}) > {needed}")
    return "\n  and on (slo_id) ".join(parts)


def burns(promise: Promise, tier: Tier) -> str:
    """When a tier's alert fires: by the service while it is fresh, else by the gate."""
    if promise.sli is None:
        return service_fires(promise, tier)
    if not promise.judged:
        return gate(promise, tier)
    return f"(\n  {service_fires(promise, tier)}\n)\nor\n(\n  {gate(promise, tier)}\n  unless on (slo_id) {fresh(promise)}\n)"


def burn_rate(promise: Promise, tier: Tier, side: str = "") -> str:
    """How many times faster than allowed the budget burns; `side` is "low" or "high" for its 95 % interval."""
    told = of_slo(promise, f"observe_slo_burn_{side}_ratio" if side else "observe_slo_burn_ratio")
    parts = [f"({told} and on (slo_id) {fresh(promise)})"] if promise.judged else []
    if promise.sli is not None:
        parts.append(_counted_burn(promise, tier, side))
    return " or ".join(parts)


def _counted_burn(promise: Promise, tier: Tier, side: str) -> str:
    share, budget = series(promise, RATIO, tier.long_s), number(promise.budget)
    if not side:
        return f"max by (slo_id) ({share} / {budget})"
    bad = series(promise, ERRORS, tier.long_s)
    # by id alone: in a dialect the ratio carries a label more than the counts
    spread = f"{number(NORMAL)} * sqrt({number(promise.phi)} * clamp_min(1 - {share}, 0) / on (slo_id) ({bad} > 0))"
    sign = "-" if side == "low" else ""
    return f"max by (slo_id) (clamp_max({share} / {budget} * on (slo_id) exp({sign}{spread}), {number(1 / promise.budget)}))"


def unjudged(promise: Promise) -> str:
    """Nobody speaks for the SLO: the service has not judged it lately."""
    return f"absent({fresh(promise)})"


def without_data(promise: Promise) -> str:
    """What is counted has vanished, and the service does not judge either."""
    if promise.sli is not None and promise.sli.counts:
        gone = f"absent({series(promise, TOTAL, SHORTEST_S)})"
    else:  # a ratio of no events is no number: that it is gone at night says nothing
        gone = f"absent_over_time({series(promise, RATIO, SHORTEST_S)}[{write_duration(QUIET_S)}])"
    return f"{gone} unless on (slo_id) {fresh(promise)}" if promise.judged else gone
