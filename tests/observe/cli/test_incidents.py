"""`observe incidents` and `observe incidents bundle` on a stopped directory, as a person types them."""

import io
import json
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest
from delivered import T0, alert, incident
from typer.testing import CliRunner

from observe.app.commanding import MOST
from observe.cli import app
from observe.clock import EventClock
from observe.errors import SourceError, UsageError
from observe.store import Store


def run(folder: Path, *given: str) -> tuple[str, str]:
    done = CliRunner().invoke(app, [*given, "-d", str(folder / "data")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


def filled(folder: Path, count: int = 1, **more) -> Path:  # type: ignore[no-untyped-def]
    store = Store.open(folder / "data", EventClock(T0))
    try:
        with store.change() as tx:
            tx.insert([incident(str(i), opened_at=T0 + timedelta(seconds=i), **more) for i in range(count)])
            tx.insert([alert("0")])
    finally:
        store.close()
    return folder


def test_what_is_stored_cannot_steer_the_terminal(tmp_path: Path) -> None:
    evil = "burns\x1b]0;owned\x07\x9b2J\r\nfake line\u202e"
    text, _ = run(filled(tmp_path, summary=evil, model="chat\x1b[31m"), "incidents")

    assert not [c for c in text if c != "\n" and not c.isprintable()]
    assert len(text.splitlines()) == 1
    assert json.loads(run(tmp_path, "incidents", "--json")[0])[0]["summary"] == evil
    assert "\x1b" not in run(tmp_path, "incidents", "--json")[0]


def test_a_list_that_is_cut_says_so(tmp_path: Path) -> None:
    text, told = run(filled(tmp_path, MOST + 5), "incidents")

    assert len(text.splitlines()) == MOST
    assert f"only {MOST} incidents are looked at" in told
    assert f"inc-{MOST + 4}" in text


def test_a_short_list_says_nothing_of_a_limit(tmp_path: Path) -> None:
    assert run(filled(tmp_path), "incidents")[1] == ""


def test_a_bundle_is_written_where_one_asks(tmp_path: Path) -> None:
    filled(tmp_path)
    _, told = run(tmp_path, "incidents", "bundle", "inc-0", "-o", str(tmp_path / "x.zip"))

    with zipfile.ZipFile(io.BytesIO((tmp_path / "x.zip").read_bytes())) as held:
        assert {"inc-0/incident.json", "inc-0/report.html", "inc-0/MANIFEST"} <= set(held.namelist())
    assert "open report.html" in told


def test_a_bundle_of_nothing_is_refused_with_what_to_do(tmp_path: Path) -> None:
    filled(tmp_path)
    with pytest.raises(UsageError, match="observe incidents lists them"):
        run(tmp_path, "incidents", "bundle", "inc-9")


@pytest.mark.parametrize(
    "given",
    [("incidents", "mute", "chat", "--for", "2h", "--reason", "tests"), ("actions", "approve", "act-1")],
)
def test_a_word_to_a_stopped_service_says_how_to_start_it(tmp_path: Path, given: tuple[str, ...]) -> None:
    with pytest.raises(SourceError, match=r"no service runs on .*; start it .*observe up"):
        run(filled(tmp_path), *given)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (("incidents", "mute", "chat", "--for", "2h"), "mute needs --reason"), (("incidents", "mute", "chat", "--reason", "x"), "--for 30m"),
        (("incidents", "note", "inc-0"), "note needs --reason: what you saw"),
        (("incidents", "false-alarm", "inc-0"), "false-alarm needs --reason"), (("actions", "deny", "act-1"), "deny needs --reason"),
    ],
)  # fmt: skip
def test_what_is_missing_is_asked_for_before_a_service_is_looked_for(
    tmp_path: Path, given: tuple[str, ...], wanted: str
) -> None:
    with pytest.raises(UsageError, match=wanted):
        run(filled(tmp_path), *given)


def test_a_directory_whose_service_starts_is_in_use(tmp_path: Path) -> None:
    store = Store.open(filled(tmp_path) / "data", EventClock(T0))
    try:
        with pytest.raises(SourceError, match="is in use, but its service has no API to ask yet"):
            run(tmp_path, "actions", "approve", "act-1")
    finally:
        store.close()


def test_a_service_that_was_killed_is_gone_whatever_it_wrote(tmp_path: Path) -> None:
    said = {"listen": "127.0.0.1:9", "pid": 12345}
    (filled(tmp_path) / "data" / "service.json").write_text(json.dumps(said))

    with pytest.raises(SourceError, match=r"the service that wrote .*service\.json is gone \(pid 12345\).*observe up"):
        run(tmp_path, "actions", "approve", "act-1")
    assert run(tmp_path, "incidents")[0] is not None  # what only reads, reads the stopped store
