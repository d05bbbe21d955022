"""YAML as we accept it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observe.errors import ConfigError
from observe.spec.nodes import scalar
from observe.spec.source import MAX_BYTES, parse, read, survey

HERE = Path("site.yaml")


def test_no_on_yes_and_times_are_text_while_numbers_and_true_are_not() -> None:
    (document,) = parse("{a: no, b: on, c: yes, d: 12:30, e: 2026-11-20, f: 3, g: 0.5, h: true, i: null, j: '3'}", HERE)

    assert document.root.plain() == {
        "a": "no", "b": "on", "c": "yes", "d": "12:30", "e": "2026-11-20", "f": 3, "g": 0.5, "h": True, "i": None, "j": "3",
    }  # fmt: skip


def test_every_value_knows_its_line_and_column() -> None:
    (document,) = parse("store:\n  path: ./data\nlist: [1, {a: b}]\n", HERE)

    assert document.where(("store", "path")) == "site.yaml:2:9"
    assert document.where(("list", 1, "a")) == "site.yaml:3:15"


def test_documents_of_one_file_come_in_order_and_empty_ones_not_at_all() -> None:
    assert [d.root.plain() for d in parse("a: 1\n---\n---\nb: 2\n", HERE)] == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &x 1", "anchor '&x' is not allowed"),
        ("a: *x", "alias '*x' is not allowed"),
        ("a: !!python/object/apply:os.system [id]", "is not allowed"),
        ("a: 1\na: 2", "field 'a' is written twice"),
        ("{[a, b]: 1}", "a key must be plain text"),
        ("- a", "a document must be a mapping"),
        ("just text", "a document must be a mapping"),
        ("a: [1, 2", "not valid YAML"),
        ("{a: ${HOME}}", "not valid YAML"),
        ("[" * 40 + "]" * 40, "more than 32 levels deep"),
        ("[" * 100_000, "more than 32 levels deep"),
        ("a: \x00", "not valid YAML"),
    ],
)
def test_what_we_do_not_accept_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(text, HERE)

    assert said in str(refused.value)


def test_a_brace_after_a_dollar_is_told_how_secrets_are_written() -> None:
    with pytest.raises(ConfigError, match="env:NAME"):
        parse("server: {token: ${TOKEN}}", HERE)


def test_a_file_is_at_most_256_kib_and_utf8(tmp_path: Path) -> None:
    big, binary = tmp_path / "big.yaml", tmp_path / "binary.yaml"
    big.write_bytes(b"a: " + b"x" * MAX_BYTES)
    binary.write_bytes(b"a: 1\nb: \xff\n")

    large, odd, absent = read(big).failure, read(binary).failure, read(tmp_path / "absent.yaml").failure

    assert large is not None
    assert "larger than 256 KiB" in large.message
    assert odd is not None
    assert odd.mark is not None
    assert (odd.message, odd.mark.line) == ("not UTF-8", 2)
    assert absent is not None
    assert "cannot read" in absent.message
    assert "missing" not in absent.message
    assert "No such file" in absent.message


def test_a_mark_at_the_start_and_lines_of_windows_are_fine(tmp_path: Path) -> None:
    file = tmp_path / "windows.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: [\r\n")

    failure = read(file).failure

    assert failure is not None
    assert failure.mark is not None
    assert failure.mark.line == 3


def test_what_is_wrong_with_one_document_hides_nothing_of_the_others() -> None:
    reading = survey("a: 1\na: 2\n---\nb: *x\n---\nc: 3\n---\nd: [\n", HERE)

    assert [e.message.split(":")[0] for e in reading.errors] == [
        "field 'a' is written twice", "alias '*x' is not allowed", "not valid YAML",
    ]  # fmt: skip
    assert [len(d.errors) for d in reading.documents] == [1, 1, 0]


def test_a_bomb_of_aliases_is_a_few_errors_and_no_memory() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a, *a]\n" for i in range(1000))

    assert len(survey(bomb, HERE).errors) == 20


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_but_never_breaks(text: str) -> None:
    read, refused = list[object](), None
    try:
        read = [document.root.plain() for document in parse(text, HERE)]
    except ConfigError as error:
        refused = error

    assert all(isinstance(value, dict) for value in read)
    assert refused is None or refused.message
    assert refused is None or refused.mark is None or 1 <= refused.mark.line <= len(text.splitlines()) + 1


@given(st.integers(-(10**12), 10**12))
def test_integers_are_numbers(n: int) -> None:
    assert scalar(str(n)) == n


@pytest.mark.parametrize("half", [r"\ud83d", r"\ude00", r"\ud83d\ude00"])
def test_half_a_character_is_refused_with_its_place(half: str) -> None:
    with pytest.raises(ConfigError, match="half of a character") as refused:
        parse(f'a: 1\nb: "x{half}"\n', HERE)

    assert (refused.value.mark.line, refused.value.mark.column) == (2, 4) if refused.value.mark else False
    assert "U0001F600" in refused.value.hint
    str(refused.value).encode()
