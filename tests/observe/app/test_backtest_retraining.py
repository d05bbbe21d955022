"""Policies of retraining on made worlds: what helps where the world changed, and what costs nothing where it did not."""

import numpy as np
import pytest

from observe.app import backtest_retraining as retraining
from observe.app.backtest_retraining import DAY, Asked, Drift, Rows
from observe.app.ridge import fit

FIRST, DAYS, PER_DAY, CHANGE = 30, 120, 400, 60
ASKED = Asked(FIRST * DAY, enough=2_000)
DRIFT = Drift((CHANGE + 1) * DAY, CHANGE * DAY)


def world(seed: int, *, concept: bool, binary: bool = True) -> Rows:
    """Two columns, of which one moves on day 60; with it, or not, what they mean."""
    rng = np.random.default_rng(seed)
    ts = np.sort(rng.integers(0, DAYS * DAY, DAYS * PER_DAY))
    late = ts >= CHANGE * DAY
    x = rng.normal(0, 1, (ts.size, 2)) + np.column_stack([1.0 * late, 0.0 * late])
    slope = np.where(late & concept, -1.0, 1.0)
    z = -0.5 + slope * x[:, 0] + 0.5 * x[:, 1]
    y = rng.random(ts.size) < 1 / (1 + np.exp(-z)) if binary else z + rng.normal(0, 0.5, ts.size)
    known = rng.random(ts.size) < 0.9  # of some the truth never comes
    return Rows(ts.astype(np.int64), x, np.where(known, y.astype(float), np.nan))


def lived(rows: Rows) -> dict[str, retraining.Policy]:
    return {p.name: p for p in retraining.policies(rows, ASKED, [DRIFT])}


@pytest.mark.parametrize("binary", [True, False])
def test_where_the_meaning_changed_ours_trains_once_and_errs_less_than_never(binary: bool) -> None:
    found = lived(world(1, concept=True, binary=binary))
    never = found["never"]

    for name in ("ours, needs: drift", "ours, needs: both"):
        policy = found[name]
        gain, _, high = retraining.beside(policy, never, 1)
        assert len(policy.trainings) == 2
        assert gain < -0.15
        assert high < 0
    assert len(found["monthly"].trainings) > len(found["ours, needs: both"].trainings)


def test_where_only_the_questions_changed_both_spares_the_training_and_loses_nothing() -> None:
    found = lived(world(2, concept=False))

    assert [len(found[f"ours, needs: {n}"].trainings) - 1 for n in ("drift", "both", "performance")] == [1, 0, 0]
    assert abs(retraining.beside(found["never"], found["monthly"], 1)[0]) < 0.02


def test_a_training_learns_only_what_was_known_by_then_and_since_the_change() -> None:
    rows = world(3, concept=True)
    [_, made] = lived(rows)["ours, needs: drift"].trainings
    known = (rows.ts >= CHANGE * DAY) & (rows.ts + DAY <= made.at) & ~np.isnan(rows.y)

    assert (made.since, made.rows) == (CHANGE * DAY, int(known.sum()))
    assert made.rows >= ASKED.enough
    assert made.at == (CHANGE + 7) * DAY  # 2,000 rows of 360 a day, and a day for the truth


def test_with_older_rows_too_ours_learns_across_the_change_and_at_once() -> None:
    [_, made] = lived(world(3, concept=True))["ours, needs: drift, older rows too"].trainings

    assert made.at == (CHANGE + 1) * DAY
    assert made.since // DAY == CHANGE + 1 - FIRST


def test_without_drift_ours_never_trains() -> None:
    rows = world(4, concept=True)
    first = retraining.by_calendar(rows, ASKED, DAYS * DAY, FIRST * DAY)[0]

    assert len(retraining.ours(rows, ASKED, [], "drift", first)) == 1


def test_a_proven_loss_needs_no_drift_where_the_rule_says_so() -> None:
    rows = world(5, concept=True)
    first = retraining.by_calendar(rows, ASKED, DAYS * DAY, FIRST * DAY)[0]

    made = retraining.ours(rows, ASKED, [], "performance", first)[1:]

    assert made
    assert CHANGE * DAY < made[0].at < (CHANGE + 15) * DAY


def test_a_quiet_model_is_rarely_called_worse() -> None:
    """14-day looks at 99 %, by a margin that matters: at most a few of a hundred worlds."""
    called = 0
    for seed in range(20):
        rows = world(100 + seed, concept=False)
        first = retraining.by_calendar(rows, ASKED, DAYS * DAY, FIRST * DAY)[0]
        called += any(retraining.is_worse(rows, first, at, DAY) for at in range(40 * DAY, 110 * DAY, 14 * DAY))

    assert called <= 1


@pytest.mark.parametrize(("concept", "least", "most"), [(True, 0.0, 0.05), (False, 0.05, 1.0)])
def test_older_rows_count_next_to_nothing_where_they_are_wrong_now(concept: bool, least: float, most: float) -> None:
    rows = world(6, concept=concept)

    assert least <= retraining.weighed(rows, 0, (CHANGE + 10) * DAY, DAY, CHANGE * DAY) <= most


def test_older_rows_weighed_are_as_good_as_new_ones_where_the_meaning_changed() -> None:
    found = lived(world(3, concept=True))
    alone, beside = (found[f"ours, needs: drift{more}"] for more in ("", ", older rows weighed"))

    assert [t.at for t in beside.trainings] == [t.at for t in alone.trainings]
    assert beside.trainings[1].rows > alone.trainings[1].rows
    assert abs(beside.error / alone.error - 1) < 0.02


def test_rows_that_count_nothing_teach_nothing() -> None:
    x, y = np.array([[1.0], [3.0], [2.0], [9.0]]), np.array([1.0, 3.0, 2.0, -5.0])
    made = fit(x, y, False, np.array([1.0, 1.0, 1.0, 0.0]))

    assert made.answers(np.array([[2.0]])) == pytest.approx([2.0], abs=0.3)
    assert fit(x, y, False).answers(np.array([[2.0]])) != pytest.approx([2.0], abs=0.3)


def test_a_missing_value_counts_as_the_mean_of_its_column() -> None:
    x = np.array([[1.0], [3.0], [np.nan], [2.0]])
    model = fit(x, np.array([1.0, 3.0, 2.0, 2.0]), binary=False)

    assert model.answers(np.array([[np.nan]])) == pytest.approx(model.answers(np.array([[2.0]])))
