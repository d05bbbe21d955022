"""Incidents in other words: asked once a state, at most once a minute; absence and failure hurt nothing."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from delivered import T0, World, incident
from receivers import Http, http
from running import aside

from observe.app.narrating import Narrating
from observe.schema import Explanation


def explained(name: str = "1", **more) -> Explanation:  # type: ignore[no-untyped-def]
    made = Explanation(
        f"inc-{name}", T0, "cause", ({"kind": "gpu", "subject": "eu", "score": 0.9},), (), (), "Because.", 0.1
    )
    return replace(made, **more)


@pytest.fixture
def box() -> Iterator[Http]:
    with http() as held:
        held.answer = lambda heard: (
            200,
            json.dumps({"choices": [{"message": {"content": "One GPU is slow."}}]}).encode(),
        )
        yield held


@pytest.fixture
def world(tmp_path: Path, box: Http) -> Iterator[World]:
    made = World(tmp_path, "  mode: push\n" + f'assistant: {{url: "{box.url}/v1", model: tiny}}\n')
    yield made
    made.close()


def ticked(world: World, narrating: Narrating, seconds: float) -> list[tuple[str, str | None, str | None]]:
    world.clock.set(T0 + timedelta(seconds=seconds))
    aside(narrating.tick)
    return list(world.store.read("select incident_id, text, refused from narration order by 1").iter_rows())


def test_a_state_is_asked_about_once_and_kept(world: World, box: Http) -> None:
    world.write(incident(), explained())
    narrating = Narrating(world.config, world.store, world.clock)

    for seconds in (10, 100, 200):
        assert ticked(world, narrating, seconds) == [("inc-1", "One GPU is slow.", None)]
    assert len(box.heard) == 1
    again = Narrating(world.config, world.store, world.clock)  # as after a restart
    ticked(world, again, 300)
    assert len(box.heard) == 1


def test_requests_are_a_minute_apart(world: World, box: Http) -> None:
    world.write(incident("1"), explained("1"), incident("2"), explained("2"))
    narrating = Narrating(world.config, world.store, world.clock)

    for seconds in (10, 30, 60):
        ticked(world, narrating, seconds)
    assert len(box.heard) == 1
    assert len(ticked(world, narrating, 71)) == 2


def test_words_with_numbers_of_its_own_are_kept_out(world: World, box: Http) -> None:
    box.answer = lambda heard: (200, json.dumps({"choices": [{"message": {"content": "77 GPUs are slow."}}]}).encode())
    world.write(incident(), explained())

    rows = ticked(world, Narrating(world.config, world.store, world.clock), 10)
    assert rows == [("inc-1", None, "it names 77, which it was not told")]


def test_a_server_that_fails_is_tried_again_later_and_then_left(world: World, box: Http) -> None:
    box.answer = lambda heard: (500, b"no")
    world.write(incident(), explained())
    narrating = Narrating(world.config, world.store, world.clock)

    for minute in range(1, 24 * 60):
        ticked(world, narrating, 60 * minute)
    assert len(box.heard) == 5
    assert world.store.read("select * from narration").is_empty()


def test_a_site_without_an_assistant_asks_nobody(tmp_path: Path) -> None:
    quiet = World(tmp_path, "  mode: push\n")
    try:
        quiet.write(incident(), explained())
        assert ticked(quiet, Narrating(quiet.config, quiet.store, quiet.clock), 10) == []
    finally:
        quiet.close()
