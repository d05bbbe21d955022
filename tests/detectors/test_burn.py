"""SLO burn: found in minutes, quiet when chance explains the errors, the same however it is replayed."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest
from burning import DAY, FALSE_PAGES, T0, evidence, judged, monitor
from inline_snapshot import snapshot

from detectors import burn
from detectors.errorbudget import Minutes, dispersion, gate_nats, onset
from detectors.lanes import Walk
from observe.schema import Detected, Finding, Json


def alarms(found: Detected, severity: str = "page") -> list[Finding]:
    return [f for f in found.findings if f.state == "alarm" and f.severity == severity]


def traffic(rate: float, minutes: int, share: float | np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    n = rng.poisson(rate, minutes)
    return n, rng.binomial(n, share)


def burst_traffic(seed: int, variance_to_mean: float = 117.0, rate: float = 150.0, minutes: int = 60) -> np.ndarray:
    """Requests per minute as bursty as the Azure code trace: negative binomial."""
    return np.random.default_rng(seed).negative_binomial(rate / (variance_to_mean - 1), 1 / variance_to_mean, minutes)


def planted(factor: float, rate: float = 10.0, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    share = np.full(2 * DAY, 0.001)
    share[DAY : DAY + 600] = min(1.0, 0.001 * factor)
    return traffic(rate, 2 * DAY, share, seed)


def minutes_after(found: Finding, start: int) -> float:
    return (found.window_end - T0) / timedelta(minutes=1) - start


def test_the_gate_is_one_sided_and_never_nan() -> None:
    nats = gate_nats(np.array([20.0, 0.0, 2.0, 14.0, 1.0]), np.array([60.0, 0.0, 0.06, 0.6, 0.0]))

    assert nats.round(2).tolist() == snapshot([0.0, 0.0, 5.65, 30.3, 27.55])


@pytest.mark.parametrize("seed", range(5))
def test_bursty_traffic_with_chance_errors_pages_nobody(seed: int) -> None:
    n = burst_traffic(seed)
    bad = np.random.default_rng(seed + 100).binomial(n, 0.001)

    assert alarms(judged(n, bad)) == []


@pytest.mark.parametrize("seed", range(5))
def test_errors_in_bursts_of_three_page_nobody(seed: int) -> None:
    n = burst_traffic(seed)
    bad = np.minimum(n, 3 * np.random.default_rng(seed + 200).binomial(n, 0.001 / 3))

    assert alarms(judged(n, bad)) == []


@pytest.mark.parametrize(("factor", "within"), [(20, 90), (50, 40), (1000, 5)])
def test_a_fast_burn_is_found_in_minutes(factor: float, within: float) -> None:
    first = alarms(judged(*planted(factor)))[0]

    assert 0 < minutes_after(first, DAY) <= within
    assert first.onset is not None
    assert abs(minutes_after(first, DAY) - (first.window_end - first.onset) / timedelta(minutes=1)) <= 25


def test_an_objective_that_is_lowered_while_its_fastest_tier_fires_is_judged_on() -> None:
    n, bad = planted(1000)
    strict, loose = monitor(0.999), monitor(0.9)
    e = evidence(n, bad, strict)
    middle = T0 + timedelta(minutes=DAY + 30)
    first = burn.detect(replace(e, window=replace(e.window, end=middle)))
    assert first.state[strict.monitor_id]["lanes"]["page"]["firing"]["tier"] == "page-fast"

    second = burn.detect(replace(e, monitors=(loose,), window=replace(e.window, start=middle), state=first.state))
    assert second.findings[-1].window_end == e.window.end


def test_twenty_errors_where_sixty_are_allowed_stay_quiet() -> None:
    n, bad = np.full(60, 1_000), np.zeros(60, dtype=np.int64)
    bad[::3] = 1

    [*_, last] = judged(n, bad).findings
    assert (last.state, last.evidence_nats) == ("ok", 0.0)


def test_without_traffic_nothing_is_known() -> None:
    [*_, last] = judged(np.zeros(90, dtype=np.int64), np.zeros(90, dtype=np.int64)).findings

    assert (last.state, last.effect, last.note) == ("unknown", None, "slo: no requests in the last hour")


def test_a_handful_of_requests_is_too_few_to_tell_an_outage() -> None:
    n = np.zeros(90, dtype=np.int64)
    n[80] = 1

    [*_, last] = judged(n, n * 0).findings
    assert last.state == "too_few"


def test_one_call_over_all_minutes_gives_what_one_call_a_minute_gives() -> None:
    share = np.full(400, 0.001)
    share[120:260] = 0.08
    n, bad = traffic(12.0, 400, share, 9)
    state: Json = {}
    steps: list[Finding] = []
    for i in range(400):
        found = burn.detect(evidence(n, bad, monitor(), i, i + 1, state))
        state, steps = found.state["m/burn/slo"], steps + list(found.findings)

    whole = judged(n, bad)
    assert any(f.state == "alarm" for f in steps)
    assert [replace(f, made_at=T0) for f in whole.findings] == [replace(f, made_at=T0) for f in steps]
    assert whole.state["m/burn/slo"] == state


def test_the_same_evidence_gives_the_same_findings() -> None:
    n, bad = planted(30)

    assert judged(n, bad) == judged(n, bad)


def test_an_outage_resets_within_ten_minutes_of_its_end_and_is_told_once() -> None:
    changes = [f for f in judged(*planted(1000)).findings if f.details["changed"]]
    opened = [f for f in changes if f.state == "alarm"]

    assert minutes_after(opened[0], DAY) <= 3
    page_over = next(f for f in changes if f.severity != "page" or f.state != "alarm")
    assert 0 < minutes_after(page_over, DAY + 600) <= 10


def test_a_burn_that_weakens_to_twenty_times_the_budget_is_still_one_alarm() -> None:
    share = np.full(2 * DAY, 0.001)
    share[DAY : DAY + 30], share[DAY + 30 : DAY + 300] = 1.0, 0.03
    found = alarms(judged(*traffic(60.0, 2 * DAY, share, 6)))
    ends = [minutes_after(f, DAY) for f in found]

    assert len([b for a, b in pairwise(ends) if b - a > 5]) <= 1


def test_the_budget_is_weighted_by_events_not_by_hours() -> None:
    n = np.concatenate([np.full(60, 1_000), np.full(60, 1)])
    bad = np.concatenate([np.zeros(60), np.ones(60)]).astype(np.int64)

    details = judged(n, bad).findings[-1].details
    assert (details["total"], details["bad"]) == (60_060, 60)
    assert details["budget_left"] == pytest.approx(1 - 60 / 60.06)


def test_the_budget_remembers_what_the_minutes_no_longer_hold() -> None:
    n, bad = np.full(10 * DAY, 10), np.zeros(10 * DAY, dtype=np.int64)
    bad[:60:2] = 1
    state: Json = {}
    for day in range(10):
        found = burn.detect(evidence(n, bad, monitor(), day * DAY, (day + 1) * DAY, state))
        state = found.state["m/burn/slo"]

    assert (found.findings[-1].details["total"], found.findings[-1].details["bad"]) == (10 * DAY * 10, 30)


def test_the_note_says_how_fast_and_what() -> None:
    n, bad = np.full(90, 600), np.full(90, 0)
    bad[30:] = 126
    found = judged(n, bad, monitor(0.99, threshold_s=0.8, column="ttft_s"))

    assert alarms(found)[-1].note == snapshot(
        "slo burns its budget 21× too fast (21 % of requests over 800 ms; 1 % allowed)"
    )
    assert alarms(found)[-1].onset == T0 + timedelta(minutes=30)


def test_a_tier_that_cannot_fire_is_left_out() -> None:
    n = np.full(DAY, 30)
    found = judged(n, n, monitor(0.9))

    assert {f.details["tier"] for f in found.findings} == {"page-slow"}


def test_the_burst_factor_of_independent_errors_goes_to_one_and_of_triples_to_three() -> None:
    rng = np.random.default_rng(8)
    n, usual = np.full(720, 600), np.ones(720, dtype=np.bool_)
    single, triple = dispersion(n, rng.poisson(0.6, 720), usual), dispersion(n, 3 * rng.poisson(0.2, 720), usual)

    assert (single[0], triple[0]) == (5.0, 5.0)
    assert 1.0 <= single[-1] < 1.25
    assert 2.4 < triple[-1] < 3.6


def test_the_start_of_a_burn_is_where_its_errors_start() -> None:
    bad = np.concatenate([np.zeros(300), np.ones(20)]).astype(np.int64)
    found = onset(Minutes.of(1_000, np.full(320, 10), bad), 320, 320, 0.001)

    assert (found.best, found.low, found.high) == (1_300, 1_297, 1_300)


@pytest.mark.parametrize("swing", [0.0, 0.95])
def test_burning_exactly_at_the_budget_pages_at_most_as_often_as_declared(swing: float) -> None:
    from scipy.stats import poisson

    days, replicates, pages = 30, 20, 0
    rate = 10.0 * (1 + swing * np.sin(2 * np.pi * np.arange(days * DAY) / DAY))
    for seed in range(replicates):
        rng = np.random.default_rng(1_000 + seed)
        n = rng.poisson(rate)
        walk = Walk(monitor().params, Minutes.of(0, n, rng.binomial(n, 0.001)), 0, {})
        walk.to(days * DAY)
        pages += sum(
            m.changed and any(x.firing and x.firing.at == m.minute and x.severity == "page" for x in m.lanes)
            for m in walk.marks
        )

    assert pages <= poisson.ppf(0.999, FALSE_PAGES * replicates * days / 360)
