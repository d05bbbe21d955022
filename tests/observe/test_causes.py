"""Planted causes through the real store and the real stages: found, and nothing named where nothing was planted."""

import pytest

from bench.causes import scenario


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "seed"), [("deploy", 1), ("xid", 306), ("throttle", 308)])
def test_a_planted_cause_is_named_first_and_called_the_cause(kind: str, seed: int) -> None:
    found = scenario(kind, seed, verbose=True)

    assert (found["right"], found["last_verdict"]) == (True, "cause")
    assert found["first_right"]
    assert 2 <= found["text"].count(". ") + 1 <= 7


@pytest.mark.slow
def test_where_no_cause_is_recorded_none_is_named() -> None:
    found = scenario("none", 501, verbose=False)

    assert found["last_verdict"] != "cause"
    assert found["unexplained"] > 0.5
