"""What was found and done leaves when its time is over, whole things at once; audit rows never."""

from datetime import timedelta

import polars as pl
import pytest
from alarms import change as event
from alarms import finding
from delivered import alert, incident

from observe.access import Principal
from observe.app.people import written

DAY = timedelta(days=1)
KEEP = {"finding": 90 * DAY, "incident": 400 * DAY, "action": 400 * DAY, "change_event": 400 * DAY}


def ids(store, table: str, column: str) -> list[str]:
    return sorted(set(store.read(f"select {column} as id from {table}")["id"].to_list()))


def kept(store, noon, keep=KEEP, rounds: int = 3) -> None:
    """As housekeeping does for some hours: a call takes a week."""
    for _ in range(rounds):
        store.retain(noon, keep)


def incidents(noon) -> list[object]:
    """One that ended long ago, one that is as old and still open, one that ended lately; each with an alert."""
    made: list[object] = []
    for name, ago, state, ended in (
        ("old", 500, "resolved", 499),
        ("open", 500, "open", 499),
        ("new", 30, "resolved", 29),
    ):
        for changed, told in ((ago, "open"), (ended, state)):
            made.append(incident(name, opened_at=noon - ago * DAY, changed_at=noon - changed * DAY, state=told))
            firing = "firing" if told == "open" else "resolved"
            made.append(
                alert(
                    name,
                    incident_id=f"inc-{name}",
                    changed_at=noon - changed * DAY,
                    state=firing,
                    finding_id=f"fnd-{name}",
                )
            )
    return made


def test_an_incident_that_is_over_goes_whole_and_an_open_one_stays(store, noon) -> None:
    with store.change() as tx:
        tx.insert(incidents(noon))
    kept(store, noon)

    assert ids(store, "core.incident", "incident_id") == ["inc-new", "inc-open"]
    assert ids(store, "core.alert", "alert_id") == ["alr-new", "alr-open"]
    assert store.read("select count(*) as n from core.incident where incident_id = 'inc-open'").item() == 2


def test_what_was_told_of_an_incident_goes_with_it(store, noon) -> None:
    rows = {
        "incident_id": ["inc-old", "inc-open"],
        "message_id": ["a", "b"],
        "tried_at": [noon - 499 * DAY] * 2,
        "state": ["sent"] * 2,
    }
    with store.change() as tx:
        tx.insert(incidents(noon))
        tx.insert_frame("delivery", pl.DataFrame(rows))
        tx.insert_frame(
            "delivery",
            pl.DataFrame(
                {**rows, "incident_id": [None, None], "message_id": ["c", "d"]},
                schema_overrides={"incident_id": pl.String},
            ),
        )
    kept(store, noon)

    assert ids(store, "core.delivery", "message_id") == ["b"]


def test_quiet_findings_go_first_and_the_evidence_of_alerts_stays(store, noon) -> None:
    old = [
        finding(f"m/level/{name}", 0, state, finding_id=f"fnd-{name}", window_end=noon - ago * DAY)
        for name, ago, state in (
            ("quiet", 100, "ok"), ("learning", 100, "learning"), ("young", 80, "ok"), ("loud", 100, "alarm"), ("past", 500, "alarm"), ("open", 500, "alarm"),
        )
    ]  # fmt: skip
    with store.change() as tx:
        tx.insert(incidents(noon))
        tx.insert(old)
    kept(store, noon)

    assert ids(store, "finding", "finding_id") == ["fnd-loud", "fnd-open", "fnd-young"]


def test_a_call_takes_a_week_so_that_intake_never_waits_for_years(store, noon) -> None:
    with store.change() as tx:
        tx.insert(
            [finding("m/level/x", 0, "ok", finding_id=f"fnd-{i}", window_end=noon - i * DAY) for i in range(85, 200)]
        )
    counts = []
    for _ in range(3):
        kept(store, noon, rounds=1)
        counts.append(store.read("select count(*) as n from finding").item())

    assert all(0 < before - after <= 7 for before, after in zip([115, *counts], counts, strict=False))
    kept(store, noon, rounds=14)
    assert (
        0
        <= store.read("select max(date_diff('day', window_end, $now)) - 90 as late from finding", {"now": noon}).item()
        < 7
    )


def test_history_that_was_imported_lately_is_young(store, noon) -> None:
    with store.change() as tx:
        tx.insert([event("deploy", 0, event_id="history", ts=noon - 900 * DAY, ingested_at=noon - DAY)])
        tx.insert([event("deploy", 0, event_id="gone", ts=noon - 900 * DAY, ingested_at=noon - 800 * DAY)])
    with store.change() as tx:  # a row says itself when it came
        tx.execute("update core.change_event set ingested_at = $at where event_id = 'gone'", {"at": noon - 800 * DAY})
    kept(store, noon)

    assert ids(store, "change_event", "event_id") == ["history"]


def test_the_last_word_about_the_size_of_a_model_stays(store, noon) -> None:
    with store.change() as tx:
        for table in ("scaling_decision", "capacity_match"):
            rows = {"ts": [noon - 600 * DAY, noon - 500 * DAY], "model": ["m", "m"]}
            place = {"cluster": "eu", "sku": "h100"} if table == "capacity_match" else {}
            tx.insert_frame(table, pl.DataFrame(rows).with_columns(**{k: pl.lit(v) for k, v in place.items()}))
    kept(store, noon)

    assert store.read("select ts from scaling_decision")["ts"].to_list() == [noon - 500 * DAY]
    assert store.read("select * from capacity_match").is_empty()


def test_commands_stay_for_ever_and_without_a_time_nothing_goes(store, noon) -> None:
    with store.change() as tx:
        written(
            tx,
            noon - 4000 * DAY,
            Principal("ada", "operator"),
            {"verb": "note", "object": "x", "reason": "y", "parameters": {}},
        )
        tx.insert([finding("m/level/x", 0, "ok", window_end=noon - 4000 * DAY)])
    store.retain(noon, {})
    assert not store.read("select * from finding").is_empty()
    kept(store, noon)

    assert store.read("select * from finding").is_empty()
    assert not store.read("select * from command").is_empty()


@pytest.mark.parametrize("table", ["finding", "incident", "alert"])
def test_people_who_ask_sql_see_that_rows_left(store, noon, table) -> None:
    with store.change() as tx:
        tx.insert(incidents(noon))
        tx.insert([finding("m/level/x", 0, "ok", window_end=noon - 500 * DAY)])
    seen = [_exported(store, table)]
    kept(store, noon, rounds=1)
    kept(store, noon, rounds=1)
    seen.append(_exported(store, table))

    assert seen[1] < seen[0]
    assert seen[1] == store.read(f"select count(*) as n from core.{table}").item()


def _exported(store, table: str) -> int:
    """Rows of a table in the files that the SQL worker reads."""
    sql = store.snapshot({table}).views[f'core."{table}"']
    return pl.read_parquet(sql.split("'")[1::2]).height
