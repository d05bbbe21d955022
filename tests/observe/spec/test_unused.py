"""Fields that are read but change nothing yet say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from observe.errors import ConfigError
from observe.spec import Config, load
from observe.spec.explain import render
from observe.spec.unused import NOTE

SITE = "apiVersion: observe/v1\nkind: Site\n---\n"
MONITORING = "apiVersion: observe/v1\nkind: Monitoring\nmetadata: {name: m}\n"
SPEC = "apiVersion: piqc.ai/v1alpha1\nkind: ModelSpec\nmetadata: {name: m}\n"


def written(folder: Path, text: str) -> Config:
    (folder / "observe.yaml").write_text(SITE + text)
    return load(folder / "observe.yaml")


@pytest.mark.parametrize(
    ("text", "field", "column"),
    [
        ("selector: {matchLabels: {app: chat, tier: a}}", "selector.matchLabels", 25),
    ],
)
def test_a_field_nothing_reads_is_a_warning_with_its_place(tmp_path: Path, text: str, field: str, column: int) -> None:
    config = written(tmp_path, MONITORING + text + "\n")

    assert config.warnings == (f"{tmp_path}/observe.yaml:7:{column}: {field} is kept, not used yet",)
    said = [line for line in render(config).partition("\nwarnings")[0].splitlines() if NOTE in line]
    assert said
    assert all(f"# {NOTE} ({tmp_path}/observe.yaml:7:" in line for line in said)


@pytest.mark.parametrize(
    ("compliance", "field", "told"),
    [
        ("pii: {allowed: false}", "pii.allowed", "pii.allowed  false"),
        ("retention: {logsDays: 14}", "retention.logsDays", "retention.logsDays  14"),
    ],
)
def test_a_field_of_a_modelspec_nothing_reads_is_a_warning_too(
    tmp_path: Path, compliance: str, field: str, told: str
) -> None:
    config = written(tmp_path, SPEC + f"spec: {{governance: {{compliance: {{{compliance}}}}}}}\n")

    (warning,) = config.warnings
    assert warning.startswith(f"{tmp_path}/observe.yaml:7:")
    assert warning.endswith(f": spec.governance.compliance.{field} is kept, not used yet")
    assert f"{told}  # kept, not used yet ({tmp_path}/observe.yaml:7:" in render(config)


def test_an_action_that_waits_for_a_canary_needs_one(tmp_path: Path) -> None:
    rule = "actions: [{when: canary.failed, do: rollback, target: 'argo:m'}]\n"

    with pytest.raises(ConfigError, match=r"waits for a canary, which is not watched"):
        written(tmp_path, MONITORING + rule)
    assert written(tmp_path, MONITORING + "canary: {by: variant}\n" + rule).warnings == ()


@pytest.mark.parametrize(
    ("collector", "told"),
    [
        ("{type: otlp, labels: {cluster: eu, team: a}}", "labels.team is used by nothing: rows of type otlp take the label cluster alone"),
        ("{type: files, path: a, model: m, labels: {cluster: eu}}", "labels.cluster is used by nothing: rows of type files take no labels"),
        ("{type: litellm, model: m}", "model is used by nothing: rows of type litellm name their model, if they have one"),
    ],
)  # fmt: skip
def test_labels_and_models_of_a_collector_that_no_row_is_told_are_a_warning(
    tmp_path: Path, collector: str, told: str
) -> None:
    (tmp_path / "observe.yaml").write_text(f"{SITE.partition('---')[0]}collectors: {{x: {collector}}}\n---\nname: m\n")

    (warning,) = load(tmp_path / "observe.yaml").warnings
    assert warning.startswith(f"{tmp_path}/observe.yaml:3:")
    assert warning.endswith(f"collectors.x.{told}")


def test_fields_that_are_used_are_not_called_unused(tmp_path: Path) -> None:
    used = "selector: {cluster: [a], gatewayModels: [x]}\ndrift: {reference: {from: 2026-01-01, to: 2026-02-01}, window: 10m}\n"
    config = written(tmp_path, MONITORING + used)

    assert config.warnings == ()
    assert "not used yet" not in render(config)
