"""Whether the language model of a site is there, takes its token and serves what is named: tried, and told nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from receivers import Heard, http

from alerts import assistant
from observe.spec.assisting import AssistantSpec
from observe.spec.secret import SecretRef

TOKEN = "t0k3n-5f"


def listing(*names: str) -> bytes:
    return json.dumps({"object": "list", "data": [{"id": name} for name in names]}).encode()


def only_completes(heard: Heard) -> tuple[int, bytes]:
    return (404, b"no such page") if heard.path == "/v1/models" else (400, b"messages is missing")


def tried(folder: Path, answer: Callable[[Heard], tuple[int, bytes]]) -> tuple[bool | None, str, list[Heard]]:
    (folder / "token").write_text(TOKEN)
    with http() as box:
        box.answer = answer
        spec = AssistantSpec(url=f"{box.url}/v1", model="tiny", token=SecretRef("file", str(folder / "token")))
        ok, said = assistant.probe(spec, 5.0)
    return ok, said, box.heard


@pytest.mark.parametrize(
    ("answer", "ok", "said"),
    [
        (lambda heard: (200, listing("big", "tiny")), True, "answers, and serves tiny"),
        (lambda heard: (200, listing("tiny:latest")), True, "serves tiny"),
        (lambda heard: (200, listing("big", "tiny2")), None, "lists no model 'tiny'; did you mean 'tiny2'?"),
        (lambda heard: (200, listing("a", "b")), None, "there are 2: a, b"),
        (lambda heard: (200, listing(TOKEN)), None, "(hidden)"),
        (lambda heard: (200, b"<html>hello</html>"), False, "no list of models"),
        (lambda heard: (401, f"no such key {TOKEN}".encode()), False, "does not take the token (status 401)"),
        (lambda heard: (500, b"out of memory"), False, "answers with status 500: out of memory"),
        (lambda heard: (302, b""), False, "redirected"),
        (lambda heard: (404, b"not found"), False, "does its address end in /v1?"),
        (only_completes, None, "lists no models; the first incident shows whether it serves tiny"),
    ],
)  # fmt: skip
def test_what_the_server_answers_is_said_and_the_token_never(
    tmp_path: Path, answer: Callable[[Heard], tuple[int, bytes]], ok: bool | None, said: str
) -> None:
    found, told, heard = tried(tmp_path, answer)

    assert found is ok
    assert said in told
    assert TOKEN not in told
    assert heard[0].headers["Authorization"] == f"Bearer {TOKEN}"


def test_nothing_is_told_to_it_and_no_words_are_asked_for(tmp_path: Path) -> None:
    _, _, heard = tried(tmp_path, only_completes)

    assert [(h.method, h.path, h.body) for h in heard] == [
        ("GET", "/v1/models", b""),
        ("POST", "/v1/chat/completions", b"{}"),
    ]


def test_a_server_that_is_away_is_said_to_be() -> None:
    with http() as box:
        spec = AssistantSpec(url=f"{box.url}/v1", model="tiny")
    ok, said = assistant.probe(spec, 2.0)

    assert ok is False
    assert "ConnectError" in said
