"""`observe schema`: JSON Schemas of the configuration, for editors.

Source: our own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from observe.errors import UsageError
from observe.spec.nearest import did_you_mean


def run(kind: str | None, out: Path | None) -> int:
    """Print one schema on stdout, or write all (or one) of them into a folder.

    Raises:
        UsageError: there is no such kind, or the folder cannot be written.
    """
    from observe.spec.editor import NAMES, any_schema, schema

    if kind is not None and kind.lower() not in NAMES:
        raise UsageError(f"there is no schema of {kind!r}; {did_you_mean(kind.lower(), NAMES)}")
    if out is None:
        sys.stdout.write(_text(schema(NAMES[kind.lower()]) if kind else any_schema()))
        return 0
    wanted = {kind.lower(): NAMES[kind.lower()]} if kind else NAMES
    made = {f"{name}.schema.json": schema(title) for name, title in wanted.items()}
    if kind is None:
        made["observe.schema.json"] = any_schema()
    for name, document in made.items():
        _write(out / name, _text(document))
    return 0


def _text(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    sys.stderr.write(f"wrote {path}\n")
