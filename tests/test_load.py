"""A minute of the load to plan for, with pages open: every acknowledged row is there, once."""

from pathlib import Path

import pytest
from running import aside

from bench.load import measure

SECONDS = 60.0
MOST_MEMORY = 1536 * 2**20  # bytes, of the core; TRUST section 3


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_is_lost_or_doubled_under_the_planned_load(tmp_path: Path) -> None:
    seen, gaps = aside(measure, SECONDS, 1.0, tmp_path)

    assert gaps == dict.fromkeys(gaps, 0)
    assert min(seen.acknowledged["spans"], seen.acknowledged["predictions"]) > 0
    assert {status for _, status in seen.statuses} <= {200, 429, 503}
    assert len(seen.drawn) > 5
    assert max(seen.rss) < MOST_MEMORY
