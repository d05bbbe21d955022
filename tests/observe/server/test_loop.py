"""What takes long is done in threads: the event loop answers others meanwhile."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from inprocess import in_process


def _in_loop() -> bool:
    try:
        return asyncio.get_running_loop() is not None
    except RuntimeError:
        return False


def _watched(work: Callable[..., Any], seen: list[bool]) -> Callable[..., Any]:
    def told(*args: Any) -> Any:
        seen.append(_in_loop())
        return work(*args)

    return told


def test_calls_are_paired_and_imports_marked_outside_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    with in_process(tmp_path) as (client, core):
        monkeypatch.setattr(core.intake, "take", _watched(core.intake.take, seen))
        monkeypatch.setattr(core.intake, "content_id", _watched(core.intake.content_id, seen))
        monkeypatch.setattr(core.importing, "mark", _watched(core.importing.mark, seen))

        assert client.post("/ingest/cloudevents", content=b"[]").status_code == 200
        assert client.post("/api/v1/import/events", content=b"").status_code == 200

    assert seen == [False, False, False]
