"""Monitors and the evidence they need: one budget, divided and never exceeded."""

from __future__ import annotations

import json
from math import exp
from pathlib import Path

import pytest

from observe.schema import Monitor
from observe.spec import Config, load
from observe.spec.budget import threshold_nats
from observe.spec.burn import TIERS, usable
from observe.spec.explain import as_json, render
from observe.spec.monitors import derive
from observe.spec.streams import Levels

SITE = (
    "apiVersion: observe/v1\nkind: Site\nfalseAlarms: {page: 1 per 90d, ticket: 1 per 7d}\n"
    'collectors: {gpus: {type: prometheus, targets: ["http://a/metrics"]}, gateway: {type: otlp}}\n---\n'
)
CHAT = (
    "apiVersion: observe/v1\nkind: Monitoring\nmetadata: {name: chat}\n"
    "slos: [{name: ttft, latency: ttft_s, below: 800ms, objective: 99%}, {name: ok, good: status = ok, objective: 99.9%}]\n---\n"
)
FRAUD = "apiVersion: observe/v1\nkind: Monitoring\nmetadata: {name: fraud}\ndrift: {source: predictions}\n"
SEEN = {"fraud": {"amount": "numeric", "country": "categorical"}}


def configured(folder: Path, text: str) -> Config:
    (folder / "observe.yaml").write_text(text)
    return load(folder / "observe.yaml")


@pytest.fixture
def monitors(tmp_path: Path) -> dict[str, Monitor]:
    return {m.monitor_id: m for m in derive(configured(tmp_path, SITE + CHAT + FRAUD), SEEN)}


def test_every_question_is_asked_once(monitors: dict[str, Monitor]) -> None:
    assert sorted(monitors) == [
        "chat/burn/ok", "chat/burn/ttft", "chat/gauge/queue", "chat/rate/error/share",
        "fraud/gauge/queue", "fraud/level/amount/fourth", "fraud/level/amount/location", "fraud/level/amount/location_fast",
        "fraud/level/amount/spread", "fraud/level/amount/third",
        "fraud/rate/amount/missing", "fraud/rate/country/missing", "fraud/rate/country/unseen",
        "site/gauge/gpu", "site/imbalance/gpu", "site/silence/gateway", "site/silence/gpus", "site/straggler/gpu",
    ]  # fmt: skip


def test_measures_are_those_the_summaries_write(monitors: dict[str, Monitor]) -> None:
    assert monitors["fraud/level/amount/location"].measure == "fraud/predictions/amount"
    assert monitors["chat/burn/ttft"].measure == "chat/slo/ttft"
    assert monitors["chat/rate/error/share"].measure == "chat/attempts/error"


def test_the_expected_false_tickets_of_all_streams_stay_inside_the_promise(monitors: dict[str, Monitor]) -> None:
    period_s = 7 * 86_400
    tickets = [m for m in monitors.values() if m.severity == "ticket"]
    expected = sum(m.params.get("sides", 1) * period_s / m.window_s * exp(-m.threshold_nats) for m in tickets)

    assert expected == pytest.approx(0.4 * 0.8 + 0.1)  # drift without its reserve, and the fleet


def test_thresholds_are_those_that_a_person_computes_from_the_sites_one_number(tmp_path: Path) -> None:
    """168 hours a week, 40 % for drift, a fifth of it in reserve, weights 4 of 15 (newborn: of 9), two sides."""
    grown = {"fraud": {**SEEN["fraud"], "age": "numeric"}}
    config = configured(tmp_path, SITE + CHAT + FRAUD)
    found = {m.monitor_id: m for m in derive(config, grown, settled={"fraud": {"amount", "country"}})}

    settled, newborn = found["fraud/level/amount/location"], found["fraud/level/age/location"]
    assert settled.threshold_nats == pytest.approx(8.278, abs=1e-3)  # ln(168 / (0.4 * 0.8 * 4 / 15 / 2))
    assert newborn.threshold_nats == pytest.approx(9.154, abs=1e-3)  # ln(168 / (0.4 * 0.2 * 4 / 9 / 2))


def test_level_streams_are_judged_hourly_and_a_fast_one_only_for_large_effects(monitors: dict[str, Monitor]) -> None:
    slow, fast = monitors["fraud/level/amount/location"], monitors["fraud/level/amount/location_fast"]

    assert (slow.window_s, slow.min_effect, slow.unit) == (3600, 0.1, "sigma")
    assert (fast.window_s, fast.min_effect, fast.unit) == (300, 1.0, "sigma")
    assert fast.threshold_nats > slow.threshold_nats


def test_the_gate_is_the_published_one_for_one_false_page_in_360_days(tmp_path: Path) -> None:
    shares = "shares: {slo: 50%, drift: 40%, fleet: 10%}"
    site = f"apiVersion: observe/v1\nkind: Site\nfalseAlarms: {{page: 1 per 180d}}\n{shares}\n---\n"
    slo = "apiVersion: observe/v1\nkind: Monitoring\nmetadata: {name: m}\nslos: [{name: ok, good: status = ok, objective: 99.9%}]\n"
    burn = next(m for m in derive(configured(tmp_path, site + slo), {}) if m.detector == "burn")

    assert [round(t["gate_nats"], 3) for t in burn.params["tiers"][:2]] == [9.757, 7.966]
    assert [round(t["factor"], 2) for t in burn.params["tiers"]] == [14.4, 6.0, 3.0, 1.0]
    assert burn.params["alpha_per_year"] == pytest.approx(1.0)
    assert burn.severity == "page"


def test_a_stated_share_is_kept_and_the_others_divide_the_rest(tmp_path: Path) -> None:
    monitors = derive(configured(tmp_path, SITE + CHAT.replace("slos:", "share: 80%\nslos:") + FRAUD), SEEN)
    spent = {m.monitor_id: m.share for m in monitors}

    assert spent["chat/burn/ttft"] + spent["chat/burn/ok"] == pytest.approx(0.5 * 0.8)
    assert spent["chat/rate/error/share"] == pytest.approx(0.4 * 0.8 * 0.8)
    assert sum(s for i, s in spent.items() if i.startswith("fraud")) == pytest.approx(0.4 * 0.8 * 0.2)


def test_newborn_features_draw_on_the_reserve_and_leave_the_others_alone(tmp_path: Path) -> None:
    config = configured(tmp_path, SITE + CHAT + FRAUD)
    before = {m.monitor_id: m.threshold_nats for m in derive(config, SEEN)}
    grown = {"fraud": {**SEEN["fraud"], "age": "numeric"}}
    after = {m.monitor_id: m for m in derive(config, grown, settled={"fraud": {"amount", "country"}})}

    assert {i: after[i].threshold_nats for i in before} == pytest.approx(before)
    assert sum(m.share for i, m in after.items() if "/age/" in i) == pytest.approx(0.4 * 0.2)


def test_an_unfrozen_count_keeps_the_reserve_so_that_freezing_it_changes_no_threshold(tmp_path: Path) -> None:
    config = configured(tmp_path, SITE + CHAT + FRAUD)

    assert derive(config, SEEN) == derive(config, SEEN, settled={m: set(kinds) for m, kinds in SEEN.items()})


def test_a_model_that_is_not_among_the_settled_is_newborn_and_its_named_features_are_not(tmp_path: Path) -> None:
    named = FRAUD.replace("predictions", "predictions, features: [{name: amount, kind: numeric}]")
    arrived = {m.monitor_id: m for m in derive(configured(tmp_path, SITE + FRAUD), SEEN, settled={})}
    written = {m.monitor_id: m for m in derive(configured(tmp_path, SITE + named), SEEN, settled={})}

    assert sum(m.share for i, m in arrived.items() if i.startswith("fraud")) == pytest.approx(0.4 * 0.2)
    assert sum(m.share for i, m in written.items() if i.startswith("fraud")) == pytest.approx(0.4 * 0.8)


def test_newborns_of_a_model_with_a_stated_share_draw_on_its_own_reserve(tmp_path: Path) -> None:
    config = configured(tmp_path, SITE + CHAT + FRAUD.replace("drift:", "share: 30%\ndrift:"))
    monitors = {m.monitor_id: m for m in derive(config, SEEN, settled={"fraud": ["amount"]})}

    assert sum(m.share for i, m in monitors.items() if "/country/" in i) == pytest.approx(0.4 * 0.2 * 0.3)


def test_location_keeps_the_largest_part_of_what_a_feature_may_spend(monitors: dict[str, Monitor]) -> None:
    of = {m.score + "_fast" * m.params.get("fast", False): m.share for m in monitors.values() if m.feature == "amount"}

    assert of["location"] == max(of.values())
    assert {name: round(4 * share / of["location"], 3) for name, share in of.items()} == {
        "location": 4.0, "location_fast": 1.0, "spread": 2.0, "third": 0.5, "fourth": 0.5, "missing": 1.0,
    }  # fmt: skip


def test_large_levels_are_means_small_ones_rates_and_the_rest_is_watched_together(tmp_path: Path) -> None:
    many = [f"c{i}" for i in range(10)]
    levels = Levels(("visa", "master card", *many), (6_000, 3_000, *[100] * 10, 0), per_hour=1_000.0)
    config = configured(tmp_path, SITE + FRAUD)
    asked = {
        m.monitor_id: m for m in derive(config, SEEN, levels={"fraud": {"country": levels}}) if "share:" in m.score
    }

    means = {i: m.score for i, m in asked.items() if m.detector == "level"}
    assert means == {
        "fraud/level/country/share:visa": "share:visa",
        "fraud/level/country/share:#2": "share:master card",
    }
    rates = [m for m in asked.values() if m.detector == "rate"]
    assert [m.score for m in rates] == [*(f"share:c{i}" for i in range(6)), "share:(other)"]
    assert rates[0].share == pytest.approx(asked["fraud/level/country/share:visa"].share)


def test_a_pair_is_judged_by_its_own_measure(tmp_path: Path) -> None:
    seen = {"fraud": {**SEEN["fraud"], "age": "numeric", "age*amount": "pair"}}
    (pair,) = [m for m in derive(configured(tmp_path, SITE + FRAUD), seen) if m.score == "pair"]

    assert (pair.monitor_id, pair.measure, pair.feature) == (
        "fraud/level/age*amount/pair", "fraud/predictions/age*amount", "age × amount",
    )  # fmt: skip


def test_every_collector_that_has_a_rhythm_is_asked_whether_it_is_silent(tmp_path: Path) -> None:
    site = (
        'apiVersion: observe/v1\nkind: Site\ncollectors:\n  p: {type: prometheus, targets: ["http://a/m", "http://b/m"]}\n'
        "  o: {type: otlp}\n  l: {type: litellm, every: 1m}\n  r: {type: predictions}\n"
        '  f: {type: files, path: "x/*.parquet", model: m}\n  e: {type: events}\n  t: {type: labels}\n---\nname: m\n'
    )
    asked = {m.feature: m.params for m in derive(configured(tmp_path, site), {}) if m.detector == "silence"}

    assert asked == {
        "p": {"every_s": 15.0}, "o": {"every_s": 300.0, "push": True}, "l": {"every_s": 60.0, "push": True},
        "r": {"every_s": 300.0, "push": True}, "f": {"every_s": 60.0, "push": True, "rhythm": True},
    }  # fmt: skip


def test_agents_that_push_are_watched_whether_they_are_declared_or_not(tmp_path: Path) -> None:
    bare = "apiVersion: observe/v1\nkind: Site\ncollectors: {gateway: {type: otlp}}\n"
    named = bare.replace("gateway: {type: otlp}", "nodes: {type: exposition, every: 30s}")
    fleet = {"site/imbalance/gpu", "site/straggler/gpu", "site/gauge/gpu"}

    def asked(site: str, pushed: tuple[str, ...]) -> set[str]:
        return {m.monitor_id for m in derive(configured(tmp_path, site), {}, pushed=pushed)}

    assert asked(bare, ()) == {"site/silence/gateway", "site/gauge/gpu"}
    assert asked(bare, ("exposition",)) == {"site/silence/gateway", "site/silence/exposition", *fleet}
    assert asked(named, ()) == asked(named, ("exposition",)) == {"site/silence/nodes", *fleet}


def test_prices_weigh_what_idles(tmp_path: Path) -> None:
    site = SITE.replace("\n---", "\nprices: {h100-80gb: 2.90 USD/h}\n---")
    asked = {m.monitor_id: m.params for m in derive(configured(tmp_path, site + FRAUD), {})}

    assert asked["site/imbalance/gpu"] == {"prices": {"h100-80gb": 2.9}}


def test_named_features_win_over_those_that_arrived(tmp_path: Path) -> None:
    named = FRAUD.replace("predictions", "predictions, features: [{name: score, minEffect: 10%}]")
    levels = [m for m in derive(configured(tmp_path, SITE + named), SEEN) if m.detector == "level"]

    assert {(m.feature, m.min_effect, m.unit) for m in levels} == {("score", 10.0, "%"), ("score", 1.0, "sigma")}


@pytest.mark.parametrize(
    ("said", "number", "level"), [("5%", (5.0, "%"), (0.1, "sigma")), ("2pp", (0.1, "sigma"), (2.0, "pp"))]
)
def test_a_smallest_effect_of_all_features_is_meant_of_those_that_have_its_unit(
    tmp_path: Path, said: str, number: tuple[float, str], level: tuple[float, str]
) -> None:
    drift = FRAUD.replace("predictions", f"predictions, minEffect: {said}")
    seen = {"fraud": {"amount": "numeric", "country": "categorical", "amount*age": "pair"}}
    levels = {"fraud": {"country": Levels(("DE", "FR"), (600, 400, 0), 1_000.0)}}
    found = derive(configured(tmp_path, SITE + drift), seen, None, levels)

    asked = {m.monitor_id.removeprefix("fraud/level/"): (m.min_effect, m.unit) for m in found if m.detector == "level"}
    assert asked["amount/location"] == asked["amount/spread"] == number
    assert asked["country/share:DE"] == level
    assert asked["amount*age/pair"] == (0.1, "sigma")


def test_twice_the_streams_cost_seven_tenths_of_a_nat() -> None:
    assert threshold_nats(720, 1, 1 / 240) - threshold_nats(720, 1, 1 / 120) == pytest.approx(0.693, abs=1e-3)


def test_tiers_that_cannot_fire_are_left_out() -> None:
    assert [t.name for t in usable(0.90, 30 * 86_400)] == ["page-slow", "ticket-sustained", "ticket-chronic"]
    assert usable(0.60, 90 * 86_400) == ()
    assert round(TIERS[0].outage_s(0.999, 30 * 86_400) / 60, 2) == 0.86


def test_the_explanation_names_values_origins_and_what_alarms_need(tmp_path: Path) -> None:
    config = configured(tmp_path, SITE + CHAT + FRAUD)
    text = render(config)

    assert "  falseAlarms\n    page" in text
    assert f"# {tmp_path}/observe.yaml:3:21" in text
    assert "page-fast         14.4x the budget over 1h and 5m" in text
    assert "total outage found after 52s" in text
    assert json.loads(json.dumps(as_json(config)))["models"]["fraud"]["monitoring"]["drift"]["minEffect"] == "0.1σ"
