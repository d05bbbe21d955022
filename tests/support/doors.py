"""Tokens kept in memory, and what a door says to whoever presents one."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from observe import access
from observe.access import Access
from observe.credentials import Credential
from observe.errors import AccessError

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


class Kept:
    """A token store in memory, that outlives an `Access`."""

    def __init__(self) -> None:
        self.rows: dict[str, Credential] = {}

    def load(self) -> Iterable[Credential]:
        return tuple(self.rows.values())

    def save(self, credential: Credential) -> None:
        self.rows[credential.sha256] = credential

    def drop(self, digest: str) -> None:
        self.rows.pop(digest, None)


def later(**span: float) -> datetime:
    return NOW + timedelta(**span)


def status(door: Access, asked: access.Asked, presented: str | None, now: datetime = NOW) -> int:
    try:
        door.require(asked, presented, now)
    except AccessError as error:
        return error.http_status
    return 200
