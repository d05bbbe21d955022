"""Tokens are listed, made, rotated and revoked: by admins, through a route or in a stopped directory, and written down."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from doors import NOW, Kept, later, status
from inprocess import Client, in_process
from running import running
from typer.testing import CliRunner

from observe.access import Access, Principal
from observe.app.core import Core
from observe.app.tokens import StoredTokens, Tokens
from observe.chain import verify_chain
from observe.cli import app
from observe.clock import EventClock
from observe.errors import AccessError, UsageError
from observe.schema import Command
from observe.schema.exchange import nouns
from observe.store import Store

ADA = Principal("ada", "admin")


@pytest.fixture
def door() -> Access:
    made = Access(Kept())
    made.new_token("admin", "admin", NOW, sql=True)
    return made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "data", EventClock(NOW))
    yield opened
    opened.close()


# --- the door -----------------------------------------------------------------------------------


def test_a_rotated_secret_ends_at_once_with_its_sessions_and_links(door: Access) -> None:
    old, kept = door.new_token("ci", "operator", NOW, sql=True, expires_at=later(days=30))
    session, _ = door.open_session(old, NOW)
    link = door.one_time_code(Principal("ci", "operator"), NOW)
    new, made = door.rotate("ci", later(days=10), timedelta(0))

    assert [status(door, "operator", s, later(days=10)) for s in (old, session, new)] == [401, 401, 200]
    assert (made.role, made.sql, made.expires_at) == (kept.role, kept.sql, later(days=40))
    with pytest.raises(AccessError, match="used or is too old"):
        door.redeem(link, NOW)


def test_with_a_grace_both_secrets_open_until_it_is_over_and_a_restart_remembers(door: Access) -> None:
    kept = Kept()
    door = Access(kept)
    old, _ = door.new_token("ci", "ingest", NOW)
    new, _ = door.rotate("ci", NOW, timedelta(hours=1))

    for who in (door, Access(kept)):
        assert [status(who, "ingest", s, later(minutes=59)) for s in (old, new)] == [200, 200]
    assert [status(door, "ingest", s, later(hours=1)) for s in (old, new)] == [401, 200]


def test_a_rotation_never_makes_a_token_last_longer(door: Access) -> None:
    old, _ = door.new_token("ci", "ingest", NOW, expires_at=later(minutes=5))
    door.rotate("ci", NOW, timedelta(hours=1))

    assert status(door, "ingest", old, later(minutes=5)) == 401


def test_what_is_held_says_who_when_and_how_often_but_no_secret(door: Access) -> None:
    secret, _ = door.new_token("ci", "viewer", NOW)
    door.open_session(secret, later(minutes=1))
    assert door.knows("viewer", secret, later(minutes=2))
    admin, ci = door.held(later(minutes=3))

    assert (admin.name, admin.last_used_at, admin.sessions) == ("admin", None, 0)
    assert (ci.name, ci.role, ci.origin, ci.created_at, ci.last_used_at, ci.sessions) == (
        "ci",
        "viewer",
        "service",
        NOW,
        later(minutes=2),
        1,
    )
    assert secret not in repr(door.held(NOW))


def test_the_old_secret_of_a_rotation_shows_whether_it_is_still_used(door: Access) -> None:
    old, _ = door.new_token("ci", "ingest", NOW)
    door.rotate("ci", later(minutes=1), timedelta(hours=1))
    door.require("ingest", old, later(minutes=2))

    assert [(h.created_at, h.last_used_at) for h in door.held(later(minutes=3)) if h.name == "ci"] == [
        (later(minutes=1), None),
        (NOW, later(minutes=2)),
    ]


@pytest.mark.parametrize(
    ("name", "ending", "said"),
    [
        ("amdin", True, "did you mean 'admin'"),
        ("amdin", False, "no token named"),
        ("admin", True, "the last token that may administer"),
    ],
)
def test_what_would_shut_everybody_out_or_names_nobody_is_refused(
    door: Access, name: str, ending: bool, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        door.refuse_change(name, NOW, ending=ending)


def test_the_sites_own_token_is_changed_where_it_lies(door: Access) -> None:
    assert door.give("of the site", NOW)
    assert not door.give("of the site", NOW)
    assert door.held(NOW)[0].origin == "site"
    with pytest.raises(UsageError, match=r"server\.token"):
        door.refuse_change("admin", NOW, ending=False)
    assert door.give("another", NOW)

    assert [status(door, "admin", s) for s in ("of the site", "another")] == [401, 200]


# --- written down -------------------------------------------------------------------------------


def test_every_change_is_a_row_of_the_audit(store: Store) -> None:
    made = Tokens(store, Access(StoredTokens(store)), EventClock(NOW))
    made.make(ADA, "root", "admin")
    made.make(ADA, "ci", "ingest", expires="90d")
    made.rotate(ADA, "ci", "1h", "monthly")
    made.revoke(ADA, "ci", "left the team")
    rows = nouns(Command, store.read("select * from core.command order by rowid"))

    assert [(r.verb, r.object, r.actor, r.reason) for r in rows] == [
        ("token", "root", "ada", None), ("token", "ci", "ada", None), ("rotate_token", "ci", "ada", "monthly"),
        ("revoke_token", "ci", "ada", "left the team"),
    ]  # fmt: skip
    assert rows[1].parameters["expires_at"] == (NOW + timedelta(days=90)).isoformat()
    assert verify_chain(rows) is None


@pytest.mark.parametrize(("expires", "grace"), [("soon", None), ("0s", None), (None, "8d"), (None, "for ever")])
def test_a_time_that_cannot_be_meant_changes_nothing(store: Store, expires: str | None, grace: str | None) -> None:
    made = Tokens(store, Access(StoredTokens(store)), EventClock(NOW))
    secret, _ = made.make(ADA, "root", "admin")
    with pytest.raises(UsageError):
        made.make(ADA, "ci", "ingest", expires=expires) if expires else made.rotate(ADA, "root", grace)

    assert [h.name for h in made.listed()] == ["root"]
    assert store.read("select count(*) as n from command").item() == 1
    assert status(Access(StoredTokens(store)), "admin", secret) == 200


# --- the routes ---------------------------------------------------------------------------------


def ask(client: Client, token: str, method: str, path: str, body: object = None) -> httpx.Response:
    return client.request(method, path, json.dumps(body or {}).encode(), {"Authorization": f"Bearer {token}"})


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Core]]:
    with in_process(tmp_path_factory.mktemp("served"), auth="token") as both:
        yield both


def test_an_admin_lets_in_changes_and_shuts_out_while_the_service_runs(served: tuple[Client, Core]) -> None:
    client, core = served
    admin = core.new_admin_token or ""
    made = ask(client, admin, "POST", "/api/v1/tokens", {"name": "a/b c", "role": "viewer", "expires": "90d"}).json()
    turned = ask(client, admin, "POST", "/api/v1/tokens/rotate", {"name": "a/b c", "reason": "seen in a log"}).json()
    open_now = [ask(client, t, "GET", "/api/v1/budget").status_code for t in (made["token"], turned["token"])]
    listed = ask(client, admin, "GET", "/api/v1/tokens")
    ended = ask(client, admin, "POST", "/api/v1/tokens/revoke", {"name": "a/b c"}).json()

    assert open_now == [401, 200]
    assert [(r["name"], r["role"]) for r in listed.json()] == [("a/b c", "viewer"), ("admin", "admin")]
    assert turned["token"] not in listed.text
    assert ended == {"name": "a/b c", "ended": 1}
    assert ask(client, turned["token"], "GET", "/api/v1/budget").status_code == 401


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/api/v1/tokens/rotate", {}, "whose token"), ("/api/v1/tokens/revoke", {"name": "amdin"}, "did you mean 'admin'"),
        ("/api/v1/tokens/revoke", {"name": "admin"}, "last token that may administer"),
        ("/api/v1/tokens/rotate", {"name": "admin", "grace": "a while"}, "1h"), ("/api/v1/tokens", {"name": "x", "role": "king"}, "no role"),
        ("/api/v1/tokens", {"name": "x", "role": "viewer", "expires": 5}, "expires must be text"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_in_words(
    served: tuple[Client, Core], path: str, body: object, said: str
) -> None:
    client, core = served
    answer = ask(client, core.new_admin_token or "", "POST", path, body)

    assert (answer.status_code, said in answer.json()["error"]) == (400, True), answer.text


# --- the command --------------------------------------------------------------------------------


def run(folder: Path, *given: str) -> tuple[str, str]:
    done = CliRunner().invoke(app, ["tokens", *given, "-d", str(folder / "data")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


def test_in_a_stopped_directory_whoever_may_write_it_looks_after_tokens(tmp_path: Path) -> None:
    with in_process(tmp_path, auth="token") as (_, core):
        first = core.new_admin_token
    secret, said = run(tmp_path, "create", "grafana", "--role", "viewer", "--sql", "--expires", "30d")
    listed, _ = run(tmp_path)
    run(tmp_path, "rotate", "admin", "--reason", "the laptop was lost")

    assert (len(secret.strip()), "viewer and sql, until" in said) == (43, True)
    assert [line.split()[:3] for line in listed.splitlines()] == [
        ["name", "role", "sql"],
        ["admin", "admin", "yes"],
        ["grafana", "viewer", "yes"],
    ]
    with in_process(tmp_path, auth="token") as (client, core):
        mine = (tmp_path / "data/admin.token").read_text().strip()
        assert core.new_admin_token is None
        assert [ask(client, t or "", "GET", "/api/v1/tokens").status_code for t in (first, mine, secret.strip())] == [
            401,
            200,
            403,
        ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["create"], "whose token"), (["create", "x"], "--role viewer"), (["rotate", "x", "--role", "viewer"], "takes no --role"),
        (["revoke", "x", "--grace", "1h"], "takes no --grace"), (["revoke", "x"], "no token named 'x'"),
    ],
)  # fmt: skip
def test_a_slip_is_told_and_changes_nothing(tmp_path: Path, given: list[str], said: str) -> None:
    Store.open(tmp_path / "data", EventClock(NOW)).close()

    with pytest.raises(UsageError, match=said):
        CliRunner().invoke(app, ["tokens", *given, "-d", str(tmp_path / "data")], catch_exceptions=False)


@pytest.mark.slow
def test_the_command_asks_the_running_service_and_the_new_secret_is_the_one_it_presents(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        before = (tmp_path / "data/admin.token").read_text()
        secret, _ = run(tmp_path, "rotate", "admin")
        listed = json.loads(run(tmp_path, "--json")[0])

        assert secret != before
        assert secret == (tmp_path / "data/admin.token").read_text()
        assert [(r["name"], r["last_used_at"] is not None) for r in listed] == [("admin", True)]
        with service.client(before.strip()) as stranger:
            assert stranger.get("/api/v1/tokens").status_code == 401


@pytest.mark.slow
def test_the_sites_own_token_is_taken_anew_at_a_reload(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the first one")
    (tmp_path / "secret").chmod(0o600)
    with in_process(tmp_path, auth="token, token: file:secret") as (client, core):
        (tmp_path / "secret").write_text("the second one")
        core._prepare(core.config)()

        codes = [ask(client, t, "GET", "/api/v1/tokens").status_code for t in ("the first one", "the second one")]
    assert codes == [401, 200]
