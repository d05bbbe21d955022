"""What Evidently says of a sample, asked in a process that can fail, hang or grow without harm.

Source: our own; TRUST section 2.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dashboards.report import Attached, Compared
from observe.app.sampling import HOW, Sample, sample
from observe.errors import ObserveError
from observe.schema import Window

if TYPE_CHECKING:
    from dashboards.report_facts import Facts, Rows

PATIENCE_S: Final = 600.0  # it is niced: on a busy machine it comes last


def second_opinion(rows: Rows, facts: Facts, page: Path, module: str = "observe.app.evidently_child") -> Attached:
    """Ask about the period of a report; its page is written to `page`. Never fails: it says why there is none."""
    try:
        chosen = sample(rows, facts.model, facts.bins, Window(facts.start, facts.end))
    except ObserveError as error:
        return Attached(f"its sample could not be read: {error}")
    if isinstance(chosen, str):
        return Attached(chosen)
    if not chosen.current.width:
        return Attached("no column is left that can be compared", left_out=chosen.left_out)
    with tempfile.TemporaryDirectory(prefix="observe-report-") as place:
        why_not, figures = _asked(chosen, Path(place), module)
        if why_not is None:
            page.write_bytes((Path(place) / "evidently.html").read_bytes())
    if why_not is not None:
        return Attached(why_not, left_out=chosen.left_out)
    columns = sorted((Compared(**c) for c in figures["columns"]), key=lambda c: (c.drifts is not True, c.column))
    counted = chosen.reference.height, chosen.current.height
    return Attached(None, *counted, HOW, tuple(columns), chosen.left_out, figures["version"])


def _asked(chosen: Sample, place: Path, module: str) -> tuple[str | None, Mapping[str, Any]]:
    chosen.reference.write_parquet(place / "reference.parquet")
    chosen.current.write_parquet(place / "current.parquet")
    text = [c for c in chosen.current.columns if c not in chosen.numeric]
    (place / "columns.json").write_text(json.dumps({"numeric": chosen.numeric, "text": text}))
    with (place / "said").open("wb") as said, subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "observe.lifeline", module, str(place)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said,
    ) as child:  # fmt: skip
        try:
            code = child.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            return f"Evidently took longer than {PATIENCE_S:.0f} s", {}
    if code != 0:
        lines = (place / "said").read_text(errors="replace").strip().splitlines()
        return f"Evidently failed: {(lines[-1] if lines else f'it ended with {code}')[:300]}", {}
    return None, json.loads((place / "evidently.json").read_text())
