"""What is shown of a file never holds a secret, whichever mistake of a line is told, and however the key is misspelt."""

from __future__ import annotations

from pathlib import Path

import pytest

from observe.errors import ConfigError
from observe.spec import load
from observe.spec.excerpt import excerpt

A = '  a: {type: prometheus, targets: ["http://a/m"]'
SITES = {
    "beside another mistake": A + ", auth: {bearer: hunter2}, evry: 15s}",
    "quoted, beside another mistake": A + ", auth: {bearer: 'hunter2, }x', usrname: me}, evry: 15s}",
    "under a misspelt key": A + ", auth: {beare: hunter2}}",
    "under an unknown key": "  a:\n    type: prometheus\n    auth:\n      passphras: hunter2\n      foo: my hunter2",
    "in place of the mapping": A + ", auth: hunter2}",
    "a mapping in place of the secret": A + ", auth: {bearer: {x: hunter2}}}",
    "a list": A + ", auth: {bearer: [hunter2]}}",
    "without a space": A + ", auth: {bearer:hunter2}}",
    "without a space, in a block": "  a:\n    type: prometheus\n    auth:\n      bearer:hunter2",
    "as a tag": A + ", auth: {bearer: !hunter2 x}}",
    "as an anchor": A + ", auth: {bearer: &hunter2 x}}",
    "as an alias": A + ", auth: {bearer: *hunter2}}",
    "in broken YAML": A + ', auth: {bearer: "hunter2}',
    "on a line of its own": "  a: {type: prometheus, auth: {\n    foo: hunter2, evry: 15s}}",
    "in a block": "  a:\n    type: prometheus\n    auth:\n      bearer: |\n        hunter2\n       x",
    "at the place of another field": '  a: {type: prometheus, token: hunter2, targets: ["http://a/m"], evry: 15s}',
    "in an address": '  a: {type: prometheus, targets: ["http://me:hunter2@a/m"], evry: 15s}',
    "in a query": '  a: {type: prometheus, targets: ["http://a/m?token=hunter2"], evry: 15s}',
    "in a query without a scheme": '  a: {type: prometheus, targets: ["a/m?api_key=hunter2"], evry: 15s}',
}


@pytest.mark.parametrize("case", SITES)
def test_a_secret_written_into_a_file_is_in_no_error(case: str, tmp_path: Path) -> None:
    (tmp_path / "observe.yaml").write_text(f"apiVersion: observe/v1\nkind: Site\ncollectors:\n{SITES[case]}\n")

    with pytest.raises(ConfigError) as refused:
        load(tmp_path / "observe.yaml")

    assert "hunter" not in str(refused.value)
    assert (
        "collectors" in str(refused.value) or "not valid YAML" in str(refused.value) or "allowed" in str(refused.value)
    )


@pytest.mark.parametrize("server", ["token: hunter2", "auth: hunter2", "tokn: hunter2", 'token: "hunter2", lisen: x'])
def test_a_secret_of_the_server_is_in_no_error(server: str, tmp_path: Path) -> None:
    (tmp_path / "observe.yaml").write_text(f"apiVersion: observe/v1\nkind: Site\nserver: {{{server}}}\n")

    with pytest.raises(ConfigError) as refused:
        load(tmp_path / "observe.yaml")

    assert "hunter" not in str(refused.value)


def test_what_is_no_secret_stays_and_keeps_its_column() -> None:
    line = "a: {auth: {username: me, password: hunter2}, every: 15s, tls: {key: a.key}}"

    (shown,) = {excerpt((line,), 1)}

    assert shown == line.replace("hunter2", "•" * 7)
    for fine in ("auth: {bearer: env:TOKEN}", "server: {auth: none, token: 'file:a/b'}", "features: [tokens_in, key]"):
        assert excerpt((fine,), 1) == fine


@pytest.mark.parametrize("query", ["token=hunter2", "a=1&api_key=x", "X-Amz-Signature=ab", "a=sk-live-1", "PASSWORD="])
def test_an_address_with_a_secret_in_its_query_is_refused_with_the_way_to_do_it(query: str, tmp_path: Path) -> None:
    site = (
        f'apiVersion: observe/v1\nkind: Site\ncollectors:\n  a: {{type: prometheus, targets: ["http://h/m?{query}"]}}\n'
    )
    (tmp_path / "observe.yaml").write_text(site)

    with pytest.raises(ConfigError, match="must not hold credentials") as refused:
        load(tmp_path / "observe.yaml")

    assert "auth: {" in refused.value.hint
    assert query not in str(refused.value)


def test_an_address_with_another_query_is_fine(tmp_path: Path) -> None:
    site = 'apiVersion: observe/v1\nkind: Site\ncollectors:\n  a: {type: prometheus, targets: ["http://h/m?name[]=up&format=x"]}\n'
    (tmp_path / "observe.yaml").write_text(site)

    assert load(tmp_path / "observe.yaml").site.collectors["a"].targets == ("http://h/m?name[]=up&format=x",)
