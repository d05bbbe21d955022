"""Secrets lie elsewhere, are read when needed, and their errors name the place of the reference."""

from __future__ import annotations

from pathlib import Path

import pytest

from observe.cli.check import run
from observe.errors import ConfigError
from observe.spec import SecretRef, load
from observe.spec.secret import HIDDEN, shown_value

SITE = "apiVersion: observe/v1\nkind: Site\nserver: {{token: {}}}\n"


def token(folder: Path, reference: str) -> tuple[SecretRef, tuple[str, ...]]:
    (folder / "observe.yaml").write_text(SITE.format(reference))
    config = load(folder / "observe.yaml")
    assert config.site.server.token is not None
    return config.site.server.token, config.warnings


def test_a_configuration_is_read_without_its_secrets_and_their_use_tells_the_place(tmp_path: Path) -> None:
    secret, warnings = token(tmp_path, "env:OBSERVE_NOT_SET_ANYWHERE")

    assert warnings == ()
    with pytest.raises(ConfigError) as refused:
        secret.resolve()
    assert str(refused.value) == (
        "the secret env:OBSERVE_NOT_SET_ANYWHERE is not set\n"
        f"  --> {tmp_path}/observe.yaml:3:17\n   hint: export OBSERVE_NOT_SET_ANYWHERE=…"
    )


def test_a_secret_is_read_again_at_every_use(tmp_path: Path) -> None:
    secret, _ = token(tmp_path, "file:token")
    for rotated in ("one", "two"):
        (tmp_path / "token").write_text(f"{rotated}\n")
        assert secret.resolve() == rotated


@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), (b" \n", "is empty"), (b"\xff", "cannot read")])
def test_a_file_that_holds_no_secret_is_told_with_the_place(tmp_path: Path, content: bytes | None, said: str) -> None:
    secret, _ = token(tmp_path, "file:token")
    if content is not None:
        (tmp_path / "token").write_bytes(content)

    with pytest.raises(ConfigError, match=said) as refused:
        secret.resolve()
    assert refused.value.mark is not None
    assert refused.value.mark.line == 3


@pytest.mark.parametrize(("mode", "told"), [(0o600, False), (0o640, False), (0o644, True), (0o604, True)])
def test_a_file_everybody_can_read_is_a_warning_with_its_mode(tmp_path: Path, mode: int, told: bool) -> None:
    (tmp_path / "token").write_text("hunter2")
    (tmp_path / "token").chmod(mode)

    _, warnings = token(tmp_path, "file:token")

    expected = f"{tmp_path}/observe.yaml:3:17: everybody on this machine can read file:{tmp_path}/token (mode {mode:04o}); chmod 600 it"
    assert warnings == ((expected,) if told else ())


def test_secrets_of_collectors_count_too(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hunter2")
    (tmp_path / "token").chmod(0o644)
    collector = 'gpus: {type: prometheus, targets: ["https://a/metrics"], auth: {bearer: file:token}}'
    (tmp_path / "observe.yaml").write_text(f"apiVersion: observe/v1\nkind: Site\ncollectors:\n  {collector}\n")

    (warning,) = load(tmp_path / "observe.yaml").warnings

    assert "observe.yaml:4:" in warning


def test_a_pattern_of_models_that_matches_nothing_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "observe.yaml").write_text("apiVersion: observe/v1\nkind: Site\nmodels: modles/*.yaml\n")

    assert load(tmp_path / "observe.yaml").warnings == (
        f"{tmp_path}/observe.yaml:3:9: modles/*.yaml matches no file in {tmp_path}",
    )


def test_a_pattern_that_finds_the_site_itself_reads_it_once(tmp_path: Path) -> None:
    (tmp_path / "observe.yaml").write_text("apiVersion: observe/v1\nkind: Site\nmodels: '**/*.yaml'\n---\nname: m\n")

    assert list(load(tmp_path / "observe.yaml").models) == ["m"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PGPASSWORD", "x"), ("DB_PASS", "x"), ("RABBITMQ_DEFAULT_PASS", "x"), ("SECRETS", "x"), ("API_KEYS", "x"),
        ("AUTH_TOKENS", "a,b"), ("hfToken", "x"), ("MYSQL_PWD", "x"), ("REDISCLI_AUTH", "x"), ("AUTHTOKEN", "x"),
        ("DB", "Server=a;Password=b;"), ("BLOBS", "AccountName=a;AccountKey=abc"), ("DB", "host=a password=b"),
        ("DB", "postgresql+psycopg2://u:p@h"), ("REDIS", "redis://:p@h:6379/0"), ("PROXY", "http://h http://u:p/q@h2"),
        ("ARGS", "--api-key abc --port 1"), ("ARGS", "--port 1 --hf-token=abc"), ("JSON", '{"password": "a"}'),
        ("CALLBACK", "https://h/x?token=abc"), ("SENTRY", "https://0ab1@sentry.example.com/1"),
    ],
)  # fmt: skip
def test_a_variable_that_holds_a_secret_is_hidden(name: str, value: str) -> None:
    assert shown_value(name, value) == HIDDEN


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_TOKENS", "512"), ("TOKENS_PER_MINUTE", "9"), ("TOKENIZER", "llama"), ("COMPASS", "x"), ("AUTHOR", "me"),
        ("ARGS", "--max-num-batched-tokens 8192 --tokenizer x"), ("HOST", "postgresql://h:5432/d"), ("PATH", "/a:/b"),
        ("BY_PASS_CACHE", "1"), ("MODEL", "org/model@main"),
    ],
)  # fmt: skip
def test_a_variable_that_only_sounds_alike_is_shown(name: str, value: str) -> None:
    assert shown_value(name, value) == value


@pytest.mark.parametrize(("more", "told"), [("", True), (", tls: {cert: a.pem, key: a.key}", False)])
def test_listeners_others_can_reach_without_tls_are_told_unless_it_should_be_quiet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: str, told: bool
) -> None:
    server = f'server: {{listen: "0.0.0.0:8080", ui: ":8050"{more}}}'
    (tmp_path / "observe.yaml").write_text(f"apiVersion: observe/v1\nkind: Site\n{server}\n")

    said = []
    for quiet in (False, True):
        run([], tmp_path / "observe.yaml", as_json=False, quiet=quiet)
        said.append(capsys.readouterr().err)

    warning = f"warning: {tmp_path}/observe.yaml:3:18: 0.0.0.0:8080, :8050 can be reached from elsewhere without TLS"
    assert [said[0].startswith(warning), said[1]] == [told, ""]
