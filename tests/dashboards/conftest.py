"""One seeded core and one face for all page tests of a run; a browser where Debian's chromium is installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import core
import world

from dashboards.face import application
from dashboards.reader import CoreClient, SessionReader
from observe.clock import EventClock

CHROMIUM = "/usr/bin/chromium"
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[core.Core]:
    with core.lake(tmp_path_factory.mktemp("lake") / "data", world.tables(), world.SETTINGS) as store:
        yield core.Core(store)


@pytest.fixture(scope="session")
def core_url(seeded: core.Core) -> Iterator[str]:
    with core.served(seeded.app) as url:
        yield url


@pytest.fixture(scope="session")
def client(core_url: str) -> Iterator[CoreClient]:
    held = CoreClient(core_url, core.FACE_KEY)
    yield held
    held.close()


@pytest.fixture(scope="session")
def face(client: CoreClient) -> Iterator[str]:
    with core.served(application(client, EventClock(world.NOW + timedelta(seconds=12)))) as url:
        yield url


@pytest.fixture(scope="session")
def read(client: CoreClient) -> SessionReader:
    return SessionReader(client, client.session({"token": core.TOKEN}))


@pytest.fixture(scope="module")  # while it runs there is an event loop in this thread: whoever comes later may want one
def browser() -> Iterator[Any]:
    if not Path(CHROMIUM).exists():
        if os.environ.get("CI") == "true":
            pytest.fail("chromium is not installed; `make ci-deps` installs it")
        pytest.skip("chromium is not installed; `make ci-deps` installs it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        shown = play.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield shown
        shown.close()
