"""Changed payloads, small amounts of what `python -m bench.fuzz` does for hours: nothing but counted rejections."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import aside

from bench import fuzz
from bench.fuzz_seeds import seeds

SEEDS = seeds(fuzz.AT)


def told_of(seed: object, payload: bytes) -> dict[str, str]:
    told = fuzz.Told()
    fuzz.parse_once(seed, payload, told)  # type: ignore[arg-type]
    return told.examples


def test_every_payload_we_begin_with_is_taken_as_it_is() -> None:
    told = fuzz.Told()
    for seed in SEEDS:
        fuzz.parse_once(seed, seed.payload, told)

    assert (told.failures, set(told.outcomes)) == ({}, {"parse rows"})


@settings(max_examples=600)
@given(st.sampled_from(SEEDS), st.randoms(use_true_random=False))
def test_a_changed_payload_is_parsed_or_refused_and_accounted_for(seed: object, rng: random.Random) -> None:
    assert told_of(seed, fuzz.mutated(rng, seed.payload, SEEDS)) == {}  # type: ignore[attr-defined]


@settings(max_examples=400)
@given(st.sampled_from(SEEDS), st.binary(max_size=40), st.integers(0, 4000), st.integers(0, 80))
def test_bytes_put_anywhere_are_parsed_or_refused(seed: object, put: bytes, place: int, cut: int) -> None:
    payload: bytes = seed.payload  # type: ignore[attr-defined]
    place %= len(payload) + 1

    assert told_of(seed, payload[:place] + put + payload[place + cut :]) == {}


@pytest.mark.slow
def test_three_thousand_cases_through_collectors_and_routes_leave_a_whole_account() -> None:
    told = aside(fuzz.run, 3000, 11)

    assert told.failures == {}, told.examples
    assert told.outcomes["HTTP 200"] > 100 < told.outcomes["parse rows"]
    assert told.outcomes["rows stored"] > 0
