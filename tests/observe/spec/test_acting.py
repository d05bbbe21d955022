"""Whom a rule's target means, and what a live rule without one is told."""

from pathlib import Path

import pytest
from acted import site

from observe.errors import ConfigError
from observe.spec import load
from observe.spec.acting import is_live, target_of, undeclared


def targets(folder: Path, *lines: str, rule: str = "ops:vllm-chat"):  # type: ignore[no-untyped-def]
    site(folder)
    head = "apiVersion: observe/v1\nkind: Site\nactions: {mode: live}\ntargets:\n"
    (folder / "observe.yaml").write_text(head + "".join(f"  {line}\n" for line in lines))
    models = folder / "models" / "chat.yaml"
    models.write_text(models.read_text().replace("ops:vllm-chat", rule))
    return load(folder / "observe.yaml")


WEBHOOK = '{type: webhook, url: "https://ops.example.com/a", secret: env:S}'


@pytest.mark.parametrize(
    ("lines", "written", "found"),
    [
        ([f"ops: {WEBHOOK}"], "ops:x", "ops"), ([f"ops: {WEBHOOK}"], "webhook:x", "ops"), ([f"webhook: {WEBHOOK}", f"ops: {WEBHOOK}"], "webhook:x", "webhook"),
        ([f"a: {WEBHOOK}", f"b: {WEBHOOK}"], "webhook:x", None), ([f"ops: {WEBHOOK}"], "keda:x", None),
    ],
)  # fmt: skip
def test_a_target_goes_by_its_name_or_by_its_type_when_it_is_the_only_one(
    tmp_path: Path, lines: list[str], written: str, found: str | None
) -> None:
    meant = target_of(targets(tmp_path, *lines).site, written)

    assert (meant and (meant.name, meant.what)) == (found and (found, "x"))


def test_a_live_rule_without_a_target_is_a_dry_run_and_is_told(tmp_path: Path) -> None:
    config = targets(tmp_path, f"a: {WEBHOOK}", f"b: {WEBHOOK}", rule="webhook:x")
    (rule,) = config.models["chat"].monitoring.actions  # type: ignore[union-attr]

    assert not is_live(config.site, rule)
    assert (
        "model 'chat': scale with 'webhook:x' stays a dry run; 2 targets are of that type: name one of them"
        in config.warnings
    )


def test_a_password_never_travels_in_clear_and_a_token_that_does_is_told(tmp_path: Path) -> None:
    user = "username: me, password: env:P"
    with pytest.raises(ConfigError, match="the password would travel in clear"):
        targets(tmp_path, f'a: {{type: airflow, url: "http://airflow.example.com", {user}}}')
    here = targets(tmp_path, f'a: {{type: airflow, url: "http://localhost:8080", {user}}}')
    token = targets(tmp_path, 'a: {type: airflow, url: "http://airflow.example.com", token: env:T}')

    told = "target 'a': its token travels in clear to http://airflow.example.com; write https://… where it is served"
    assert told in token.warnings
    assert not [w for w in here.warnings if "in clear" in w]


def test_nothing_is_live_unless_somebody_says_so(tmp_path: Path) -> None:
    config = site(tmp_path, mode="dry-run")
    (rule,) = config.models["chat"].monitoring.actions  # type: ignore[union-attr]

    assert not is_live(config.site, rule)
    assert config.site.actions.mode == "dry-run"


def test_a_dry_run_needs_no_target_and_notes_which_it_has_not(tmp_path: Path) -> None:
    config = site(tmp_path, mode="dry-run")
    bare = config.site.model_copy(update={"targets": {}})

    assert not list(undeclared(config.site, config.models))
    assert [note.split(",")[0] for note in undeclared(bare, config.models)] == ["actions name ops"]
    assert not list(undeclared(targets(tmp_path, f"a: {WEBHOOK}", rule="keda:x").site, config.models))
