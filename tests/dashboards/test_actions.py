"""The Actions page: what waits for somebody first, a dry run is marked as one, and an outcome is told in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import core
import polars as pl
import pytest
import world
from acted import action
from delivered import incident

from dashboards import actions
from observe.schema import ChangeOutcome
from observe.schema.exchange import nouns_frame

NOW = world.NOW
HELPED = {
    "metric": "ttft budget burn", "before": 4.1, "after": 0.6, "effect": -3.5, "ci_low": -3.9, "ci_high": -2.8, "unit": "x budget", "days": 9,
    "verdict": "helped", "text": "ttft budget burn fell from 4.1x to 0.6x (−3.5, 95 % −3.9 … −2.8, against these hours of 9 earlier days): helped",
    "judged_at": NOW.isoformat(), "measure": "chat/slo/ttft", "budget": 0.01,
    "window_before": [(NOW - timedelta(minutes=m)).isoformat() for m in (95, 89)], "window_after": [(NOW - timedelta(minutes=m)).isoformat() for m in (75, 15)],
}  # fmt: skip


def rows() -> list[Any]:
    def at(minutes: float) -> datetime:
        return NOW - timedelta(minutes=minutes)

    made = action(
        "1",
        changed_at=at(10),
        expires_at=at(-50),
        parameters={"from": 2, "to": 4, "min": 2, "max": 12, "usd_per_h": 20.0},
    )
    done = [action("2", changed_at=at(90), expires_at=at(30))]
    for state, minute, more in (
        ("approved", 89, {"approved_by": "ada"}), ("sent", 88.9, {"attempts": 1}), ("sent", 88.8, {"error": "not taken yet, 1 try: not now"}),
        ("sent", 88.5, {"attempts": 2, "error": None}), ("acknowledged", 88.4, {"receipt": {"taken": True, "status": 200, "text": "took it"}}),
        ("succeeded", 80, {"receipt": {"taken": True, "text": "scaled to 4", "done": True}}), ("succeeded", 10, {"outcome": HELPED}),
    ):  # fmt: skip
        done.append(replace(done[-1], state=state, changed_at=at(minute), **more))
    dry = action(
        "3",
        mode="dry_run",
        changed_at=at(5),
        expires_at=at(-55),
        target="keda:vllm-chat",
        reason="slo.ttft.page: <b>burns</b>",
    )
    return [made, *done, dry]


def others() -> ChangeOutcome:
    return ChangeOutcome(
        change_id="e-1", model="chat", kind="deploy", what="deploy chat 42 → <i>43</i>", actor=None, source="flux", ts=NOW - timedelta(hours=3),
        incident_id="inc-2", outcome={"verdict": "worse", "text": "ttft budget burn rose from 0.5x to 6x"}, judged_at=NOW - timedelta(hours=2),
    )  # fmt: skip


def minutes() -> pl.DataFrame:
    """Minutes of an SLO around the action, and of the same hours of two earlier days."""
    starts = [NOW - timedelta(days=d, minutes=m) for d in range(3) for m in range(150)]
    bad = [40 if at > NOW - timedelta(hours=3) and at < NOW - timedelta(minutes=85) else 3 for at in starts]
    return pl.DataFrame({
        "ts": pl.Series(starts, dtype=pl.Datetime("us", "UTC")), "window_s": 60, "measure": "chat/slo/ttft", "model": "chat", "n": 300, "events": bad,
        "missing": 0, "nan": 0, "inf": 0, "zero": 0, "late": False,
    })  # fmt: skip


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    frames = {
        "summary": minutes(),
        "action": nouns_frame(rows()),
        "change_outcome": nouns_frame([others()]),
        "incident": nouns_frame([incident(n, since=NOW - timedelta(minutes=95)) for n in "123"]),
    }
    with core.lake(tmp_path_factory.mktemp("acts") / "data", frames, {}) as store:

        def ask(sql: str, params: Mapping[str, Any] | None = None) -> pl.DataFrame:
            used = {k: v for k, v in (params or {}).items() if f"${k}" in sql}
            return store.read(sql, used)

        yield ask


def shown(read: Any, **params: str) -> str:
    from plotly.utils import PlotlyJSONEncoder

    view = {"now": NOW.isoformat(), "theme": "dark", **params}
    return json.dumps(actions.page(read, view), cls=PlotlyJSONEncoder, ensure_ascii=False)


def test_what_waits_comes_first_with_its_cost_its_envelope_and_both_answers(read: Any) -> None:
    text = shown(read)
    waits = text.split("dry-run")[0]

    for words in (
        "scale vllm-chat from 2 to 4 replicas",
        "waits for you",
        "+$20.00 an hour, +$14,600 a month",
        "2 to 12 replicas",
        "Approve",
        "Deny",
    ):
        assert words in waits


def test_a_dry_run_says_that_nothing_is_sent_and_offers_no_approval(read: Any) -> None:
    box = shown(read).split("burns</b>")[1].split("Actions")[0]

    assert "Dry run: nothing is sent" in box
    assert "'keda'" in box
    assert '"approve"' not in box


def test_an_action_tells_every_step_and_whether_it_helped(read: Any) -> None:
    text = shown(read, id=action("2").action_id)

    for words in (
        "by ada",
        "try 1",
        "not taken yet, 1 try: not now",
        "try 2",
        "took it",
        "scaled to 4",
        HELPED["text"],
        "would have lasted without it",
        "these hours of earlier days",
    ):
        assert str(words) in text


def test_what_others_did_is_shown_with_its_verdict_and_as_theirs(read: Any) -> None:
    card = shown(read).split("Done by others")[1]

    for words in (
        "worse",
        "deploy chat 42 → <i>43</i>",
        "nobody told",
        "inc-2",
        "ttft budget burn rose from 0.5x to 6x",
    ):
        assert words in card


def test_an_action_nobody_knows_says_so(read: Any) -> None:
    assert "There is no action act-x" in shown(read, id="act-x")


def test_an_empty_store_says_what_would_make_an_action(tmp_path: Path) -> None:
    with core.lake(tmp_path / "data", {}, {}) as store:
        text = shown(
            lambda sql, params=None: store.read(sql, {k: v for k, v in (params or {}).items() if f"${k}" in sql})
        )

    assert "Nothing waits for you" in text
    assert "declare actions: in a model's file" in text


def test_what_is_done_keeps_a_readable_width_on_a_phone() -> None:
    line = actions._line(
        {**asdict(action("1")), "parameters": None, "outcome": None}, actions.scope({"now": NOW.isoformat()})
    )

    assert line.children[1].children.className == "report-said"
