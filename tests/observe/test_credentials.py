"""What is kept of a secret, for how long, and what lives with the process only."""

from datetime import timedelta

import pytest
from doors import NOW, Kept, later

from observe.credentials import Credential, Keyring, digest


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def ring(kept: Kept) -> Keyring:
    return Keyring(kept)


def fresh(name: str, hours: float | None = None) -> Credential:
    return Credential("", name, "viewer", False, "token", NOW, NOW + timedelta(hours=hours) if hours else None)


def test_a_secret_is_found_by_its_digest_and_kept_only_as_that(ring: Keyring, kept: Kept) -> None:
    secret, made = ring.issue(fresh("t"))

    assert ring.find(digest(secret)) == made == Keyring(kept).find(digest(secret))
    assert secret not in repr(kept.rows)
    assert ring.find(digest("another")) is None


def test_what_is_only_held_is_gone_after_a_restart(ring: Keyring, kept: Kept) -> None:
    ring.hold(Credential(digest("the site's own"), "admin", "admin", True, "token", NOW))

    assert [c.name for c in ring.all("token")] == ["admin"]
    assert Keyring(kept).all("token") == []


@pytest.mark.parametrize(("life", "grace", "left"), [(None, 1, 1), (5, 1, 1), (0.5, 1, 0.5)])
def test_what_is_ended_early_is_never_valid_for_longer_than_it_was(
    ring: Keyring, life: float | None, grace: float, left: float
) -> None:
    secret, made = ring.issue(fresh("t", life))
    ring.end(made, NOW, later(hours=grace))
    found = ring.find(digest(secret))

    assert found is not None
    assert found.expires_at == later(hours=left)


def test_what_is_ended_at_once_is_forgotten_here_and_where_it_is_kept(ring: Keyring, kept: Kept) -> None:
    _, made = ring.issue(fresh("t"))
    ring.use(made, NOW)
    ring.end(made, NOW, NOW)

    assert (ring.all("token"), ring.last_used(made), kept.rows) == ([], None, {})


def test_what_has_expired_is_forgotten_when_another_is_made(ring: Keyring, kept: Kept) -> None:
    ring.issue(fresh("old", 1))
    _, newer = ring.issue(Credential("", "new", "viewer", False, "session", later(hours=2)))

    assert list(kept.rows) == [newer.sha256]
