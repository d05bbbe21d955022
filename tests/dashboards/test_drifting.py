"""What people see after an alarm: what explains it, before and now, and other measures beside the verdict."""

import gzip
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import core
import numpy as np
import polars as pl
import pytest
import world
from world import XSS

from dashboards import apart, drifting, feature, incidents, model, moved, ranking, states
from dashboards.cards import Badge
from dashboards.distribution import Seen
from dashboards.reader import CoreClient, SessionReader
from dashboards.scope import scope
from observe.schema import Batch

SIGMA = {"min_effect": {"value": 0.1, "unit": "sigma"}, "features": []}


def shown(read: Any, page: Any = model.page, **params: str) -> str:
    from plotly.utils import PlotlyJSONEncoder

    view = {"now": (world.NOW + timedelta(seconds=12)).isoformat(), "theme": "dark", "name": "fraud", **params}
    return json.dumps(json.loads(json.dumps(page(read, view), cls=PlotlyJSONEncoder)), ensure_ascii=False)


def finding(score: str = "location", subject: str = "amount", **said: Any) -> dict[str, Any]:
    detector = "rate" if score in {"missing", "unseen"} else "level"
    unit = {"spread": "ratio", "pair": "correlation"}.get(
        score, "pp" if score.startswith("share") else "ratio" if detector == "rate" else "σ"
    )
    details = said.pop("details", {})
    return {
        "monitor_id": f"fraud/{detector}/{subject.replace(' × ', '*')}/{score}", "subject": subject, "detector": detector, "state": "alarm",
        "severity": "ticket", "effect": 0.4, "unit": unit, "ci_low": 0.3, "ci_high": 0.5, "onset": world.SHIFT, "onset_low": None, "onset_high": None,
        "n": 400, "note": "moved", "window_end": world.NOW, "details": json.dumps(details), "evidence_nats": 20.0, "threshold_nats": 10.0, **said,
    }  # fmt: skip


def seen(reference: list[int], current: list[int], **bins: Any) -> Seen:
    kind = "categorical" if bins.get("levels") else "numeric"
    quality = {"n": sum(current), "missing": 0, "not_finite": 0, "low": None, "high": None}
    held = {"kind": kind, "reference": reference, "edges": None, "levels": None, "quantiles": None, **bins}
    return Seen(held, np.array(current, float), quality, world.SHIFT, ())


def test_a_page_of_an_alarm_ranks_what_drifts_and_names_what_goes_with_it(read: SessionReader) -> None:
    text = shown(read)

    for words in (
        "What explains the drift?",
        "4 of 8 watched features drift (1 not judged yet), and the correlation of 1 pair changed",
        "of what matters",
    ):
        assert words in text


def test_psi_ks_and_wasserstein_stand_beside_the_verdict_and_say_they_are_not_it(read: SessionReader) -> None:
    text = shown(read, feature="amount")

    for words in ("PSI", "KS", "Wasserstein-1", "the exact one lies between", "The verdict does not come from these"):
        assert words in text


def test_a_category_shows_its_levels_before_and_now_and_rows_of_no_known_level(read: SessionReader) -> None:
    text = shown(read, feature="country", watch="share:US")

    for words in (
        "15 % → 24 %",
        "22 % to 26 %",
        "Jensen-Shannon",
        "total variation",
        "χ²",
        "of none of the 5 known levels",
        "are not kept any more",
    ):
        assert words in text


def test_a_pair_says_how_it_was_correlated_before_and_is_now(read: SessionReader) -> None:
    text = shown(read, feature="amount × n_items")

    for words in (
        "hang together less closely: their correlation was 0.62 and is 0.28 (95 % 0.23 to 0.33)",
        "amount drifts itself",
        "Correlation over time",
    ):
        assert words in text
    assert "No reference yet" not in text


def test_a_missing_rate_shows_its_share_over_time_and_a_spread_its_middle_half(read: SessionReader) -> None:
    assert "Share over time" in shown(read, feature="distance_km")
    assert "0.5 % → 7 %" in shown(read, feature="distance_km")
    assert "6.9 → 10.4 wide" in shown(read, feature="velocity_24h")


@pytest.mark.parametrize("feature", [*world.FEATURES, "amount × n_items", "nobody"])
def test_every_feature_of_the_seed_has_a_page_without_a_failed_card(read: SessionReader, feature: str) -> None:
    assert "could not be filled" not in shown(read, feature=feature)
    assert "could not be filled" not in shown(read, feature=feature, watch="nonsense", **{"range": "1h"})


def test_an_incident_of_drift_ranks_the_features_behind_it(read: SessionReader) -> None:
    text = shown(read, incidents.page, id="inc-drift")

    assert "2 of 8 watched features drift in this incident" in text
    assert "/model/fraud?from=2026-11-20T08%3A05%3A00%2B00%3A00&to=" in text
    assert text.index("amount moved +0.42") < text.index("share of `US` in country")
    assert "What explains the drift?" not in shown(read, incidents.page, id="inc-burn")


def test_what_drifts_is_ordered_by_effect_over_what_matters_then_by_evidence() -> None:
    drifts = [
        finding("share:visa", "card", effect=9.0, details={"share_from": 0.1}), finding(subject="age", effect=0.2, evidence_nats=11.0),
        finding(subject="size", effect=0.2, evidence_nats=30.0), finding("missing", "shop", effect=16.0, unit="ratio"), finding(subject="calm", state="ok"),
    ]  # fmt: skip
    found = ranking.ranked(drifts, SIGMA)

    assert [(f.subject, round(f.times or 0, 1)) for f in found] == [
        ("shop", 6.8),
        ("card", 3.0),
        ("size", 2.0),
        ("age", 2.0),
    ]
    assert ranking.summary(drifts, found).startswith("4 of 5 watched features drift")


def test_what_matters_in_the_unit_of_other_features_is_a_tenth_of_a_sigma() -> None:
    card, age = (
        finding("share:visa", "card", effect=9.0, details={"share_from": 0.1}),
        finding("spread", "age", effect=1.2),
    )
    for value, unit in ((5, "%"), (2, "pp")):
        said = {"min_effect": {"value": value, "unit": unit}, "features": []}
        found = {f.subject: round(f.times or 0, 1) for f in ranking.ranked([card, age], said)}

        assert found == ({"card": 3.0, "age": 6.2} if unit == "%" else {"card": 4.5, "age": 3.1})


def test_a_feature_goes_with_the_first_only_where_their_pair_is_watched_and_was_correlated() -> None:
    pair = finding("pair", "amount × items", state="ok", details={"score": 0.71, "delta_sigma": 0.01})
    drifts = [finding(effect=0.8), finding(subject="items"), finding(subject="age"), pair]
    found = ranking.ranked(drifts, SIGMA)

    assert [(f.subject, f.with_first and round(f.with_first, 2)) for f in found] == [
        ("amount", None),
        ("age", None),
        ("items", 0.7),
    ]
    assert ranking.summary(drifts, found).endswith("items goes with amount")


def test_a_model_of_rare_levels_only_has_pages_of_its_features(read: SessionReader) -> None:
    drifts = [
        finding("unseen", "country", effect=3.0, unit="ratio"),
        finding("missing", "country", state="ok", effect=None),
    ]
    title, parts = drifting.section(read, scope({"now": world.NOW.isoformat()}), "fraud", drifts, {})

    assert "unknown levels" in str(title)
    assert len(parts) > 3


def test_a_rise_of_missing_values_goes_with_nothing() -> None:
    pair = finding("pair", "amount × items", state="ok", details={"score": 0.71, "delta_sigma": 0.01})
    found = ranking.ranked([finding("missing", effect=14.0, unit="ratio"), finding(subject="items"), pair], SIGMA)

    assert [(f.subject, f.with_first) for f in found] == [("amount", None), ("items", None)]


def test_a_share_with_an_odd_name_is_told_by_its_level() -> None:
    bins = {"levels": ["plain", XSS], "reference": [60, 30, 10]}
    odd = finding("share:#2", "card", details={"share_from": 0.3, "share_to": 0.4}, ci_low=8.0, ci_high=12.0)

    assert moved.name(odd, bins) == f"share of {XSS}"
    assert (moved.told(odd, bins) or moved.Told("", 0, 0)).interval == "38 % to 42 %"


def test_rows_beyond_the_outer_bins_give_a_range_and_no_false_precision() -> None:
    far = seen([100, 100, 100], [5, 5, 290], edges=[1.0, 2.0], quantiles=[0.0, 3.0])
    far.quality["high"] = 5_000.0  # type: ignore[index]

    assert " to " in apart.numbers(far)[2][1]


def test_the_page_of_an_alarm_stays_small(read: SessionReader) -> None:
    sizes = {f: len(gzip.compress(shown(read, feature=f).encode())) for f in ("amount", "country", "amount × n_items")}

    assert max(sizes.values()) < 60_000, sizes


def test_an_announced_change_is_never_shown_as_fine() -> None:
    assert states.finding_badge("expected", "ticket", world.NOW, world.NOW).state == "unknown"


def test_what_had_no_rows_is_not_shown_as_fine() -> None:
    empty = {"state": "ok", "severity": "ticket", "detector": "level", "n": 0, "window_end": world.NOW}
    view = scope({"now": world.NOW.isoformat()})

    assert feature.badge(empty, view) == Badge("unknown", "no rows")
    assert feature.badge({**empty, "n": 40}, view).state == "ok"
    assert feature.badge({**empty, "detector": "rate", "state": "unknown"}, view) == Badge("unknown", "no rows")


def test_few_rows_are_told_what_chance_alone_gives() -> None:
    few = apart.levels(seen([5_000, 5_000], [30, 30], levels=["a"]))

    assert "chance alone gives about 0.02" in few[0][2]


def test_unknown_levels_are_named_while_the_rows_of_their_window_are_kept(tmp_path: Path) -> None:
    at = world.NOW - timedelta(minutes=4)
    rows = pl.DataFrame({
        "ts": pl.Series([at] * 5, dtype=pl.Datetime("us", "UTC")), "prediction_id": list("abcde"), "country": ["XK", XSS, "XK", "DE", None],
    })  # fmt: skip
    tables = {k: frame for k, frame in world.tables().items() if k in {"summary", "binning", "finding"}}
    with core.lake(tmp_path / "data", tables, world.SETTINGS) as store, core.served(core.Core(store).app) as url:
        store.append(Batch("predictions/fraud", "1", {"prediction:fraud": rows}))
        client = CoreClient(url, core.FACE_KEY)
        text = shown(SessionReader(client, client.session({"token": core.TOKEN})), feature="country")
        client.close()

    assert "in the window of 14:55 UTC: XK (2), <img" in text
