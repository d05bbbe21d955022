"""Who may do what: tokens, sessions, one-time codes, roles.

What is kept of a token is `observe.credentials`'. Roles: viewer < operator < admin, and
ingest, which may send rows and nothing else; admin includes ingest. SQL is a scope of its own.

Source: our own; TRUST section 2. RFC 6750 for 401 (who are you?) and 403 (not you).
"""

from __future__ import annotations

import hmac
import secrets
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal, get_args

from observe.credentials import Credential, Held, Keyring, Kind, Role, TokenStore, digest, write_private
from observe.errors import AccessError, ConfigError, UsageError
from observe.spec.nearest import did_you_mean

Asked = Literal["viewer", "ingest", "operator", "admin", "sql"]  # what a route may ask for
SESSION_LIFE: Final = timedelta(hours=12)
CODE_LIFE: Final = timedelta(minutes=15)  # a link printed at start must survive a cup of tea
ADMIN: Final = "admin"  # name of the token made at first start
_INCLUDES: Final[Mapping[Role, frozenset[str]]] = {
    "viewer": frozenset({"viewer"}),
    "ingest": frozenset({"ingest"}),
    "operator": frozenset({"viewer", "operator"}),
    "admin": frozenset({"viewer", "operator", "admin", "ingest", "sql"}),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody we know: the token's name, its role, whether it may write SQL."""

    name: str
    role: Role
    sql: bool = False

    def may(self, asked: Asked) -> bool:
        """Whether the role, or the scope, covers what is asked."""
        return asked in _INCLUDES[self.role] or (asked == "sql" and self.sql)


class Access:
    """The door: every request is `require`d before it is served. Safe to call from many threads.

    Args:
        tokens: where credentials outlive the process.
        auth: `none` lets everybody on this machine in as admin; `refuse_open_bind` keeps others out.
    """

    def __init__(self, tokens: TokenStore, auth: Literal["token", "none"] = "token") -> None:
        self._keys, self._auth = Keyring(tokens), auth
        self._codes: dict[str, tuple[Principal, datetime]] = {}  # by sha256, with their end; gone after a restart
        self._given: str | None = None  # sha256 of the site's own admin token
        self._lock = threading.Lock()

    # --- asking ---------------------------------------------------------------------------------

    def require(self, asked: Asked, presented: str | None, now: datetime) -> Principal:
        """Who presents this token or session, if they may do what is asked.

        Raises:
            AccessError: 401 when unknown or expired, 403 when known but not allowed.
        """
        if self._auth == "none":
            return Principal("local", "admin", sql=True)
        found = self._find(presented, now)
        who = Principal(found.name, found.role, found.sql)
        if not who.may(asked):
            raise AccessError(f"this needs {asked}; {who.name!r} is {who.role}. Ask an admin for a token that may", 403)
        return who

    def knows(self, asked: Asked, presented: str | None, now: datetime) -> Principal | None:
        """Who presents this token, if they may do what is asked; None where only `require` can say. Never waits."""
        found = self._keys.find(digest(presented)) if presented and self._auth == "token" else None
        if found is None or not found.valid(now):
            return None
        self._keys.use(found, now)
        who = Principal(found.name, found.role, found.sql)
        return who if who.may(asked) else None

    def _find(self, presented: str | None, now: datetime) -> Credential:
        if not presented:
            raise AccessError("no token; send Authorization: Bearer <token>", 401)
        asked = digest(presented)
        found = self._keys.find(asked)
        # the look-up is by digest: its timing says nothing about the secret; the compare is for form
        if found is None or not hmac.compare_digest(found.sha256, asked):
            raise AccessError("unknown token", 401)
        if not found.valid(now):
            self._keys.forget(found)
            raise AccessError(f"this {found.kind} has expired; log in again", 401)
        self._keys.use(found, now)
        return found

    # --- sessions and codes ---------------------------------------------------------------------

    def open_session(self, token: str, now: datetime) -> tuple[str, Credential]:
        """A session of 12 hours for the holder of a token: the secret, shown once, and what is kept.

        Raises:
            AccessError: 401 when the token is unknown, expired or itself a session.
        """
        if self._auth == "none":
            return self._session(Principal("local", "admin", sql=True), now)
        found = self._find(token, now)
        if found.kind != "token":
            raise AccessError("a session cannot be made from a session; use a token", 401)
        return self._session(Principal(found.name, found.role, found.sql), now, found.expires_at)

    def close_session(self, session: str) -> None:
        """End a session; tokens are left alone, unknown ones are fine."""
        found = self._keys.find(digest(session))
        if found is not None and found.kind == "session":
            self._keys.forget(found)

    def one_time_code(self, who: Principal, now: datetime) -> str:
        """A code that opens one session as `who`, once, within 15 minutes."""
        code = secrets.token_urlsafe(24)
        with self._lock:
            self._codes = {k: c for k, c in self._codes.items() if now < c[1]}
            self._codes[digest(code)] = who, now + CODE_LIFE
        return code

    def redeem(self, code: str, now: datetime) -> tuple[str, Credential]:
        """The session a one-time code stands for; the code is spent, whatever comes of it.

        Raises:
            AccessError: 401 when the code is unknown, spent or too old.
        """
        with self._lock:
            who, end = self._codes.pop(digest(code), (None, now))
        if who is None or now >= end:
            raise AccessError("this link was used or is too old; ask for a new one, or log in with a token", 401)
        return self._session(who, now)

    def _session(self, who: Principal, now: datetime, until: datetime | None = None) -> tuple[str, Credential]:
        end = now + SESSION_LIFE
        return self._keys.issue(Credential("", who.name, who.role, who.sql, "session", now, min(end, until or end)))

    # --- tokens ---------------------------------------------------------------------------------

    def new_token(
        self, name: str, role: str, now: datetime, *, sql: bool = False, expires_at: datetime | None = None
    ) -> tuple[str, Credential]:
        """A token for somebody: the secret, shown once, and what is kept.

        Raises:
            UsageError: an empty or taken name, or a role that does not exist.
        """
        if not name or len(name) > 63 or not name.isprintable():
            raise UsageError(f"a token needs a name of 1 to 63 printable characters, not {name[:80]!r}")
        if role not in get_args(Role):
            raise UsageError(f"no role {role!r}; there are: {', '.join(get_args(Role))}")
        if any(c.name == name and c.valid(now) for c in self._keys.all("token")):
            raise UsageError(f"there is a token named {name!r}; rotate it, revoke it first, or choose another name")
        return self._keys.issue(Credential("", name, role, sql, "token", now, expires_at))  # type: ignore[arg-type]

    def held(self, now: datetime) -> tuple[Held, ...]:
        """Every valid token, by name, the newest first where two are valid for the time of a rotation."""
        sessions = Counter(c.name for c in self._keys.all("session") if c.valid(now))
        found = sorted((c for c in self._keys.all("token") if c.valid(now)), key=lambda c: c.created_at, reverse=True)
        return tuple(
            Held(
                c.name, c.role, c.sql, "site" if c.sha256 == self._given else "service", c.created_at, c.expires_at,
                self._keys.last_used(c), sessions[c.name],
            )
            for c in sorted(found, key=lambda c: c.name)
        )  # fmt: skip

    def refuse_change(self, name: str, now: datetime, *, ending: bool) -> None:
        """Refuse to rotate, or with `ending` to revoke, what cannot be.

        Raises:
            UsageError: there is no such token, it is the site's own, or nobody could administer any more.
        """
        valid = [c for c in self._keys.all("token") if c.valid(now)]
        mine = [c for c in valid if c.name == name]
        if not mine:
            raise UsageError(f"there is no token named {name[:80]!r}; {did_you_mean(name, {c.name for c in valid})}")
        if any(c.sha256 == self._given for c in mine):
            raise UsageError(
                f"{name!r} is the site's own token (server.token): change it where it lies, then reload the configuration"
            )
        if ending and mine[0].role == "admin" and not any(c.role == "admin" for c in valid if c.name != name):
            raise UsageError(f"{name!r} is the last token that may administer; rotate it, or make another one first")

    def rotate(self, name: str, now: datetime, grace: timedelta) -> tuple[str, Credential]:
        """A new secret for `name`, as the old one in role, scope and length of life; the old one and its sessions end.

        Args:
            name: whose.
            now: the present.
            grace: how long the old secret and its sessions stay valid, at most.

        Raises:
            UsageError: see `refuse_change`.
        """
        self.refuse_change(name, now, ending=False)
        old = [c for c in self._of(name) if c.valid(now)]
        newest = max((c for c in old if c.kind == "token"), key=lambda c: c.created_at)
        life = newest.expires_at - newest.created_at if newest.expires_at else None
        made = self._keys.issue(replace(newest, created_at=now, expires_at=now + life if life else None))
        self._drop_codes(name)
        for credential in old:
            self._keys.end(credential, now, now + grace)
        return made

    def revoke(self, name: str) -> int:
        """Forget every token, session and one-time code of `name`; returns how many tokens and sessions there were."""
        gone = self._of(name)
        self._drop_codes(name)
        for credential in gone:
            self._keys.forget(credential)
        return len(gone)

    def give(self, given: str, now: datetime) -> bool:
        """Make `given`, the site's own, the only admin token of that name; whether it is another than before."""
        kept = Credential(digest(given), ADMIN, "admin", True, "token", now)
        if kept.sha256 == self._given:
            return False
        self.revoke(ADMIN)
        self._given = kept.sha256
        self._keys.hold(kept)  # lives with the process: when the reference leaves the site file, so does the token
        return True

    def first_admin(self, path: Path, now: datetime, given: str | None = None) -> str | None:
        """Make sure there is an admin token; a generated one is written to `path`, readable by its owner only.

        Args:
            path: file for a generated token.
            now: when it is made.
            given: the site's own admin token; it is then the only one of that name, never written anywhere.

        Returns:
            The generated token, to be printed once; None when there was one, or one was given.
        """
        if given is not None:
            self.give(given, now)
            path.unlink(missing_ok=True)
            return None
        if any(c.name == ADMIN and c.valid(now) for c in self._keys.all("token")):
            return None
        secret, _ = self.new_token(ADMIN, "admin", now, sql=True)
        write_private(path, secret + "\n")
        return secret

    def _of(self, name: str) -> list[Credential]:
        """Every token and session of a name, valid or not."""
        kinds: tuple[Kind, ...] = ("token", "session")
        return [c for kind in kinds for c in self._keys.all(kind) if c.name == name]

    def _drop_codes(self, name: str) -> None:
        """Take back the one-time codes that would open a session as `name`."""
        with self._lock:
            self._codes = {k: c for k, c in self._codes.items() if c[0].name != name}


def refuse_open_bind(listen: str, auth: str) -> None:
    """Refuse an address that others can reach while nobody is asked who they are.

    Raises:
        ConfigError: `listen` is not loopback and `auth` is `none`.
    """
    from observe.spec.site import is_loopback

    if auth == "none" and not is_loopback(listen):
        hint = "auth: token, or listen on 127.0.0.1"
        raise ConfigError(f"{listen} can be reached from elsewhere and server.auth is none", hint=hint)
