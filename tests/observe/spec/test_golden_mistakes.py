"""Sixteen mistakes people make, and exactly what they are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from observe.errors import ConfigError
from observe.spec import check

GOLDEN = Path(__file__).parents[2] / "golden" / "config"
MISTAKES = sorted(p.stem for p in GOLDEN.glob("*.yaml"))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_place_excerpt_and_hint(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)

    with pytest.raises(ConfigError) as refused:
        check([Path(f"{mistake}.yaml")], None)

    assert f"{refused.value}\n" == (GOLDEN / f"{mistake}.txt").read_text()
    assert refused.value.exit_code == 2


def test_there_are_at_least_twelve() -> None:
    assert len(MISTAKES) >= 12
