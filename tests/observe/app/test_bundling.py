"""An incident as one file: whole, the same each time, checked by its manifest, and without anybody's words but ours."""

from __future__ import annotations

import io
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "dashboards"))

import core
import world

from observe.app.bundle_rows import LEFT_OUT, NAMES_NO_USER, WANTED, Rows
from observe.app.bundling import LARGEST, Bundling, _fitting, bundle
from observe.errors import Overloaded, UsageError
from observe.schema import TABLES
from observe.store import Store

AS_OF = world.NOW + timedelta(seconds=12)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with core.lake(tmp_path_factory.mktemp("lake") / "data", world.tables(), world.SETTINGS) as held:
        yield held


@pytest.fixture(scope="module")
def files(store: Store) -> dict[str, bytes]:
    return unzipped(bundle(store, "inc-burn", AS_OF))


def unzipped(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as held:
        return {name.removeprefix("inc-burn/"): held.read(name) for name in held.namelist()}


def test_the_same_state_gives_the_same_bytes(store: Store) -> None:
    assert bundle(store, "inc-burn", AS_OF) == bundle(store, "inc-burn", AS_OF)


def test_the_manifest_holds_the_checksum_of_every_other_file(files: dict[str, bytes]) -> None:
    told = dict(reversed(line.split("  ")) for line in files["MANIFEST"].decode().splitlines())

    assert told == {name: sha256(content).hexdigest() for name, content in files.items() if name != "MANIFEST"}
    assert {"incident.json", "report.html", "report.md", "queries.sql", "findings.parquet", "alerts.parquet", "changes.parquet",
            "summaries.parquet", "slowest_attempts.parquet", "good_attempts.parquet", "gpus.parquet"} <= files.keys()  # fmt: skip


def test_its_json_says_what_it_is_and_what_is_known(files: dict[str, bytes]) -> None:
    said = json.loads(files["incident.json"])

    assert (said["schema"], said["incident"]["incident_id"]) == ("observe/incident/v1", "inc-burn")
    assert said["explanation"]["causes"][0]["score"] == 0.81
    assert said["impact"][0]["bad"] > 0
    assert all(line["sql"] for line in said["evidence"])
    assert [q for q in said["open_questions"] if q.startswith("Is it to be done? scale keda:vllm-chat")]


def test_its_text_has_every_part_of_a_postmortem_and_takes_no_markup_from_data(files: dict[str, bytes]) -> None:
    text = files["report.md"].decode()

    heads = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert heads == ["What happened", "Impact", "Why", "What differs in the bad requests", "Timeline", "Evidence", "Actions taken",
                     "Comments and commands", "Who was told", "Open questions"]  # fmt: skip
    assert "<img" not in text


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


def test_its_page_asks_for_nothing_and_runs_nothing(files: dict[str, bytes]) -> None:
    page = Page()
    page.feed(files["report.html"].decode())

    names = {name for name, _ in page.elements}
    assert not names & {"script", "img", "link", "iframe", "object", "embed", "form", "a"}
    assert not [a for _, held in page.elements for a in held if a in ("src", "href", "onerror", "onload")]
    assert "url(" not in files["report.html"].decode()
    assert "svg" in names
    assert "Two GPUs in eu-west throttle." in files["report.html"].decode()


def test_no_column_of_requests_can_name_a_user(files: dict[str, bytes]) -> None:
    every = {c.name for c in TABLES["attempt"].columns}

    assert set(NAMES_NO_USER) | set(LEFT_OUT) == every, "a new column: may it leave with a bundle?"
    assert not set(NAMES_NO_USER) & set(LEFT_OUT)
    for name in ("slowest_attempts", "good_attempts"):
        assert tuple(pl.read_parquet(files[f"{name}.parquet"]).columns) == NAMES_NO_USER


def test_rows_are_bounded_in_number_and_in_bytes(store: Store, files: dict[str, bytes]) -> None:
    for name, wanted in WANTED.items():
        if f"{name}.parquet" in files:
            assert 0 < pl.read_parquet(files[f"{name}.parquet"]).height <= wanted.most
    noise = pl.select(pl.int_range(6_000_000).shuffle(seed=1)).to_series()
    made, cut = _fitting([Rows("big", noise.to_frame("x"), False), Rows("small", noise.head(10).to_frame("x"), False)])

    assert sum(map(len, made.values())) <= LARGEST
    assert set(cut) == {"big"}
    assert pl.read_parquet(made["small.parquet"]).height == 10


def test_queries_of_the_evidence_can_be_run_as_they_stand(store: Store, files: dict[str, bytes]) -> None:
    queries = [q for q in files["queries.sql"].decode().split(";\n") if "select" in q]

    assert len(queries) > 4
    for query in queries:
        assert store.read(query).width > 0


def test_an_incident_nobody_knows_has_none(store: Store) -> None:
    with pytest.raises(UsageError, match="there is no incident 'inc-x'"):
        bundle(store, "inc-x", AS_OF)


@pytest.mark.slow
def test_it_is_made_in_a_process_of_its_own_with_the_same_bytes(store: Store) -> None:
    bundling = Bundling(store)

    assert bundling("inc-burn", with_requests=True) == bundle(store, "inc-burn", store.watermark())
    with pytest.raises(UsageError, match="there is no incident"):
        bundling("inc-x", with_requests=True)


def test_who_asks_meanwhile_is_told_so_at_once(store: Store) -> None:
    bundling = Bundling(store)
    assert bundling._one.acquire(blocking=False)

    with pytest.raises(Overloaded, match="try again in 10 s") as refused:
        bundling("inc-burn", with_requests=True)
    assert (refused.value.http_status, refused.value.retry_after_s) == (429, 10)


def test_rows_of_requests_are_left_out_for_who_may_not_read_them_and_it_says_why(store: Store) -> None:
    held = unzipped(bundle(store, "inc-burn", AS_OF, with_requests=False))

    assert not [name for name in held if name.endswith("_attempts.parquet")]
    assert "findings.parquet" in held
    assert "may not read rows of requests" in held["README.txt"].decode()


def test_tags_and_keys_that_bad_requests_share_do_not_leave(tmp_path: Path) -> None:
    mix = {"bad": 300, "bad_total": 400, "good": 1, "good_total": 2000, "lift": 15.0, "low": 9.1, "p_adjusted": 1e-9}
    said = "75 % of bad requests against under 1 % of good ones have tag user:alice@x.com"
    differs = [{"dimension": "tag", "value": "user:alice@x.com", **mix}, {"dimension": "team", "value": "acme", "also": ["API key a1b2c3"], **mix}]  # fmt: skip
    tables = world.tables()
    told = tables["explanation"].with_columns(
        pl.lit(json.dumps(differs)).alias("differs"), pl.lit(f"chat: it burns. {said}: at least 9.1 times as common.").alias("text"),
        pl.lit(json.dumps([{"kind": "deploy", "note": "deploy of chat", "score": 0.8, "why": [said]}])).alias("causes"),
    )  # fmt: skip
    with core.lake(tmp_path / "data", {**tables, "explanation": told}, world.SETTINGS) as held:
        files = unzipped(bundle(held, "inc-burn", AS_OF))

    for name in ("incident.json", "report.md", "report.html"):
        text = files[name].decode()
        assert "acme" in text
        assert not [word for word in ("alice", "a1b2c3") if word in text], name
