"""A past judged as the service would have judged it: what is found, when, and how often."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from streams import START, level_monitors, levelled, shaped

from observe.app import backtest_features as features
from observe.app import backtest_units as units
from observe.app.backtest import Backtest, backtest, upper95
from observe.app.backtest_change import Change, parse
from observe.app.backtest_inject import Planted, changed, median_interval, moved_counts, plant, transfer
from observe.app.backtest_levels import Counted, Levels, levels, quantile
from observe.app.backtest_plan import Options, plan
from observe.app.backtest_rules import rules
from observe.app.backtest_table import tabulate
from observe.app.backtest_told import as_json, headline, left_out, states, trials
from observe.app.backtest_walk import Past, Trail
from observe.errors import UsageError
from observe.schema import Binning, Monitor, Window
from observe.spec.quantity import Effect, Rate

T0 = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIT = Options(fit_s=14 * 86_400.0)


def hourly(days: int, seed: int = 1) -> tuple[list[datetime], np.ndarray]:
    rng = np.random.default_rng(seed)
    return [T0 + i * HOUR for i in range(24 * days)], 100 + 5 * rng.normal(size=24 * days)


def judged(frame: pl.DataFrame, options: Options = FIT, time: str = "ts") -> Backtest:
    return backtest(tabulate(frame, time), options)[0]


def logged(days: int, per_hour: int = 30, seed: int = 2) -> pl.DataFrame:
    """Raw rows at random instants: one number, one category, one column that misses values."""
    rng = np.random.default_rng(seed)
    n = days * 24 * per_hour
    seconds = np.sort(rng.uniform(0, days * 86_400, n))
    ts = pl.Series((seconds * 1e6).astype(np.int64) + int(T0.timestamp()) * 10**6).cast(pl.Datetime("us"))
    lost = pl.Series(rng.random(n) < np.where(seconds > (days - 2) * 86_400, 0.2, 0.02))
    return pl.DataFrame(
        {
            "ts": ts,
            "latency": rng.lognormal(5, 0.5, n),
            "country": rng.choice(["de", "fr"], n),
            "age": rng.normal(size=n),
        }
    ).with_columns(age=pl.when(lost).then(None).otherwise(pl.col("age")))


def test_a_planted_shift_is_one_alarm_with_its_onset_its_unit_and_the_level_before_and_after() -> None:
    ts, x = hourly(19)
    x[24 * 16 :] += 10

    result = judged(pl.DataFrame({"ts": ts, "x": x}))

    [alarm] = result.alarms
    assert (alarm.feature, alarm.kind, alarm.unit, alarm.until) == ("x", "location", "σ", None)
    assert abs(alarm.onset - ts[24 * 16]) <= HOUR
    assert alarm.onset_interval[0] <= alarm.onset <= alarm.onset_interval[1]
    assert alarm.effect_ci[0] < alarm.effect < alarm.effect_ci[1]
    assert alarm.levels.before == pytest.approx(100, abs=2)
    assert alarm.levels.after == pytest.approx(110, abs=2)
    assert result.states == {"x": "alarm"}


def test_euros_that_became_cents_are_told_with_the_medians_of_the_rows() -> None:
    rows = logged(17).select("ts", x="latency")
    changed = rows.with_columns(
        x=pl.col("x") * pl.when(pl.col("ts") >= T0.replace(tzinfo=None) + timedelta(days=15)).then(100).otherwise(1)
    )

    [alarm] = [a for a in judged(changed).alarms if a.kind == "location"]

    assert alarm.levels.before == pytest.approx(np.exp(5), rel=0.05)
    assert alarm.levels.after == pytest.approx(100 * np.exp(5), rel=0.05)
    assert alarm.in_units is None  # ranks do not tell how far
    assert "→ above" in alarm.note


def test_of_values_that_came_back_the_level_after_is_that_of_the_time_they_were_gone() -> None:
    rows, at = logged(21).select("ts", x="latency"), T0.replace(tzinfo=None) + timedelta(days=15)
    gone = pl.col("ts").is_between(at, at + timedelta(days=2))

    [alarm] = [
        a for a in judged(rows.with_columns(x=pl.when(gone).then(None).otherwise("x"))).alarms if a.kind == "missing"
    ]

    assert alarm.until is not None
    assert alarm.until <= (at + timedelta(days=3, hours=12)).replace(tzinfo=UTC)
    assert alarm.levels.after == 1.0


def test_rows_in_any_order_give_the_same_json() -> None:
    rows = logged(16, per_hour=12).vstack(logged(16, per_hour=12).head(50))  # some instants twice
    told = [json.dumps(as_json(judged(rows.sample(fraction=1.0, shuffle=True, seed=s)))) for s in (1, 2)]

    assert told[0] == told[1]


def test_missing_values_a_constant_and_an_empty_column_each_get_their_own_answer() -> None:
    rows = logged(17).with_columns(k=pl.lit(3.0), nothing=pl.lit(None, dtype=pl.Float64))

    result = judged(rows.select("ts", "age", "k", "nothing"))

    missing = [a for a in result.alarms if a.kind == "missing"]
    assert [a.feature for a in missing] == ["age"]
    assert abs(missing[0].onset - (T0 + timedelta(days=15))) <= 2 * HOUR
    assert missing[0].levels.after == pytest.approx(0.2, abs=0.03)
    assert (result.states["k"], result.states["nothing"]) == ("ok", "unknown")
    assert "no value" in result.left_out["nothing"]


def test_a_metric_series_with_gaps_is_judged_and_gaps_are_no_missing_values() -> None:
    ts, x = hourly(20, seed=3)
    x[24 * 18 :] += 12
    kept = np.random.default_rng(1).random(len(ts)) < 0.8
    kept[24 * 9 : 24 * 11] = False

    result = judged(pl.DataFrame({"ts": ts, "x": x}).filter(pl.Series(kept)))

    assert result.plan.cadence == "series"
    assert [a.kind for a in result.alarms] == ["location"]
    assert abs(result.alarms[0].onset - ts[24 * 18]) <= 2 * HOUR


def test_a_series_that_has_fallen_silent_is_unknown_and_never_fine() -> None:
    ts, x = hourly(18, seed=5)
    x[24 * 16 :] = np.nan

    result = judged(pl.DataFrame({"ts": ts, "x": x}))

    assert result.states == {"x": "unknown"}
    assert result.judged["x"] == {"ok": 0.5, "unknown": 0.5}


def test_what_a_day_would_find_and_what_moved_are_told_in_the_features_own_unit() -> None:
    ts, x = hourly(19)
    x[24 * 16 :] += 10
    told = as_json(judged(pl.DataFrame({"ts": ts, "x": x, "k": [3.0] * len(ts)})))

    [alarm] = told["alarms"]
    assert alarm["unit_effect_ci"][0] < alarm["unit_effect"] < alarm["unit_effect_ci"][1]
    assert alarm["unit_effect"] == pytest.approx(10, abs=3)
    assert told["min_detectable_24h_units"]["x"]["unit"] == "median"
    assert told["min_detectable_24h_units"]["x"]["value"] > 0
    assert told["min_detectable_24h_units"]["k"]["unit"] == "% of rows"
    assert told["ci95_per_week"][0] < told["alarms_per_week"] < told["ci95_per_week"][1]


def test_five_minute_values_of_a_metric_are_one_value_an_hour_and_a_log_is_counted_row_by_row() -> None:
    at = [T0 + timedelta(minutes=5 * i) for i in range(12 * 24 * 3)]
    metric = tabulate(pl.DataFrame({"ts": at, "x": np.arange(len(at), dtype=float)}), "ts")
    short = Options(fit_s=2 * 86_400.0)

    assert plan(metric, short).rows["x"].to_list()[:2] == [5.5, 17.5]
    assert plan(tabulate(logged(3), "ts"), short).cadence == "rows"


def test_daily_values_are_judged_on_a_clock_of_their_own() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=760)
    x[720:] += 3
    days = [T0.date() + timedelta(days=i) for i in range(760)]

    result = judged(pl.DataFrame({"day": days, "x": x}), Options(), time="day")

    [alarm] = result.alarms
    assert result.plan.window_s == 86_400
    assert result.days == 88
    assert abs(alarm.onset - (T0 + timedelta(days=720))) <= timedelta(days=1)


def test_instants_may_be_text_with_zones_dates_or_numbers_and_a_row_without_one_is_counted() -> None:
    text = ["2026-01-05T01:00:00+01:00", "2026-01-05 00:00:00", "2026-01-05T00:00Z", None, "soon"]
    table = tabulate(pl.DataFrame({"ts": text, "x": [1.0] * 5}), "ts")
    numbers = [tabulate(pl.DataFrame({"ts": [t], "x": [1.0]}), "ts").rows["ts"][0] for t in (1767571200, 1767571200000)]

    assert table.rows["ts"].to_list() == [T0] * 3
    assert table.rejected == {"no_time": 2}
    assert numbers == [T0, T0]


def test_what_is_too_short_or_no_time_is_refused_with_what_would_do() -> None:
    ts, x = hourly(20)
    table = tabulate(pl.DataFrame({"ts": ts, "x": x}), "ts")

    with pytest.raises(UsageError, match=r"--fit 28d needs 28 d before .* the file spans 20 d; use --fit 14d"):
        plan(table, Options(fit_s=28 * 86_400.0))
    with pytest.raises(UsageError, match="write a part of an hour"):
        plan(table, Options(window_s=7 * 60.0))
    with pytest.raises(UsageError, match="holds no instants: 'a' is none"):
        tabulate(pl.DataFrame({"ts": ["a", "b"], "x": [1, 2]}), "ts")


def test_the_whole_budget_is_divided_over_all_streams() -> None:
    from observe.app.backtest_streams import alarms_allowed, binnings, monitors

    planned = plan(tabulate(logged(4), "ts"), Options(fit_s=2 * 86_400.0))
    asked = monitors(planned, binnings(planned), Rate(2, 30 * 86_400.0), Effect(0.1, "sigma"))

    assert {m.score for m in asked} >= {"location", "missing"}
    assert sum(m.share for m in asked) == pytest.approx(1)
    assert alarms_allowed(asked, 30 * 86_400.0) == pytest.approx(2)


BINS = Binning(
    "m/predictions/x@1", "m", "predictions", "x", "numeric", 1, tuple(float(k) for k in range(1, 100)), None,
    (100,) * 100, tuple(float(k) for k in range(101)), T0, T0, T0,
)  # fmt: skip


@pytest.mark.parametrize("effect", [Effect(10, "%"), Effect(0.1257, "sigma")])
def test_a_shift_moves_counts_between_bins_and_loses_no_row(effect: Effect) -> None:
    counts = np.full((3, 100), 7)

    moved = moved_counts(counts, transfer(BINS, Change("x", "shift", effect)))

    bounds = np.arange(101.0)
    assert moved.sum(axis=1).tolist() == [700] * 3
    assert moved.min() >= 0
    assert quantile(Counted(moved[0].astype(float), bounds), 0.5) == pytest.approx(
        55, abs=0.2
    )  # 10 % of the median; 5 ranks


def test_a_change_is_written_with_its_unit_and_a_feature_that_exists() -> None:
    kinds = {"amount": "numeric", "country": "categorical"}

    assert parse("shift=-0.5 sigma@amount", kinds) == Change("amount", "shift", Effect(0.5, "sigma"), -1)
    assert str(parse("missing=2pp@country", kinds)) == "missing=2pp@country"
    for text, why in (
        ("shift=10%@amont", "did you mean 'amount'"), ("shift=2pp@amount", "numbers shift by %"),
        ("shift=10%@country", "shares change by pp"), ("grow=1@amount", "write shift=10%@feature"),
        ("missing=-2pp@amount", "never for fewer"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=why):
            parse(text, kinds)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (Change("x", "shift", Effect(10, "%")), "would move no row: .* the median is 0, write it in sigma"),
        (Change("x", "missing", Effect(2, "pp")), "missing values are not watched"),
    ],
)
def test_a_change_that_nobody_could_see_is_refused_and_not_told_as_never_found(change: Change, why: str) -> None:
    centred = replace(
        BINS, edges=tuple(e - 50 for e in BINS.edges or ()), quantiles=tuple(float(k) for k in range(-50, 51))
    )
    asked = Monitor(
        "m/level/x", "m", "level", "m/predictions/x", "x", "location", 3_600, "ticket", 9.0, 1.0, 0.1, "sigma"
    )
    past = Past((asked,), {centred.binning_id: centred}, lambda measures, span: pl.DataFrame())

    with pytest.raises(UsageError, match=why):
        plant(past, change, Window(T0, T0 + timedelta(days=30)), ())


def test_on_long_windows_nothing_is_told_of_a_day_that_is_of_24_windows() -> None:
    days = [T0.date() + timedelta(days=i) for i in range(740)]
    result = judged(pl.DataFrame({"day": days, "x": np.random.default_rng(4).normal(size=740)}), Options(), time="day")
    late = Planted(Change("x", "shift", Effect(1, "sigma")), (T0,), (None,), (), timedelta(days=120))

    told = as_json(result)
    assert (told["min_detectable_24h"], told["min_detectable_24h_units"]) == ({"x": None}, {})
    assert told["min_detectable_24_windows"]["x"] > 0
    assert states(result)[0][2].startswith("24 windows find ")
    assert "median after > 120d" in trials(late)


def test_too_few_windows_to_plant_in_are_counted_as_windows_however_long_one_is() -> None:
    days = [T0.date() + timedelta(days=i) for i in range(720)]
    table = tabulate(pl.DataFrame({"day": days, "x": np.random.default_rng(4).normal(size=720)}), "day")
    result, past = backtest(table, Options())

    with pytest.raises(UsageError, match="needs at least 132 judged windows; there are 48: use a shorter --fit"):
        plant(past, Change("x", "shift", Effect(1, "sigma")), result.plan.judged, ())


def test_windows_under_an_hour_are_judged_and_it_is_said_that_they_missed_their_gate() -> None:
    ts = [T0 + timedelta(minutes=30 * i) for i in range(48 * 4)]
    table = pl.DataFrame({"ts": ts, "x": np.random.default_rng(6).normal(size=len(ts))})
    short, hourly_ = (judged(table, Options(fit_s=2 * 86_400.0, window_s=s)) for s in (1_800.0, 3_600.0))

    assert "3 alarms in 30 d on 30 features" in (short.missed_gate or "")
    assert left_out(short) == [f"note: {short.missed_gate}"]
    assert (hourly_.missed_gate, left_out(hourly_)) == (None, [])


def test_planted_missing_values_leave_as_many_rows_as_there_were() -> None:
    frame = pl.DataFrame(
        {"ts": [T0], "binning_id": [BINS.binning_id], "n": [10_000], "missing": [0], "counts": [[100] * 100]}
    )

    found = changed(frame, {BINS.binning_id: BINS}, Change("x", "missing", Effect(5, "pp"))).row(0, named=True)

    assert found["n"] + found["missing"] == 10_000
    assert found["missing"] == pytest.approx(500, abs=100)
    assert sum(found["counts"]) == found["n"]


def test_a_median_delay_counts_what_was_not_found_as_later() -> None:
    hours = [HOUR, 2 * HOUR, 3 * HOUR, None, None]

    assert median_interval(hours) == (3 * HOUR, HOUR, None)
    assert median_interval([]) == (None, None, None)
    assert round(upper95(0, 30.0), 2) == 3.0


@pytest.mark.slow
def test_a_planted_change_is_found_and_plain_rules_stand_beside_it_with_their_alarms() -> None:
    result, past = backtest(tabulate(logged(24).select("ts", "latency"), "ts"), FIT)
    planted = plant(past, Change("latency", "shift", Effect(20, "%")), result.plan.judged, result.busy("latency"))
    told = rules(past, result.plan.fit, result.plan.judged, result.days, 3600)

    assert result.alarms == ()
    assert planted.found == 1.0
    middle = planted.median()[0]
    assert middle is not None
    assert middle <= timedelta(hours=12)
    assert told[1].alarms > 5  # a test per window at 5 % cries wolf


@pytest.mark.slow
def test_where_nothing_changes_alarms_keep_to_the_budget() -> None:
    columns = {f"x{i}": hourly(56, seed=10 + i)[1] for i in range(8)}

    result = judged(pl.DataFrame({"ts": hourly(56)[0], **columns}), Options(given_budget=Rate(1, 30 * 86_400.0)))

    assert result.days == 28
    assert len(result.alarms) <= 4  # 3e-3 at one per 30 d
    assert set(result.states.values()) <= {"ok", "alarm"}


@pytest.mark.parametrize(("score", "share"), [("share:(other)", 0.11), ("share:a", 0.2), ("unseen", 0.01)])
def test_the_level_before_and_after_an_alarm_is_that_of_the_levels_it_asks_about(score: str, share: float) -> None:
    counts = np.tile([200] * 4 + [20] * 9 + [10, 10], (48, 1))  # eight levels are asked about, the others together
    rows, bins = shaped(lambda i: counts, 48, 1), levelled("m/predictions/f0", [0.2] * 4 + [0.02] * 10)
    [monitor] = [replace(m, score=score) for m in level_monitors(1)]
    past = Past(
        (monitor,), {bins.binning_id: bins}, lambda _, w: rows.filter(pl.col("ts").is_between(w.start, w.end, "left"))
    )

    found = levels(past, monitor, START + 24 * HOUR, START + 48 * HOUR)

    assert found == Levels("share", share, share)


def noted(values: pl.Series | np.ndarray, per_hour: int, name: str = "x") -> pl.DataFrame:
    """As many rows an hour as there are values for, evenly spread."""
    ts = [T0 + i * HOUR / per_hour for i in range(len(values))]
    return pl.DataFrame({"ts": ts, name: values})


def test_a_category_is_as_well_off_as_the_worst_share_of_its_levels_and_the_figure_says_of_what() -> None:
    rng = np.random.default_rng(8)
    logit = np.cumsum(rng.normal(0, 0.15, 24 * 17))  # the share of `a` wanders, the share of `c` does not
    p = np.repeat(0.75 / (1 + np.exp(-logit)), 400)
    u = rng.random(p.size)
    c = pl.Series(np.where(u < p, "a", np.where(u < 0.75, "b", "c")))

    result = judged(noted(c, 400, "c"), Options(fit_s=14 * 86_400.0, cadence="rows"))

    assert result.by_stream["c"]["share:a"] == "not_identifiable"
    assert result.by_stream["c"]["share:c"] == "ok"
    assert result.states == {"c": "not_identifiable"}
    assert result.judged["c"].get("ok", 0.0) < 0.1
    [(_, _, told)] = states(result)
    assert "pp of the share of c" in told
    assert "not_identifiable are 2 of 3 shares: b, a" in told
    assert as_json(result)["min_detectable_24h_units"]["c"]["of"] == "share:c"


def test_one_stray_instant_is_no_history_to_fit_on() -> None:
    ts, x = hourly(40)
    table = tabulate(pl.DataFrame({"ts": [datetime(2025, 6, 1, tzinfo=UTC), *ts[1:]], "x": x}), "ts")

    with pytest.raises(UsageError, match=r"rows in 1 of the 672 windows of the default --fit 28d.* 2025-06-01 00:00"):
        plan(table, Options())
    with pytest.raises(UsageError, match="no row with a value comes after --fit 14d"):
        plan(tabulate(pl.DataFrame({"ts": ts, "x": np.where(np.arange(len(ts)) < 24 * 14, x, np.nan)}), "ts"), FIT)


def test_one_stray_instant_far_ahead_is_told_and_not_waited_for() -> None:
    ts, x = hourly(40)
    table = tabulate(pl.DataFrame({"ts": [*ts[:-1], datetime(2099, 1, 1, tzinfo=UTC)], "x": x}), "ts")

    with pytest.raises(UsageError, match=r"no rows for 26,\d+ d after 2026-02-13 22:00; the last row is of 2099-01-01"):
        plan(table, Options())


def test_a_column_with_hardly_a_value_in_what_is_fitted_on_is_not_watched() -> None:
    ts, x = hourly(16)
    late = pl.Series([5.0, *[None] * (24 * 14 - 1), *x[24 * 14 :]])

    result = judged(pl.DataFrame({"ts": ts, "x": x, "late": late}))

    assert result.states["late"] == "unknown"
    assert result.left_out["late"] == "values in 1 of the 336 windows that are fitted on, fewer than 48"


def test_days_without_rows_are_no_judged_days() -> None:
    ts, x = hourly(18)
    gap = [t + timedelta(days=20) * (t >= T0 + timedelta(days=16)) for t in ts]

    result = judged(pl.DataFrame({"ts": gap, "x": x}))

    told = as_json(result)
    assert (result.days, told["days_without_rows"], told["windows_with_rows"]) == (4, 20, 96)
    assert told["alarms_per_30d"] == pytest.approx(len(result.alarms) * 30 / 4, abs=1e-3)
    assert "in 4 judged days (20 d more have no rows) of 1 feature" in headline(result)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("shift=10%@const", "would move no row: const has one value only"),
        ("shift=1 sigma@const", "would move no row: const has one value only"),
        ("shift=10%@nothing", "nothing is not watched, it has too few values"),
        ("missing=2pp@nothing", "nothing is not watched, it has too few values"),
        ("shift=-5pp@one", "would move no row: one has one level only"),
        ("missing=150pp@const", "no share changes by more than 100pp"),
    ],
)
def test_what_nothing_can_be_planted_in_is_refused(change: str, why: str) -> None:
    rows = noted(np.arange(24 * 8 * 2.0), 2).with_columns(
        const=pl.lit(5), nothing=pl.lit(None, dtype=pl.Float64), one=pl.lit("a")
    )
    table = tabulate(rows, "ts")
    result, past = backtest(table, Options(fit_s=2 * 86_400.0, cadence="rows"))

    with pytest.raises(UsageError, match=why):
        plant(past, parse(change, table.kinds), result.plan.judged, ())


def test_a_share_that_nobody_asks_about_is_refused_and_not_told_as_never_found() -> None:
    values = pl.Series(["a", "b"] * (12 * 8))
    _, past = backtest(tabulate(noted(values, 1, "c"), "ts"), Options(fit_s=2 * 86_400.0, cadence="series"))

    with pytest.raises(UsageError, match="shares of levels are not watched in a series"):
        plant(past, Change("c", "shift", Effect(5, "pp")), Window(T0, T0 + timedelta(days=30)), ())


@pytest.mark.parametrize("given", [0.0, 3_600.0])
def test_a_fit_of_nothing_is_refused_and_never_means_the_default(given: float) -> None:
    ts, x = hourly(40)

    with pytest.raises(UsageError, match="a fit takes at least 48"):
        plan(tabulate(pl.DataFrame({"ts": ts, "x": x}), "ts"), Options(fit_s=given))


def test_of_few_values_the_mean_is_told_and_of_a_constant_no_change_of_a_median() -> None:
    rng = np.random.default_rng(9)
    after = np.arange(24 * 17 * 100) >= 24 * 15 * 100
    rows = noted((rng.random(after.size) < np.where(after, 0.3, 0.2)).astype(float), 100).with_columns(
        k=pl.Series(np.where(after, 6.0, 5.0))
    )

    result = judged(rows, Options(fit_s=14 * 86_400.0, cadence="rows"))

    found = {a.feature: a for a in result.alarms if a.kind == "location"}
    assert (found["x"].levels.what, found["k"].levels.what) == ("mean", "mean")
    assert found["x"].levels.before == pytest.approx(0.2, abs=0.01)
    assert found["x"].levels.after == pytest.approx(0.3, abs=0.01)
    assert (found["k"].levels.before, found["k"].levels.after) == (5.0, 6.0)
    moved = found["x"].in_units
    assert moved is not None
    assert (moved.of, moved.by) == ("mean", pytest.approx(0.1, abs=0.02))
    assert found["k"].in_units is None
    least = result.smallest["x"]
    assert least is not None
    assert least.unit == "mean"
    assert 0 < (least.in_units or 0) < 0.1


def test_a_quantile_in_a_bin_of_one_value_is_that_value() -> None:
    values = Counted(np.array([6.0, 4.0]), np.array([0.0, 2.0, 10.0]), np.array([0.0, np.nan]))

    assert quantile(values, 0.5) == 0.0
    assert quantile(values, 0.8) == 6.0


def test_a_quantile_beyond_the_reference_goes_by_the_sum_of_the_values_not_by_the_wildest_one() -> None:
    values = np.random.default_rng(1).lognormal(8, 1, 10_000)  # the reference ended at 10
    counts, bounds = np.array([0.0, 10_000.0]), np.array([0.0, 10.0, values.max()])

    assert quantile(Counted(counts, bounds, total=float(values.sum())), 0.5) == pytest.approx(np.exp(8), rel=0.2)
    mirrored = Counted(counts[::-1], -bounds[::-1], total=-float(values.sum()))
    assert quantile(mirrored, 0.5) == pytest.approx(-np.exp(8), rel=0.2)


def test_of_many_zeros_and_a_tail_it_is_not_told_how_far_the_mean_goes() -> None:
    zeros = replace(
        BINS, edges=tuple(float(k) for k in range(61, 101)), reference=(61, *[1] * 40),
        quantiles=tuple(float(k) * (k > 60) for k in range(101)),
    )  # fmt: skip

    assert units.discrete(zeros)
    assert units.in_units(zeros, 0.5) is None
    assert units.in_units(BINS, 0.5) == pytest.approx(19.1, abs=0.2)


def test_the_worst_of_streams_counts_for_as_long_as_it_lasts() -> None:
    def trail(level: str, *runs: tuple[int, str]) -> Trail:
        monitor = Monitor("i", "m", "level", "m/s/c", "c", f"share:{level}", 3_600, "ticket", 9.0, 1.0, 0.1, "sigma")
        return Trail(monitor, runs=[(T0 + h * HOUR, s) for h, s in runs], end=T0 + 10 * HOUR)

    found = features.by_state([trail("a", (0, "learning"), (2, "ok")), trail("b", (0, "ok"), (6, "unknown"))])

    assert found == {"learning": 0.2, "ok": 0.4, "unknown": 0.4}
