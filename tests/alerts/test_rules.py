"""Rules of one SLO as data: what is recorded, what alerts say, and what is left out."""

import re
from dataclasses import replace

import pytest
import yaml
from promises import AVAILABILITY, BLIND, DAY_S, FOREIGN, LATENCY

from alerts import counting, rulefiles, rules, ruletests
from alerts.promise import Promise, left_out
from alerts.rules import Rule
from observe.errors import ConfigError

ALL = (AVAILABILITY, LATENCY, BLIND, FOREIGN)


def alerts(promise: Promise) -> list[Rule]:
    return [rule for rule in rules.group_of(promise)["rules"] if "alert" in rule]


def records(promise: Promise) -> list[str]:
    return [rule["record"] for rule in rules.group_of(promise)["rules"] if "record" in rule]


def test_counts_come_before_ratios_before_evidence_before_the_budget_before_alerts() -> None:
    group = rules.group_of(AVAILABILITY)
    order = [re.sub(r"\d+[mhd]$", "", rule.get("record", "alert")) for rule in group["rules"]]

    assert list(dict.fromkeys(order)) == [
        "slo:sli_total:increase", "slo:sli_error:increase", "slo:sli_error:ratio_rate", "slo:burn_evidence:nats",
        "slo:error_budget:remaining_ratio", "alert",
    ]  # fmt: skip
    assert [r for r in records(AVAILABILITY) if r.endswith("30d")] == [
        "slo:sli_total:increase30d", "slo:sli_error:increase30d", "slo:error_budget:remaining_ratio30d",
    ]  # fmt: skip


@pytest.mark.parametrize("promise", ALL, ids=lambda p: p.slo_id)
def test_labels_of_alerts_are_those_promised_and_hold_no_number(promise: Promise) -> None:
    for rule in alerts(promise):
        assert set(rule["labels"]) <= {"slo_id", "service", "owner", "severity", "burn_tier"}
        assert not any(re.fullmatch(r"[\d.]+", value) or "{{" in value for value in rule["labels"].values())


def test_an_slo_that_opens_tickets_only_has_no_rule_that_pages() -> None:
    group = rules.group_of(replace(AVAILABILITY, tickets_only=True))
    burns = [r for r in group["rules"] if r.get("alert") == "SloBurn"]

    assert [r["labels"]["severity"] for r in burns] == ["ticket"] * 4
    assert {r["keep_firing_for"] for r in burns} == {"1h"}
    assert len({r["labels"]["burn_tier"] for r in burns}) == 4


def test_one_alert_a_tier_asks_the_service_while_it_is_fresh_and_the_gate_otherwise() -> None:
    burns = [rule for rule in alerts(AVAILABILITY) if rule["alert"] == "SloBurn"]

    assert [rule["labels"]["burn_tier"] for rule in burns] == [
        "page-fast",
        "page-slow",
        "ticket-sustained",
        "ticket-chronic",
    ]
    assert [rule["keep_firing_for"] for rule in burns] == ["15m", "15m", "1h", "1h"]
    assert all("< 180)\n)\nor\n(" in rule["expr"] and "unless on (slo_id)" in rule["expr"] for rule in burns)


def test_where_prometheus_sees_nothing_the_service_speaks_alone_and_its_absence_is_told() -> None:
    told = alerts(BLIND)

    assert records(BLIND) == []
    assert [rule["alert"] for rule in told] == ["SloBurn"] * 4 + ["SloUnjudged"]
    assert not any("unless" in rule["expr"] for rule in told)


def test_an_slo_that_the_service_does_not_judge_is_never_asked_of_it() -> None:
    assert not any("observe_slo" in rule["expr"] + str(rule["annotations"]) for rule in alerts(FOREIGN))


def test_a_tier_that_no_outage_reaches_is_left_out_and_told_with_its_place() -> None:
    loose = replace(AVAILABILITY, objective=0.9, origin="models/chat.yaml:7:5")

    assert next(rule["labels"].get("burn_tier") for rule in alerts(loose)) == "page-slow"
    assert left_out(loose) == [
        "models/chat.yaml:7:5: chat.availability (90% over 30d): tier page-fast can never fire and is left out: "
        "even a total outage burns only 10 times the budget, 14.4 would be needed"
    ]


def test_a_ratio_without_counts_gets_the_plain_rule() -> None:
    plain = replace(FOREIGN, sli=counting.share("bad_ratio"))

    assert not any("nats" in rule["expr"] for rule in alerts(plain))
    assert "interval" not in alerts(plain)[0]["annotations"]


def test_braces_of_people_are_no_template() -> None:
    rude = replace(AVAILABILITY, description="{{ $labels.secret }}")

    assert '{{ "{{" }} $labels.secret }}' in alerts(rude)[0]["annotations"]["description"]


def test_the_same_slos_give_the_same_bytes_in_any_order() -> None:
    one, other = (rulefiles.plain_files(order, "abc", "") for order in (ALL, ALL[::-1]))

    assert one == other
    assert list(one) == [
        "alertmanager/observe.yml", "rules/chat.slo.rules.yml", "rules/observe-self.rules.yml", "rules/shop.slo.rules.yml",
        "tests/chat.test.yml", "tests/shop.test.yml",
    ]  # fmt: skip


def test_an_operator_reads_the_same_groups() -> None:
    plain, objects = (make((FOREIGN,), "abc", None) for make in (rulefiles.plain_files, rulefiles.operator_files))
    made = yaml.safe_load(objects["rules/shop.slo.prometheusrule.yml"])

    assert (made["kind"], made["metadata"]["name"]) == ("PrometheusRule", "shop-slo")
    assert made["spec"]["groups"] == yaml.safe_load(plain["rules/shop.slo.rules.yml"])["groups"]


def test_two_services_that_would_share_a_file_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"services 'Shop' and 'shop' would share the file shop\.slo\.rules\.yml"):
        rulefiles.by_service((FOREIGN, replace(FOREIGN, service="Shop", slo_id="Shop.errors")))


def test_every_slo_that_counts_two_counters_is_tested_in_every_tier() -> None:
    names = [test["name"] for test in ruletests.tests_of(LATENCY)]

    assert sum("every slower tier" in name for name in names) == 4
    assert sum("service" in name for name in names) == 4


def test_an_objective_of_days_counts_each_event_of_them_once() -> None:
    [rule] = [
        r
        for r in rules.group_of(replace(LATENCY, window_s=28 * DAY_S))["rules"]
        if r.get("record") == "slo:sli_total:increase28d"
    ]

    told = 'sum_over_time(slo:sli_total:increase5m{slo_id="chat.ttft"}[28d])'
    assert rule["expr"] == f"sum by (slo_id) ({told}) / 5"


def test_dashboards_of_sloth_find_their_labels_and_recordings() -> None:
    rules_ = [rule for rule in rules.group_of(replace(FOREIGN, dialect="sloth"))["rules"] if "record" in rule]
    five = next(rule for rule in rules_ if rule["record"] == "slo:sli_error:ratio_rate5m")

    assert five["labels"] == {
        "slo_id": "shop.errors", "service": "shop", "sloth_id": "shop-errors", "sloth_service": "shop", "sloth_slo": "errors",
        "sloth_window": "5m",
    }  # fmt: skip
    assert {rule["record"] for rule in rules_} >= {
        "slo:objective:ratio", "slo:error_budget:ratio", "slo:time_period:days", "slo:current_burn_rate:ratio",
        "slo:period_burn_rate:ratio", "slo:period_error_budget_remaining:ratio", "slo:sli_error:ratio_rate30d", "sloth_slo_info",
    }  # fmt: skip


def test_pyrras_generic_recordings_count_errors_where_good_events_are_declared() -> None:
    made = {
        rule["record"]: rule["expr"]
        for rule in rules.group_of(replace(LATENCY, dialect="pyrra"))["rules"]
        if "record" in rule
    }

    assert made["pyrra_objective"] == "vector(0.99)"
    assert made["pyrra_errors_total"].startswith(
        'sum(ttft_seconds_count{m="chat"}) - (sum(ttft_seconds_bucket{m="chat",le="0.75"})'
    )
