"""Recorded traces as arrivals, by the forms they have."""

from pathlib import Path

import numpy as np
import pytest

from observe.app.traces import read, synthetic
from observe.errors import UsageError


def azure(n: int) -> str:
    rows = (f"2023-11-16 18:{17 + i // 60:02d}:{i % 60:02d}.9799600,{100 + i},{10 + i}" for i in range(n))
    return "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "\n".join(rows) + "\n"


def test_azures_form_is_read_with_its_seven_digits(tmp_path: Path) -> None:
    (tmp_path / "code.csv").write_text(azure(300))
    trace = read(tmp_path / "code.csv")

    assert (trace.name, trace.at.size, trace.length_s) == ("code", 300, pytest.approx(299.0))
    assert (trace.tokens_in[:2].tolist(), trace.tokens_out[:2].tolist()) == ([100, 101], [10, 11])


def test_mooncakes_form_is_in_milliseconds(tmp_path: Path) -> None:
    rows = (
        f'{{"timestamp": {500 * i}, "input_length": {i}, "output_length": 7, "hash_ids": [1, 2]}}' for i in range(300)
    )
    (tmp_path / "kimi.jsonl").write_text("\n".join(rows))

    assert read(tmp_path / "kimi.jsonl").length_s == pytest.approx(149.5)


def test_what_is_no_trace_is_refused_with_the_forms_that_are(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "few.csv").write_text(azure(20))

    with pytest.raises(UsageError, match="known are TIMESTAMP, ContextTokens, GeneratedTokens"):
        read(tmp_path / "other.csv")
    with pytest.raises(UsageError, match="20 requests with a time"):
        read(tmp_path / "few.csv")
    with pytest.raises(UsageError, match="is not a file"):
        read(tmp_path / "none.csv")


def test_a_seeded_trace_is_the_same_again_and_has_a_day_and_bursts() -> None:
    one, again = synthetic(7, days=1.0, per_s=1.0), synthetic(7, days=1.0, per_s=1.0)
    by_minute = np.bincount((one.at // 60).astype(int))
    by_hour = np.bincount((one.at // 3600).astype(int))

    assert np.array_equal(one.at, again.at)
    assert by_hour.max() > 3 * by_hour.min()
    assert by_minute.var() / by_minute.mean() > 10


def test_more_of_the_same_keeps_order_and_lengths() -> None:
    one = synthetic(7, days=0.1, per_s=1.0)
    more = one.times(3, seed=1)

    assert more.at.size == 3 * one.at.size
    assert (np.diff(more.at) >= 0).all()
    assert more.tokens_in.sum() == 3 * one.tokens_in.sum()
