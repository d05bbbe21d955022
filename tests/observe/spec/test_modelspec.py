"""ModelSpec is read tolerantly, but not a misspelling."""

from __future__ import annotations

from pathlib import Path

import pytest

from observe.errors import ConfigError
from observe.spec import modelspec
from observe.spec.source import Document, parse

HEAD = "apiVersion: piqc.ai/v1alpha1\nkind: ModelSpec\nmetadata: {name: m, version: 1.10}\n"


def document(spec: str) -> Document:
    return parse(f"{HEAD}spec:\n  {spec}\n", Path("m.yaml"))[0]


def test_the_fields_we_use_come_in_our_units() -> None:
    spec = modelspec.read(document("operations: {scaling: {minReplicas: 2, maxReplicas: 4, targetLatencyMsP95: 800}}"))

    assert (spec.name, spec.version) == ("m", "1.10")
    assert (spec.min_replicas, spec.max_replicas, spec.target_latency_p95_s) == (2, 4, 0.8)


def test_everything_else_is_kept() -> None:
    spec = modelspec.read(document("governance: {compliance: {governance: {owner: ops}}}"))

    assert spec.raw["spec"]["governance"]["compliance"]["governance"]["owner"] == "ops"


def test_a_strange_field_is_a_warning_with_its_place() -> None:
    errors, warnings = modelspec.unknown_fields(document("operations: {scaling: {coolness: 7}}"))

    assert errors == []
    assert warnings == ["m.yaml:5:36: field 'coolness' is unknown to piqc.ai/v1alpha1, kept and not used"]


def test_a_known_field_in_the_wrong_place_is_told_where_it_belongs() -> None:
    _, warnings = modelspec.unknown_fields(document("operations: {maxReplicas: 7}"))

    assert warnings[0].endswith("kept and not used; it belongs under spec.operations.scaling")


def test_labels_and_variables_are_free() -> None:
    errors, warnings = modelspec.unknown_fields(document("runtime: {environment: {variables: {NAME: x, taks: y}}}"))

    assert (errors, warnings) == ([], [])


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("operations: {scaling: {minReplicas: two}}", "minReplicas must be a number, not 'two'"),
        ("operations: {scaling: {minReplicas: 1.5}}", "minReplicas must be a whole number"),
        ("operations: {scaling: {minReplicas: -1}}", "minReplicas must be a number"),
        ("operations: {scaling: {minReplicas: 3, maxReplicas: 2}}", "minReplicas 3 is more than maxReplicas 2"),
        ("governance: {compliance: {pii: {allowed: no}}}", "allowed must be true or false, not 'no'"),
        ("runtime: {accelerator: {type: [a, b]}}", "type must be a single value"),
    ],
)
def test_a_field_we_use_of_another_type_is_refused(spec: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        modelspec.read(document(spec))
