"""`observe.compare`: tables of any kind, verdicts that can be relied on, results that can be shown."""

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd  # noqa: TID253
import polars as pl
import pyarrow as pa
import pytest
from scipy.spatial.distance import jensenshannon

import observe
from observe.errors import UsageError

N = 6_000
HOSTILE = [
    "<script>alert(1)</script>", "</style><script>x()</script>", '"><img src=x onerror=alert(1)>', "' onload='x",
    "<svg/onload=alert(1)>", "javascript:alert(1)", "</td></tr></table><h1>", "&lt;b&gt;", "<iframe src=//evil>", "${x}",
    "{{7*7}}", "<!--", "]]>", "<a href=http://evil>x</a>", "<link rel=stylesheet href=//evil>", "\u202eevil", "\x00null",
    "<body onload=x>", "<math><mi//xlink:href=x>", "url(http://evil)",
]  # fmt: skip


def world(seed: int, n: int = N) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "amount": rng.lognormal(3, 1, n),
            "items": rng.poisson(3, n),
            "country": rng.choice(["DE", "FR", "US"], n, p=[0.5, 0.3, 0.2]),
            "new_customer": rng.random(n) < 0.05,
            "since": [dt.date(2020, 1, 1) + dt.timedelta(days=int(d)) for d in rng.integers(0, 900, n)],
        }
    )


def test_tables_of_one_source_have_not_drifted() -> None:
    found = observe.compare(world(1), world(2))

    assert found.drifted == ()
    assert "drifted: " not in found.headline
    found.assert_no_drift()


def test_a_csv_with_quotes_in_a_name_and_decimal_commas_is_the_table_it_was_written_from(tmp_path: Path) -> None:
    rows = world(1).select(pl.col("amount").alias('the "amount"'), "items", code=pl.lit("1,234"))
    rows.write_csv(tmp_path / "ref.csv", separator=";", decimal_comma=True)

    found = observe.compare(tmp_path / "ref.csv", rows)

    assert found.verdict == "no_drift"
    assert {f.name: f.kind for f in found.features} == {'the "amount"': "number", "items": "number", "code": "category"}


def test_one_feature_that_moved_makes_the_headline_and_fails_the_test() -> None:
    moved = world(2).with_columns(pl.col("amount") * 1.3)
    found = observe.compare(world(1), moved)

    assert found.headline == "1 of 5 features drifted: amount"
    assert found.features[0].name == "amount"
    assert found["amount"].effect is not None
    assert found["amount"].effect.low > 0
    with pytest.raises(AssertionError, match=r"1 of 5 features drifted: amount[\s\S]*▲ drift +amount"):
        found.assert_no_drift()


@pytest.mark.parametrize("form", ["arrow", "pandas", "dict", "lazy"])
def test_the_same_rows_give_the_same_verdicts_in_any_form(form: str) -> None:
    a, b = world(1), world(2).with_columns(pl.col("items") + 1)
    forms = {
        "arrow": lambda f: f.to_arrow(),
        "pandas": lambda f: f.to_pandas(),
        "dict": lambda f: {c: f[c].to_numpy() for c in f.columns},
        "lazy": lambda f: f.lazy(),
    }
    expected = [(f.name, f.verdict) for f in observe.compare(a, b).features]

    assert [(f.name, f.verdict) for f in observe.compare(forms[form](a), forms[form](b)).features] == expected
    assert isinstance(forms["arrow"](a), pa.Table)
    assert isinstance(forms["pandas"](a), pd.DataFrame)


def test_missing_nan_infinity_and_unseen_levels_are_drift() -> None:
    rng = np.random.default_rng(3)
    base = {c: rng.normal(size=N) for c in ("missing", "nan", "infinite")} | {"level": rng.choice(["a", "b"], N)}
    now = {c: rng.normal(size=N) for c in ("nan", "infinite")}
    now["nan"][:40], now["infinite"][:40] = np.nan, np.inf
    gaps = pl.Series([None] * 400 + list(rng.normal(size=N - 400)))
    levels = ["c"] * 30 + list(rng.choice(["a", "b"], N - 30))
    found = observe.compare(pl.DataFrame(base), pl.DataFrame({**now, "missing": gaps, "level": levels}))

    assert {f.name for f in found.drifted} == {"missing", "nan", "infinite", "level"}
    assert "NaN" in found["nan"].reason
    assert "'c'" in found["level"].reason


def test_a_column_that_is_gone_new_or_of_another_type_is_drift() -> None:
    a = pl.DataFrame({"gone": [1.0] * 50, "kept": [1.0] * 50, "retyped": [1.0] * 50})
    b = pl.DataFrame({"new": [1.0] * 50, "kept": [1.0] * 50, "retyped": ["1.0"] * 49 + ["n/a"]})
    found = observe.compare(a, b)

    assert {f.name: f.reason.split(":")[0] for f in found.drifted} == {
        "gone": "the column is gone",
        "new": "the column is new",
        "retyped": "the type changed from number (Float64) to category (String), for example 'n/a'",
    }


def test_a_wider_number_is_a_note_and_no_drift() -> None:
    a, b = (
        world(1).with_columns(pl.col("items").cast(pl.Int32)),
        world(2).with_columns(pl.col("items").cast(pl.Float64)),
    )

    assert observe.compare(a, b)["items"].verdict == "no_drift"
    assert observe.compare(a, b)["items"].notes == ("the type was Int32, it is Float64 now",)


def test_what_is_sure_but_small_is_no_drift_and_what_matters_can_be_said() -> None:
    rng = np.random.default_rng(4)
    a, b = {"x": rng.normal(10, 1, 200_000)}, {"x": rng.normal(10.05, 1, 200_000)}

    assert observe.compare(a, b)["x"].verdict == "no_drift"
    assert "less than" in observe.compare(a, b)["x"].reason
    assert observe.compare(a, b, min_effect="0.03 sigma")["x"].verdict == "drift"
    assert observe.compare(a, b, min_effect="0.4 %")["x"].verdict == "drift"
    assert observe.compare(a, b, min_effect="1 %")["x"].verdict == "no_drift"
    assert observe.compare(a, b, min_effect="1 pp")["x"].verdict == "drift"


def test_na_is_a_missing_value_among_numbers_and_a_level_among_texts(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    for name, lost in (("ref", 0), ("cur", 300)):
        numbers = ["NA"] * lost + [f"{v:.6f}" for v in rng.normal(size=3_000 - lost)]
        rows = [f"{n},{c}" for n, c in zip(numbers, rng.choice(["NA", "DE"], 3_000), strict=True)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["amount,country", *rows]) + "\n")
    found = observe.compare(tmp_path / "ref.csv", tmp_path / "cur.csv")

    assert (found["amount"].kind, found["amount"].current.missing) == ("number", 300)
    assert found["amount"].reason.startswith("10 pp of the rows are missing, the reference has none")
    assert (found["country"].kind, found["country"].current.missing) == ("category", 0)


def test_a_few_rows_of_levels_have_distances_too() -> None:
    told = observe.compare({"c": ["a"]}, {"c": ["b", "a"]})["c"].distances

    assert told is not None
    assert told.tv == 0.5
    assert told.js == pytest.approx(jensenshannon([1, 0], [0.5, 0.5]))


def test_few_rows_are_called_few_and_never_fine() -> None:
    found = observe.compare(world(1, 60), world(2, 60))

    assert {f.verdict for f in found.features} == {"too_few"}
    assert found.headline.startswith("no drift found, but 5 of 5 features have too few rows to tell")
    found.assert_no_drift()
    with pytest.raises(AssertionError):
        found.assert_no_drift(too_few=True)


@pytest.mark.parametrize("held", [None, float("nan"), float("inf")])
def test_a_column_without_any_value_on_both_sides_is_not_judged_and_never_fine(held: float | None) -> None:
    frame = pl.DataFrame({"x": pl.Series([held] * 500, dtype=pl.Float64), "y": ["a", "b"] * 250})
    found = observe.compare(frame, frame, features=["x"])

    assert found["x"].verdict == "inform"
    assert found["x"].reason in {"no value at all on either side", "no finite value at all on either side"}
    assert found.headline == "none of 0 features drifted; 1 not judged: x"


def test_nothing_but_missing_texts_says_nothing_and_values_that_stopped_are_drift() -> None:
    gone, there = ({"x": pl.Series(v * 500, dtype=pl.String)} for v in ([None], ["a"]))

    assert observe.compare(gone, gone)["x"].verdict == "inform"
    assert observe.compare(there, gone)["x"].verdict == "drift"
    assert (
        observe.compare({"x": [None] * 500}, {"x": [None] * 499 + ["a"]})["x"].reason
        == "no value at all in the reference"
    )


def test_clocks_counters_and_identifiers_are_told_and_not_judged() -> None:
    def part(start: int) -> pl.DataFrame:
        at = pl.Series(range(start, start + 500))
        return pl.DataFrame({"at": (at * 1_000_000).cast(pl.Datetime("us")), "row": at, "id": [f"u{i}" for i in at]})

    found = observe.compare(part(0), part(500))
    assert {f.verdict for f in found.features} == {"inform"}
    assert "3 not judged" in found.headline


def test_rows_that_depend_on_their_neighbours_cry_wolf_only_without_time() -> None:
    def wandering(seed: int) -> pl.DataFrame:
        noise = np.random.default_rng(seed).normal(size=8_500)
        x = np.convolve(noise, 0.98 ** np.arange(400), "valid")[:8_000]
        return pl.DataFrame({"x": x, "ts": np.arange(8_000)}).sample(fraction=1.0, shuffle=True, seed=seed)

    pairs = [(wandering(s), wandering(100 + s)) for s in range(8)]
    assert sum(bool(observe.compare(a, b, features=["x"]).drifted) for a, b in pairs) >= 4
    assert sum(bool(observe.compare(a, b, time="ts").drifted) for a, b in pairs) == 0


def test_a_true_change_is_found_with_time_too() -> None:
    rng = np.random.default_rng(5)
    a, b = ({"x": rng.normal(m, 1, N), "c": rng.choice(["u", "v"], N, p=[p, 1 - p]), "ts": np.arange(N)} for m, p in ((0, 0.5), (0.5, 0.7)))  # fmt: skip

    assert {f.name for f in observe.compare(a, b, time="ts").drifted} == {"x", "c"}


def test_whole_numbers_beyond_2_to_53_are_compared_exactly() -> None:
    a = pl.DataFrame({"id": [2**60 + 2 * i for i in range(50)] * 20})
    found = observe.compare(a, a.with_columns(pl.col("id") + 1))["id"]

    assert found.wasserstein == 1.0
    assert found.ks == pytest.approx(1 / 50)
    assert next(s.shift for s in found.shifts if s.of == "mean") == 1.0


def test_dates_instants_and_times_of_day_read_as_such_and_move_by_days_and_hours() -> None:
    start = dt.datetime(2026, 5, 1, 6, tzinfo=dt.UTC)
    at = pl.Series([start + dt.timedelta(hours=i % 11 - 5, days=i % 11 - 5) for i in range(550)])
    a = pl.DataFrame({"date": at.dt.date(), "at": at, "clock": at.dt.time(), "naive": at.dt.replace_time_zone(None)})
    later = dt.timedelta(days=6, hours=6)
    b = pl.DataFrame({c: (at + later).dt.time() if c == "clock" else a[c] + later for c in a.columns})
    found = observe.compare(a, b.with_columns(pl.col("date").cast(pl.Date)))
    told = {line.split(": ")[0].strip(): line for line in str(found).splitlines() if "median" in line}

    assert sorted(told) == [
        "median 06:00:00 → 12:00:00",
        "median 2026-05-01 06:00:00 UTC → 2026-05-07 12:00:00 UTC",
        "median 2026-05-01 06:00:00 → 2026-05-07 12:00:00",
        "median 2026-05-01 → 2026-05-07",
    ]
    assert ": +6 h (" in told["median 06:00:00 → 12:00:00"]
    assert ": +6 d (" in told["median 2026-05-01 → 2026-05-07"]
    assert "<td>2026-05-01</td><td>2026-05-07</td><td>+6 d</td>" in found.to_html()
    assert found["date"].reads == "date"


def test_dates_and_instants_are_held_against_each_other_and_not_against_times_of_day() -> None:
    days = pl.Series("at", [dt.date(2026, 1, 1 + i % 28) for i in range(2_800)])
    found = observe.compare(days.to_frame(), days.cast(pl.Datetime("ms")).to_frame())

    assert found["at"].verdict == "no_drift"
    clock = pl.Series("at", [dt.time(i % 24) for i in range(2_800)])
    assert (
        observe.compare(days.to_frame(), clock.to_frame())["at"].reason
        == "the type changed from time (Date) to time (Time)"
    )


def test_complex_numbers_are_not_compared_and_sparse_ones_are_numbers() -> None:
    x = np.random.default_rng(1).random(N)
    frame = pd.DataFrame({"wave": x + 1j, "sparse": pd.arrays.SparseArray(np.where(x < 0.5, 0.0, x)), "x": x})
    found = observe.compare(frame, frame)

    assert {f.name: f.verdict for f in found.features} == {"wave": "inform", "sparse": "no_drift", "x": "no_drift"}
    assert found["sparse"].kind == "number"


@pytest.mark.parametrize(
    ("reference", "current", "options", "said"),
    [
        ({"a": [1]}, {"b": [1]}, {}, "no common column: the reference has a; the current table has b"),
        ({"a": [1]}, {"a": []}, {}, "the current table holds no rows"),
        ({"a": [1]}, 7, {}, "the current table is a int; give a path"),
        ({"a": [1]}, {"a": [1]}, {"min_effect": "2"}, "not an effect size; write 0.1σ"),
        ({"a": [1]}, {"a": [1]}, {"min_effect": ["1 %", "1 sigma"]}, "one of sigma and %"),
        ({"a": [1]}, {"a": [1]}, {"min_effect": 0.1}, 'min_effect: 0.1 is not a size with its unit, e.g. "0.1 sigma"'),
        ({"a": [1]}, {"a": [1]}, {"features": 5}, "features: 5 is not names of columns"),
        ({"a": [1]}, {"a": [1]}, {"time": 5}, "time: 5 is no name of a column"),
        ({"a": [1]}, {"a": [1]}, {"alpha": "0.01"}, "alpha is a chance between 0 and 1, not '0.01'"),
        (pd.Series([1.0]), {"a": [1]}, {}, r"the reference is a pandas Series; give .*`series.to_frame\(\)`"),
        ({"age": [1]}, {"age": [1]}, {"features": ["agee"]}, "no|neither table has a column 'agee'; did you mean 'age'"),
        ({"age": [1]}, {"age": [1]}, {"time": "ts"}, "has no column 'ts'"),
        ("nowhere.parquet", {"a": [1]}, {}, "nowhere.parquet: no such file"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused_with_what_to_do(reference: object, current: object, options: dict[str, object], said: str) -> None:  # fmt: skip
    with pytest.raises(UsageError, match=said):
        observe.compare(reference, current, **options)


def test_odd_columns_are_told_and_the_others_go_on() -> None:
    odd = {"list": [[1], [2]] * 30, "nothing": [None] * 60, "x": [1.0, 2.0] * 30, "text": [1, "a"] * 30}
    frames = pd.DataFrame(odd), pd.DataFrame(odd)

    assert {f.name: f.kind for f in observe.compare(*frames).features}.items() >= {
        "x": "number",
        "text": "category",
    }.items()


def test_a_column_of_nothing_but_gaps_on_both_sides_has_no_picture_and_the_page_stands() -> None:
    gaps = {"level": pl.Series([None, None], dtype=pl.String), "x": [1.0, 2.0]}

    assert "oc-list" in observe.compare(gaps, gaps).to_html()


def test_hostile_names_and_levels_are_only_ever_text() -> None:
    frame = pl.DataFrame({name: [*HOSTILE, "ok"] * 5 for name in HOSTILE})
    found = observe.compare(frame, frame.with_columns(pl.lit("<script>alert(2)</script>").alias(HOSTILE[0])))
    for shown in (found._repr_html_(), found.to_html()):
        for bad in (
            "<script",
            "<img",
            "<iframe",
            "<svg/onload",
            "<a href",
            "<link",
            "<h1></",
            "<body onload",
            "<!--",
            "<math",
        ):
            assert bad not in shown.replace("<!doctype", "")
        assert "&lt;script&gt;alert(1)" in shown


def test_the_page_asks_nobody_for_anything_and_shows_both_on_the_same_bins() -> None:
    shown = observe.compare(world(1), world(2).with_columns(pl.col("amount") * 2)).to_html()

    assert "default-src 'none'" in shown
    assert not any(part in shown for part in ("http://", "https://", "src=", "@import", "url(", "<script"))
    assert shown.count('class="oc-ref" d=') == shown.count('class="oc-cur" d=') == 3
    assert "prefers-color-scheme:dark" in shown


def test_json_and_frame_say_the_same_and_json_holds_no_nan() -> None:
    found = observe.compare(world(1), world(2).drop("items"))
    said = json.loads(found.to_json())

    assert [f["name"] for f in said["features"]] == found.to_frame()["feature"].to_list()
    assert said["verdict"] == "drift"
    assert said["features"][0]["reason"] == "the column is gone"


def test_importing_observe_loads_neither_numpy_nor_polars() -> None:
    code = "import observe, sys; assert not {'numpy', 'polars', 'scipy', 'typer'} & sys.modules.keys(); observe.compare"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("rows", [40, 5_000])
def test_with_few_independent_rows_a_change_in_percent_is_too_few_and_no_fault(rows: int) -> None:
    """A trend over time leaves hardly any."""
    rng = np.random.default_rng(3)
    ts = [dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=i) for i in range(rows)]
    ref, cur = (
        pl.DataFrame({"ts": ts, "x": 10 + rng.normal(size=rows) + 20 * np.arange(rows) / rows}) for _ in range(2)
    )

    found = observe.compare(ref, cur, time="ts", min_effect="5 %")

    assert found["x"].verdict == "too_few"
