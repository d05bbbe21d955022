"""`observe doctor`: can this installation be trusted? A running service, or a stopped directory.

Source: our own; UX.md, "Command line". The Health page shows the same.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from observe.cli.directory import opened, present
from observe.errors import SourceError, StoreLocked
from observe.schema.damage import STILL_TOLD

if TYPE_CHECKING:
    from observe.app.doctor import Seen
    from observe.cli.service import Service
    from observe.clock import Clock
    from observe.spec import Config
    from observe.store import Store

_SIGNS: Final[Mapping[str, str]] = {"ok": "●", "doubt": "▲", "wrong": "■", "unknown": "◌"}
_COLOURS: Final[Mapping[str, str]] = {"ok": "green", "doubt": "yellow", "wrong": "red", "unknown": "bright_black"}
_DAMAGES: Final = re.compile(r"^observe_store_damages\{.*\} (\d+)", re.MULTILINE)


def run(site: Path | None, directory: Path | None, *, as_json: bool, quiet: bool) -> int:
    """Print what was looked at; 0 when nothing is wrong, 1 when something is.

    Raises:
        ConfigError: the site's configuration is not valid.
        UsageError: there is no data directory.
        SourceError: the service owns the directory and does not answer.
    """
    from observe.clock import WallClock

    config = _config(site) if directory is None else None
    folder = directory or (config.site.store.path if config else Path())
    present(folder)
    clock, seen = WallClock(), _of_config(site, config) if config else []
    try:
        with opened(folder) as store:
            seen += _stopped(folder, store, config, clock)
    except StoreLocked:
        seen += _running(folder, config, clock)
    _print(seen, as_json=as_json, quiet=quiet)
    return 1 if any(s.state == "wrong" for s in seen) else 0


def _config(site: Path | None) -> Config:
    from observe.spec import load

    assert site is not None
    return load(site)


def _of_config(site: Path | None, config: Config) -> list[Seen]:
    from observe.app.doctor import Seen

    todo = "observe check shows what is in effect"
    told = [Seen("config", str(site), "doubt", warning, todo) for warning in config.warnings]
    return told or [
        Seen("config", str(site), "ok", f"valid, {len(config.models)} models, {len(config.site.collectors)} collectors")
    ]


def _running(folder: Path, config: Config | None, clock: Clock) -> list[Seen]:
    """What the service that owns `folder` says, and how it answers."""
    import httpx

    from observe.app.doctor import Seen, of_clock, of_data, of_disk
    from observe.cli.service import owner
    from observe.cli.sql import through

    service = owner(folder)
    try:
        with service.client(10.0) as client:
            ready, metrics = client.get("/readyz"), client.get("/metrics")
    except httpx.HTTPError as error:
        raise SourceError(f"the service at {service.url} (pid {service.pid}) does not answer: {error}") from error
    now = clock.now()
    seen = [_answers(service, ready.status_code), of_clock(_told(ready.headers.get("date"), now), now)]
    seen += [of_disk(folder, config.site.store.size_bytes if config else None)]
    seen += [_damages(sum(int(n) for n in _DAMAGES.findall(metrics.text)))] if metrics.status_code == 200 else []
    if metrics.status_code != 200:
        seen.append(
            Seen("service", service.url, "wrong", f"answers {metrics.status_code} to our token", "set OBSERVE_TOKEN")
        )
        return seen
    return seen + of_data(lambda query: through(query, service, fresh=True)[0], now, running=True)


def _stopped(folder: Path, store: Store, config: Config | None, clock: Clock) -> list[Seen]:
    from observe.app.doctor import Seen, of_data, of_disk
    from observe.store.backup import is_backup

    said, todo = "no service runs on this directory", "start it: observe up"
    if is_backup(folder):
        said, todo = "this is a backup: no service runs on it", f"observe restore {folder} -d NEW"
    seen = [Seen("service", "process", "unknown", said, todo)]
    seen += [of_disk(folder, config.site.store.size_bytes if config else None)]
    seen += [_damages(store.read(f"select count(*) as n from core.damage where {STILL_TOLD}").item())]
    return seen + of_data(store.read, clock.now(), running=False)


def _answers(service: Service, status: int) -> Seen:
    from observe.app.doctor import Seen

    if status == 200:
        return Seen("service", service.url, "ok", f"answers, pid {service.pid}")
    return Seen("service", service.url, "doubt", f"answers {status}: it is starting", "ask again in some seconds")


def _told(date: str | None, now: datetime) -> datetime:
    """The service's time as its answers tell it, to the second."""
    try:
        return parsedate_to_datetime(date or "").astimezone(UTC)
    except ValueError:
        return now


def _damages(n: int) -> Seen:
    from observe.app.doctor import Seen

    if not n:
        return Seen("store", "damages", "ok", "none known; observe verify reads and compares everything")
    return Seen(
        "store",
        "damages",
        "wrong",
        f"{n} found in the last seven days",
        "observe verify tells what is missing and what to do",
    )


# --- printing ---------------------------------------------------------------------------------------


def _print(seen: Sequence[Seen], *, as_json: bool, quiet: bool) -> None:
    if as_json:
        sys.stdout.write(
            json.dumps({"findings": [asdict(s) for s in seen], "counts": _counts(seen)}, ensure_ascii=False) + "\n"
        )
        return
    _lines([s for s in seen if s.state in ("wrong", "doubt")] if quiet else seen)
    if not quiet:
        sys.stderr.write(_summary(_counts(seen)) + "\n")


def _counts(seen: Sequence[Seen]) -> dict[str, int]:
    return {state: sum(s.state == state for s in seen) for state in _SIGNS}


def _summary(counts: Mapping[str, int]) -> str:
    said = ", ".join(f"{counts[state]} {state}" for state in ("wrong", "doubt", "unknown", "ok") if counts[state])
    return f"looked at {sum(counts.values())}: {said}"


def _lines(seen: Sequence[Seen]) -> None:
    """One line each under the name of its part, and what to do beneath it; text from data stays text."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    width = min(34, max((len(s.subject) for s in seen), default=0))
    part = ""
    for one in seen:
        if one.part != part:
            part = one.part
            console.print(Text(part, style="bold"))
        line = Text.assemble(
            "  ", (_SIGNS[one.state], _COLOURS[one.state]), f" {_plain(one.subject):<{width}}  {_plain(one.said)}"
        )
        console.print(line)
        if one.todo and one.state != "ok":
            console.print(Text(f"    {'':<{width}}  do: {_plain(one.todo)}", style="dim"))


def _plain(text: str) -> str:
    """Text without what a terminal would obey."""
    return "".join(c if c.isprintable() else "�" for c in text)
