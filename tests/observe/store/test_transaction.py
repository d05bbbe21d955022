"""Findings and state, all or nothing; a window is never judged back."""

from datetime import datetime, timedelta

import polars as pl
import pytest

from observe.errors import StoreError
from observe.schema import Binning, Finding, Summary
from observe.schema.exchange import nouns, nouns_frame


def finding(noon: datetime, name: str = "f") -> Finding:
    return Finding(
        f"fnd-{name}", "m/level/x/location", "level", "m", "drift", "x", noon, noon + timedelta(minutes=5), "ok", "ticket",
        0.5, 9.0, 0.1, "sigma", 0.0, 0.2, None, None, None, 100, "quiet", {"psi": 0.1}, noon,
    )  # fmt: skip


def test_findings_and_state_are_written_together(store, noon) -> None:
    with store.change() as change:
        assert change.insert([finding(noon)]) == 1
        change.set_state("m/level/x/location", {"score": 1.5}, noon)

    assert nouns(Finding, store.read("SELECT * FROM finding")) == [finding(noon)]
    assert store.state(["m/level/x/location", "unknown"]) == {"m/level/x/location": {"score": 1.5}}
    assert store.judged_until() == {"m/level/x/location": noon}


def test_an_error_inside_writes_nothing(store, noon) -> None:
    with pytest.raises(ZeroDivisionError), store.change() as change:  # noqa: PT012 - the block is the transaction
        change.insert([finding(noon)])
        change.set_state("k", {"a": 1})
        raise ZeroDivisionError

    assert store.read("SELECT * FROM finding").is_empty()
    assert store.state() == {}


def test_the_same_finding_twice_is_ignored(store, noon) -> None:
    for expected in (1, 0):
        with store.change() as change:
            assert change.insert([finding(noon), finding(noon)]) == expected

    assert store.read("SELECT count(*) FROM finding").item() == 1


def test_state_never_goes_back_and_takes_its_findings_with_it(store, noon) -> None:
    with store.change() as change:
        change.set_states({"a": {"i": 1}, "b": {"i": 1}}, noon)

    refused = pytest.raises(StoreError, match="state of 'a' has judged until 2026-11-20T12:00:00Z")
    with refused, store.change() as change:
        change.insert([finding(noon)])
        change.set_states({"a": {"i": 2}, "c": {"i": 2}}, noon - timedelta(minutes=5))

    assert store.state() == {"a": {"i": 1}, "b": {"i": 1}}
    assert store.read("SELECT * FROM finding").is_empty()


def test_state_without_a_time_keeps_the_time_it_had(store, noon) -> None:
    with store.change() as change:
        change.set_state("a", {"i": 1}, noon)
    with store.change() as change:
        change.set_state("a", {"i": 2})

    assert (store.state(), store.judged_until()) == ({"a": {"i": 2}}, {"a": noon})


def test_nouns_of_several_classes_go_to_their_tables(store, noon) -> None:
    summary = Summary(noon, 300, "m/attempts/x", "m", "b", 3, None, (1, 2), 0, 0, 0, 0, 0.5, 2.5, 4.5, False, noon)
    binning = Binning("b", "m", "attempts", "x", "numeric", 1, (1.0,), None, (5, 5), (0.0, 1.0), noon, noon, noon)
    with store.change() as change:
        assert change.insert([summary, binning, summary]) == 3

    assert nouns(Summary, store.read("SELECT * FROM summary")) == [summary, summary]
    assert nouns(Binning, store.read("SELECT * FROM binning")) == [binning]


def test_rows_written_in_a_change_are_recognised_when_they_are_appended(store, attempts) -> None:
    with store.change() as change:
        assert change.insert_frame("attempt", attempts("a").tables["attempt"].with_columns(source=pl.lit("otlp"))) == 3

    assert store.append(attempts("a")).rejected == {"duplicate": 3}


def test_an_upsert_replaces_by_ids(store, noon) -> None:
    binning = Binning("b", "m", "attempts", "x", "numeric", 1, (1.0,), None, (5, 5), None, None, None, noon)
    for version in (1, 2):
        with store.change() as change:
            change.upsert("binning", nouns_frame([binning]).with_columns(version=pl.lit(version)))

    assert store.read("SELECT binning_id, version FROM binning").rows() == [("b", 2)]


def test_bulk_rows_cannot_be_upserted(store, attempts) -> None:
    with pytest.raises(StoreError, match="appended only"), store.change() as change:
        change.upsert("attempt", attempts("a").tables["attempt"])


def test_sql_of_a_change_sees_what_it_wrote(store, noon) -> None:
    with store.change() as change:
        change.insert([finding(noon)])

        assert change.execute("SELECT count(*) FROM core.finding WHERE n = $n", {"n": 100}) == [(1,)]


def test_wrong_sql_in_a_change_is_a_store_error_and_harms_nothing(store, noon, attempts) -> None:
    with pytest.raises(StoreError, match="nowhere"), store.change() as change:  # noqa: PT012 - the block is the transaction
        change.insert([finding(noon)])
        change.execute("SELECT * FROM nowhere")

    assert store.append(attempts("a")).stored == {"attempt": 3}
    assert store.read("SELECT * FROM finding").is_empty()


def test_settings_are_json_by_key(store) -> None:
    store.set_setting("false_alarms", {"page": {"count": 1}})
    store.set_setting("name", "x")

    assert store.settings() == {"false_alarms": {"page": {"count": 1}}, "name": "x"}
