"""One incident of several models: its members on its page, one line in the list, one in the bundle."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from delivered import T0, after, alert, incident

from alerts import grouping
from dashboards import dossier, dossier_text, incidents
from dashboards.reader import Reader
from observe.clock import EventClock
from observe.store import Store

NODE = {"kind": "node", "name": "n1", "says": "node n1"}


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Reader]:
    store = Store.open(tmp_path / "data", EventClock(T0 + timedelta(minutes=9)))
    head, part = (
        incident("chat"),
        incident("code", model="code", summary="code burns", opened_at=after(60), since=after(50)),
    )
    with store.change() as tx:
        for row in (
            *grouping.joined(head, part, NODE, after(60)),
            alert("chat"),
            alert("code", model="code", summary="code burns"),
        ):
            tx.insert([row])
    yield dossier.reader(store)
    store.close()


def page(read: Reader, **more: str) -> str:
    from plotly.utils import PlotlyJSONEncoder

    made: Any = incidents.page(read, {"now": after(600).isoformat(), "theme": "dark", **more})
    return json.dumps(made, cls=PlotlyJSONEncoder, ensure_ascii=False)


def test_its_page_shows_every_member_and_what_they_share(read: Reader) -> None:
    text = page(read, id="inc-chat")

    assert "One incident, 2 members" in text
    assert "node n1 is behind all of them" in text
    assert '"model": "code", "what": "code burns"' in text
    assert "could not be filled" not in text


def test_the_list_has_one_line_with_both_models_and_each_of_them_finds_it(read: Reader) -> None:
    for model in ("", "chat", "code"):
        text = page(read, **({"model": model} if model else {}))
        assert "1 open · 0 resolved" in text
        assert '"model": "chat, code"' in text
        assert "(node n1)" in text


def test_the_page_of_a_part_says_where_it_is_told_and_a_lone_one_has_no_members(read: Reader) -> None:
    text = page(read, id="inc-code")

    assert "members" not in text
    assert "inc-chat" in text


def test_the_bundle_names_both_and_has_the_alerts_of_both(read: Reader) -> None:
    held = dossier.gathered(read, "inc-chat", after(600))

    assert "chat, code: " in dossier_text.as_markdown(held)
    assert {a["alert_id"] for a in json.loads(dossier_text.as_json(held))["alerts"]} == {"alr-chat", "alr-code"}
