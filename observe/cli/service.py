"""The service that owns a data directory, as other commands find it: where it listens, and how to know it.

Source: our own; `service.json` is written by the running service and gone with it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from observe.errors import ObserveError, QueryError, SourceError, StoreLocked, UsageError
from observe.lock import refuse_owned

if TYPE_CHECKING:
    import httpx

_FILE: Final = "service.json"


@dataclass(frozen=True, slots=True)
class Service:
    """A running service: its address, and the certificate it shows when it speaks TLS."""

    listen: str
    scheme: str
    pid: int
    cert: Path | None
    ca: Path | None
    directory: Path

    @property
    def url(self) -> str:
        """Address of the API."""
        return f"{self.scheme}://{self.listen}"

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON answer of the service, however long it takes.

        Raises:
            SourceError: it does not answer, or cannot do it.
            UsageError: it refuses what is asked.
            QueryError: the token may not ask that.
        """
        import httpx

        try:
            with self.client(timeout_s=None) as client:
                answer = client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise SourceError(f"the service at {self.url} did not answer: {error}") from error
        if answer.status_code < 300:
            return answer.json()
        raise _refusal(answer.status_code, answer.text)

    def fetch(self, path: str, timeout_s: float = 180.0) -> bytes:
        """A file of the service.

        Raises:
            SourceError: it does not answer, or cannot make it.
            UsageError: there is none.
            QueryError: the token may not ask for it.
        """
        import httpx

        try:
            with self.client(timeout_s) as client:
                answer = client.get(path)
        except httpx.HTTPError as error:
            raise SourceError(f"the service at {self.url} did not answer: {error}") from error
        if answer.status_code == 200:
            return answer.content
        raise _refusal(400 if answer.status_code == 404 else answer.status_code, answer.text)

    def client(self, timeout_s: float | None = 60.0, token: str | None = None) -> httpx.Client:
        """A client of the API that presents `token`, else `OBSERVE_TOKEN`, else the directory's admin token.

        Raises:
            UsageError: there is no token.
            ConfigError: the certificate cannot be read.
        """
        import httpx

        from observe.certificates import Own

        own = Own(self.cert, self.ca) if self.cert else None
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token or _token(self.directory)}"},
            timeout=timeout_s,
            trust_env=False,
            verify=own.context if own else True,
            event_hooks={"request": [lambda r: r.extensions.update(own.extensions)] if own else []},
        )


def find(directory: Path) -> Service | None:
    """The service that says it owns `directory`; None when none does, or not yet."""
    try:
        said = json.loads((directory / _FILE).read_text())
        cert, ca = (Path(said[name]) if said.get(name) else None for name in ("cert", "ca"))
        return Service(said["listen"], said.get("scheme", "http"), int(said["pid"]), cert, ca, directory)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def owner(directory: Path) -> Service:
    """The service that owns `directory`; one that was killed leaves its word behind, and is known by its lock, that is free.

    Raises:
        SourceError: none runs, the one that wrote `service.json` is gone, or it does not say where it is.
        UsageError: it is a backup.
    """
    from observe.store.backup import refuse_backup

    found = find(directory)
    try:
        refuse_owned(directory)
    except StoreLocked:
        if found is not None:
            return found
        raise SourceError(f"{directory} is in use, but its service has no API to ask yet; try again") from None
    refuse_backup(directory)
    if found is not None:
        raise SourceError(
            f"the service that wrote {directory / _FILE} is gone (pid {found.pid}): it was killed, or its machine "
            "was; start it again: observe up -c observe.yaml"
        )
    raise SourceError(
        f"no service runs on {directory}; start it with the site whose store.path that is: observe up -c observe.yaml"
    )


def _refusal(status: int, text: str) -> ObserveError:
    try:
        said = str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        said = text[:500]
    if status == 400:
        return UsageError(said)
    return QueryError(said) if status in (401, 403) else SourceError(said)


def _token(directory: Path) -> str:
    token = os.environ.get("OBSERVE_TOKEN")
    if token:
        return token
    try:
        return (directory / "admin.token").read_text().strip()
    except OSError as error:
        raise UsageError("the service asks for a token: set OBSERVE_TOKEN") from error
