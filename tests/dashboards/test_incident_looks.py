"""An incident is looked at more than once: each figure on its page says of when it is."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from delivered import after, alert, incident

from dashboards import dossier, incidents
from dashboards.incident import STEPS
from dashboards.reader import Reader
from observe.clock import EventClock
from observe.schema import Explanation, Incident
from observe.store import Store


def look(seconds: float, effect: float | None, **more: Any) -> Incident:
    said = "ttft burns its budget" + (f" {effect}x too fast" if effect else "")
    return incident("chat", summary=said, effect=effect, changed_at=after(seconds), **more)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    held = Store.open(tmp_path / "data", EventClock(after(1200)))
    yield held
    held.close()


def told(store: Store, *rows: Any) -> Reader:
    with store.change() as tx:
        for row in rows:
            tx.insert([row])
    return dossier.reader(store)


def page(read: Reader) -> str:
    from plotly.utils import PlotlyJSONEncoder

    made = incidents.page(read, {"now": after(1200).isoformat(), "theme": "dark", "id": "inc-chat"})
    return json.dumps(made, cls=PlotlyJSONEncoder, ensure_ascii=False)


def test_it_opened_with_the_words_and_the_severity_it_had_then(store: Store) -> None:
    read = told(store, look(0, 32.9, severity="ticket"), look(300, 18.0), look(600, 32.1), alert("chat"))
    steps = {r["kind"]: r["words"] for r in read(STEPS, {"id": "inc-chat"}).to_dicts()}

    assert steps["opened"] == "ticket: ttft burns its budget 32.9x too fast"


def test_its_effect_and_its_why_say_when_they_were_found(store: Store) -> None:
    why = Explanation(incident_id="inc-chat", changed_at=after(240), verdict="too little", causes=(), differs=(), similar=(), text="32.9x.", unexplained=None, inhibited_by=None)  # fmt: skip
    again = look(900, 32.1, suggestion="scale")  # the same look, told again for another reason
    text = page(told(store, look(0, 32.9), look(600, 32.1), again, why))

    assert "as of 09:10 UTC" in text
    assert "as of 09:04 UTC" in text
    assert "as of 09:15 UTC" not in text
    assert "could not be filled" not in text


def test_one_without_an_effect_names_no_time_of_it(store: Store) -> None:
    assert "as of" not in page(told(store, look(0, None)))
