"""What a Monitoring file may say about performance, and what of the budget it takes."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from observe.spec import Config, Model, Monitoring, Site, load
from observe.spec.budget import RESERVE
from observe.spec.monitors import derive
from observe.spec.performance import Performance


def config(**said: object) -> Config:
    return Config(Site(), {"m": Model("m", monitoring=Monitoring.model_validate({"metadata": {"name": "m"}, **said}))})


def test_streams_of_performance_share_the_drift_part_by_their_weights() -> None:
    monitors = derive(config(performance={"positive": "1"}), {})
    shares = {m.feature: m.share for m in monitors if m.detector == "performance"}

    assert sum(shares.values()) == pytest.approx(0.4 * (1 - RESERVE))
    assert shares["accuracy"] == pytest.approx(2 * shares["calibration"])


def test_an_estimate_spends_nothing_and_only_informs() -> None:
    (asked,) = [m for m in derive(config(performance={}), {}) if m.detector == "estimate"]

    assert (asked.share, asked.severity, asked.feature) == (0.0, "inform", "accuracy")


def test_a_regression_is_judged_by_its_errors() -> None:
    monitors = derive(config(performance={"task": "regression", "minEffect": "5%"}), {})

    assert [(m.feature, m.min_effect, m.unit) for m in monitors if m.detector == "performance"] == [
        ("mae", 5.0, "%"),
        ("bias", 0.1, "sigma"),
    ]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"task": "regression", "positive": "1"}, "are of classification"),
        ({"task": "regression", "slices": ["region"]}, "needs a tolerance"),
        ({"tolerance": 5}, "is of regression"),
        ({"threshold": 0.5}, "needs the class"),
        ({"minEffect": "0.1σ"}, "is not in sigma"),
        ({"slices": ["a", "b", "c", "d"]}, "at most 3"),
    ],
)
def test_what_cannot_be_meant_is_refused(said: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Performance.model_validate(said)


@pytest.mark.parametrize(("written", "meant"), [("fraud", "fraud"), ("1", "1"), ("true", "true")])
def test_a_positive_class_may_be_a_number_or_a_truth_value(written: str, meant: str, tmp_path: Path) -> None:
    file = tmp_path / "observe.yaml"
    document = (
        "apiVersion: observe/v1\nkind: Monitoring\nmetadata: {name: m}\nperformance: {positive: " + written + "}\n"
    )
    file.write_text(document + "---\napiVersion: observe/v1\nkind: Site\n")
    monitoring = load(file).models["m"].monitoring

    assert monitoring is not None
    assert monitoring.performance is not None
    assert monitoring.performance.positive == meant
