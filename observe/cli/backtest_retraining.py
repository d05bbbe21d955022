"""`observe backtest TABLE --policy retraining`: would training again on drift have paid, beside never and monthly?

Source: our own; docs/retraining.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from observe.cli import backtest_asked
from observe.cli.backtest_asked import Asked, options
from observe.errors import UsageError
from observe.spec.quantity import Malformed, parse_duration

if TYPE_CHECKING:
    from observe.app.backtest_retraining import Policy
    from observe.app.backtest_truth import Compared, Terms

SEED: Final = 1  # of the intervals


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise Malformed(f"{text!r} is no whole number above 0", "write 10000")
    return int(text)


SETTINGS: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "label": ("label", str), "delay": ("delay_s", parse_duration), "for": ("for_s", parse_duration), "rows": ("enough", _whole),
}  # fmt: skip


def run(what: str | None, asked: Asked, written: Sequence[str], *, as_json: bool) -> int:
    """Compare the policies on a table with its truth.

    Raises:
        UsageError: the file, an option or a setting cannot be used.
    """
    from observe.app.backtest_table import read
    from observe.app.backtest_truth import compare

    if what is None or asked.time is None:
        raise UsageError("name a table and its column of time: observe backtest flights.parquet --policy retraining --time ts --set label=late")  # fmt: skip
    terms = settings(written)
    features = [name for f in (asked.features or "").split(",") if (name := f.strip())]
    table = read(
        Path(what), asked.time, [*features, terms.label] if features and terms.label not in features else features
    )
    found = compare(table, terms, options(asked))
    if as_json:
        sys.stdout.write(json.dumps(_as_json(found), allow_nan=False) + "\n")
    else:
        _show(found)
    return 0


def settings(written: Sequence[str]) -> Terms:
    """The settings as values.

    Raises:
        UsageError: an unknown name, a value without sense, or no label.
    """
    from observe.app.backtest_truth import Terms

    made = backtest_asked.settings(written, SETTINGS)
    if not made.get("label"):
        raise UsageError("which column is the truth? --set label=late")
    return Terms(**made)


def _as_json(found: Compared) -> Mapping[str, Any]:
    never = found.policies[0]
    return {
        "loss": found.loss, "alarms": found.alarms, "confirmed": found.stayed,
        "policies": [
            {
                "policy": p.name, "trainings": [datetime.fromtimestamp(t.at, UTC).isoformat() for t in p.trainings[1:]],
                "error": p.error, "beside_never": _beside(p, never),
            }
            for p in found.policies
        ],
    }  # fmt: skip


def _beside(policy: Policy, never: Policy) -> tuple[float, float, float] | None:
    from observe.app.backtest_retraining import beside

    return None if policy is never else beside(policy, never, SEED)


def _show(found: Compared) -> None:
    from rich.table import Table

    from observe.cli.tables import show

    sys.stdout.write(f"{found.alarms} alarms, {found.stayed} of them stayed; less {found.loss} is better\n")
    table = Table(box=None, pad_edge=False)
    for head in ("policy", "trainings", found.loss, "beside never (95 %)"):
        table.add_column(head, justify="left" if head == "policy" else "right")
    for p in found.policies:
        gain = _beside(p, found.policies[0])
        said = "" if gain is None else "{:+.2%} ({:+.2%} … {:+.2%})".format(*gain)
        table.add_row(p.name, str(len(p.trainings) - 1), f"{p.error:.4g}", said)
    show(table)
