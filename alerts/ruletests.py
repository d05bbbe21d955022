"""Tests that promtool runs on the generated rules: a burn fires in the right tier, health never does.

Each SLO is driven by the counters its rules read, where a series that they select can be made up;
else by the recorded counts. What is asked is told by `ALERTS`, so that a test does not depend on the
words of an annotation.

Source: Prometheus documentation, "Unit Testing for Rules".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log, pi
from typing import Any, Final

from alerts import promql, rules, selectors
from alerts.promise import Promise, Sli
from alerts.wording import NAMES
from observe.spec.burn import Tier

Test = dict[str, Any]
LASTS: Final = 40  # minutes of made-up events
ASKED: Final = "12m"  # when it is asked
ENDS: Final = 5  # minutes until something is gone
TOLD: Final = "35m"  # when its absence is told
BAD_A_MINUTE: Final = 10_000.0  # bad events at the allowed rate: evidence beyond doubt within minutes
WHY: Final = "no series comes to mind that its queries would count"
MARGIN: Final = 1.1  # over a tier's factor


@dataclass(frozen=True, slots=True)
class Fed:
    """Made-up events a minute."""

    total: float
    bad: float | None  # None: the series of bad events is missing


def tests_of(promise: Promise) -> list[Test]:
    """All tests of one SLO."""
    made: list[Test] = []
    if promise.sli is not None and _raw(promise.sli, Fed(1.0, 0.0)) is not None:
        made += _of_counts(promise)
        if promise.judged:
            made += _of_service(promise, _healthy(promise), _outage(promise))
        elif promise.no_data and promise.usable:
            made.append(_nothing_counted(promise))
    elif promise.sli is None:
        made += _without_stand_in(promise)
    return made


def _rate(promise: Promise) -> float:
    return BAD_A_MINUTE / promise.budget


def _healthy(promise: Promise) -> Fed:
    return Fed(_rate(promise), BAD_A_MINUTE / 2)


def _outage(promise: Promise) -> Fed:
    return Fed(_rate(promise), _rate(promise))


def _of_counts(promise: Promise) -> Iterator[Test]:
    healthy = _healthy(promise)
    spent = {promql.series(promise, promql.RATIO, promql.SHORTEST_S): 0.5 * promise.budget}
    yield _test("half the budget is spent: nothing fires", promise, _input(promise, healthy), (), spent)
    for tier in promise.usable:
        burn = min(MARGIN * _asks(promise, tier), (_asks(promise, tier) + 1 / promise.budget) / 2)
        fires = [t for t in promise.usable if _asks(promise, t) < burn and not _waits(promise, t)]
        name = f"{promql.number(round(burn, 6))} times the allowed rate: {tier.name} and every slower tier"
        yield _test(name, promise, _input(promise, Fed(_rate(promise), BAD_A_MINUTE * burn)), fires)
    missing = _input(promise, Fed(_rate(promise), None))
    if missing:
        none = {promql.series(promise, promql.RATIO, w): 0.0 for w in rules.windows(promise)}
        none |= {promql.series(promise, promql.NATS, t.long_s): 0.0 for t in promise.usable}
        yield _test("the series of bad events is missing: none were bad", promise, missing, (), none)
    still = _test("no events: no ratio, no evidence, no alert", promise, _input(promise, Fed(0.0, 0.0)), ())
    ratio = promql.series(promise, promql.RATIO, promql.SHORTEST_S)
    still["promql_expr_test"].append({"expr": f"count({ratio})", "eval_time": ASKED, "exp_samples": []})
    yield still
    few = Fed(1.0, 0.2)
    convincing = [t for t in promise.usable if _convinces(promise, t, few) and not _waits(promise, t)]
    yield _test(
        "two errors among twelve requests: only where that is evidence", promise, _input(promise, few), convincing
    )


def _convinces(promise: Promise, tier: Tier, fed: Fed) -> bool:
    """Whether the gate lets a tier fire after twelve minutes of these events, computed apart from PromQL."""
    bad, all_ = 12 * (fed.bad or 0.0), 12 * fed.total
    e, mu = bad / promise.phi, all_ * promise.budget / promise.phi
    nats = e * log(e / mu) - e + mu - 0.5 * log(max(e, 1.0) / (2 * pi)) if bad > 1 and e > mu else 0.0
    return bad / all_ > promise.factor(tier) * promise.budget and nats > promise.gate_nats(tier)


def _asks(promise: Promise, tier: Tier) -> float:
    """The burn rate a tier needs: at the allowed rate or below there is no evidence, whatever its factor."""
    return max(1.0, promise.factor(tier))


def _waits(promise: Promise, tier: Tier) -> bool:
    return promise.after_s.get(tier.name, 0.0) > 5 * 60


def _of_service(promise: Promise, healthy: Fed, outage: Fed) -> Iterator[Test]:
    first = promise.usable[0]
    quiet = _told(promise, None, f"0+60x{LASTS}")
    yield _test(
        "an outage for Prometheus, and the service says it is none", promise, _input(promise, outage) + quiet, ()
    )
    says = _told(promise, first, f"0+60x{LASTS}")
    yield _test(
        f"the service says {first.name}, Prometheus sees health", promise, _input(promise, healthy) + says, [first]
    )
    gone = _told(promise, first, f"0+60x{ENDS} stale")
    name = "the service dies in an outage: every tier goes on by Prometheus"
    yield _test(name, promise, _input(promise, outage) + gone, [t for t in promise.usable if not _waits(promise, t)])
    stuck = _told(promise, None, f"0+60x{ENDS} {60 * ENDS}+0x{LASTS}")
    name = "the service answers and judges no more: Prometheus takes over"
    yield _test(name, promise, _input(promise, outage) + stuck, [t for t in promise.usable if not _waits(promise, t)])


def _without_stand_in(promise: Promise) -> Iterator[Test]:
    first = promise.usable[0]
    says = _told(promise, first, f"0+60x{LASTS}")
    yield _test(f"the service says {first.name}", promise, says, [first])
    yield _test("the service says nothing fires", promise, _told(promise, None, f"0+60x{LASTS}"), ())
    gone = _test("the service is gone: told, not fine", promise, _told(promise, None, f"0+60x{ENDS} stale"), ())
    gone["promql_expr_test"].append(_firing(promise, rules.UNJUDGED, [rules.labels(promise, "ticket")], TOLD))
    yield gone


def _nothing_counted(promise: Promise) -> Test:
    fed = _input(promise, _healthy(promise), f"x{ENDS} stale")
    test = _test("the counters are gone: told, not fine", promise, fed, ())
    test["promql_expr_test"].append(_firing(promise, rules.NO_DATA, [rules.labels(promise, "ticket")], TOLD))
    return test


def _told(promise: Promise, tier: Tier | None, evaluated: str) -> list[dict[str, str]]:
    """What the service exports: when it judged, and which tier fires."""
    ident = f"slo_id={promql.quoted(promise.slo_id)}"
    made = [{"series": f"observe_slo_evaluated_timestamp_seconds{{{ident}}}", "values": evaluated}]
    ends = " stale" if evaluated.endswith("stale") else ""
    lasts = ENDS if ends else LASTS
    for each in promise.usable:
        name = f"observe_slo_firing{{{ident},severity={promql.quoted(promise.severity(each))},burn_tier={promql.quoted(each.name)}}}"
        made.append({"series": name, "values": f"{int(each == tier)}+0x{lasts}{ends}"})
    return made


def _test(
    name: str,
    promise: Promise,
    fed: Sequence[dict[str, str]],
    fires: Sequence[Tier],
    values: dict[str, float] | None = None,
) -> Test:
    """One scenario: what is fed, which tiers fire at the end, and values at that time."""
    asked = [
        {
            "expr": f"max by (slo_id, service) (abs({expression} - {promql.number(value)}) < bool 1e-9)",
            "eval_time": ASKED,
            "exp_samples": [{"labels": _plain(rules.own_labels(promise)), "value": 1}],
        }
        for expression, value in (values or {}).items()
    ]
    expected = [rules.labels(promise, promise.severity(tier), tier.name) for tier in fires]
    return {
        "name": f"{promise.slo_id}: {name}",
        "interval": "1m",
        "input_series": list(fed),
        "promql_expr_test": [_firing(promise, NAMES["slo"], expected), *asked],
    }


def _firing(promise: Promise, alert: str, expected: Sequence[dict[str, str]], at: str = ASKED) -> dict[str, Any]:
    chosen = f'alertname={promql.quoted(alert)},alertstate="firing",slo_id={promql.quoted(promise.slo_id)}'
    samples = [
        {"labels": "ALERTS" + _plain({**each, "alertname": alert, "alertstate": "firing"}), "value": 1}
        for each in expected
    ]
    return {"expr": f"ALERTS{{{chosen}}}", "eval_time": at, "exp_samples": samples}


def _plain(labels: dict[str, str]) -> str:
    return "{" + ", ".join(f"{name}={promql.quoted(value)}" for name, value in sorted(labels.items())) + "}"


def _input(promise: Promise, fed: Fed, ends: str = f"x{LASTS}") -> list[dict[str, str]]:
    """Series that the rules count as these events; none when they cannot be made up."""
    assert promise.sli is not None
    return [{"series": name, "values": f"0+{promql.number(rate)}{ends}"} for name, rate in _raw(promise.sli, fed) or ()]


def _raw(sli: Sli, fed: Fed) -> list[tuple[str, float]] | None:
    found = selectors.two(sli)
    all_, some = (found.total.example(), found.part.example()) if found else (None, None)
    if found is None or all_ is None or some is None or found.part.selects(found.total.metric, all_):
        return None  # what is made up for the total would count as bad, or as good
    whole, part = found.total.metric + _plain(all_), found.part.metric + _plain(some)
    if fed.bad is None:
        return None if found.good else [(whole, fed.total)]
    inside = found.total.selects(found.part.metric, some)  # the part counts in the total, too
    share = fed.total - fed.bad if found.good else fed.bad
    return [(whole, fed.total - share if inside else fed.total), (part, share)]
