"""Killed at any moment, the store keeps every acknowledged batch whole and once; `python -m bench.kills` does it 100 times."""

from pathlib import Path

import pytest

from bench.kills import run


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_doubled_or_torn_by_ten_kills(tmp_path: Path) -> None:
    tally = run(tmp_path, kills=10, seed=7)

    assert (tally.lost, tally.doubled, tally.unmigrated, tally.findings) == (0, 0, 0, 0)
    assert (tally.kills, tally.migrations) == (10, 1)
    assert tally.acknowledged > 10
    assert tally.spilled > 0
