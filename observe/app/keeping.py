"""Looking after the data: is all of it there and unchanged, and a copy of it elsewhere.

Source: our own; TRUST sections 1 and 2 (audit).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from observe.access import Principal
from observe.app.people import written
from observe.chain import verify_chain
from observe.clock import Clock
from observe.errors import UsageError
from observe.schema import Command
from observe.store import Damage, Report, Store

if TYPE_CHECKING:
    from observe.store import Contents


def verified(store: Store) -> Report:
    """What the store says of itself, and whether the chain of commands holds."""
    report = store.verify()
    rows = store.read("SELECT * FROM core.command ORDER BY rowid").to_dicts()
    commands = [Command(**{**row, "parameters": json.loads(row["parameters"] or "{}")}) for row in rows]
    report.checked["commands"] = len(commands)
    broken = verify_chain(commands)
    if broken is not None:
        at = next(c.ts for c in commands if c.command_id == broken)
        said = "it, or the command before it, is not what was recorded: the chain of sha256 breaks here"
        todo = "compare with a backup from before this time, and ask who could write to observe.duckdb"
        report.damages.append(Damage("audit", broken, at, commands[-1].ts, None, said, todo))
    return report


def told(report: Report) -> dict[str, Any]:
    """A report as plain JSON."""
    return {
        "clean": not report.damages,
        "checked": dict(report.checked),
        "findings": [
            {k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in asdict(d).items()} for d in report.damages
        ],
        "notes": report.notes,
    }


def back_up(store: Store, clock: Clock, who: Principal, dest: str | None) -> Mapping[str, Any]:
    """Copy the store to `dest`, a path of the machine the service runs on; recorded before it is done.

    Raises:
        UsageError: no absolute path, it holds something, or it lies within the data directory.
        StoreError: it could not be written.
    """
    if not dest or not Path(dest).is_absolute() or not dest.isprintable():
        raise UsageError('a backup needs {"dest": "/an/absolute/path"}, on the machine where the service runs')
    with store.change() as tx:
        said: Mapping[str, Any] = {"verb": "backup", "object": dest, "reason": None, "parameters": {}}
        written(tx, clock.now(), who, said)
    return summary(dest, store.backup(Path(dest)))


def summary(dest: str, made: Contents) -> Mapping[str, Any]:
    """What a backup or a restored directory holds, in a few numbers."""
    return {
        "path": dest,
        "made_at": made.made_at,
        "files": len(made.files),
        "bytes": made.size,
        "rows": dict(made.rows),
    }
