"""The JSON Schemas editors read agree with what the loader says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from observe.spec.catalogue import KINDS, fields, words, written
from observe.spec.editor import NAMES, any_schema, schema
from observe.spec.source import read

PROJECT = Path(__file__).parents[3]
GOLDEN = PROJECT / "tests" / "golden" / "config"
GOOD = [*sorted((GOLDEN / "good").glob("*.yaml")), *sorted((PROJECT / "examples").glob("observe.yaml")),
        *sorted((PROJECT / "examples" / "models").glob("*.yaml")), PROJECT / "examples" / "quickstart" / "observe.yaml",
        *sorted((PROJECT / "observe" / "cli" / "starter").rglob("*.yaml"))]  # fmt: skip
NOT_YAML = {
    "02-duplicate-key",
    "03-alias",
    "18-tabs",
    "22-no-space-after-colon",
    "39-environment-variable",
    "40-quotes",
}
BEYOND_A_SCHEMA = {
    "12-model-ref", "13-watched-twice", "38-declared-in-two-files/a", "38-declared-in-two-files/b",  # other documents
    "07-modelspec-misspelt",  # theirs is open to new fields
    "14-slo-never-fires", "24-short-window", "34-lateness-too-long", "37-warm-pool", "66-slo-no-data",  # arithmetic
    "63-slo-without-what-it-needs",  # other documents
    "16-open-bind", "29-one-port-twice", "41-action-for-nothing", "43-receivers-and-rules", "64-slo-composite", "67-page-of-minutes",  # one field against another
}  # fmt: skip
ANY = Draft202012Validator(any_schema())


def plain(value: Any) -> Any:
    """As a YAML library of an editor would read it."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, tuple) else value


def documents(path: Path) -> Iterator[Any]:
    for document in read(path).documents:
        yield plain(document.root.plain())


@pytest.mark.parametrize("path", GOOD, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_every_good_file_is_valid(path: Path) -> None:
    for document in documents(path):
        assert [e.message for e in ANY.iter_errors(document)] == []
        kind = document.get("kind")
        assert kind is None or Draft202012Validator(schema(kind)).is_valid(document)


def test_every_mistake_a_schema_can_know_is_found() -> None:
    mistakes = {p.relative_to(GOLDEN).with_suffix("").as_posix(): p for p in GOLDEN.rglob("*.yaml")}
    unseen = {name for name, path in mistakes.items() if all(ANY.is_valid(d) for d in documents(path))}

    assert unseen - NOT_YAML == BEYOND_A_SCHEMA | {n for n in mistakes if n.startswith("good/")}


@pytest.mark.parametrize("kind", NAMES.values())
def test_a_schema_is_one_and_says_what_every_field_means(kind: str) -> None:
    made = schema(kind)

    Draft202012Validator.check_schema(made)
    assert all(words(f).meaning for f in fields(kind))
    undescribed = [k for k, v in made["properties"].items() if "description" not in v]
    assert undescribed == []
    assert made["properties"]["kind"] == {"const": kind, "description": "What the document is."}


def test_no_words_are_left_over_from_a_field_that_is_gone() -> None:
    there = {(f.owner.__name__, f.name) for kind in KINDS for f in fields(kind)}

    assert set(written()) - there == set()


def test_examples_of_fields_are_what_their_patterns_ask_for() -> None:
    for kind in NAMES.values():
        for name, definition in {kind: schema(kind), **schema(kind)["$defs"]}.items():
            for field, known in definition.get("properties", {}).items():
                for example in known.get("examples", ()):
                    assert re.search(known.get("pattern", ""), example), (name, field, example)


def test_ours_is_closed_and_theirs_is_open() -> None:
    assert all(d.get("additionalProperties") is False for n, d in schema("Site")["$defs"].items() if "properties" in d)
    assert schema("ModelSpec")["$defs"]["Scaling"]["additionalProperties"] is True


@pytest.mark.slow
def test_the_command_prints_one_and_writes_all(tmp_path: Path) -> None:
    def run(*given: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "observe", "schema", *given], capture_output=True, text=True, check=False)  # fmt: skip

    assert json.loads(run("site").stdout) == schema("Site")
    assert run("--out", str(tmp_path / "new")).returncode == 0
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [
        "modelspec.schema.json", "monitoring.schema.json", "observe.schema.json", "site.schema.json",
    ]  # fmt: skip
    assert "did you mean 'monitoring'?" in run("monitorng").stderr
