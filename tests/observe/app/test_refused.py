"""Examples of what was not stored: their shape is kept, nothing of what they say."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards import health
from dashboards.scope import scope
from observe.app import refused
from observe.app.intake import Intake
from observe.app.refused import Refused, shape
from observe.app.vitals import Vitals
from observe.clock import EventClock
from observe.spec import load
from observe.store import Store
from observe.telemetry import Telemetry

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SAID = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=6, max_size=40)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "observe.yaml").write_text("apiVersion: observe/v1\nkind: Site\nstore: {path: ./data}\n")
    store = Store.open(tmp_path / "data", EventClock(NOON))
    yield store
    store.close()


@pytest.mark.parametrize(
    ("reason", "item", "left"),
    [
        ("missing_key", "{'prediction_id': '', 'note': 'call me', 'x': 7}", "{prediction_id: <text of 0>, note: <text of 7>, x: <n>}"),
        ("too_old", "DCGM_FI_DEV_GPU_UTIL 12 at 17 ms", "DCGM_FI_DEV_GPU_UTIL <n> at <n> ms"),
        ("no_device", 'vllm:num_requests_running{model="a"} 2', "vllm:num_requests_running{model=<text of 1>} <n>"),
        ("syntax", "3 values under 4 columns: ['a', 'b c']", "<n> values under <n> columns: [<text of 1>, <text of 3>]"),
        ("syntax", '{"prompt": "tell me about my neighbour, ', "{prompt: <text of 28>"),
        ("syntax", "my password is hunter2", "<words> <secret>"),
        ("bad_ts", "Bearer sk-live-abcdefgh12345678 for Jane", "<words> <secret> <words>"),
    ],
)  # fmt: skip
def test_names_stay_and_what_is_said_leaves(reason: str, item: str, left: str) -> None:
    assert shape(reason, item) == left


@given(SAID)
def test_no_value_of_an_item_is_kept(said: str) -> None:
    item = {
        "prediction_id": "p",
        "ts": 7,
        "prompt": said,
        "messages": [{"content": said}],
        "deep": {"note": [said, said]},
    }
    for text in (repr(item), json.dumps(item), json.dumps(item, ensure_ascii=False)):
        kept = shape("missing_key", text)
        words = [w for w in said.split() if len(w) > 5]
        assert len(kept) <= refused.LIMIT
        assert not [w for w in words if w in kept and w not in "prediction_id messages content prompt"]


@given(st.lists(st.from_regex(r"[a-zA-Zäöü]{4,12}", fullmatch=True), min_size=1, max_size=9))
def test_no_word_of_a_line_that_is_no_item_is_kept(words: list[str]) -> None:
    kept = shape("syntax", " ".join(words))

    assert not [w for w in words if w in kept.replace("<words>", "").replace("<text>", "").replace("<secret>", "")]


def test_an_example_is_renewed_once_an_hour_and_kept_for_a_day() -> None:
    known = Refused()
    for minutes, item in ((0, "{'a': 1}"), (59, "{'b': 1}"), (61, "{'c': 1}")):
        known.note("otlp", {"bad_ts": 1, "duplicate": 2}, {"bad_ts": item}, NOON + timedelta(minutes=minutes))

    assert known.told(NOON + 2 * HOUR)["otlp"]["bad_ts"]["example"] == "{c: <n>}"
    assert known.told(NOON + 26 * HOUR) == {}


def test_only_so_many_examples_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refused, "MOST", 3)
    known = Refused()
    for i in range(9):
        known.note(f"predictions/m{i}", {"bad_ts": 1}, {"bad_ts": "{}"}, NOON)

    assert sorted(known.told(NOON)) == ["predictions/m6", "predictions/m7", "predictions/m8"]


def test_the_view_shows_an_example_beside_its_reason_also_after_a_restart(store: Store, tmp_path: Path) -> None:
    config, telemetry = load(tmp_path / "observe.yaml"), Telemetry()
    intake = Intake(store, EventClock(NOON), telemetry, config)
    body = b'[{"prediction_id": "a", "ts": "nonsense", "note": "tell nobody"}, 7]'
    intake.take(
        "predictions", "predictions/fraud", body, {"model": "fraud", "content_type": "application/json"}, ""
    ).wait()
    Vitals(config, store, EventClock(NOON), telemetry, intake).take()
    again = Intake(store, EventClock(NOON), telemetry, config)

    rows = store.read("select reason, n_24h, example from reject_reason where example is not null").rows()
    assert sorted(rows) == [
        ("bad_ts", 1, "{prediction_id: <text of 1>, note: <text of 11>, item_idx: <n>}"), ("syntax", 1, "<n>"),
    ]  # fmt: skip
    assert "nobody" not in store.read("select value from core.setting where key = 'reject_examples'").item()
    shown = str(health.rejects(lambda sql, params=None: store.read(sql, params), scope({"now": NOON.isoformat()})))
    assert "note: <text of 11>" in shown
    assert again.refused.told(NOON) == intake.refused.told(NOON)


def test_people_who_ask_with_sql_see_the_examples_too(store: Store) -> None:
    store.set_setting(refused.SETTING, {"otlp": {"bad_ts": {"example": "{}", "at": NOON.isoformat()}}})
    [settings] = [file for file in store.snapshot(["reject_reason"]).files if file.name == "core.setting.parquet"]

    assert pl.read_parquet(settings)["key"].to_list() == [refused.SETTING]
