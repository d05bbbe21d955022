"""Did it help? Right about as often as it says, on streams that nothing was done to; and it sees what was done."""

import numpy as np
import pytest
from scipy.signal import lfilter

from detectors.outcome import DAY, Effect, Events, Span, effect

BUDGET = 0.01


def stream(seed: int, days: int, memory: float = 0.9, spread: float = 0.5, rate: float = 30.0) -> tuple[Events, int]:
    """A share of bad events with a daily swing and memory in its logarithm; and the minute of an action on the last day."""
    rng = np.random.default_rng(seed)
    t = np.arange((days + 1) * DAY)
    wander = lfilter([1.0], [1.0, -memory], rng.normal(size=len(t)) * spread * np.sqrt(1 - memory**2))
    swing = np.sin(2 * np.pi * t / DAY + rng.uniform(0, 6)) + 0.5 * np.sin(4 * np.pi * t / DAY)
    n = rng.poisson(rate * np.exp(0.5 * np.sin(2 * np.pi * t / DAY)))
    bad = rng.binomial(n, np.clip(BUDGET * np.exp(swing + wander), 0, 0.9))
    return Events(t, n, bad), days * DAY + int(rng.integers(90, DAY - 90))


def judged(events: Events, at: int) -> Effect:
    return effect(events, Span(at - 60, at), Span(at + 5, at + 65), BUDGET)


@pytest.mark.slow
@pytest.mark.parametrize("days", [3, 14])
def test_on_streams_that_nothing_was_done_to_the_interval_holds_zero_as_often_as_it_says(days: int) -> None:
    found = [judged(*stream(seed, days)) for seed in range(1, 301)]
    covered = np.mean([f.low <= 0 <= f.high for f in found])
    helped = np.mean([f.verdict == "helped" for f in found])

    assert covered >= 0.93
    assert helped <= 0.035


def test_a_burn_that_ends_with_the_action_is_help() -> None:
    events, at = stream(7, 9)
    burning = (events.minute >= at - 60) & (events.minute < at)
    bad = np.where(burning, np.minimum(events.total, events.bad + events.total // 5), events.bad)
    found = judged(Events(events.minute, events.total, bad), at)

    assert (found.verdict, found.days) == ("helped", 9)
    assert found.low < found.effect < found.high < 0
    assert found.before > 10 * BUDGET > found.after


def test_a_burn_that_begins_with_the_action_is_harm() -> None:
    events, at = stream(8, 9)
    bad = np.where(events.minute >= at, np.minimum(events.total, events.bad + events.total // 5), events.bad)

    assert judged(Events(events.minute, events.total, bad), at).verdict == "worse"


def test_what_every_day_does_at_this_hour_is_no_help() -> None:
    t = np.arange(10 * DAY)
    rush = (t % DAY >= 540) & (t % DAY < 600)  # every morning from nine to ten
    n = np.full(len(t), 50)
    bad = np.random.default_rng(3).binomial(n, np.where(rush, 0.2, 0.005))
    found = judged(Events(t, n, bad), 9 * DAY + 600)

    assert found.after < found.before / 10
    assert found.verdict != "helped"
    assert found.low <= 0 <= found.high


@pytest.mark.parametrize("days", [0, 1, 2])
def test_without_earlier_days_the_numbers_are_told_and_the_verdict_is_unknown(days: int) -> None:
    found = judged(*stream(1, days))

    assert (found.verdict, found.days) == ("unknown", days)
    assert "of these hours to compare with, 3 are needed" in found.why
    assert np.isfinite(found.before)
    assert np.isnan(found.low)


def test_too_few_requests_are_told_as_such() -> None:
    events, at = stream(1, 9, rate=0.05)
    found = judged(events, at)

    assert (found.verdict, found.why) == ("unknown", "too few events before it")


def test_a_quiet_stream_that_stays_quiet_did_not_change() -> None:
    t = np.arange(10 * DAY)
    quiet = Events(t, np.full(len(t), 200), np.zeros(len(t), dtype=np.int64))

    assert judged(quiet, 9 * DAY + 600).verdict == "no change"
