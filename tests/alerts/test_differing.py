"""What bad requests share: exact, corrected, and only what was not always so."""

import numpy as np
import pytest

from alerts import differing
from alerts.differing import Count, Totals, compare


def told(*counts: Count, totals: Totals = Totals(100, 1000)) -> list[tuple[str, str]]:  # noqa: B008 - frozen
    return [(m.dimension, m.value) for m in compare(counts, totals).ranked]


def test_a_value_that_most_bad_and_few_good_requests_have_is_told_with_its_bound() -> None:
    counts = [Count("deployment", "eu-1", 97, 120), Count("deployment", "us-1", 3, 880)]
    [mix] = compare(counts, Totals(100, 1000)).ranked

    assert (mix.value, mix.bad_total, mix.good_total) == ("eu-1", 100, 1000)
    assert 5 < mix.low < mix.lift < 9
    assert mix.words() == "97 % of bad requests against 12 % of good ones ran on deployment eu-1"


def test_a_value_that_always_was_as_common_among_bad_requests_is_left_out() -> None:
    always = [Count("team", "acme", 60, 100, 60, 100), Count("team", "others", 40, 900, 40, 900)]
    anew = [Count("team", "acme", 60, 100, 10, 100), Count("team", "others", 40, 900, 90, 900)]

    assert told(*always) == []
    assert told(*anew) == [("team", "acme")]


def test_two_names_of_the_same_requests_are_one() -> None:
    counts = [
        Count("cluster", "eu", 90, 100, same="a"), Count("deployment", "vllm-eu", 90, 100, same="a"),
        Count("cluster", "us", 10, 900, same="b"), Count("deployment", "vllm-us", 10, 900, same="b"),
    ]  # fmt: skip
    [mix] = compare(counts, Totals(100, 1000)).ranked

    assert (mix.dimension, mix.also) == ("deployment", (("cluster", "eu"),))


def test_kinds_of_errors_are_compared_with_those_before() -> None:
    counts = [Count("error kind", "timeout", 90, 0, 2, 0), Count("error kind", "auth", 10, 0, 48, 0)]
    [mix] = compare(counts, Totals(100, 1000, 50, 5000)).ranked

    assert (mix.value, mix.good, mix.good_total) == ("timeout", 2, 50)


def test_requests_that_do_not_say_are_not_held_against_a_value() -> None:
    counts = [Count("served by", "v41", 4, 500), Count("served by", "v42", 6, 500)]

    assert told(*counts, totals=Totals(100, 1000)) == []


def test_p_values_are_those_of_fishers_exact_test() -> None:
    from scipy.stats import fisher_exact

    [mix, _] = compare([Count("team", "a", 9, 30), Count("team", "b", 11, 170)], Totals(20, 200)).every
    expected = fisher_exact([[9, 11], [30, 170]], alternative="greater").pvalue

    assert mix.p_adjusted == pytest.approx(min(1.0, 2 * expected))


def test_where_nothing_differs_hardly_ever_anything_is_told() -> None:
    rng, found = np.random.default_rng(20261121), 0
    for _ in range(300):
        counts = []
        for d in range(8):
            p = rng.dirichlet(np.ones(6))
            bad, good, before = rng.multinomial(150, p), rng.multinomial(3000, p), rng.multinomial(6000, p)
            counts += [Count(f"d{d}", str(v), int(bad[v]), int(good[v]), 0, int(before[v])) for v in range(6)]
        found += bool(compare(counts, Totals(150, 3000, 0, 6000)).ranked)

    assert found <= 3  # 1 % of the replicates


def test_a_pod_is_found_by_its_deployment() -> None:
    mixes = compare([Count("deployment", "vllm-eu", 90, 100), Count("deployment", "us", 10, 900)], Totals(100, 1000))

    assert [m.value for m in mixes.named("name", "vllm-eu-7d9f-x2")] == ["vllm-eu"]
    assert differing.share(1, 1000) == "under 1 %"
