"""The mistakes people make most, and exactly what they are told; and files that look odd and are fine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observe.errors import ConfigError
from observe.spec import check
from observe.spec.documents import Documents
from observe.spec.source import survey

GOLDEN = Path(__file__).parents[2] / "golden" / "config"
KINDS = ("site", "monitoring", "modelspec")
MISTAKES = sorted(p.name for p in GOLDEN.iterdir() if p.suffix != ".txt" and p.name != "good")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_place_excerpt_and_hint(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)

    with pytest.raises(ConfigError) as refused:
        check([Path(mistake)], None)

    assert f"{refused.value}\n" == Path(mistake).with_suffix(".txt").read_text()
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_error_has_a_place_and_a_hint(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)

    with pytest.raises(ConfigError) as refused:
        check([Path(mistake)], None)

    errors: tuple[ConfigError, ...] = getattr(refused.value, "errors", (refused.value,))
    assert [e.message for e in errors if e.mark is None or not e.hint] == []


def test_there_are_forty_of_them() -> None:
    assert len(MISTAKES) >= 40


@pytest.mark.parametrize("name", sorted(p.name for p in (GOLDEN / "good").iterdir()))
def test_what_looks_odd_and_is_fine_is_read(name: str) -> None:
    config = check([GOLDEN / "good" / name], None)

    assert config.models or config.site.store.size_bytes == 10 * 10**9


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("instead", ["{a: 1}", "[]"])
def test_a_mapping_or_a_list_in_the_place_of_any_word_is_read_or_refused(kind: str, instead: str) -> None:
    words = re.split(r"([\w./:%-]+)", (GOLDEN / "good" / f"{kind}-in-full.yaml").read_text())
    for place in range(1, len(words), 2):
        reading = survey("".join([*words[:place], instead, *words[place + 1 :]]), Path("x.yaml"))
        found = Documents()
        for document in reading.documents:
            found.add(document)

        assert all(str(error) for error in (*reading.errors, *found.errors))


@given(
    st.integers(0, 10**9),
    st.sampled_from(["", "[]", "{a: 1}", "-1", "1e400", "'x'", "\t", "*a", "!!x", "http://[", "9" * 50]),
)
@settings(max_examples=60)
def test_a_file_with_anything_in_the_place_of_a_word_is_read_or_refused(place: int, instead: str) -> None:
    words = re.split(r"([\w./:%-]+)", (GOLDEN / "good" / f"{KINDS[place % 3]}-in-full.yaml").read_text())
    words[place % len(words)] = instead

    reading = survey("".join(words), Path("x.yaml"))
    found = Documents()
    for document in reading.documents:
        found.add(document)

    assert all(str(error) for error in (*reading.errors, *found.errors))
