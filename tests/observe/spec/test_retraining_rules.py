"""Rules of retraining that could never act are refused when the file is read."""

from pathlib import Path

import pytest

from observe.errors import ConfigError
from observe.spec import load
from observe.spec.monitoring import ActionRule

HEAD = "apiVersion: observe/v1\nkind: Monitoring\nmetadata: {name: fraud}\ndrift: {source: predictions}\n"


def read(folder: Path, rule: str, more: str = "") -> ActionRule:
    path = folder / "fraud.yaml"
    path.write_text(f"{HEAD}{more}actions:\n  - {{when: drift.confirmed, do: retrain, target: 'airflow:x', {rule}}}\n")
    monitoring = load(None, [path]).models["fraud"].monitoring
    assert monitoring is not None
    (made,) = monitoring.actions
    return made


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("needs: both", "needs: both, but performance is not watched"),
        ("approve: auto", "a retraining that nobody approves needs a proven loss, but performance is not watched"),
        ("reference: canary", "a canary accepts the reference, but none is watched"),
        ("needs: drfit", "drift"),
    ],
)
def test_a_rule_that_could_never_act_says_what_is_missing(tmp_path: Path, rule: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read(tmp_path, rule)


@pytest.mark.parametrize(
    ("rule", "more", "means"),
    [
        ("approve: human", "", ("human", "drift", "human")),
        ("approve: auto, needs: drift", "", ("auto", "drift", "human")),
        ("approve: auto", "performance: {task: classification}\n", ("auto", "both", "human")),
        ("reference: canary", "canary: {by: model_version}\n", ("human", "drift", "canary")),
    ],
)
def test_a_rule_that_can_act_is_read(tmp_path: Path, rule: str, more: str, means: tuple[str, str, str]) -> None:
    made = read(tmp_path, rule, more)

    assert (made.approve, made.proof, made.reference) == means
