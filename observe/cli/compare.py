"""`observe compare`: exact comparison of two files; the verdict names what drifted, worst first.

Source: our own; UX.md, "Command line".
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from observe.errors import UsageError


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked."""

    min_effect: Sequence[str]
    features: str | None  # names with commas between
    time: str | None
    html: Path | None
    as_json: bool
    fail_on_drift: bool
    quiet: bool


def run(reference: str, current: str, options: Options) -> int:
    """Print the comparison; 1 when something drifted and `--fail-on drift` was given, else 0."""
    from observe.app.frames_compare import compare

    names = [name.strip() for name in options.features.split(",") if name.strip()] if options.features else None
    found = compare(reference, current, min_effect=options.min_effect, features=names, time=options.time)
    if options.html is not None:
        _write(options.html, found.to_html())
        if not options.quiet:
            sys.stderr.write(f"written: {options.html}\n")
    if options.as_json:
        sys.stdout.write(found.to_json() + "\n")
    elif not options.quiet:
        sys.stdout.write(f"{found}\n")
    return 1 if options.fail_on_drift and found.drifted else 0


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error
