"""`observe check`: is the configuration right, what does it come to, and can what it names be reached?

Source: our own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from observe.app.reaching import Look
    from observe.spec import Config

_SIGNS: Final = {True: "✓", None: "!", False: "✗"}


def run(
    files: Sequence[Path], site: Path | None, *, as_json: bool, quiet: bool, live: bool = False, test: str | None = None
) -> int:
    """Print the effective configuration with origins; errors say file:line:col and exit with 2.

    With `live`, try what it names, print what came of it, and exit with 3 when something cannot be reached or used.
    With `test`, send one message that says it is a test to a receiver of that name, or to `all`.
    """
    from observe.app.countable import refuse
    from observe.spec import check
    from observe.spec.acting import undeclared
    from observe.spec.explain import as_json as effective
    from observe.spec.explain import render
    from observe.spec.second_looks import in_the_clear

    config = check(files, site)
    refuse(config)
    for warning in () if quiet else in_the_clear(config):
        sys.stderr.write(f"warning: {warning}\n")
    for note in () if quiet else undeclared(config.site, config.models):
        sys.stderr.write(f"note: {note}\n")
    if as_json or quiet or live:
        for warning in config.warnings:
            sys.stderr.write(f"warning: {warning}\n")
    if live or test:
        return _live(config, as_json=as_json, quiet=quiet, test=test)
    if as_json:
        sys.stdout.write(json.dumps(effective(config), indent=2) + "\n")
    elif not quiet:
        sys.stdout.write(render(config).rstrip() + "\n")
    return 0


def _live(config: Config, *, as_json: bool, quiet: bool, test: str | None) -> int:
    from observe.app.reaching import looks
    from observe.app.trying import tried
    from observe.clock import WallClock
    from observe.spec.explain import as_json as effective

    found = tried(config, test, WallClock()) if test else looks(config, WallClock().now())
    bad = [look for look in found if look.ok is False]
    if as_json:
        sys.stdout.write(json.dumps({**effective(config), "live": [asdict(look) for look in found]}, indent=2) + "\n")
    else:
        sys.stdout.write(_table(bad if quiet else found))
    if not quiet and not as_json:
        sys.stderr.write(f"the configuration is valid; {len(found)} tried, {len(bad)} cannot be reached or used\n")
    return 3 if bad else 0


def _table(found: Sequence[Look]) -> str:
    """One line each: a sign, where it is configured, what was tried, what came of it."""
    what = max((len(look.what) for look in found), default=0)
    target = max((len(look.target) for look in found), default=0)
    return "".join(f"{_SIGNS[look.ok]} {look.what:<{what}}  {look.target:<{target}}  {look.detail}\n" for look in found)
