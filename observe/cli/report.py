"""`observe report`: a model's drift report, made now and kept; or the reports that are kept.

Works on a stopped directory and, through its service, on a running one.

Source: our own; UX.md, "Command line".
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from observe.cli.directory import opened, present
from observe.errors import SourceError, StoreLocked, UsageError

if TYPE_CHECKING:
    from observe.app.reports import Reports
    from observe.cli.service import Service
    from observe.spec import Config

FORMATS: Final = ("html", "md", "json")
_EVIDENTLY: Final = "evidently.html"


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line."""

    model: str | None
    output: Path | None
    format: str | None
    span: tuple[str | None, str | None, str | None]  # --from, --to, --last
    evidently: bool
    as_json: bool
    quiet: bool


@dataclass(frozen=True, slots=True)
class Made:
    """A report that was made: its row as plain JSON, and what reads its files."""

    row: Mapping[str, Any]
    read: Callable[[str], bytes]


def run(asked: Options, site: Path | None, directory: Path | None) -> int:
    """Make a report and print or write it; 0 whatever its verdict is."""
    from observe.store.backup import is_backup

    if asked.model is None:
        raise UsageError(
            "name a model, e.g. observe report fraud; observe report --list shows the reports that are kept"
        )
    kind = _kind(asked)
    start, end = period(asked.span, datetime.now(UTC))  # noqa: TID251 - a person's "last 7d" ends now
    if asked.evidently and not asked.quiet:
        sys.stderr.write("asking Evidently too, which takes some ten seconds; --no-evidently leaves it out\n")
    config, directory = _place(site, directory)
    body = {"model": asked.model, "from": start.isoformat(), "to": end.isoformat(), "evidently": asked.evidently}
    made = _either(config, directory, partial(_here, body), partial(_there, body))
    _tell(asked, kind, made, "not kept in a backup" if is_backup(directory) else f"kept as {made.row['report_id']}")
    return 0


def listed(model: str | None, site: Path | None, directory: Path | None, *, as_json: bool) -> int:
    """Print the reports that are kept, of one model or of all, newest first."""
    from observe.server.reports import told

    config, directory = _place(site, directory)
    rows = _either(
        config,
        directory,
        lambda reports: [told(r) for r in reports.kept()],
        lambda service: service.ask("GET", "/api/v1/reports"),
    )
    rows = [r for r in rows if model in (None, r["model"])]
    if as_json:
        sys.stdout.write(json.dumps(rows, ensure_ascii=False) + "\n")
        return 0
    from rich.table import Table
    from rich.text import Text

    from observe.cli.tables import show

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("verdict", "model", "period", "made", "report", "says"):
        table.add_column(name, overflow="fold")
    for r in rows:
        cells = (
            r["verdict"],
            r["model"],
            f"{r['period_from'][:16]} – {r['period_to'][:16]}",
            r["made_at"][:16],
            r["report_id"],
            r["summary"],
        )
        table.add_row(*(Text(c) for c in cells))
    show(table)
    return 0


def period(span: tuple[str | None, str | None, str | None], now: datetime) -> tuple[datetime, datetime]:
    """The period of `--from`, `--to` and `--last`; the last seven days when nothing is said.

    Raises:
        UsageError: one of them cannot be read, or they contradict each other.
    """
    from observe.spec.quantity import Malformed, parse_duration

    begin, finish, last = span
    if begin is not None and last is not None:
        raise UsageError("--from and --last contradict each other; give one of them")
    end = _instant(finish, "--to") if finish else now
    try:
        start = _instant(begin, "--from") if begin else end - timedelta(seconds=parse_duration(last or "7d"))
    except Malformed as error:
        raise UsageError(f"--last {last}: {error}; write 24h, 7d or 30d") from None
    if not timedelta(0) < end - start <= timedelta(days=366):
        raise UsageError(
            f"the period {start:%Y-%m-%dT%H:%MZ} to {end:%Y-%m-%dT%H:%MZ} must go forward, and be at most a year"
        )
    return start, end


def _instant(text: str, option: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{option} {text[:60]!r} is no instant; write 2026-01-31 or 2026-01-31T12:00:00Z") from error


def _place(site: Path | None, directory: Path | None) -> tuple[Config, Path]:
    from observe.spec import load

    config = load(site) if site is not None and (directory is None or site.exists()) else load(None)
    return config, present(directory or config.site.store.path)


def _either(config: Config, directory: Path, here: Callable[[Reports], Any], there: Callable[[Service], Any]) -> Any:
    """What `here` makes of a stopped directory, or `there` of the service that has it."""
    from observe.app.making import make
    from observe.app.reports import Reports
    from observe.cli.service import owner
    from observe.clock import WallClock

    try:
        with opened(directory) as store:
            return here(Reports(config, store, WallClock(), partial(make, store)))
    except StoreLocked:
        return there(owner(directory))


def _here(body: Mapping[str, Any], reports: Reports) -> Made:
    from observe.schema import Window
    from observe.server.reports import told

    span = Window(*(datetime.fromisoformat(body[name]) for name in ("from", "to")))
    made = reports.by_hand(body["model"], span, FORMATS, evidently=body["evidently"])
    files = {name: reports.file(made.report_id, name).read_bytes() for name in made.files}
    return Made(told(made), files.__getitem__)


def _there(body: Mapping[str, Any], service: Service) -> Made:
    row = service.ask("POST", "/api/v1/reports", {**body, "formats": list(FORMATS)})

    def read(name: str) -> bytes:
        with service.client() as client:
            answer = client.get(f"/api/v1/reports/{quote(row['report_id'])}/{quote(name)}")
        if answer.status_code != 200:
            raise SourceError(f"the service does not give {name} of report {row['report_id']}: {answer.text[:200]}")
        return answer.content

    return Made(row, read)


def _kind(asked: Options) -> str:
    kind = asked.format or (asked.output.suffix[1:] if asked.output else "json" if asked.as_json else "md")
    if kind not in FORMATS:
        raise UsageError(f"{asked.output}: write to a file.html, .md or .json, or say --format html")
    if asked.output is not None and not asked.output.absolute().parent.is_dir():
        raise UsageError(f"{asked.output} cannot be written: there is no folder {asked.output.parent}")
    return kind


def _tell(asked: Options, kind: str, made: Made, kept: str) -> None:
    content = made.read(f"report.{kind}")
    if asked.output is None:
        sys.stdout.write(content.decode())
    else:
        _write(asked.output, kind, content, made)
        if asked.as_json:
            sys.stdout.write(json.dumps(made.row, ensure_ascii=False) + "\n")
        elif not asked.quiet:
            sys.stdout.write(f"{made.row['verdict']}: {made.row['summary']}\n")
    if not asked.quiet:
        note = f"; {made.row['error']}" if made.row["error"] else ""
        sys.stderr.write(f"{kept}{f', written to {asked.output}' if asked.output else ''}{note}\n")


def _write(output: Path, kind: str, content: bytes, made: Made) -> None:
    """The file, and Evidently's page beside it where there is one; ours links to it."""
    if kind == "html" and _EVIDENTLY in made.row["files"]:
        beside = output.with_name(f"{output.stem}.{_EVIDENTLY}")
        beside.write_bytes(made.read(_EVIDENTLY))
        content = content.replace(f'href="{_EVIDENTLY}"'.encode(), f'href="{quote(beside.name)}"'.encode())
    try:
        output.write_bytes(content)
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror}") from None
