"""`observe backup`, `observe restore`, `observe verify`: a copy of the data, the way back, and whether all is there.

Backup and verify work on a stopped directory and, through its service, on a running one; verify on a backup, too.

Source: our own; TRUST section 1.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from observe.cli.directory import folder, opened
from observe.errors import StoreError, StoreLocked, UsageError

if TYPE_CHECKING:
    from observe.store import Report


def backup(dest: Path, site: Path | None, directory: Path | None, *, quiet: bool) -> int:
    """Copy the data directory into the empty or absent folder `dest`."""
    from observe.app.keeping import summary
    from observe.cli.service import owner
    from observe.store.backup import is_backup

    directory, dest = folder(site, directory), dest.absolute()
    if is_backup(directory):
        raise UsageError(f"{directory} is a backup already: copy its folder as it is")
    try:
        with opened(directory) as store:
            made = summary(str(dest), store.backup(dest))
    except StoreLocked:
        made = owner(directory).ask("POST", "/api/v1/backup", {"dest": str(dest)})
    if not quiet:
        sys.stdout.write(f"{made['path']}: {_held(made)}, as of {made['made_at']}\n")
    return 0


def restore(source: Path, directory: Path, *, quiet: bool) -> int:
    """Make a data directory from a backup."""
    from observe.app.keeping import summary
    from observe.store.restoring import restore as restored

    held = summary(str(directory), restored(source, directory))
    if not quiet:
        sys.stdout.write(f"{directory}: {_held(held)}, as of {held['made_at']}\n")
        sys.stderr.write(
            "tokens are those of the service that was backed up; without its admin.token set server.token in the site\n"
        )
    return 0


def verify(site: Path | None, directory: Path | None, *, as_json: bool, quiet: bool) -> int:
    """Say what is missing or changed; 0 when nothing is, 1 when something is."""
    directory = folder(site, directory)
    report = _report(directory)
    if as_json:
        sys.stdout.write(json.dumps(report, ensure_ascii=False) + "\n")
    else:
        _say(report, quiet=quiet)
    return 0 if report["clean"] else 1


def _report(directory: Path) -> Mapping[str, Any]:
    from observe.app.keeping import told
    from observe.cli.service import owner
    from observe.store import Damage, Report

    try:
        return told(_looked(directory))
    except StoreLocked:
        answer: Mapping[str, Any] = owner(directory).ask("GET", "/api/v1/verify")
        return answer
    except StoreError as error:
        report = Report()
        todo = "do what the message says, or restore a backup: observe restore SRC -d DIR"
        report.damages.append(Damage("opening", str(directory), None, None, None, str(error), todo))
        return told(report)


def _looked(directory: Path) -> Report:
    """What is wrong with a stopped directory, or a backup; one whose files changed is looked at no further."""
    from observe.app.keeping import verified
    from observe.store import Report
    from observe.store.backup import is_backup
    from observe.store.verifying import verify_backup

    backed_up = verify_backup(directory) if is_backup(directory) else Report()
    if backed_up.damages:
        backed_up.notes.append("what the files hold was not looked at")
        return backed_up
    with opened(directory) as store:
        report = verified(store)
    report.checked |= backed_up.checked
    return report


def _held(made: Mapping[str, Any]) -> str:
    return f"{made['files']} files, {_bytes(made['bytes'])}, {sum(made['rows'].values()):,} rows"


def _bytes(size: float) -> str:
    units = ("B", "kB", "MB", "GB", "TB")
    power = min(len(units) - 1, max(0, len(str(int(size))) - 1) // 3)
    return f"{size / 1000**power:.{1 if power else 0}f} {units[power]}"


def _say(report: Mapping[str, Any], *, quiet: bool) -> None:
    for one in report["findings"]:
        span = f" ({one['start']} to {one['end']})" if one["start"] else ""
        sys.stdout.write(f"{one['kind']} {one['subject']}{span}\n  {one['said']}\n  do: {one['todo']}\n")
    if quiet:
        return
    for note in report["notes"]:
        sys.stderr.write(f"note: {note}\n")
    looked = dict(report["checked"])
    size = _bytes(looked.pop("bytes", 0))
    parts = [f"{count:,} {what}" + (f" ({size})" if what == "files" else "") for what, count in looked.items()]
    wrong = len(report["findings"])
    verdict = "clean" if not wrong else f"{wrong} finding{'s' if wrong > 1 else ''}"
    sys.stdout.write(f"{verdict}: looked at {', '.join(parts)}\n" if parts else f"{verdict}\n")
