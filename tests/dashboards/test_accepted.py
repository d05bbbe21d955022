"""What was accepted as the new normal: the button while it can be, who did it afterwards, and no advice to do it again."""

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from delivered import T0, alert, incident

from dashboards import hand, incidents, model
from dashboards.accepted import accepted
from dashboards.reader import Value, used
from dashboards.scope import scope
from observe.access import Principal
from observe.app.accepting import accepted as learnt
from observe.app.people import written
from observe.clock import EventClock
from observe.spec.normal import ADVICE, DONE
from observe.store import Store

AT = T0 + timedelta(minutes=27)
NOW = T0 + timedelta(minutes=30)
AMOUNT, ITEMS = "fraud/level/amount/location", "fraud/level/items/location"


def text(part: Any) -> str:
    from plotly.utils import PlotlyJSONEncoder

    return json.dumps(part, cls=PlotlyJSONEncoder)


class Site:
    """A store, and what its pages read."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.view = scope({"now": NOW.isoformat()})

    def read(self, sql: str, params: Mapping[str, Value] | None = None) -> pl.DataFrame:
        return self.store.read(sql, used(sql, params))

    def say(self, what: str) -> None:
        said = {"verb": "accept_normal", "object": what, "reason": None, "parameters": {}}
        with self.store.change() as tx:
            written(tx, AT, Principal("admin", "admin"), said)

    def card(self, chosen: str) -> str:
        return text(hand.of_one(self.read, self.view, chosen))

    def page(self, chosen: str) -> str:
        return text(incidents.page(self.read, {"now": NOW.isoformat(), "id": chosen}))

    def of_model(self) -> str:
        return text(model.page(self.read, {"now": NOW.isoformat(), "name": "fraud"}))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    store = Store.open(tmp_path / "data", EventClock(T0))
    drift = {"kind": "drift", "model": "fraud", "severity": "ticket"}
    with store.change() as tx:
        tx.insert([incident("d", suggestion=ADVICE["drift"], alerts=("alr-a", "alr-i"), **drift), incident("s")])
        tx.insert(
            [alert("a", key=AMOUNT, incident_id="inc-d", **drift), alert("i", key=ITEMS, incident_id="inc-d", **drift)]
        )
        tx.insert([alert("s")])
        tx.set_setting("models", {"fraud": {"version": "1"}})
    yield Site(store)
    store.close()


def test_a_drift_can_be_accepted_by_a_button_and_a_burn_cannot(site: Site) -> None:
    drift, burn = site.card("inc-d"), site.card("inc-s")

    assert "Accept as new normal" in drift
    assert '"value": "accept_normal"' in drift
    assert "nobody has taken it" in drift
    assert "Accept as new normal" not in burn


def test_who_accepted_it_is_told_in_place_of_nobody_and_it_is_not_advised_again(site: Site) -> None:
    assert ADVICE["drift"] in site.page("inc-d")
    site.say("inc-d")

    card, page = site.card("inc-d"), site.page("inc-d")
    assert "accepted 09:27 UTC by admin, ends with the next judged window" in card
    assert "nobody has taken it" not in page
    assert "Accept as new normal" not in page
    assert ADVICE["drift"] not in page
    assert DONE in page
    assert "accepted it as the new normal" in page  # among the commands


def test_one_of_two_alarms_accepted_leaves_the_other_to_be(site: Site) -> None:
    site.say(AMOUNT)

    card = site.card("inc-d")
    assert "1 of 2 alarms accepted 09:27 UTC by admin, they end with the next judged window" in card
    assert "Accept as new normal" in card
    assert ADVICE["drift"] in site.page("inc-d")


def test_an_alarm_of_another_kind_is_said_to_stay(site: Site) -> None:
    with site.store.change() as tx:
        tx.insert([alert("b", incident_id="inc-d", model="fraud")])
    site.say("inc-d")

    assert "what drifts ends with the next judged window; 1 alarm of another kind stays" in site.card("inc-d")


@pytest.mark.parametrize("what", ["inc-d", "alr-a", AMOUNT, "alr-i", "inc-s"])
def test_what_the_page_counts_as_accepted_is_what_learns_anew(site: Site, what: str) -> None:
    site.say(what)

    assert accepted(site.read, "inc-d").taken == len(learnt(site.store, [AMOUNT, ITEMS]))


def test_the_model_page_leads_to_where_the_button_is(site: Site) -> None:
    before = site.of_model().split('"suggested"')[1][:400]
    site.say("inc-d")
    after = site.of_model().split('"suggested"')[1][:400]

    assert ADVICE["drift"] in before
    assert "/incidents?id=inc-d" in before
    assert DONE in after
    assert "/incidents" not in after.split(DONE)[0]
