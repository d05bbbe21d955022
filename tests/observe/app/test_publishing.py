"""What `/metrics` says of SLOs, as generated rules ask it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import process_time

import polars as pl
import pytest

from observe.app.publishing import published
from observe.clock import EventClock
from observe.schema import Finding
from observe.schema.exchange import nouns_frame
from observe.store import Store

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
FIRING = {"lanes": {"page": {"restart": 0, "firing": {"tier": "page-slow"}}, "ticket": {"restart": 0, "firing": None}}}


def finding(minutes: int, effect: float | None, **details: bool) -> Finding:
    end = NOW - timedelta(minutes=minutes)
    return Finding(
        finding_id=f"fnd-{minutes}", monitor_id="chat/burn/ok", detector="burn", model="chat", kind="slo", subject="ok",
        window_start=end - timedelta(minutes=1), window_end=end, state="alarm", severity="page", evidence_nats=20.0,
        threshold_nats=9.0, effect=effect, unit="x budget", ci_low=None if effect is None else 6.0,
        ci_high=None if effect is None else 9.0, onset=None, onset_low=None, onset_high=None, n=10, note="",
        details={"objective": 0.999, "window_s": 2_592_000, "burn": {}, **details}, made_at=end,
    )  # fmt: skip


def told(folder: Path, *findings: Finding) -> list[str]:
    store = Store.open(folder / "data", EventClock(NOW))
    try:
        with store.change() as change:
            change.insert(list(findings))
            change.set_state("chat/burn/ok", FIRING, NOW)
        return [line for line in published(store).decode().splitlines() if line.startswith("observe_slo_")]
    finally:
        store.close()


def test_the_tier_that_fires_is_told_beside_those_that_do_not(tmp_path: Path) -> None:
    lines = told(tmp_path, finding(0, 7.5))

    assert sorted(line for line in lines if line.startswith("observe_slo_firing")) == [
        'observe_slo_firing{burn_tier="page-fast",severity="page",slo_id="chat.ok"} 0.0',
        'observe_slo_firing{burn_tier="page-slow",severity="page",slo_id="chat.ok"} 1.0',
        'observe_slo_firing{burn_tier="ticket-chronic",severity="ticket",slo_id="chat.ok"} 0.0',
        'observe_slo_firing{burn_tier="ticket-sustained",severity="ticket",slo_id="chat.ok"} 0.0',
    ]
    assert 'observe_slo_burn_ratio{slo_id="chat.ok"} 7.5' in lines


def test_what_opens_tickets_only_is_never_told_as_a_page(tmp_path: Path) -> None:
    firing = [line for line in told(tmp_path, finding(0, 7.5, pages=False)) if line.startswith("observe_slo_firing")]

    assert 'observe_slo_firing{burn_tier="page-slow",severity="ticket",slo_id="chat.ok"} 1.0' in firing
    assert not [line for line in firing if 'severity="page"' in line]


def test_when_it_was_judged_is_told_also_where_no_finding_was_made(tmp_path: Path) -> None:
    [line] = [x for x in told(tmp_path, finding(4, 7.5)) if x.startswith("observe_slo_evaluated")]

    assert float(line.rpartition(" ")[2]) == pytest.approx(NOW.timestamp())


def test_a_burn_that_is_not_known_any_more_is_not_told(tmp_path: Path) -> None:
    assert not [x for x in told(tmp_path, finding(9, 7.5), finding(1, None)) if x.startswith("observe_slo_burn_ratio")]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "data", EventClock(NOW))
    yield opened
    opened.close()


def judged(store: Store, *findings: Finding, times: int = 1) -> None:
    """Store findings, each again every minute before it."""
    again = pl.DataFrame({"again": range(times)})
    frame = (
        nouns_frame(findings)
        .join(again, how="cross")
        .with_columns(pl.col("window_end", "made_at") - pl.duration(minutes="again"))
        .drop("again")
    )
    frame = frame.with_columns(finding_id=pl.col("finding_id") + pl.col("window_end").cast(pl.String))
    with store.change() as change:
        change.insert_frame("finding", frame)
        change.set_state("chat/burn/ok", FIRING, NOW)


def scraped(store: Store) -> str:
    """What is told of SLOs and evidence."""
    lines = published(store).decode().splitlines()
    return "\n".join(line for line in lines if line.startswith(("observe_slo", "observe_evidence")))


def test_older_findings_change_nothing_that_a_scrape_tells(store: Store) -> None:
    judged(store, finding(0, 7.5))
    before = scraped(store)

    judged(store, finding(60, 99.0), finding(60 * 24 * 30, 99.0))

    assert scraped(store) == before


def test_a_monitor_without_findings_for_a_week_is_not_told(store: Store) -> None:
    judged(store, finding(60 * 24 * 8, 7.5))

    assert "chat" not in scraped(store)


@pytest.mark.slow
def test_what_a_scrape_costs_does_not_grow_with_old_findings(store: Store) -> None:
    def cost() -> float:
        began = process_time()
        published(store)
        return process_time() - began

    judged(store, finding(0, 7.5), times=2_000)
    before = min(cost() for _ in range(5))
    judged(store, finding(60 * 24 * 9, 99.0), times=500_000)

    assert min(cost() for _ in range(5)) < 2 * before
