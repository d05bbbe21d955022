import numpy as np

from detectors import surprise
from detectors.noise import Noise


def test_no_window_surprises_more_than_its_history_can_vouch_for() -> None:
    e = np.random.default_rng(1).standard_t(3, 672)
    limit = surprise.vouched(672)

    z = surprise.gaussian(np.array([1e9, -1e9]), np.tile(surprise.knots(e), (2, 1)), np.full(2, limit))

    assert np.allclose(z, [limit, -limit])
    assert round(limit, 2) == 2.97


def test_heavy_tails_become_gaussian() -> None:
    rng = np.random.default_rng(2)
    knots, limit = surprise.knots(rng.standard_t(3, 2000)), np.full(1, surprise.vouched(2000))

    z = np.array([surprise.gaussian(np.array([e]), knots[None], limit)[0] for e in rng.standard_t(3, 4000)])

    assert abs(z.std() - 1) < 0.05
    assert np.mean(np.abs(z) > 2.5) < 0.02


def test_a_jump_is_followed_at_once() -> None:
    noise = Noise(np.ones(1), np.array([0.9]), np.array([0.01]))
    filter_ = surprise.Filter.at_rest(noise)

    filter_.step(np.array([2.0]), np.array([0.001]), noise)

    assert abs(filter_.x[0] - 1.8) < 0.01


def test_a_jump_is_news_where_the_history_has_none() -> None:
    rng = np.random.default_rng(4)
    calm = [surprise.jump(surprise.knots(rng.standard_normal(672))) for _ in range(40)]
    jumpy = [surprise.jump(surprise.knots(rng.standard_t(3, 672))) for _ in range(40)]

    assert np.mean(np.isinf(calm)) > 0.7  # some normal histories look jumpy by chance, which only costs time
    assert set(jumpy) == {surprise.JUMP}


def test_a_window_without_rows_only_propagates() -> None:
    noise = Noise(np.ones(1), np.array([0.5]), np.array([0.01]))
    filter_ = surprise.Filter(np.array([0.4]), np.array([0.002]), np.array([surprise.JUMP]))

    e, k, _ = filter_.step(np.array([99.0]), np.array([1e12]), noise)

    assert (e[0], k[0], filter_.x[0]) == (0.0, 0.0, 0.2)
    assert np.isclose(filter_.p[0], 0.25 * 0.002 + 0.75 * 0.01)


def test_dependent_surprises_are_worth_less() -> None:
    rng = np.random.default_rng(3)
    z = rng.standard_normal(2000)
    dependent = np.convolve(z, np.ones(4) / 2, "valid")

    assert surprise.vif(z) < 1.3
    assert surprise.vif(dependent) > 2.0
