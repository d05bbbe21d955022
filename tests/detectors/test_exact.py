"""Exact distances equal SciPy's; tests of no change keep their level; a change that matters is found."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats  # noqa: TID253
from scipy.spatial.distance import jensenshannon

from detectors import exact_scores, exact_shares
from detectors.exact import Pooled, Sample, counts, edges, gaps, mean_shift, quantile_shift
from detectors.exact_number import Column, number
from detectors.exact_verdict import Least, holm, judged

FLOATS = st.floats(-1e9, 1e9, allow_nan=False) | st.sampled_from([0.0, -0.0, 1.0, 5e-324, 1e9])
TIES = st.integers(-3, 3).map(float)
SAMPLES = st.lists(FLOATS, min_size=1, max_size=60) | st.lists(TIES, min_size=1, max_size=200)
COUNTS = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=2, max_size=12)


def scipy_ks(a: object, b: object) -> float:
    """SciPy's statistic; its p-value divides by zero for one value a side."""
    with np.errstate(all="ignore"):
        return float(stats.ks_2samp(a, b, method="asymp").statistic)


def pooled(a: object, b: object) -> Pooled:
    return Pooled.of(Sample.of(np.asarray(a)), Sample.of(np.asarray(b)))


@given(SAMPLES, SAMPLES)
@example([5.0] * 10, [5.0] * 3)
@example([1.0], [2.0])
def test_ks_and_wasserstein_equal_scipy(a: list[float], b: list[float]) -> None:
    both = pooled(a, b)

    assert both.ks == pytest.approx(scipy_ks(a, b), abs=1e-15)
    assert both.wasserstein == pytest.approx(stats.wasserstein_distance(a, b), rel=1e-9, abs=1e-300)


@given(st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 2.0, np.inf]), min_size=1, max_size=30), SAMPLES)
def test_ks_orders_infinities_as_scipy_does(a: list[float], b: list[float]) -> None:
    assert pooled(a, b).ks == pytest.approx(scipy_ks(a, b), abs=1e-15)


@given(st.lists(st.integers(2**62, 2**63 - 1), min_size=1, max_size=30), st.integers(0, 3))
def test_integers_beyond_2_to_53_are_told_apart(a: list[int], add: int) -> None:
    moved = [min(x + add, 2**63 - 1) for x in a]

    expected = sum(abs(x - y) for x, y in zip(sorted(a), sorted(moved), strict=True)) / len(a)
    assert pooled(np.array(a), np.array(moved)).wasserstein == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_gaps_of_the_whole_range_of_integers_do_not_wrap() -> None:
    assert gaps(np.array([-(2**63), 0, 2**63 - 1])).tolist() == [2.0**63, 2.0**63]


def test_a_small_and_a_huge_sample_agree_with_scipy_in_either_order() -> None:
    rng = np.random.default_rng(1)
    small, huge = rng.normal(size=7), rng.normal(size=300_000)

    for a, b in ((small, huge), (huge, small)):
        assert pooled(a, b).ks == pytest.approx(scipy_ks(a, b), abs=1e-15)
        assert pooled(a, b).wasserstein == pytest.approx(stats.wasserstein_distance(a, b), rel=1e-9)


def test_ks_p_value_is_the_limit_distribution_of_scipy() -> None:
    a, b = np.arange(200.0), np.arange(200.0) + 15

    assert pooled(a, b).ks_p() == pytest.approx(stats.kstwobign.sf(np.sqrt(100) * pooled(a, b).ks))


@given(COUNTS)
def test_distances_of_counts_equal_scipy(pairs: list[tuple[int, int]]) -> None:
    a, b = (np.array(side) for side in zip(*pairs, strict=True))
    if not a.sum() or not b.sum():
        return
    found = exact_shares.distances(a, b)
    p, q = a / a.sum(), b / b.sum()
    assert found.js == pytest.approx(jensenshannon(p, q), abs=1e-7)
    assert found.tv == pytest.approx(np.abs(p - q).sum() / 2)
    assert found.hellinger == pytest.approx(np.linalg.norm(np.sqrt(p) - np.sqrt(q)) / np.sqrt(2))
    both = (a > 0) & (b > 0)
    if both.all():
        assert found.psi == pytest.approx(stats.entropy(p, q) + stats.entropy(q, p), abs=1e-12)
    seen = a + b > 0
    chi2 = stats.chi2_contingency(np.stack([a, b])[:, seen], correction=False)
    assert (found.chi2, found.chi2_df) == (pytest.approx(chi2.statistic, abs=1e-9), chi2.dof)
    assert found.chi2_p == pytest.approx(chi2.pvalue)


@given(st.integers(1, 40), st.integers(1, 400), st.data())
def test_the_test_of_few_events_is_twice_the_smaller_exact_tail(n: int, m: int, data: st.DataObject) -> None:
    a, b = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    law = stats.hypergeom(n + m, a + b, m)

    tails = law.cdf(b), law.sf(b - 1)
    assert exact_shares.share_p((a, n), (b, m)) == pytest.approx(min(1.0, 2 * min(tails)), rel=1e-6, abs=1e-12)


def test_the_test_of_a_rare_share_in_millions_of_rows_neither_overflows_nor_wakes() -> None:
    assert exact_shares.share_p((3, 5_000_000), (4, 5_000_000)) > 0.5
    assert exact_shares.share_p((0, 5_000_000), (30, 5_000_000)) < 1e-8


def test_bins_hold_equal_shares_and_a_constant_has_a_bin_of_its_own() -> None:
    even, constant = Sample.of(np.arange(1000.0)), Sample.of(np.full(50, 5.0))

    assert set(counts(even, edges(even))[1:-1]) <= {99, 100, 101}
    assert counts(constant, edges(constant)).tolist() == [0, 50, 0]
    assert counts(Sample.of(np.array([4.0, 5.0, 6.0, np.inf])), edges(constant)).tolist() == [1, 1, 2]


def test_scores_of_ties_are_orthonormal_and_of_two_values_there_is_one() -> None:
    found = exact_scores.scores(pooled([1, 1, 2, 3, 4, 4, 5, 6], [2, 2, 3, 5, 7, 7]))
    weights = (found.reference + found.current) / 14
    two = exact_scores.scores(pooled([0, 1, 1], [0, 0, 1]))

    assert found.basis.T @ (found.basis * weights[:, None]) == pytest.approx(np.eye(4), abs=1e-9)
    assert [bool(column.any()) for column in two.basis.T] == [True, False, False, False]


@given(SAMPLES, SAMPLES, st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_the_order_of_rows_changes_nothing(a: list[float], b: list[float], random: object) -> None:
    c = list(a)
    random.shuffle(c)  # type: ignore[attr-defined]
    columns = [Column(np.array(side, dtype=float)) for side in (a, c, b)]

    assert number("x", columns[0], columns[2], Least()) == number("x", columns[1], columns[2], Least())


@given(SAMPLES)
def test_a_sample_beside_itself_did_not_move(a: list[float]) -> None:
    column = Column(np.array(a, dtype=float))
    feature = judged([number("x", column, column, Least())], 0.01)[0]

    assert (feature.ks, feature.wasserstein) == (0.0, 0.0)
    assert feature.verdict in {"no_drift", "too_few"}


def test_the_interval_of_a_median_shift_covers_it_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(300):
        both = pooled(rng.lognormal(0, 1, 200), rng.lognormal(0, 1, 300) + 0.5)
        shift = quantile_shift(both, 0.5, (200.0, 300.0))
        hits += shift.low <= 0.5 <= shift.high

    assert stats.binomtest(hits, 300, 0.95, alternative="less").pvalue > 1e-3


def test_a_shift_of_the_mean_has_welchs_interval() -> None:
    a, b = np.arange(100.0), np.arange(100.0) * 2
    shift = mean_shift(pooled(a, b), (100.0, 100.0))

    assert shift.shift == pytest.approx(49.5)
    assert shift.high - shift.shift == pytest.approx(
        1.96 * np.sqrt(a.var(ddof=1) / 100 + b.var(ddof=1) / 100), rel=1e-4
    )


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(2**62, 2**62 + 99), min_size=2, max_size=30), st.booleans()
)
@example([2**63 - 1, -(2**63)], True)
@example([2**62, 2**62 + 3, 2**62 + 98], False)
def test_the_mean_of_whole_numbers_is_exact_beyond_2_to_53(values: list[int], signed: bool) -> None:
    a = np.array(values if signed else [v + 2**63 for v in values], dtype=np.int64 if signed else np.uint64)
    b = a[: a.size // 2 + 1]
    expected = Fraction(sum(map(int, b)), b.size) - Fraction(sum(map(int, a)), a.size)

    found = mean_shift(pooled(a, b), (100.0, 100.0))
    reach = int(a.max()) - int(a.min())
    assert abs(Fraction(found.shift) - expected) <= max(1e-12 * reach, 1e-12)
    assert found.low <= found.shift <= found.high


def test_holm_is_scipy_like_step_down_and_keeps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@pytest.mark.parametrize(
    ("name", "change"),
    [("location", lambda x: x + 0.3), ("spread", lambda x: x * 1.4), ("fourth", lambda x: np.sign(x) * np.abs(x) ** 1.6 * 0.77)],
)  # fmt: skip
def test_each_kind_of_change_is_found_and_named(name: str, change: object) -> None:
    rng = np.random.default_rng(11)
    reference, current = rng.normal(size=8_000), change(rng.normal(size=8_000))  # type: ignore[operator]
    feature = judged([number("x", Column(reference), Column(current), Least())], 0.01)[0]

    assert feature.verdict == "drift"
    assert any(t.name == name and t.p_holm < 0.01 for t in feature.tests)


def test_new_levels_by_chance_are_no_news_and_a_frequent_one_is() -> None:
    rng = np.random.default_rng(3)
    a, b = (np.bincount(np.minimum(rng.zipf(1.6, 5_000), 5_000), minlength=5_001) for _ in range(2))

    assert ((a == 0) & (b > 0)).sum() > 50
    assert exact_shares.unseen_p(a, b) > 0.01
    b[np.flatnonzero(a == 0)[0]] += 25
    assert exact_shares.unseen_p(a, b) < 1e-3


@pytest.mark.slow
def test_the_four_scores_keep_their_level_where_samples_are_small_and_uneven() -> None:
    rng = np.random.default_rng(17)
    p_values = []
    for _ in range(3_000):
        scores = exact_scores.scores(pooled(rng.normal(size=40), rng.normal(size=4_000)))
        p_values.append([m.p for m in exact_scores.exchangeable(scores)])
    low = (np.array(p_values) < 0.01).sum(axis=0)

    assert all(stats.binomtest(int(k), 3_000, 0.01, alternative="greater").pvalue > 1e-3 for k in low)
