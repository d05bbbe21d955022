"""Labels meet their predictions: at the event time of the prediction, each once, whenever they come."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from labelled import HOURS, PER_HOUR, T0, N, answers, config, found, opened

from observe import summaries
from observe.clock import EventClock
from observe.schema import Batch, Finding
from observe.spec import Config
from observe.store import Store
from observe.summaries.matched import touched
from observe.summaries.rows import sources, tables

LATE = {"attempts": 60.0, "predictions": 60.0}


def expected(rows: pl.DataFrame, labels: pl.DataFrame) -> float:
    return float((rows["prediction"] == labels["value"]).mean() or 0.0)


def totals(store: Store) -> tuple[int, int, float]:
    return store.read(
        "select sum(predictions)::BIGINT, sum(labelled)::BIGINT, sum(accuracy * labelled) / sum(labelled) from performance"
    ).row(0)


def later(store: Store, clock: EventClock, config: Config, labels: pl.DataFrame, batch: str) -> None:
    """Labels that come two hours after the last window was closed are stored, and folded in."""
    clock.set(clock.now() + timedelta(hours=1))
    store.append(Batch("t", batch, {"label": labels}))
    clock.set(clock.now() + timedelta(hours=1))
    closed = summaries.close(store, config, clock.now())
    assert not closed.failures


def test_labels_count_at_the_event_time_of_their_prediction(tmp_path: Path) -> None:
    rows, labels = answers()
    with opened(tmp_path) as (store, clock):
        store.append(Batch("t", "1", {"prediction:m": rows, "label": labels}))
        closed = summaries.close(store, config(), clock.now())

        hours = store.read("select ts, predictions, labelled, accuracy from performance order by ts")
        first = float((rows["prediction"] == labels["value"])[:PER_HOUR].mean() or 0.0)
        assert not closed.failures
        assert hours.row(0) == (T0, PER_HOUR, PER_HOUR, pytest.approx(first))
        assert hours.height == HOURS


def test_rows_without_a_probability_have_no_log_loss(tmp_path: Path) -> None:
    rows, labels = answers()
    without = rows.with_columns(score=pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.col("score")))
    with opened(tmp_path) as (store, clock):
        store.append(Batch("t", "1", {"prediction:m": without, "label": labels}))
        assert not summaries.close(store, config(), clock.now()).failures
        found = store.read(
            "select sum(n)::BIGINT as n, sum(value_sum) / sum(n) as mean from summary where measure = 'm/performance/log_loss'"
        )

    p = np.where(labels["value"] == "1", rows["score"], 1 - rows["score"])[::2]
    assert found.row(0) == (N // 2, pytest.approx(float(-np.log(p).mean())))


def test_late_labels_are_added_once_and_marked_late(tmp_path: Path) -> None:
    rows, labels = answers()
    early = pl.Series(np.arange(N) % 4 != 0)
    with opened(tmp_path) as (store, clock):
        store.append(Batch("t", "1", {"prediction:m": rows, "label": labels.filter(early)}))
        summaries.close(store, config(), clock.now())
        before = totals(store)
        later(store, clock, config(), labels.filter(~early), "2")
        later(store, clock, config(), labels.filter(~early), "again")  # as a sender does that missed our answer

        assert before[:2] == (N, 3 * N // 4)
        assert totals(store) == (N, N, pytest.approx(expected(rows, labels)))
        assert store.read("select sum(late)::BIGINT from performance").item() == N // 4


def test_a_newer_revision_of_a_label_counts_and_both_are_told(tmp_path: Path) -> None:
    rows, labels = answers()
    turned = labels.head(100).with_columns(
        value=pl.when(pl.col("value") == "1").then(pl.lit("0")).otherwise(pl.lit("1")), value_num=1 - pl.col("value_num"), revision=pl.lit(1, pl.Int64)
    )  # fmt: skip
    with opened(tmp_path) as (store, clock):
        store.append(Batch("t", "1", {"prediction:m": rows, "label": labels}))
        summaries.close(store, config(), clock.now())
        later(store, clock, config(), turned, "2")

        assert totals(store) == (N, N, pytest.approx(expected(rows, pl.concat([turned, labels[100:]]))))
        states = store.read(
            "select list_sum(list(counts[1]))::BIGINT, list_sum(list(counts[3]))::BIGINT from summary where measure = 'm/performance/label_state'"
        )
        assert states.row(0) == (N - 100, 100)


def test_labels_without_a_prediction_and_ones_that_cannot_be_are_left_out(tmp_path: Path) -> None:
    rows, labels = answers()
    strange = labels.head(50).with_columns(prediction_id=pl.lit("nobody-") + pl.col("prediction_id"))
    too_soon = labels[50:60].with_columns(ts=pl.col("ts") - timedelta(days=1))
    with opened(tmp_path) as (store, clock):
        store.append(Batch("t", "1", {"prediction:m": rows, "label": pl.concat([strange, too_soon, labels[60:]])}))
        summaries.close(store, config(), clock.now())

        assert totals(store)[:2] == (N, N - 60)


def test_labels_of_nobody_are_told_with_an_example(tmp_path: Path) -> None:
    rows, labels = answers()
    strange = labels.tail(7).with_columns(prediction_id=pl.lit("nobody"), item_idx=pl.int_range(7))
    with opened(tmp_path) as (store, _):
        store.append(Batch("t", "1", {"prediction:m": rows, "label": pl.concat([strange, labels])}))

        assert store.read("select model, labels, example from label_unmatched").rows() == [("m", 7, "nobody")]


def test_a_window_waits_for_the_declared_delay(tmp_path: Path) -> None:
    rows, labels = answers()
    with opened(tmp_path) as (store, clock):
        store.append(Batch("t", "1", {"prediction:m": rows, "label": labels}))
        clock.set(T0 + timedelta(hours=30, minutes=10))
        summaries.close(store, config(), clock.now())

        until = summaries.closed_until(store)
        assert until["m/estimate"] == T0 + timedelta(hours=30)
        assert until["m/performance"] == T0 + timedelta(hours=27)


def test_a_regression_has_absolute_and_squared_errors(tmp_path: Path) -> None:
    rows, labels = answers()
    truth = rows["score"] * 10 + pl.Series(np.random.default_rng(5).normal(0, 2, N))
    rows = rows.with_columns(score=pl.col("score") * 10)
    labels = labels.with_columns(value_num=truth, value=truth.cast(pl.String))
    with opened(tmp_path) as (store, clock):
        store.append(Batch("t", "1", {"prediction:m": rows, "label": labels}))
        closed = summaries.close(store, config(task="regression", positive=None), clock.now())

        found = store.read(
            "select sum(mae * labelled) / sum(labelled), sqrt(sum(rmse ** 2 * labelled) / sum(labelled)) from performance"
        ).row(0)
        errors = (truth - rows["score"]).to_numpy()
        cells = store.read("select sum(n)::BIGINT as n from summary where measure = 'm/performance/error_by_score'")
        assert not closed.failures
        assert found == (pytest.approx(np.abs(errors).mean()), pytest.approx(np.sqrt((errors**2).mean())))
        assert cells.item() == N


def test_slices_of_a_regression_count_answers_within_the_tolerance(tmp_path: Path) -> None:
    rows, labels = answers()
    truth = rows["score"] + pl.Series(np.random.default_rng(5).normal(0, 2, N))
    labels = labels.with_columns(value_num=truth, value=truth.cast(pl.String))
    asked = config(task="regression", positive=None, tolerance=1.5, slices=["region"])
    with opened(tmp_path) as (store, clock):
        store.append(Batch("t", "1", {"prediction:m": rows, "label": labels}))
        closed = summaries.close(store, asked, clock.now())
        counted = store.read(
            "select level, sum(c)::BIGINT as n from (select unnest(levels) as level, unnest(counts[1:len(levels)]) as c "
            "from summary join binning using (binning_id) where measure = 'm/performance/slice:region') group by level"
        )

    right = ((truth - rows["score"]).abs() <= 1.5).alias("right")
    wanted = rows.select("region", right).group_by("region", "right").len()
    assert not closed.failures
    assert dict(counted.iter_rows()) == {
        f"{'right' if ok else 'wrong'}:{region}": n for region, ok, n in wanted.iter_rows()
    }


def estimated(store: Store, clock: EventClock, config: Config) -> Finding:
    return next(f for f in found(store, clock, config, "estimate") if f.subject != "auc")


def test_accuracy_of_today_is_estimated_before_its_labels(tmp_path: Path) -> None:
    rows, labels = answers()
    with opened(tmp_path) as (store, clock):
        store.append(Batch("t", "1", {"prediction:m": rows, "label": labels}))
        guess = estimated(store, clock, config())

        today = float((rows["prediction"] == labels["value"])[6 * PER_HOUR :].mean() or 0.0)
        assert (guess.kind, guess.state, guess.severity, guess.details["method"]) == (
            "performance",
            "inform_only",
            "inform",
            "CBPE",
        )
        assert guess.ci_low is not None
        assert guess.ci_high is not None
        assert guess.ci_low <= today <= guess.ci_high
        assert guess.details["with_labels"]["labels"] == 2_400


def test_auc_of_the_newest_labels_that_are_due_informs_beside_what_it_was(tmp_path: Path) -> None:
    rows, labels = answers()
    with opened(tmp_path) as (store, clock):
        store.append(Batch("t", "1", {"prediction:m": rows, "label": labels}))
        ranked = next(f for f in found(store, clock, config(), "estimate") if f.subject == "auc")

        score, truth = (frame.to_numpy()[6 * PER_HOUR :] for frame in (rows["score"], labels["value_num"]))
        exact = float((score[truth > 0.5][:, None] > score[truth < 0.5][None, :]).mean())
        assert (ranked.kind, ranked.state, ranked.severity, ranked.n) == ("performance", "inform_only", "inform", 2_400)
        assert ranked.effect == pytest.approx(exact, abs=0.005)
        assert ranked.ci_low is not None
        assert ranked.ci_low < exact
        assert ranked.details["before"] == pytest.approx(exact, abs=0.05)
        assert ranked.note.endswith("auc informs, it never alarms")


def test_the_error_of_a_regression_is_estimated_before_its_labels(tmp_path: Path) -> None:
    rows, labels = answers()
    rng = np.random.default_rng(6)
    asked = rows["score"].to_numpy() + np.where(np.arange(N) >= 6 * PER_HOUR, 0.2, 0.0)  # larger ones than before
    truth = pl.Series(asked * 10 + rng.normal(0, 1, N) * asked * 3)
    rows, labels = (
        rows.with_columns(score=pl.Series(asked * 10)),
        labels.with_columns(value_num=truth, value=truth.cast(pl.String)),
    )
    with opened(tmp_path) as (store, clock):
        store.append(Batch("t", "1", {"prediction:m": rows, "label": labels}))
        guess = estimated(store, clock, config(task="regression", positive=None, unit="min"))

        errors = np.abs(truth.to_numpy() - asked * 10)
        assert (guess.subject, guess.unit, guess.details["method"]) == ("mae", "min", "DLE")
        assert errors[: 6 * PER_HOUR].mean() * 1.2 < errors[6 * PER_HOUR :].mean()
        assert guess.effect == pytest.approx(errors[6 * PER_HOUR :].mean(), rel=0.12)
        assert guess.details["with_labels"]["value"] == pytest.approx(errors[6 * PER_HOUR :].mean(), rel=0.03)


def test_labels_of_predictions_that_came_late_themselves_are_added(tmp_path: Path) -> None:
    rows, labels = answers()
    early = pl.Series(np.arange(N) % 4 != 0)
    with opened(tmp_path) as (store, clock):
        store.append(Batch("t", "1", {"prediction:m": rows.filter(early), "label": labels}))
        summaries.close(store, config(), clock.now())
        clock.set(clock.now() + timedelta(hours=1))
        store.append(Batch("t", "2", {"prediction:m": rows.filter(~early)}))
        later(store, clock, config(), labels.head(1), "3")

        assert totals(store) == (N, N, pytest.approx(expected(rows, labels)))


def test_the_search_for_late_labels_finds_the_hours_that_the_join_of_all_finds(tmp_path: Path) -> None:
    rows, labels = answers()
    late = pl.Series(np.isin(np.arange(N) // PER_HOUR, [3, 4, 11, 20]))
    new, strange = (
        labels.filter(late),
        labels.head(5).with_columns(prediction_id=pl.lit("nobody"), item_idx=pl.int_range(5)),
    )
    far = new.with_columns(
        ts=pl.when(pl.col("ts") < T0 + timedelta(hours=8)).then(T0 + timedelta(days=90)).otherwise("ts")
    )
    with opened(tmp_path) as (store, clock):
        store.append(Batch("t", "1", {"prediction:m": rows, "label": labels.filter(~late)}))
        seen = clock.set(clock.now() + timedelta(hours=1)) or clock.now()
        store.append(Batch("t", "2", {"label": pl.concat([far, strange])}))
        source = next(s for s in sources(config().models["m"], tables(store), LATE) if s.name == "performance")
        asked = {**source.params, "until": T0 + timedelta(hours=15), "seen": seen}
        every = "select distinct time_bucket(interval 1 hour, ts) as ts"
        whole = store.read(
            f"{every} from {source.relation} where ts < $until and ingested_at >= $seen order by 1", asked
        )

        assert touched(store, source, asked) == whole["ts"].to_list() == [T0 + timedelta(hours=h) for h in (3, 4, 11)]


def test_performance_begins_with_the_first_labels_however_late(tmp_path: Path) -> None:
    rows, labels = answers()
    with opened(tmp_path) as (store, clock):
        store.append(Batch("t", "1", {"prediction:m": rows}))
        summaries.close(store, config(), clock.now())
        waits = summaries.closed_until(store)
        later(store, clock, config(), labels, "2")

        assert waits.get("m/performance", T0) == T0
        assert totals(store)[:2] == (N, N)
