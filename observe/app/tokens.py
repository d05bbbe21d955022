"""Tokens for others: made, listed, rotated, revoked; each by somebody, and recorded as a command.

Credentials lie in the store's settings, only as their sha256: a copy of the data gives nobody access.

Source: our own; TRUST section 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from observe.access import ADMIN, Access, Principal
from observe.app.people import written
from observe.clock import Clock
from observe.credentials import Credential, write_private
from observe.errors import UsageError
from observe.spec.quantity import Malformed, parse_duration
from observe.store import Store

if TYPE_CHECKING:
    from observe.credentials import Held

FILE: Final = "admin.token"  # in the data directory: the admin token made at first start
LONGEST_GRACE: Final = timedelta(days=7)  # of a secret that was rotated
_PREFIX: Final = "credential/"


class StoredTokens:
    """A `TokenStore` over `core.setting`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def load(self) -> Iterator[Credential]:
        """All that are kept."""
        for key, value in self._store.settings().items():
            if key.startswith(_PREFIX):
                times = {
                    k: datetime.fromisoformat(value[k]) if value[k] else None for k in ("created_at", "expires_at")
                }
                yield Credential(**{**value, **times})

    def save(self, credential: Credential) -> None:
        """Keep one; when this returns it is durable."""
        said = {k: v.isoformat() if isinstance(v, datetime) else v for k, v in asdict(credential).items()}
        self._store.set_setting(_PREFIX + credential.sha256, said)

    def drop(self, digest: str) -> None:
        """Forget one by its sha256; unknown ones are fine."""
        with self._store.change() as tx:
            tx.execute("delete from core.setting where key = ?", [_PREFIX + digest])


class Tokens:
    """What an admin does with tokens.

    Args:
        store: where credentials and commands lie.
        access: the door they open.
        clock: says when.
    """

    def __init__(self, store: Store, access: Access, clock: Clock) -> None:
        self._store, self._access, self._clock = store, access, clock

    def listed(self) -> tuple[Held, ...]:
        """Every valid token without its secret, by name."""
        return self._access.held(self._clock.now())

    def make(
        self, who: Principal, name: str, role: str, *, sql: bool = False, expires: str | None = None
    ) -> tuple[str, Credential]:
        """A token for somebody; the secret is told this once.

        Args:
            who: makes it.
            name: whose it is.
            role: what it may do.
            sql: whether it may ask SQL, too.
            expires: how long it is valid, `90d`; None for ever.

        Raises:
            UsageError: a bad or taken name, no such role, or no duration.
        """
        now = self._clock.now()
        span = _span(expires, "a token is valid for a time like 90d") if expires else None
        if span is not None and not span:
            raise UsageError("a token that is valid for no time opens nothing; write expires: 90d, or leave it out")
        secret, kept = self._access.new_token(name, role, now, sql=sql, expires_at=now + span if span else None)
        told = {"role": kept.role, "sql": kept.sql, **_ends(kept)}
        self._record(who, "token", name, None, told)
        return secret, kept

    def rotate(
        self, who: Principal, name: str, grace: str | None = None, reason: str | None = None
    ) -> tuple[str, Credential]:
        """A new secret for `name`, told this once; the old one ends at once, or after `grace` (`1h`).

        Raises:
            UsageError: there is no such token, it is the site's own, or the grace is none, or longer than a week.
        """
        span = _span(grace, "a grace is a time like 1h") if grace else timedelta(0)
        if span > LONGEST_GRACE:
            raise UsageError(f"an old secret stays valid for at most {LONGEST_GRACE.days} days after its rotation")
        self._access.refuse_change(name, self._clock.now(), ending=False)
        self._record(who, "rotate_token", name, reason, {"grace_s": span.total_seconds()})
        secret, kept = self._access.rotate(name, self._clock.now(), span)
        path = self._store.path / FILE
        if name == ADMIN and path.exists():  # commands on this directory go on
            write_private(path, secret + "\n")
        return secret, kept

    def revoke(self, who: Principal, name: str, reason: str | None = None) -> int:
        """End `name`'s tokens and sessions at once; how many there were.

        Raises:
            UsageError: there is no such token, it is the site's own, or nobody could administer any more.
        """
        self._access.refuse_change(name, self._clock.now(), ending=True)
        self._record(who, "revoke_token", name, reason, {})
        if name == ADMIN:
            (self._store.path / FILE).unlink(missing_ok=True)
        return self._access.revoke(name)

    def _record(self, who: Principal, verb: str, name: str, reason: str | None, parameters: Mapping[str, Any]) -> None:
        said = {"verb": verb, "object": name, "reason": reason, "parameters": parameters}
        with self._store.change() as tx:
            written(tx, self._clock.now(), who, said)


def _span(text: str, wanted: str) -> timedelta:
    try:
        return timedelta(seconds=parse_duration(text))
    except Malformed as error:
        raise UsageError(f"{wanted}: {error}") from None


def _ends(kept: Credential) -> dict[str, str]:
    return {"expires_at": kept.expires_at.isoformat()} if kept.expires_at else {}
