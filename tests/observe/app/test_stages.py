"""How monitors are put together for one call of a detector."""

from datetime import timedelta

from observe.app.stages import _parts
from observe.schema import Monitor


def monitors(measures: int, scores: int) -> list[Monitor]:
    return [
        Monitor(f"m/level/f{i}/{k}", "m", "level", f"m/predictions/f{i}", f"f{i}", "location", 3600, "ticket", 10.0, 0.01)
        for i in range(measures) for k in range(scores)
    ]  # fmt: skip


def test_a_tick_judges_sixty_monitors_in_one_call() -> None:
    parts = list(_parts(monitors(30, 4), timedelta(hours=1)))

    assert [len(p) for p in parts] == [60, 60]


def test_a_refit_reads_fifteen_features_of_a_month_at_once_whatever_is_asked_of_them() -> None:
    month = timedelta(days=30)

    assert [len({m.measure for m in p}) for p in _parts(monitors(60, 1), month)] == [15] * 4
    assert [len({m.measure for m in p}) for p in _parts(monitors(30, 4), month)] == [15] * 2


def test_nobody_is_left_out_however_long_the_past() -> None:
    asked = monitors(5, 2)

    assert [m for p in _parts(asked, timedelta(days=3000)) for m in p] == asked
    assert list(_parts([], timedelta(days=1))) == []
