"""How monitors are put together for one call of a detector, and what becomes of the others where one is at fault."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from observe.app.stages import Stages, _parts
from observe.clock import EventClock, RisingClock
from observe.errors import SourceError
from observe.schema import Detected, Evidence, Monitor
from observe.spec import load
from observe.store import Store
from observe.telemetry import Telemetry

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
SITE = "apiVersion: observe/v1\nkind: Site\nstore: {path: ./data}\nmodels: all.yaml\n"
MODEL = """\
apiVersion: observe/v1
kind: Monitoring
metadata: {{name: m{}}}
slos: [{{name: ttft, latency: ttft_s, below: 800ms, objective: 99%, window: 30d, alertWhenNoData: 10m}}]
"""


def monitors(measures: int, scores: int) -> list[Monitor]:
    return [
        Monitor(f"m/level/f{i}/{k}", "m", "level", f"m/predictions/f{i}", f"f{i}", "location", 3600, "ticket", 10.0, 0.01)
        for i in range(measures) for k in range(scores)
    ]  # fmt: skip


def test_a_tick_judges_the_monitors_of_two_large_models_in_one_call() -> None:
    parts = list(_parts(monitors(240, 4), timedelta(hours=1)))

    assert [len(p) for p in parts] == [480, 480]


def test_a_refit_reads_fifteen_features_of_a_month_at_once_whatever_is_asked_of_them() -> None:
    month = timedelta(days=30)

    assert [len({m.measure for m in p}) for p in _parts(monitors(60, 1), month)] == [15] * 4
    assert [len({m.measure for m in p}) for p in _parts(monitors(30, 4), month)] == [15] * 2


def test_nobody_is_left_out_however_long_the_past() -> None:
    asked = monitors(5, 2)

    assert [m for p in _parts(asked, timedelta(days=3000)) for m in p] == asked
    assert list(_parts([], timedelta(days=1))) == []


class Faulty:
    """Fails where one model is asked about."""

    def __init__(self, at_fault: str) -> None:
        self.at_fault, self.calls = at_fault, list[int]()

    def detect(self, name: str, evidence: Evidence) -> Detected:
        self.calls.append(len(evidence.monitors))
        if any(m.model == self.at_fault for m in evidence.monitors):
            raise SourceError(f"detector {name} failed")
        return Detected((), {})


def test_a_monitor_at_fault_keeps_fifty_nine_others_at_most_from_being_judged(tmp_path: Path) -> None:
    (tmp_path / "observe.yaml").write_text(SITE)
    (tmp_path / "all.yaml").write_text("---\n".join(MODEL.format(i) for i in range(130)))
    clock, telemetry = EventClock(NOON), Telemetry()
    with closing(Store.open(tmp_path / "data", RisingClock(clock))) as store:
        faulty = Faulty("m77")
        Stages(load(tmp_path / "observe.yaml"), store, clock, telemetry).detect(("silence",), faulty, NOON)
        judged = store.judged_until()
    telemetry.close()

    [whole, *few] = faulty.calls
    assert whole == sum(few) >= 130
    assert max(few) == 60
    assert len(judged) == whole - 60
