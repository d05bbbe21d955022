"""SLOs of others: what is kept, what is told with its place, what is refused, and the way back."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from promises import AVAILABILITY, FOREIGN, LATENCY, fields

from alerts import openslo, openslo_written, pyrra, rules, sloth
from alerts.promise import Promise
from observe.errors import ConfigError

SLOTH = """\
version: prometheus/v1
service: myapp
labels: {owner: myteam, cluster: eu}
slos:
  - name: availability
    objective: 99.9
    sli:
      events:
        error_query: sum(rate(http_total{code=~"5.."}[{{.window}}]))
        total_query: sum(rate(http_total[{{.window}}]))
    alerting:
      name: HighErrors
      annotations: {runbook: "https://r"}
      page_alert: {labels: {severity: critical, routing: night}}
      ticket_alert: {disable: true}
"""
PYRRA = """\
apiVersion: pyrra.dev/v1alpha1
kind: ServiceLevelObjective
metadata: {name: api, namespace: monitoring, labels: {pyrra.dev/team: ops, app: x}}
spec:
  target: "99.5"
  window: 2w
  alerting: {absent: false}
  indicator:
    latency:
      success: {metric: 'x_bucket{le="0.1"}'}
      total: {metric: x_count}
      grouping: [route]
"""
OPENSLO = """\
apiVersion: openslo/v1
kind: SLI
metadata: {name: errors}
spec:
  ratioMetric:
    counter: true
    bad: {metricSource: {metricSourceRef: prom, spec: {query: 'sum(x_total{code="500"})'}}}
    total: {metricSource: {metricSourceRef: prom, spec: {query: x_total}}}
---
apiVersion: openslo/v1
kind: DataSource
metadata: {name: prom}
spec: {type: Prometheus, connectionDetails: {}}
---
apiVersion: openslo/v1
kind: AlertCondition
metadata: {name: burn}
spec: {severity: sev1, condition: {kind: burnrate, threshold: 10, lookbackWindow: 1h, alertAfter: 5m}}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: foo, labels: {team: identity}}
spec:
  service: shop
  indicatorRef: errors
  timeWindow: [{duration: 1M, calendar: {startTime: "2026-01-01 00:00:00", timeZone: Europe/Berlin}, isRolling: false}]
  budgetingMethod: Occurrences
  objectives: [{displayName: Strict, target: 0.99}, {targetPercent: 95}]
  alertPolicies:
    - kind: AlertPolicy
      metadata: {name: p}
      spec: {alertWhenBreaching: true, alertWhenResolved: true, conditions: [{conditionRef: burn}], notificationTargets: [{targetRef: mail}]}
"""


def of_openslo(text: str, notes: list[str]) -> Iterator[Promise]:
    roots = fields(text, notes)
    known = openslo.objects(roots)
    for root in roots:
        if root("kind").text() == "SLO":
            yield from openslo.promises(root, known)


def test_sloth_keeps_labels_and_disabled_alerts_and_tells_what_it_cannot() -> None:
    notes: list[str] = []
    [found] = sloth.promises(fields(SLOTH, notes)[0])

    assert (found.slo_id, found.objective, found.owner) == ("myapp.availability", 0.999, "myteam")
    assert {t.severity for t in found.tiers} == {"page"}
    assert found.given("labels", "page")["routing"] == "night"
    assert found.given("annotations", "page")["runbook_url"] == "https://r"
    assert notes == snapshot([
        "slo.yaml:12:13: the alert goes by SloBurn, not 'HighErrors'; tell SLOs apart by slo_id",
        "slo.yaml:14:39: label severity is set by the rules; 'critical' is not kept",
    ])  # fmt: skip


def test_pyrra_keeps_its_labels_and_window_and_tells_of_groups() -> None:
    notes: list[str] = []
    found = pyrra.promise(fields(PYRRA, notes)[0])

    assert (found.slo_id, found.owner, found.window_s, found.no_data) == ("monitoring.api", "ops", 14 * 86_400.0, False)
    assert found.sli is not None
    assert found.sli.good == 'sum(increase(x_bucket{le="0.1"}[$window]))'
    assert notes == [
        "slo.yaml:3:54: app: only what begins with pyrra.dev/ goes onto alerts",
        "slo.yaml:12:17: grouping by route is not kept: all groups are judged together",
    ]


def test_openslo_makes_one_slo_an_objective_with_the_tiers_of_its_policies() -> None:
    notes: list[str] = []
    strict, other = of_openslo(OPENSLO, notes)

    assert (strict.slo_id, strict.objective, other.slo_id, other.objective) == (
        "shop.foo.strict",
        0.99,
        "shop.foo.2",
        0.95,
    )
    [tier] = strict.tiers
    assert (tier.name, tier.severity, tier.long_s, tier.short_s) == ("burn", "page", 3600, 300)
    assert strict.factor(tier) == pytest.approx(10)
    assert (strict.after_s, strict.no_data, strict.window_s) == ({"burn": 300.0}, False, 30 * 86_400.0)
    assert strict.calendar == {"unit": "month", "time_zone": "Europe/Berlin"}
    assert notes == snapshot([
        "slo.yaml:32:122: who is told is Alertmanager's to route, by severity, service and owner",
        "slo.yaml:32:59: whether resolving is told is the receiver's send_resolved",
        "slo.yaml:18:18: severity 'sev1' is taken for 'page'",
    ])  # fmt: skip


def test_a_threshold_is_counted_in_bad_minutes() -> None:
    text = OPENSLO.partition("---")[2].partition("---")[2].partition("---")[2]
    metric = "indicator: {spec: {thresholdMetric: {metricSource: {type: Prometheus, spec: {query: max(depth)}}}}}"
    text = text.replace("indicatorRef: errors", metric).replace(
        "[{displayName: Strict, target: 0.99}, {targetPercent: 95}]", "[{op: lte, value: 100, target: 0.99}]"
    )
    condition = "---\n" + OPENSLO.split("---\n")[2]
    [found] = of_openslo(text + condition, [])

    assert found.sli is not None
    assert found.sli.errors == "count_over_time((count((max(depth)) > 100))[$window:1m])"
    assert found.sli.by_time


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        ("indicatorRef: errors", "indicatorRef: erors", "no SLI named 'erors'"),
        ("target: 0.99}", "target: 99.9}", "99.9 leaves no error budget"),
        ("type: Prometheus", "type: Datadog", "Prometheus cannot ask Datadog"),
        ("kind: burnrate", "kind: drift", "a condition of kind 'drift' is not kept"),
        ("bad:", "worse:", "needs either good or bad"),
        ("duration: 1M", "duration: soon", "no calendar period of soon is kept"),
    ],
)
def test_what_openslo_says_and_cannot_be_kept_is_refused_where_it_stands(wrong: str, right: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        list(of_openslo(OPENSLO.replace(wrong, right), []))

    assert error.value.mark is not None
    assert error.value.mark.file == "slo.yaml"


def same(one: Promise, other: Promise) -> bool:
    """Whether both promise and count the same."""
    keys = ("slo_id", "objective", "window_s", "owner")
    return one.sli == other.sli and all(getattr(one, key) == getattr(other, key) for key in keys)


@pytest.mark.parametrize("promise", [AVAILABILITY, LATENCY, FOREIGN], ids=lambda p: p.slo_id)
def test_what_is_written_for_others_is_read_back_the_same(promise: Promise) -> None:
    notes: list[str] = []
    [slo] = openslo_written.documents([promise], notes)
    [back] = of_openslo(yaml.safe_dump(slo), notes)
    assert same(back, promise)
    assert [(t.name, round(back.factor(t), 6)) for t in back.tiers] == [
        (t.name, round(promise.factor(t), 6)) for t in promise.tiers
    ]
    [objective] = pyrra.documents([promise], notes)
    assert same(pyrra.promise(fields(yaml.safe_dump(objective), notes)[0]), promise)
    [service] = sloth.documents([promise], notes)
    [kept] = sloth.promises(fields(yaml.safe_dump(service), [])[0])
    assert (kept.slo_id, kept.objective, kept.owner) == (promise.slo_id, promise.objective, promise.owner)
    assert notes == []


def places(value: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Paths of everything inside a document."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*at, key)
        yield from places(inner, (*at, key))


@given(st.sampled_from([SLOTH, PYRRA, OPENSLO]), st.data())
def test_a_document_with_anything_anywhere_is_read_or_refused(text: str, data: st.DataObject) -> None:
    documents = list(yaml.safe_load_all(text))
    document = data.draw(st.sampled_from(documents))
    *path, last = data.draw(st.sampled_from(list(places(document))))
    inner = document
    for part in path:
        inner = inner[part]
    inner[last] = data.draw(
        st.sampled_from([None, "", "x", 7, -1, 1e9, True, [], {}, [[]], {"a": 1}, ["b"], "${{.window}}"])
    )
    notes: list[str] = []

    with suppress(ConfigError):
        roots = fields(yaml.safe_dump_all(documents), notes)
        known = openslo.objects([root for root in roots if root("apiVersion").text() == openslo.VERSION])
        found = [p for root in roots for p in ([*sloth.promises(root)] if root("version").given else
                 [pyrra.promise(root)] if root("kind").text() == pyrra.KIND else
                 [*openslo.promises(root, known)] if root("kind").text() == "SLO" else [])]  # fmt: skip
        assert all(rules.group_of(replace(p, alpha={"page": 1.0, "ticket": 9.0}))["rules"] for p in found)


def test_what_others_cannot_say_is_told_when_it_is_left_out() -> None:
    notes: list[str] = []

    assert pyrra.documents([replace(AVAILABILITY, sli=None)], notes) == []
    assert notes == ["chat.availability is left out: Pyrra counts two plain counters, and it is not made of them"]
