"""Questions about the training file: one a feature, inside the budget; and how late labels come, said once."""

from __future__ import annotations

from pathlib import Path

import pytest

from observe.schema import Monitor
from observe.spec import Config, load
from observe.spec.explain import render
from observe.spec.monitors import derive

SITE = "apiVersion: observe/v1\nkind: Site\n---\napiVersion: observe/v1\nkind: Monitoring\nmetadata: {name: m}\n"
FEATURES = {"m": {"amount": "numeric", "card": "categorical", "amount*age": "pair"}}


def written(folder: Path, text: str) -> Config:
    (folder / "observe.yaml").write_text(SITE + text + "\n")
    return load(folder / "observe.yaml")


def asked(folder: Path, text: str, detector: str = "skew") -> dict[str, Monitor]:
    return {m.feature: m for m in derive(written(folder, text), FEATURES) if m.detector == detector}


def test_every_feature_is_asked_about_once_a_day_and_pairs_are_not(tmp_path: Path) -> None:
    found = asked(tmp_path, "drift: {skew: {file: train.parquet}}")

    assert sorted(found) == ["(columns)", "amount", "card"]
    assert {m.window_s for m in found.values()} == {86_400}
    assert found["amount"].measure == "m/predictions/amount"


def test_without_a_file_nothing_is_asked(tmp_path: Path) -> None:
    assert asked(tmp_path, "drift: {}") == {}


def test_it_spends_from_the_drift_part_and_the_parts_still_sum_to_it(tmp_path: Path) -> None:
    every = derive(written(tmp_path, "drift: {skew: {file: train.parquet}}"), FEATURES)
    drift = [m for m in every if m.model == "m" and m.share > 0]

    assert sum(m.share for m in drift) == pytest.approx(0.4 * 0.8)
    assert all(m.share > 0 and m.threshold_nats > 0 for m in drift if m.detector == "skew")


def test_what_matters_is_the_features_own(tmp_path: Path) -> None:
    features = "[{name: amount, minEffect: 10%}, {name: card, minEffect: 5pp}]"
    found = asked(tmp_path, f"drift: {{skew: {{file: train.parquet, covers: 28d}}, features: {features}}}")

    assert (found["amount"].min_effect, found["amount"].unit, found["amount"].params["least_pp"]) == (10.0, "%", 2.0)
    assert found["card"].params["least_pp"] == 5.0
    assert found["amount"].params["covers_s"] == 28 * 86_400
    assert found["(columns)"].params["listed"] == ["amount", "card"]


def test_how_late_labels_come_is_said_by_drift_where_performance_does_not(tmp_path: Path) -> None:
    def delay(text: str) -> float:
        performance = written(tmp_path, text).models["m"].monitoring.performance  # type: ignore[union-attr]
        assert performance is not None
        return performance.delay_s

    assert delay("drift: {labels: {delay: 3d}}\nperformance: {}") == 3 * 86_400
    assert delay("drift: {labels: {delay: 3d}}\nperformance: {delay: 2h}") == 2 * 3_600
    assert delay("performance: {}") == 86_400


def test_how_late_labels_come_is_of_no_use_without_performance(tmp_path: Path) -> None:
    config = written(tmp_path, "drift: {labels: {delay: 3d}}")

    (warning,) = config.warnings
    assert warning.endswith("drift.labels.delay is used by performance: only, which is not declared")


def test_check_shows_what_is_asked_of_the_file_and_where_the_delay_of_labels_comes_from(tmp_path: Path) -> None:
    drift = "drift: {skew: {file: train.parquet}, features: [amount], labels: {delay: 3d}}"
    config = written(tmp_path, f"{drift}\nperformance: {{}}")
    said = render(config)

    assert "  skew: served features beside train.parquet, once a day\n    amount: ticket at " in said
    assert config.origins["models.m.performance.delay"] == config.origins["models.m.drift.labels.delay"]
