"""Who may do what; secrets are never kept; a changed audit row is found."""

import stat
from pathlib import Path
from typing import get_args

import pytest
from doors import NOW, Kept, later, status
from hypothesis import given
from hypothesis import strategies as st

from observe import access
from observe.access import Access, Principal
from observe.credentials import Role, digest
from observe.errors import AccessError, ConfigError, UsageError


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def door(kept: Kept) -> Access:
    return Access(kept)


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("viewer", {"viewer"}),
        ("ingest", {"ingest"}),
        ("operator", {"viewer", "operator"}),
        ("admin", {"viewer", "ingest", "operator", "admin", "sql"}),
    ],
)
def test_a_role_opens_these_doors_and_no_others(door: Access, role: Role, allowed: set[str]) -> None:
    token, _ = door.new_token("t", role, NOW)

    assert {a: status(door, a, token) for a in get_args(access.Asked)} == {
        a: 200 if a in allowed else 403 for a in get_args(access.Asked)
    }


def test_sql_is_a_scope_of_its_own(door: Access) -> None:
    token, _ = door.new_token("analyst", "viewer", NOW, sql=True)

    assert door.require("sql", token, NOW) == Principal("analyst", "viewer", sql=True)
    assert status(door, "operator", token) == 403


@given(presented=st.none() | st.text(max_size=80))
def test_what_was_never_issued_opens_nothing(presented: str | None) -> None:
    door = Access(Kept())
    door.new_token("t", "admin", NOW)

    assert status(door, "viewer", presented) == 401


def test_only_the_sha256_of_a_secret_is_kept(door: Access, kept: Kept) -> None:
    secrets = [door.new_token("t", "admin", NOW)[0], door.open_session(door.new_token("u", "viewer", NOW)[0], NOW)[0]]

    assert all(len(s) == 43 and s not in repr(kept.rows) for s in secrets)
    assert all(digest(s) in kept.rows for s in secrets)


def test_tokens_and_sessions_outlive_a_restart(door: Access, kept: Kept) -> None:
    token, _ = door.new_token("t", "viewer", NOW)
    session, _ = door.open_session(token, NOW)

    assert [status(Access(kept), "viewer", s) for s in (token, session)] == [200, 200]


def test_a_session_lasts_twelve_hours_and_no_longer_than_its_token(door: Access, kept: Kept) -> None:
    long, _ = door.new_token("long", "viewer", NOW)
    short, _ = door.new_token("short", "viewer", NOW, expires_at=later(hours=1))
    sessions = [door.open_session(t, NOW)[0] for t in (long, short)]

    assert [status(door, "viewer", s, later(minutes=59)) for s in sessions] == [200, 200]
    assert [status(door, "viewer", s, later(hours=11.9)) for s in sessions] == [200, 401]
    assert status(door, "viewer", sessions[0], later(hours=12)) == 401
    assert not [c for c in kept.rows.values() if c.kind == "session"]


def test_a_session_ends_when_it_is_closed_and_cannot_make_another(door: Access) -> None:
    token, _ = door.new_token("t", "viewer", NOW)
    session, _ = door.open_session(token, NOW)
    with pytest.raises(AccessError, match="from a session"):
        door.open_session(session, NOW)
    door.close_session(session)
    door.close_session(token)

    assert [status(door, "viewer", s) for s in (session, token)] == [401, 200]


def test_a_code_works_once_and_for_a_quarter_of_an_hour(door: Access) -> None:
    first, second = (door.one_time_code(Principal("admin", "admin", sql=True), NOW) for _ in range(2))
    session, held = door.redeem(first, later(minutes=14))

    assert (held.name, held.role, held.kind, status(door, "admin", session, later(minutes=14))) == (
        "admin",
        "admin",
        "session",
        200,
    )
    for code in (first, "guess"):
        with pytest.raises(AccessError, match="used or is too old"):
            door.redeem(code, later(minutes=14))
    with pytest.raises(AccessError):
        door.redeem(second, later(minutes=15))


def test_revoking_a_name_ends_its_token_and_sessions(door: Access) -> None:
    token, _ = door.new_token("t", "viewer", NOW)
    session, _ = door.open_session(token, NOW)

    assert door.revoke("t") == 2
    assert [status(door, "viewer", s) for s in (token, session)] == [401, 401]


def test_a_name_is_taken_once_and_a_role_must_exist(door: Access) -> None:
    door.new_token("t", "viewer", NOW)

    for name, role in (("t", "viewer"), ("", "viewer"), ("a\nb", "viewer"), ("u", "root")):
        with pytest.raises(UsageError):
            door.new_token(name, role, NOW)


def test_the_first_start_writes_an_admin_token_that_only_the_owner_can_read(
    door: Access, kept: Kept, tmp_path: Path
) -> None:
    path = tmp_path / "data" / "admin.token"
    shown = door.first_admin(path, NOW)

    assert shown is not None
    assert path.read_text() == shown + "\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert status(door, "admin", shown) == 200
    assert Access(kept).first_admin(path, NOW) is None


def test_a_token_of_the_sites_own_replaces_the_generated_one_and_is_written_nowhere(
    door: Access, kept: Kept, tmp_path: Path
) -> None:
    path = tmp_path / "admin.token"
    generated = door.first_admin(path, NOW)
    door.first_admin(path, NOW, given="chosen by the site")

    assert [status(door, "admin", t) for t in ("chosen by the site", generated)] == [200, 401]
    assert not path.exists()
    assert digest("chosen by the site") not in kept.rows
    assert Access(kept).first_admin(path, NOW) is not None


def test_without_authentication_everybody_on_this_machine_is_admin(kept: Kept) -> None:
    assert Access(kept, auth="none").require("admin", None, NOW).name == "local"


def refused(listen: str, auth: str) -> bool:
    try:
        access.refuse_open_bind(listen, auth)
    except ConfigError:
        return True
    return False


@pytest.mark.parametrize("listen", ["0.0.0.0:8080", ":8080", "[::]:8080", "10.0.0.1:8080", "observe.example.com:8080"])
def test_an_open_bind_without_authentication_is_refused(listen: str) -> None:
    with pytest.raises(ConfigError, match="reached from elsewhere") as told:
        access.refuse_open_bind(listen, "none")

    assert told.value.exit_code == 2
    assert refused(listen, "none")


@pytest.mark.parametrize(
    ("listen", "auth"),
    [("127.0.0.1:8080", "none"), ("[::1]:8080", "none"), ("localhost:8080", "none"), ("0.0.0.0:8080", "token")],
)
def test_loopback_or_authentication_is_fine(listen: str, auth: str) -> None:
    assert not refused(listen, auth)
