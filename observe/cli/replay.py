"""`observe replay`: what would have been found in stored event time, and when?

Source: our own; UX.md, "Command line".
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from observe.errors import StoreLocked, UsageError

if TYPE_CHECKING:
    from observe.app.replaying import Replayed
    from observe.schema import Window
    from observe.store import Store

_FOUND: Final = """
    select a.starts_at as fired, a.model as model, a.kind as kind, a.subject as subject, f.onset as onset, f.effect as effect,
      f.unit as unit, a.severity as severity, a.ended as ended_at, a.incident_id as incident, f.note as note
    from (select * exclude (changed_at), last_value(ends_at) over w as ended from core.alert
          window w as (partition by alert_id order by changed_at rows between unbounded preceding and unbounded following)
          qualify row_number() over (partition by alert_id order by changed_at) = 1) as a
    left join finding as f using (finding_id) order by fired, a.alert_id"""
_MONTH: Final = timedelta(days=30)


def run(
    span: tuple[str, str], site: Path, directory: Path | None, into: Path | None, *, as_json: bool, quiet: bool
) -> int:
    """Replay and print the alarms; 1 when the window holds no rows at all."""
    from observe.app.replaying import Replaying
    from observe.clock import EventClock
    from observe.spec import load
    from observe.store import Store

    window, config, started = _window(*span), load(site), perf_counter()
    with _past(directory or config.site.store.path) as past, _fresh(into) as folder:
        clock = EventClock(window.start)
        scratch = Store.open(folder, clock)
        try:
            with _progress(window, quiet=quiet) as moved:
                done = Replaying(config, past, scratch, clock).run(window, moved=moved)
            found = list(scratch.read(_FOUND).iter_rows(named=True))
        finally:
            scratch.close()
    _tell(found, done, perf_counter() - started, as_json=as_json, quiet=quiet)
    if into is not None and not quiet:
        sys.stderr.write(f'kept in {into}; ask it with: observe sql -d {into} "select * from incident"\n')
    return 0 if done.rows else 1


def _window(start: str, end: str) -> Window:
    from observe.schema import Window

    window = Window(_instant(start, "--from"), _instant(end, "--to"))
    if window.start >= window.end:
        raise UsageError(f"--from {start} is not before --to {end}")
    return window


def _instant(text: str, option: str) -> datetime:
    """An ISO date or instant, UTC where it names no zone."""
    from datetime import UTC

    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{option} {text[:60]!r} is no instant; write 2026-01-31 or 2026-01-31T12:00:00Z") from error


@contextmanager
def _past(directory: Path) -> Iterator[Store]:
    from observe.cli.directory import opened

    with ExitStack() as held:
        try:
            store = held.enter_context(opened(directory))
        except StoreLocked as error:
            raise StoreLocked(
                f"{error}\n  a replay reads a stopped directory: stop the service, or make a copy with "
                "'observe backup DEST' and replay that with -d DEST"
            ) from error
        yield store


@contextmanager
def _fresh(into: Path | None) -> Iterator[Path]:
    """The folder for what is found: `into`, which must be new or empty, else one that is gone afterwards."""
    if into is None:
        with tempfile.TemporaryDirectory(prefix="observe-replay-") as folder:
            yield Path(folder) / "data"
        return
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise UsageError(f"{into} is not empty; --into takes a new directory")
    into.mkdir(parents=True, exist_ok=True)
    yield into


@contextmanager
def _progress(window: Window, *, quiet: bool) -> Iterator[Callable[[datetime], None]]:
    """A bar over event time on stderr while it is a terminal, else nothing; incidents are told at the end, not logged."""
    logging.getLogger("observe.stages").setLevel(logging.WARNING)
    if quiet or not sys.stderr.isatty():
        yield lambda at: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    parts = TextColumn("replaying {task.description}"), BarColumn(), TimeRemainingColumn()
    with Progress(*parts, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"{window.start:%Y-%m-%d}", total=window.length.total_seconds())

        def moved(at: datetime) -> None:
            bar.update(task, completed=(at - window.start).total_seconds(), description=f"{at:%Y-%m-%d %H:%M}")

        yield moved


def _tell(found: Sequence[Mapping[str, Any]], done: Replayed, took_s: float, *, as_json: bool, quiet: bool) -> None:
    months = done.window.length / _MONTH
    rates = {s: sum(f["severity"] == s for f in found) / months for s in ("page", "ticket")}
    incidents = len({f["incident"] for f in found})
    if as_json:
        said = {
            "from": _iso(done.window.start), "to": _iso(done.window.end), "rows": done.rows, "stops": done.stops,
            "seconds": round(took_s, 1), "incidents": incidents, "per_30d": {k: round(v, 3) for k, v in rates.items()},
            "alarms": [{k: _iso(v) if isinstance(v, datetime) else v for k, v in f.items()} for f in found],
        }  # fmt: skip
        sys.stdout.write(json.dumps(said, ensure_ascii=False) + "\n")
        return
    if found:
        _table(found)
    days = done.window.length / timedelta(days=1)
    sys.stdout.write(
        f"{len(found)} alarms in {incidents} incidents over {days:,.4g} days: per 30 days {rates['page']:.3g} pages, {rates['ticket']:.3g} tickets\n"
    )
    if not quiet:
        sys.stderr.write(f"{done.rows:,} rows, {done.stops:,} stops of the clock, {took_s:.1f} s\n")


def _iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _table(found: Sequence[Mapping[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from observe.cli.tables import show

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("when", "model", "what", "onset", "effect", "severity"):
        table.add_column(name, overflow="fold")
    for f in found:
        onset = f"{f['onset']:%Y-%m-%d %H:%M}" if f["onset"] else ""
        effect = f"{f['effect']:+.3g} {f['unit'] or ''}".rstrip() if f["effect"] is not None else ""
        cells = (
            f"{f['fired']:%Y-%m-%d %H:%M}",
            f["model"],
            f"{f['kind']} {f['subject']}",
            onset,
            effect,
            f["severity"],
        )
        table.add_row(*(Text(c) for c in cells))
    show(table)
