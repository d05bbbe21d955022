"""The grammar of a page, against the reference parser; bounds on what is read and remembered."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from collectors import placement, series
from collectors.mapping import load

VALUE = st.floats(allow_nan=False).map(repr)
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n"), max_size=12)
SERIES = st.tuples(
    st.from_regex(r"[a-z_]{1,8}", fullmatch=True),
    st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), TEXT, max_size=3),
)


def place(name: str, labels: Mapping[str, str], kind: str) -> tuple[str, dict[str, str]]:
    return name, dict(labels)


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


@settings(max_examples=200)
@given(st.lists(st.tuples(SERIES, VALUE), max_size=5))
def test_a_page_says_the_same_to_us_and_to_prometheus_client(
    samples: list[tuple[tuple[str, dict[str, str]], str]],
) -> None:
    text = "".join(
        name + "{" + ",".join(f'{k}="{escaped(v)}"' for k, v in labels.items()) + "} " + value + "\n"
        for (name, labels), value in samples
    )
    theirs = [((s.name, s.labels), s.value) for family in text_string_to_metric_families(text) for s in family.samples]
    known: dict[str, tuple[str, dict[str, str]]] = {}
    for _ in range(2):  # cold, then from memory
        page = series.read(text.encode(), known, place)
        assert sorted((repr(p), v) for p, v, _ in page.samples) == sorted((repr(p), v) for p, v in theirs)


def test_a_page_of_too_many_samples_is_cut_and_counted() -> None:
    page = series.read(b"a 1\n" * (series.MAX_SAMPLES + 7), {}, place)

    assert (len(page.samples), page.rejected) == (series.MAX_SAMPLES, {"too_many_samples": 7})
    assert page.offered == series.MAX_SAMPLES + 7


def test_a_line_of_absurd_length_is_a_broken_line() -> None:
    page = series.read(b'a{b="' + b"x" * series.MAX_LINE + b'"} 1\nc 2\n', {}, place)

    assert (page.rejected, len(page.samples)) == ({"syntax": 1}, 1)


def test_series_that_are_gone_are_forgotten() -> None:
    target = placement.Target(load(), {})
    for start in range(0, 20_000, 100):
        page = series.read(
            "".join(f'node_infiniband_a{{i="{i}"}} 1\n' for i in range(start, start + 100)).encode(),
            target.known,
            target.place,
        )
        target.trim(page.offered)

    assert len(target.known) <= 1300
