"""Reading through the core: the cache, errors a person can act on, SQL written out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import core
import pytest

from dashboards.reader import CoreClient, SessionReader, window, written_out
from observe.errors import AccessError, QueryError, SourceError


def test_the_same_question_is_asked_once_while_the_watermark_stands(read: SessionReader, seeded: core.Core) -> None:
    read("select count(*) as n from gpu_sample where cluster = $c", {"c": "eu-west"})
    before = seeded.reads
    read("select count(*) as n from gpu_sample where cluster = $c", {"c": "eu-west"})

    assert seeded.reads - before <= 1  # the pulse may have been due


def test_an_answer_is_not_kept_for_long_though_the_watermark_stands(
    read: SessionReader, seeded: core.Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    read("select 'aged' as n")  # which asks for the pulse, if that was due
    monkeypatch.setattr("dashboards.results.FRESH_S", 0.0)
    before = seeded.reads
    read("select 'aged' as n")

    assert seeded.reads - before >= 1


def test_cards_that_ask_the_same_at_the_same_time_share_one_query(read: SessionReader, seeded: core.Core) -> None:
    sql = "select count(*) as n, avg(a.power_w * b.power_w) from gpu_sample a join gpu_sample b using (device_id, cluster) where a.ts > b.ts"
    before = seeded.reads
    with ThreadPoolExecutor(8) as cards:
        answers = [f.result()["n"].item() for f in [cards.submit(read, sql) for _ in range(8)]]

    assert len(set(answers)) == 1
    assert seeded.reads - before <= 2  # the pulse may have been due


def test_parameters_the_text_does_not_name_are_left_out(read: SessionReader) -> None:
    assert read("select $a::INTEGER as a", {"a": 3, "b": 4}).item() == 3


def test_a_bad_query_says_what_duckdb_says(read: SessionReader) -> None:
    with pytest.raises(QueryError, match="nowhere"):
        read("select * from nowhere")


def test_an_unknown_session_is_refused(client: CoreClient) -> None:
    with pytest.raises(AccessError) as refused:
        client.read("select 1", {}, "stranger")
    assert refused.value.http_status == 401


def test_a_core_that_is_away_is_named() -> None:
    away = CoreClient("http://127.0.0.1:9", "key")
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:9 does not answer"):
        away.pulse("s")
    away.close()


def test_sql_is_written_out_so_that_it_runs_by_itself(read: SessionReader) -> None:
    sql = "select $name as name, $at::TIMESTAMPTZ as at_ where $n > 1"
    text = written_out(sql, {"name": "o'neil; --", "at": datetime(2026, 1, 2, tzinfo=UTC), "n": 2})

    assert read(text)["name"].to_list() == ["o'neil; --"]


def test_a_query_that_knows_its_range_tells_the_core_which_files_matter() -> None:
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)

    assert window({"start": start, "end": end})["window"]["start"] == "2025-12-31T23:50:00+00:00"
    assert window({"start": start, "end": end, "now": end}) == {}
