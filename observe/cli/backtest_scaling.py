"""`observe backtest --policy scaling`: what our sizes would have cost and lost on recorded traffic, beside others.

Source: our own; docs/scaling.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from observe.cli import backtest_asked
from observe.errors import UsageError
from observe.spec.quantity import Malformed, parse_duration

if TYPE_CHECKING:
    from observe.app.backtest_scaling import Asked, Compared


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise Malformed(f"{text!r} is no whole number above 0", "write 20")
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise Malformed(f"{text!r} is no number above 0", "write 8000")
    return value


SETTINGS: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "ttft": ("ttft_s", parse_duration), "min": ("low", _whole), "max": ("high", _whole), "gpus": ("gpus", _whole),
    "patience": ("patience_s", parse_duration), "coldStart": ("cold_start_s", parse_duration), "slots": ("slots", _whole),
    "prefill": ("prefill_per_s", _number), "token": ("decode_s", parse_duration), "times": ("times", _whole), "seed": ("seed", _whole),
    "days": ("days", _number), "perSecond": ("per_s", _number),
}  # fmt: skip
_OF_SERVER: Final = ("cold_start_s", "slots", "prefill_per_s", "decode_s")
_OF_TRACE: Final = ("times", "seed", "days", "per_s")


@dataclass(frozen=True, slots=True)
class Settings:
    """What `--set` says, by whom it concerns."""

    asked: Mapping[str, Any] = field(default_factory=dict)
    server: Mapping[str, Any] = field(default_factory=dict)
    trace: Mapping[str, Any] = field(default_factory=dict)


def settings(written: Sequence[str]) -> Settings:
    """The settings as values.

    Raises:
        UsageError: an unknown name, or a value without sense.
    """
    parts: tuple[dict[str, Any], dict[str, Any], dict[str, Any]] = ({}, {}, {})
    for to, value in backtest_asked.settings(written, SETTINGS).items():
        parts[1 if to in _OF_SERVER else 2 if to in _OF_TRACE else 0][to] = value
    return Settings(*parts)


def run(what: str | None, written: Sequence[str], *, as_json: bool, quiet: bool) -> int:
    """Compare the policies on a trace, or on a seeded one.

    Raises:
        UsageError: the file or a setting cannot be used.
    """
    from observe.app import traces
    from observe.app.backtest_scaling import compare

    given = settings(written)
    told = dict(given.trace)
    times, seed = told.pop("times", 1), told.pop("seed", 1)
    trace = traces.synthetic(seed, **told) if what is None else traces.read(Path(what))
    found = compare(trace.times(times, seed), _asked(given), _moved(quiet=quiet))
    if as_json:
        sys.stdout.write(json.dumps(found.as_json(), allow_nan=False) + "\n")
    else:
        _show(found)
    return 0


def _asked(given: Settings) -> Asked:
    from observe.app.backtest_scaling import Asked
    from observe.app.queueing import Server

    asked = Asked(server=Server(**given.server), **given.asked)
    if asked.low > asked.high:
        raise UsageError(f"min {asked.low} is more than max {asked.high}")
    return asked


def _moved(*, quiet: bool) -> Callable[[str], None]:
    if quiet or not sys.stderr.isatty():
        return lambda _: None

    def told(text: str) -> None:
        sys.stderr.write(f"{text} …\n")

    return told


def _show(found: Compared) -> None:
    from rich.table import Table

    from observe.app.backtest_scaling import OBJECTIVE, headline
    from observe.cli.tables import show

    sys.stdout.writelines(headline(found))
    table = Table(box=None, pad_edge=False)
    for head in ("policy", f"minutes below {OBJECTIVE:.0%}", "late", "GPU hours", "changes", "flaps", "largest"):
        table.add_column(head, justify="left" if head == "policy" else "right")
    for o in found.outcomes:
        cells = (
            f"{o.lost} of {o.minutes}",
            f"{o.bad:.2%}",
            f"{o.gpu_hours:.1f}",
            str(o.changes),
            str(o.flaps),
            str(o.largest),
        )
        table.add_row(o.policy, *cells)
    show(table)
