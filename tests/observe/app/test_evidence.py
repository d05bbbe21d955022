"""What a detector is shown."""

from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from streams import START, binning, level_monitors

from observe.app.evidence import Gathering
from observe.clock import EventClock, RisingClock
from observe.schema import Window
from observe.spec import load
from observe.store import Store


def test_the_bins_of_a_feature_without_rows_are_shown_the_newest_of_them(tmp_path: Path) -> None:
    (tmp_path / "observe.yaml").write_text("apiVersion: observe/v1\nkind: Site\n")
    asked, span = level_monitors(2), Window(START, START + timedelta(hours=1))
    old = replace(binning(asked[0].measure), made_at=START)
    new = replace(old, binning_id=f"{asked[0].measure}@2", version=2)
    with closing(Store.open(tmp_path / "data", RisingClock(EventClock(span.end)))) as store:
        with store.change() as tx:
            tx.insert([old, new])
        shown = Gathering(load(tmp_path / "observe.yaml"), store).evidence(asked, span, span.start, span.end)

    assert shown.summaries.is_empty()
    assert shown.binnings == {new.binning_id: new}
