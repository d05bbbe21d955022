"""A history that is gone through in stretches side by side says what it says window by window."""

import numpy as np
import pytest

from detectors import replay, stretches, surprise
from detectors.evidence import Cusum, Seen, deltas
from detectors.noise import Noise, inverse
from detectors.surprise import Filter


def history(seed: int, windows: int, streams: int) -> tuple[np.ndarray, np.ndarray, Noise]:
    """Residuals with a shift, a jump and gaps, rows, and noise with every kind of memory."""
    rng = np.random.default_rng(seed)
    n = np.full((windows, streams), 60.0)
    n[rng.uniform(size=n.shape) < 0.05] = 0.0
    r = rng.standard_normal(n.shape) * 0.15
    r[windows // 2 :, 0] += 0.3
    r[windows // 3, 1] = 5.0
    rho = np.array([0.0, 0.5, 0.944, 0.9996])[np.arange(streams) % 4]
    return r, n, Noise(np.ones(streams), rho, np.where(rho > 0, 0.01, 0.0))


@pytest.mark.parametrize(("windows", "streams"), [(2000, 4), (700, 40), (30, 2)])
def test_innovations_are_those_of_one_window_after_the_other(windows: int, streams: int) -> None:
    r, n, noise = history(1, windows, streams)
    one_by_one, over_n = Filter.at_rest(noise), inverse(n)

    plain = [one_by_one.step(r[t], over_n[t], noise) for t in range(windows)]
    *found, last = surprise.innovations(r, n, noise)

    for column, own in enumerate(found):
        assert np.allclose(own, [step[column] for step in plain], rtol=1e-10, atol=1e-12)
    assert np.allclose([last.x, last.p], [one_by_one.x, one_by_one.p], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("windows", "streams"), [(2000, 4), (700, 40), (30, 2)])
def test_the_most_evidence_of_a_history_is_that_of_one_window_after_the_other(windows: int, streams: int) -> None:
    r, n, noise = history(2, windows, streams)
    e, k, s, _ = surprise.innovations(r, n, noise)
    se, vif = np.full(e.shape, 0.01), np.linspace(1.0, 1.5, streams)
    delta = np.stack([deltas([0.1, 0.1, 1.0][i % 3]) for i in range(streams)])
    z, counts = np.clip(e, -3, 3), (n > 0) & (np.arange(windows) < windows - 20)[:, None]

    cusum, most, when = Cusum.new(delta, 0), np.zeros((streams, 2)), np.zeros(streams, dtype=int)
    for t in range(windows):
        cusum.step(Seen(z[t], k[t], s[t], se[t], noise.rho, vif, counts[t]), t)
        nats = cusum.nats()
        when = np.where(nats.max(axis=1) > most.max(axis=1), t, when)
        np.maximum(most, nats, out=most)
    found, at = replay.highest(Seen(z, k, s, se, noise.rho, vif, counts), delta)

    assert np.allclose(found, most, rtol=1e-9, atol=1e-9)
    assert at.tolist() == when.tolist()
    assert windows < 100 or most.max() > 5


def test_what_was_cut_into_stretches_is_joined_again() -> None:
    values = np.arange(22.0).reshape(11, 2)

    assert np.array_equal(stretches.joined(stretches.cut(values, 3, -1.0), 11, 3), values)


def test_a_recursion_that_never_forgets_is_still_right() -> None:
    values = np.random.default_rng(3).standard_normal((500, 3))
    steps = stretches.cut(values, 10, 0.0)

    def add(which: np.ndarray, begun: np.ndarray) -> np.ndarray:
        return begun + steps[:, which].sum(axis=0)

    assert np.allclose(stretches.run(np.ones((1, 3)), 10, add)[0], 1 + values.sum(axis=0))


def test_streams_that_never_had_what_matters_are_told_nothing_and_all_others_what_they_had() -> None:
    r, n, noise = history(3, 900, 24)
    e, k, s, _ = surprise.innovations(r, n, noise)
    delta = np.stack([deltas([0.1, 1.0][i % 2]) for i in range(24)])
    seen = Seen(np.clip(e, -3, 3), k, s, np.full(e.shape, 0.01), noise.rho, np.linspace(1.0, 1.5, 24), n > 0)

    whole, when = replay.highest(seen, delta)
    found, at = replay.highest(seen, delta, np.full(24, 6.0))

    matter = whole.max(axis=1) >= 6.0
    assert 0 < matter.sum() < (found.max(axis=1) == 0.0).sum() < 24
    assert found[matter].tolist() == whole[matter].tolist()
    assert at[matter].tolist() == when[matter].tolist()
