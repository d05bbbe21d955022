"""Tokens and sessions as they are kept: never the secret, only its sha256.

A token is 256 random bits. What is presented is looked up by its digest, so the time it takes says nothing about the
secret.

Source: our own; TRUST section 2.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Literal, Protocol

Role = Literal["viewer", "ingest", "operator", "admin"]
Kind = Literal["token", "session"]


@dataclass(frozen=True, slots=True)
class Credential:
    """A token or session as it is kept: never the secret, only its sha256."""

    sha256: str  # 64 hex digits
    name: str
    role: Role
    sql: bool
    kind: Kind
    created_at: datetime
    expires_at: datetime | None = None

    def valid(self, now: datetime) -> bool:
        """Whether it has not expired."""
        return self.expires_at is None or now < self.expires_at


@dataclass(frozen=True, slots=True)
class Held:
    """A token as those see it who look after tokens: everything but the secret."""

    name: str
    role: Role
    sql: bool
    origin: Literal["service", "site"]  # made here, or the site's own
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None  # since the service was started
    sessions: int  # of browsers that are logged in under this name


class TokenStore(Protocol):
    """Where credentials outlive the process."""

    def load(self) -> Iterable[Credential]:
        """All that are kept."""
        ...

    def save(self, credential: Credential) -> None:
        """Keep one; when this returns it is durable."""
        ...

    def drop(self, digest: str) -> None:
        """Forget one by its sha256; unknown ones are fine."""
        ...


def digest(secret: str) -> str:
    """The sha256 a secret is kept as, 64 hex digits."""
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class Keyring:
    """The credentials that are held now, as kept where they outlive the process. Safe to call from many threads.

    Args:
        tokens: where they outlive it.
    """

    def __init__(self, tokens: TokenStore) -> None:
        self._tokens = tokens
        self._held = {c.sha256: c for c in tokens.load()}
        self._used: dict[str, datetime] = {}  # by sha256: when a credential was last presented
        self._lock = threading.Lock()

    def find(self, sha256: str) -> Credential | None:
        """The one of this sha256, valid or not; never waits."""
        return self._held.get(sha256)

    def all(self, kind: Kind) -> list[Credential]:
        """Every token, or every session, valid or not."""
        with self._lock:
            return [c for c in self._held.values() if c.kind == kind]

    def use(self, credential: Credential, now: datetime) -> None:
        """Remember that it was presented."""
        self._used[credential.sha256] = now

    def last_used(self, credential: Credential) -> datetime | None:
        """When it was presented last since the service was started."""
        return self._used.get(credential.sha256)

    def issue(self, credential: Credential) -> tuple[str, Credential]:
        """A new secret for a credential that has none yet: the secret, shown once, and what is kept; forgets what has expired."""
        for old in (*self.all("token"), *self.all("session")):
            if not old.valid(credential.created_at):
                self.forget(old)
        secret = secrets.token_urlsafe(32)
        kept = replace(credential, sha256=digest(secret))
        self._tokens.save(kept)
        self.hold(kept)
        return secret, kept

    def hold(self, credential: Credential) -> None:
        """Let one in that lives with the process only."""
        with self._lock:
            self._held[credential.sha256] = credential

    def end(self, credential: Credential, now: datetime, end: datetime) -> None:
        """Let a credential be valid until `end`, and no longer than it was anyway."""
        if end <= now:
            self.forget(credential)
        elif credential.expires_at is None or end < credential.expires_at:
            kept = replace(credential, expires_at=end)
            self._tokens.save(kept)
            self.hold(kept)

    def forget(self, credential: Credential) -> None:
        """Forget one, here and where it outlives the process; unknown ones are fine."""
        with self._lock:
            self._held.pop(credential.sha256, None)
            self._used.pop(credential.sha256, None)
        self._tokens.drop(credential.sha256)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)
