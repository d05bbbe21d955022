"""A log line becomes its template: the same for the same statement, and nothing of what people wrote."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from collectors.template import TEMPLATE_LIMIT, template, template_id


def test_what_varies_is_taken_out() -> None:
    lines = [
        "2026-11-20T12:00:00.123Z GPU 3 at 10.0.0.7:9400 is 91.5 C",
        "request 0af76519-16cd-43dd-8448-eb211c80319c failed after 3 tries",
        "cannot reach user=jane@example.com, retry_in=5s",
        "key sk-proj-a8f3kd92jf83kd02 was refused for bob@example.com",
        "worker 0x7f3a died: 'CUDA out of memory'",
    ]

    assert [template(line)[0] for line in lines] == snapshot(
        [
            "<time> GPU <n> at <ip> is <n> C",
            "request <id> failed after <n> tries",
            "cannot reach user=<email>, retry_in=<*>",
            "key <id> was refused for <email>",
            "worker <id> died: <str>",
        ]
    )


@pytest.mark.parametrize(
    "line",
    [
        "prompt: my husband left me", "bad input='my husband left me'", '{"content": "my husband left me"}',
        "cannot parse `my husband left me`", 'unfinished "my husband left me', "Messages = my husband left me",
    ],
)  # fmt: skip
def test_what_people_wrote_is_gone(line: str) -> None:
    assert "husband" not in template(line)[0]


def test_two_lines_of_one_statement_have_one_id() -> None:
    ids = {template_id(template(f"slow request {n:x}a1b2c3d4: {n} ms")[0]) for n in range(20)}

    assert len(ids) == 1


@pytest.mark.parametrize(
    "line",
    [
        "login failed for admin password: hunter2", "login failed with passwd hunter2", "api_key: hunter", "API key hunter is bad",
        "Authorization: Basic aHVudGVyMjo=", "sent Basic aHVudGVyMjo= to it", "sent bearer hunter2", "access_token : hunter",
        "invalid token hunter2", "client secret is hunter", "db at postgres://u:hunter2@db/x is away", "DB_PASSWORD = hunter x",
        "token=hunter", "X-Api-Key: hunter2",
        "db_password=hunter,hunter2 again", '"client_secret" : hunter2', "the passphrase is hunter2", "access_token=hunter2;x",
        "password rejected: hunter2", "AWS_SECRET_ACCESS_KEY: hunter2", "pwd hunter2", "{password: {hunter2: 1}}", "Incorrect API key provided: hunter2",
    ],
)  # fmt: skip
def test_a_secret_is_gone(line: str) -> None:
    assert not any(secret in template(line)[0] for secret in ("hunter", "aHVud"))


@pytest.mark.parametrize(
    "line",
    [
        "token limit exceeded", "tokenizer: loading llama", "basic check passed", "author not found", "secret not found in namespace serving",
        "FATAL: password authentication failed for user postgres",
    ],
)  # fmt: skip
def test_what_only_sounds_like_a_secret_stays(line: str) -> None:
    assert template(line)[0] == line


@given(st.text(max_size=400))
def test_a_template_is_short_and_says_the_same_twice(line: str) -> None:
    text, _ = template(line)

    assert len(text) <= TEMPLATE_LIMIT
    assert template(line) == template(line)
