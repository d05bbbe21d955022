"""Names that would be mixed up, and labels that are none, are refused with their places."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from promises import AVAILABILITY, FOREIGN, LATENCY, fields

from alerts import naming, openslo, openslo_policy, openslo_written, promql, rulefiles, rules, sloth
from alerts.promise import Promise
from observe.errors import ConfigError


def test_one_id_in_two_files_is_refused_with_both_places() -> None:
    one = replace(FOREIGN, slo_id="a.b.c", service="a", name="b.c", origin="one.yaml:3:5")
    other = replace(FOREIGN, slo_id="a.b.c", service="a.b", name="c", origin="two.yaml:9:5")

    [error] = naming.twice([other, one])

    assert (error.message, error.hint) == (
        "two.yaml:9:5: SLO 'a.b.c' is declared twice",
        "the first is at one.yaml:3:5",
    )


@pytest.mark.parametrize(
    ("name", "taken"),
    [("team", True), ("app.kubernetes.io/name", False), ("0x", False), ("__name__", False), ("über", False)],
)
def test_a_label_that_prometheus_does_not_take_is_refused(name: str, taken: bool) -> None:
    promise = replace(AVAILABILITY, labels={"page": {name: "x"}}, origin="slo.yaml:1:1")

    assert [e.message.partition(":1:1: ")[2] for e in naming.labels(promise)] == (
        [] if taken else [f"chat.availability: {name!r} cannot name a label of an alert"]
    )


def test_braces_in_a_label_are_text_and_not_a_template() -> None:
    promise = replace(AVAILABILITY, service="a {{ .x }}", labels={"": {"team": "{{ $value }}"}})
    alert = next(r for r in rules.group_of(promise)["rules"] if "alert" in r)

    assert alert["labels"]["team"] == '{{ "{{" }} $value }}'
    assert alert["labels"]["service"] == 'a {{ "{{" }} .x }}'


def test_slos_of_two_services_keep_their_names_apart_as_objects_and_alike_ones_are_refused() -> None:
    other = replace(FOREIGN, slo_id="cart.errors", service="cart")
    alike = replace(FOREIGN, slo_id="shop.Errors", name="Errors", origin="b.yaml:1:1")

    assert openslo_written.object_names([FOREIGN, other]) == {
        "shop.errors": "shop-errors",
        "cart.errors": "cart-errors",
    }
    assert [e.message for e in naming.of_objects([FOREIGN, other], "openslo")] == []
    [error] = naming.of_objects([FOREIGN, alike], "openslo")
    assert "shop.errors and shop.Errors would both be SLO 'errors'" in error.message


def test_services_whose_operator_objects_would_share_a_name_are_refused() -> None:
    one, other = (replace(FOREIGN, service=s, slo_id=f"{s}.errors") for s in ("a.b", "a-b"))

    [error] = naming.of_objects([one, other], "prometheusrule")
    assert "would both be PrometheusRule 'a-b-slo'" in error.message
    assert len(rulefiles.operator_files([one, other], "x", None)) == 2  # as files they would be two


SLO = """\
apiVersion: openslo/v1
kind: SLO
metadata: {{name: errors}}
spec:
  service: shop
  indicator: {{spec: {{ratioMetric: {{counter: {counter}, bad: {{metricSource: {{type: Prometheus, spec: {{query: b_total}}}}}}, total: {{metricSource: {{type: Prometheus, spec: {{query: a_total}}}}}}}}}}}}
  objectives: [{{target: 0.99}}]
  alertPolicies:
    - kind: AlertPolicy
      metadata: {{name: p}}
      spec: {{alertWhenNoData: {no_data}, conditions: [{conditions}]}}
"""


def condition(back: str = "1h", name: str = "fast", threshold: float = 14.4) -> str:
    spec = (
        f"severity: page, condition: {{kind: burnrate, threshold: {threshold}, lookbackWindow: {back}, alertAfter: 0m}}"
    )
    return f"{{kind: AlertCondition, metadata: {{name: {name}}}, spec: {{{spec}}}}}"


def read(counter: str = "true", no_data: str = "true", *conditions: str) -> Promise:
    text = SLO.format(counter=counter, no_data=no_data, conditions=", ".join(conditions or (condition(),)))
    [root] = fields(text, [])
    [promise] = openslo.promises(root, openslo.objects([root]))
    return promise


@pytest.mark.parametrize(("written", "meant"), [('"true"', True), ('"false"', False), ("False", False), ("true", True)])
def test_booleans_in_quotes_are_booleans(written: str, meant: bool) -> None:
    assert read(no_data=written).no_data is meant


def test_a_text_where_true_or_false_is_meant_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected true or false, got 'maybe'"):
        read("true", "maybe")


def test_short_look_backs_get_a_short_window_that_sees_scrapes_and_shorter_ones_are_refused() -> None:
    [tier] = read("true", "true", condition("30m")).tiers

    assert (tier.long_s, tier.short_s) == (1800, 300)
    with pytest.raises(ConfigError, match="a look-back of 1m sees too few scrapes"):
        read("true", "true", condition("1m"))


def test_conditions_that_repeat_a_name_are_told_apart_and_equal_ones_are_one() -> None:
    promise = replace(
        read("true", "true", condition("1h"), condition("6h", "fast", 6), condition("1h", "again")), alpha={"page": 1.0}
    )

    assert [(t.name, t.long_s) for t in promise.tiers] == [("fast", 3600), ("fast-2", 21600)]
    assert (
        len(
            {
                (r["labels"]["burn_tier"], r["alert"])
                for r in rules.group_of(promise)["rules"]
                if r.get("alert") == "SloBurn"
            }
        )
        == 2
    )


def test_a_calendar_period_has_no_budget_recording_and_is_written_as_one() -> None:
    promise = replace(AVAILABILITY, calendar={"unit": "month", "time_zone": "Europe/Berlin"})
    names = {r.get("record") for r in rules.group_of(promise)["rules"]}

    assert not {n for n in names if n and n.endswith("30d")}
    assert "promised 99.9% over calendar month (Europe/Berlin)" in str(rules.group_of(promise))
    [document] = openslo_written.documents([promise], [])
    assert document["spec"]["timeWindow"][0]["calendar"]["timeZone"] == "Europe/Berlin"
    notes: list[str] = []
    sloth.documents([promise], notes)
    assert "no calendar windows" in notes[0]


def test_a_ratio_that_is_gone_for_a_night_says_nothing_and_below_the_allowed_rate_nothing_fires() -> None:
    raw = replace(FOREIGN, sli=replace(FOREIGN.sli, total="", errors="", ratio="r[$window]"), window_s=7 * 86_400.0)  # type: ignore[type-var]
    chronic = raw.usable[-1]

    assert "[1d])" in promql.without_data(raw)
    assert promql.gate(raw, chronic).startswith("max by (slo_id)")
    assert f"> {raw.budget:g}" in promql.gate(raw, chronic)  # not a quarter of it


@pytest.mark.servers
@pytest.mark.slow
def test_the_interval_is_told_in_every_dialect(tmp_path: Path) -> None:
    """promtool evaluates what the annotation asks: in Sloth's dialect the ratio carries a label more."""
    for dialect in ("", "sloth", "pyrra"):
        promise = replace(LATENCY, dialect=dialect, judged="")
        tier = promise.usable[0]
        files = rulefiles.plain_files((promise,), "x", None)
        suite = yaml.safe_load(files["tests/chat.test.yml"])
        test = next(t for t in suite["tests"] if "times the allowed rate" in t["name"])
        asked = f"count({promql.burn_rate(promise, tier, 'low')} < bool {promql.burn_rate(promise, tier)})"
        test["promql_expr_test"] = [{"expr": asked, "eval_time": "12m", "exp_samples": [{"labels": "{}", "value": 1}]}]
        (tmp_path / "rules").mkdir(exist_ok=True)
        (tmp_path / "rules/chat.slo.rules.yml").write_text(files["rules/chat.slo.rules.yml"])
        (tmp_path / "t.yml").write_text(
            yaml.safe_dump({**suite, "rule_files": ["rules/chat.slo.rules.yml"], "tests": [test]})
        )
        done = subprocess.run(
            [shutil.which("promtool") or "promtool", "test", "rules", str(tmp_path / "t.yml")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (dialect, done.stdout)


def test_every_group_has_each_alert_and_tier_once() -> None:
    alerts = [(r["alert"], r["labels"].get("burn_tier")) for r in rules.group_of(AVAILABILITY)["rules"] if "alert" in r]

    assert len(alerts) == len(set(alerts))
    assert openslo_policy.tiers_of(openslo_policy.Alarm(), 1.0)[1] == {}
