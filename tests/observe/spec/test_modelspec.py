"""ModelSpec is read tolerantly, but not a misspelling and not a contradiction."""

from __future__ import annotations

from pathlib import Path

import pytest

from observe.errors import ConfigError
from observe.spec import Config, ModelSpec, check
from observe.spec.catalogue import fields
from observe.spec.explain import as_json, render
from observe.spec.unused import MODELSPEC, MODELSPEC_USED, is_kept

HEAD = "apiVersion: piqc.ai/v1alpha1\nkind: ModelSpec\nmetadata: {name: m, version: 1.10}\n"
GOOD = Path(__file__).parents[2] / "golden" / "config" / "good"


def config(folder: Path, spec: str) -> Config:
    (folder / "m.yaml").write_text(f"{HEAD}spec:\n  {spec}\n")
    return check([folder / "m.yaml"], None)


def model_spec(folder: Path, spec: str) -> ModelSpec:
    read = config(folder, spec).models["m"].spec
    assert read is not None
    return read


def test_the_fields_we_use_come_in_our_units(tmp_path: Path) -> None:
    spec = model_spec(
        tmp_path,
        "operations: {scaling: {minReplicas: 2, maxReplicas: 4, targetLatencyMsP95: 800, warmPool: {size: 4}}}",
    )

    assert (spec.name, spec.version) == ("m", "1.10")
    assert (spec.min_replicas, spec.max_replicas, spec.target_latency_p95_s) == (2, 4, 0.8)


def test_every_field_of_the_format_is_read() -> None:
    spec = check([GOOD / "modelspec-in-full.yaml"], None).models["chat"].spec
    assert spec is not None
    written, known = spec.as_written(), [f for f in fields("ModelSpec") if f.inner is None]

    for field in known:
        value: object = written
        for part in field.path.split("."):
            value = value[0] if part == "N" and isinstance(value, list) else value[part]  # type: ignore[index]
        assert value is not None, field.path
    assert (spec.serving.port, spec.serving.liveness_probe and spec.serving.liveness_probe.path) == (
        8000,
        "/health/live",
    )
    assert (spec.observability.metrics.enabled, spec.observability.metrics.port) == (True, 8000)
    assert spec.dependencies[0].max_latency_s == 0.05
    assert (spec.pii_allowed, spec.logs_days, spec.compliance.governance.owner) == (False, 14, "assistants")


def test_a_field_that_is_not_written_is_not_shown_as_one(tmp_path: Path) -> None:
    assert model_spec(tmp_path, "operations: {scaling: {maxReplicas: 4}}").as_written() == {
        "metadata": {"name": "m", "version": "1.10"},
        "spec": {"operations": {"scaling": {"maxReplicas": 4}}},
    }


def test_an_empty_field_counts_as_not_written(tmp_path: Path) -> None:
    assert model_spec(tmp_path, "operations: {scaling: , serving: {port: }}").serving.port is None


def test_a_strange_field_is_a_warning_with_its_place(tmp_path: Path) -> None:
    (warning,) = config(tmp_path, "operations: {scaling: {coolness: 7}}").warnings

    assert warning == f"{tmp_path}/m.yaml:5:36: field 'coolness' is unknown to piqc.ai/v1alpha1 and not used"


def test_a_known_field_in_the_wrong_place_is_told_where_it_belongs(tmp_path: Path) -> None:
    (warning,) = config(tmp_path, "operations: {maxReplicas: 7}").warnings

    assert warning.endswith("not used; it belongs under spec.operations.scaling")


def test_labels_and_variables_are_free(tmp_path: Path) -> None:
    assert config(tmp_path, "runtime: {environment: {variables: {NAME: x, taks: y}}}").warnings == ()


@pytest.mark.parametrize(
    "variable", ["HF_TOKEN: abc", "DB_URL: 'postgres://me:pw-abc@db/x'", "ANYTHING: hf_abcdefghij", "awsSecretKey: abc"]
)
def test_a_variable_that_looks_secret_is_never_shown(tmp_path: Path, variable: str) -> None:
    found = config(tmp_path, f"runtime: {{environment: {{variables: {{{variable}, MAX_TOKENS: 512}}}}}}")

    for shown in (render(found), repr(found), str(as_json(found))):
        assert "abc" not in shown
        assert "512" in shown


def test_every_value_of_a_spec_is_shown_with_its_place(tmp_path: Path) -> None:
    text = render(config(tmp_path, "operations: {observability: {metrics: {enabled: true, port: 8000}}}"))

    assert "  spec.operations.observability\n      metrics.enabled  true  # " in text
    assert f"{tmp_path}/m.yaml:5:63)" in text


def test_a_list_of_what_is_used_names_only_fields_there_are() -> None:
    known = {f.path.replace(".N", "") for f in fields("ModelSpec")}

    assert set(MODELSPEC_USED) - known == set()
    assert {".".join(map(str, loc)) for loc in MODELSPEC} - known == set()
    assert all(is_kept(".".join(map(str, loc))) for loc in MODELSPEC)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("operations: {scaling: {minReplicas: two}}", "expected a number, got 'two'"),
        ("operations: {scaling: {minReplicas: '2'}}", "expected a number, got '2'"),
        ("operations: {scaling: {minReplicas: true}}", "expected a number, got 'true'"),
        ("operations: {scaling: {minReplicas: 1.5}}", "expected a whole number, got 1.5"),
        ("operations: {scaling: {minReplicas: -1}}", "-1 is out of range"),
        ("operations: {scaling: {minReplicas: 3, maxReplicas: 2}}", "minReplicas 3 is more than maxReplicas 2"),
        ("operations: {scaling: {targetLatencyMsP95: 0}}", "0 is out of range"),
        ("operations: {serving: {port: 70000}}", "70000 is out of range"),
        ("operations: {serving: {livenessProbe: {path: live}}}", "'live' is not the path of a probe"),
        ("governance: {compliance: {pii: {allowed: no}}}", "expected true or false, got 'no'"),
        ("governance: {compliance: strict}", "expected a mapping of fields, got 'strict'"),
        ("runtime: {accelerator: {type: [a, b]}}", "expected text, got a list"),
        ("runtime: {accelerator: {count: 0}}", "0 is out of range"),
        ("pipeline: {dependencies: {id: a}}", "expected a list, got a mapping"),
    ],
)
def test_a_field_of_another_type_or_range_is_refused_with_its_place(tmp_path: Path, spec: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config(tmp_path, spec)

    assert said in str(refused.value)
    assert "m.yaml:5:" in str(refused.value)
