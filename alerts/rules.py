"""Rule groups of one SLO: recordings first, then evidence, then alerts whose labels hold no number.

A group is plain data in the layout of Prometheus rule files, so that the same group stands in a file, in
an operator's object or in a test.

Source: Prometheus documentation, "Recording rules", "Alerting rules" and "Template reference"
(`keep_firing_for` since 2.42).
"""

from __future__ import annotations

from typing import Any, Final

from alerts import dialects, promql
from alerts.promise import Promise
from alerts.wording import NAMES
from observe.spec.burn import TIERS, Tier
from observe.spec.quantity import write_duration, write_percent

Rule = dict[str, Any]
Group = dict[str, Any]
EVERY: Final = write_duration(promql.EVERY_S)
KEEPS: Final = {"page": "15m", "ticket": "1h"}  # METHODS section 6
NO_DATA: Final = "SloNoData"
UNJUDGED: Final = "SloUnjudged"
SILENT_FOR: Final = "15m"


def group_of(promise: Promise) -> Group:
    """All rules of one SLO."""
    rules = [] if promise.sli is None else [*_recordings(promise)]
    rules += [_burn(promise, tier) for tier in promise.usable]
    rules += _dead_man(promise)
    return {"name": f"slo:{promise.slo_id}", "interval": EVERY, "rules": rules}


def windows(promise: Promise) -> tuple[int, ...]:
    """Windows that are counted, shortest first, s."""
    tiers = promise.usable or TIERS  # without alarms the usual windows are there to be looked at
    asked = {seconds for tier in tiers for seconds in (tier.long_s, tier.short_s)}
    return tuple(sorted({promql.SHORTEST_S, *asked}))


def own_labels(promise: Promise) -> dict[str, str]:
    """Labels of everything about an SLO."""
    return {"slo_id": promise.slo_id, "service": promise.service}


def _recordings(promise: Promise) -> list[Rule]:
    assert promise.sli is not None
    rules: list[Rule] = []

    def record(name: str, seconds: float, expression: str) -> None:
        labels_ = {**own_labels(promise), **dialects.labels(promise)}
        if name == promql.RATIO:
            labels_ |= dialects.window_label(promise, seconds)
        rules.append({"record": promql.recorded(name, seconds), "expr": expression, "labels": labels_})

    for seconds in windows(promise) if promise.sli.counts else ():
        record(promql.TOTAL, seconds, promql.total(promise, seconds))
        record(promql.ERRORS, seconds, promql.errors(promise, seconds))
    for seconds in windows(promise):
        record(promql.RATIO, seconds, promql.ratio(promise, seconds))
    if promise.sli.counts:
        for seconds in sorted({tier.long_s for tier in promise.usable}):
            record(promql.NATS, seconds, promql.evidence(promise, seconds))
    for name, expression in _of_period(promise):
        record(name, promise.window_s, expression)
    return rules + dialects.recordings(promise)


def _of_period(promise: Promise) -> list[tuple[str, str]]:
    """Events and budget of the SLO's period; PromQL knows no local midnight, so those of a calendar are the service's."""
    assert promise.sli is not None
    if promise.calendar:
        return []
    names = (promql.TOTAL, promql.ERRORS) if promise.sli.counts else ()
    return [*((name, promql.over_period(promise, name)) for name in names), (promql.LEFT, promql.budget_left(promise))]


def _burn(promise: Promise, tier: Tier) -> Rule:
    rule: Rule = {"alert": NAMES["slo"], "expr": promql.burns(promise, tier)}
    if promise.after_s.get(tier.name):
        rule["for"] = write_duration(promise.after_s[tier.name])
    rule["keep_firing_for"] = KEEPS[promise.severity(tier)]
    rule["labels"] = _plain(labels(promise, promise.severity(tier), tier.name))
    rule["annotations"] = _annotations(promise, tier)
    return rule


def labels(promise: Promise, severity: str, tier: str = "") -> dict[str, str]:
    """Labels of an alert; ours win over those that a file adds."""
    ours = {**own_labels(promise), "owner": promise.owner, "severity": severity, "burn_tier": tier}
    return {**promise.given("labels", severity), **{name: value for name, value in ours.items() if value}}


def _plain(labels_: dict[str, str]) -> dict[str, str]:
    """The same as a rule writes them: a label is a template, and what people wrote is none."""
    return {name: escaped(value) for name, value in labels_.items()}


def _annotations(promise: Promise, tier: Tier) -> dict[str, str]:
    budget, long_ = write_percent(round(tier.budget, 6)), write_duration(tier.long_s)
    value = _measured(promql.burn_rate(promise, tier)) + "× the allowed rate"
    made = {
        "summary": f"{escaped(promise.slo_id)} burns its error budget too fast: {tier.name}",
        "description": (
            f"{escaped(promise.description or promise.name)}: promised {write_percent(promise.objective)} over "
            f"{promise.over}. At the rate of this tier {budget} of the budget is gone within {long_}."
        ),
        "value": value,
        **_interval(promise, tier),
        **_judge(promise, tier),
    }
    return {**made, **promise.given("annotations", promise.severity(tier))}  # theirs may be templates of their own


def _interval(promise: Promise, tier: Tier) -> dict[str, str]:
    if promise.sli is not None and not promise.sli.counts:
        return {}
    low, high = (_measured(promql.burn_rate(promise, tier, side)) for side in ("low", "high"))
    return {"interval": f"95 % {low} … {high}"}


def _judge(promise: Promise, tier: Tier) -> dict[str, str]:
    """Who judged, and by which SLI."""
    needed = f"evidence above {promise.gate_nats(tier):.1f} nats asked for, bursts of {promise.phi:g}"
    counted = promise.sli is not None and promise.sli.counts
    stand_in = f"Prometheus, by generated rules; {needed if counted else 'no evidence asked for: nothing is counted'}"
    by_us, by_them = escaped(promise.judged), escaped(_said(promise))
    if promise.sli is None:
        return {"source": "Observe", "sli": by_us}
    if not promise.judged:
        return {"source": stand_in, "sli": by_them}
    return {"source": _either(promise, "Observe", stand_in), "sli": _either(promise, by_us, by_them)}


def _either(promise: Promise, service: str, prometheus: str) -> str:
    return f"{{{{ if query `{promql.fresh(promise)}` }}}}{service}{{{{ else }}}}{prometheus}{{{{ end }}}}"


def _said(promise: Promise) -> str:
    sli = promise.sli
    if sli is None:
        return ""
    if not sli.counts:
        return f"bad share: {sli.ratio}"
    return f"bad: {sli.errors}; of: {sli.total}" + (" (minutes)" if sli.by_time else "")


def _measured(expression: str) -> str:
    return f'{{{{ with query `{expression}` }}}}{{{{ . | first | value | printf "%.3g" }}}}{{{{ end }}}}'


def escaped(text: str) -> str:
    """A text of people in a template: its own braces stay what they are."""
    return text.replace("{{", '{{ "{{" }}')


def _dead_man(promise: Promise) -> list[Rule]:
    if promise.sli is None:
        said = "No judgement for three minutes, and Prometheus cannot count its events: nobody watches it."
        return [_told(promise, UNJUDGED, promql.unjudged(promise), said)]
    if not promise.no_data or not promise.usable:
        return []
    said = "Its counters are gone: the alarms of this SLO cannot fire."
    return [_told(promise, NO_DATA, promql.without_data(promise), said)]


def _told(promise: Promise, name: str, expression: str, said: str) -> Rule:
    """A ticket: that nothing is known is not yet that something is wrong."""
    return {
        "alert": name,
        "expr": expression,
        "for": SILENT_FOR,
        "labels": _plain(labels(promise, "ticket")),
        "annotations": {
            "summary": f"{escaped(promise.slo_id)}: nobody can say how it is",
            "description": said,
            **promise.given("annotations", "ticket"),
        },
    }
