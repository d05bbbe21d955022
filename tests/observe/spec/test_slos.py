"""SLOs as people write them: the page about them is true, and what they come to is right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from observe.spec import check
from observe.spec.burn import TIERS, usable
from observe.spec.config import Config
from observe.spec.explain import render
from observe.spec.monitors import derive
from observe.spec.periods import NOMINAL_S

PAGE = (Path(__file__).parents[3] / "docs" / "slos.md").read_text(encoding="utf-8")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    [text] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "slos.yaml").write_text(text)
    return check([tmp_path / "slos.yaml"], None)


def test_the_example_of_the_page_is_read_and_holds_every_kind(config: Config) -> None:
    monitoring = config.models["chat"].monitoring
    assert monitoring is not None

    assert {slo.kind for slo in monitoring.slos} == {
        "latency", "good", "dependency", "prometheus", "cost", "drift", "gpus", "composite",
    }  # fmt: skip


def test_a_monitor_knows_its_period_source_and_kind(config: Config) -> None:
    params = {m.feature: m.params for m in derive(config, {}) if m.detector == "burn"}

    assert params["answered"]["window"] == {
        "kind": "calendar",
        "unit": "month",
        "time_zone": "Europe/Berlin",
        "length_s": 2_592_000.0,
    }
    assert params["ttft"]["window"] == {"kind": "rolling", "length_s": 2_592_000.0}
    assert (params["price"]["source"], params["price"]["events"]) == ("slo-cost", "minutes")
    assert (params["price"]["phi_floor"], params["ttft"].get("phi_floor")) == (
        60.0,
        None,
    )  # minutes of one state are no sixty events
    assert params["experience"]["events"] == "requests"
    assert params["experience"]["weights"] == {"ttft": 2, "answered": 1}


def test_what_is_counted_in_minutes_opens_tickets_and_pages_nobody(config: Config) -> None:
    """States that last for hours would page more often than is declared: bench.minutes."""
    burns = {m.feature: m for m in derive(config, {}) if m.detector == "burn"}

    assert {name for name, m in burns.items() if m.severity == "ticket"} == {"price", "calm", "gpus"}
    assert all(
        m.threshold_nats == min(t["gate_nats"] for t in m.params["tiers"])
        for m in burns.values()
        if m.severity == "ticket"
    )


def test_what_is_counted_and_how_exactly_is_told(config: Config) -> None:
    told = render(config)

    assert (
        "SLO answered: 99.9% of requests over calendar month (Europe/Berlin): status = ok, of team_id != loadtest"
        in told
    )
    assert "    a ticket after 15m without any" in told
    assert "    counted as Prometheus extrapolates counters; a bucket counts only up to its own edge" in told


def test_an_slo_that_nobody_wrote_is_marked_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(
        "apiVersion: piqc.ai/v1alpha1\nkind: ModelSpec\nmetadata: {name: m}\n"
        "spec: {operations: {scaling: {targetLatencyMsP95: 800}}}\n"
    )
    told = render(check([tmp_path / "m.yaml"], None))

    assert (
        "SLO latency (derived; derivedSlos: off keeps it away): 95% of requests over 30d: duration_s below 800ms"
        in told
    )
    assert f"# targetLatencyMsP95 at {tmp_path}/m.yaml:4:" in told


@pytest.mark.parametrize("unit", NOMINAL_S)
def test_tiers_of_a_calendar_period_fit_into_it_and_never_ask_for_less_than_the_allowed_rate(unit: str) -> None:
    period = NOMINAL_S[unit]
    tiers = usable(0.99, period)

    assert tiers
    assert all(t.long_s < period and t.factor(period) >= 0.9 and t.factor(period) * 0.01 < 1 for t in tiers)
    assert {t.name for t in TIERS if t.long_s >= period}.isdisjoint(t.name for t in tiers)


def test_a_tier_that_does_not_fit_is_left_out_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(
        "apiVersion: observe/v1\nkind: Monitoring\nmetadata: {name: m}\n"
        "slos: [{name: ok, good: status = ok, objective: 99%, window: {calendar: day, timeZone: Asia/Tokyo}}]\n"
    )

    [warning] = check([tmp_path / "m.yaml"], None).warnings
    assert warning == (
        "model 'm', SLO 'ok': at 99% over calendar day (Asia/Tokyo) ticket-sustained, ticket-chronic can never fire"
    )
