"""Evidently at work in a process of its own: a sample goes in as files, its page and figures come out as files.

`python -m observe.lifeline observe.app.evidently_child FOLDER` reads `reference.parquet`, `current.parquet`
and `columns.json` of the folder and writes `evidently.html` and `evidently.json` there. It may use so
much memory and processor time and no more, and may open no connection. This is the one module that imports Evidently.

Source: our own; Evidently 0.7, `evidently.Report` with `DataDriftPreset`; TRUST section 2.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

MEMORY: Final = 4 << 30  # bytes of address space; 1.8 GB were used at 3 columns
CPU_S: Final = 240
POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; worker-src blob:; base-uri 'none'; form-action 'none'"
)
_NETWORK: Final = (
    "socket.connect",
    "socket.bind",
    "socket.sendto",
    "socket.sendmsg",
    "socket.getaddrinfo",
    "urllib.Request",
)
_LOOKALIKES: Final = str.maketrans("<>\"'`", "‹›”’’")  # its page embeds names in scripts


def confine() -> None:
    """Limit this process: memory, processor time, no connections, no telemetry."""
    os.environ |= {"DO_NOT_TRACK": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 5))
    sys.addaudithook(_refuse_network)


def _refuse_network(event: str, _arguments: object) -> None:
    if event in _NETWORK:
        raise PermissionError(f"{event}: this process may open no connection")


def plain(text: str) -> str:
    """Text that ends no script and begins no markup, wherever it is embedded."""
    return text.translate(_LOOKALIKES)


def run(folder: Path) -> None:
    """Compare the two samples of a folder."""
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    names = json.loads((folder / "columns.json").read_text())
    told = {column: plain(column) for column in (*names["numeric"], *names["text"])}
    if len(set(told.values())) < len(told):
        told = {column: f"{i}: {shown}" for i, (column, shown) in enumerate(told.items(), 1)}
    definition = DataDefinition(
        numerical_columns=[told[c] for c in names["numeric"]], categorical_columns=[told[c] for c in names["text"]]
    )
    frames = []
    for part in ("current", "reference"):
        frame = pd.read_parquet(folder / f"{part}.parquet").rename(columns=told)
        for column in (told[c] for c in names["text"]):
            frame[column] = frame[column].map(plain, na_action="ignore").astype(object)
        frames.append(Dataset.from_pandas(frame, definition))
    made = Report([DataDriftPreset()]).run(*frames)
    page = folder / "evidently.html"
    made.save_html(str(page))
    page.write_text(_closed(page.read_text(encoding="utf-8")), encoding="utf-8")
    back = {shown: column for column, shown in told.items()}
    figures = {"version": version("evidently"), "columns": columns(json.loads(made.json()), back)}
    (folder / "evidently.json").write_text(json.dumps(figures))


def _closed(page: str) -> str:
    """The page with a policy that lets its own scripts run and nothing be loaded."""
    meta = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    before, head, after = page.partition("<head>")
    return f"{before}{head}{meta}{after}" if head else meta + page


def columns(told: Mapping[str, Any], names: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """What it says of each column; whether it calls that drift follows from its method and threshold."""
    found: list[Mapping[str, Any]] = []
    for metric in told["metrics"]:
        config = metric["config"]
        if "column" not in config:
            continue
        value, threshold, method = metric["value"], config.get("threshold"), str(config.get("method"))
        known = isinstance(value, int | float) and isinstance(threshold, int | float)
        drifts = (value < threshold if "p_value" in method else value >= threshold) if known else None
        found.append({
            "column": names.get(config["column"], config["column"]), "method": method, "value": value if known else None,
            "threshold": threshold, "drifts": drifts,
        })  # fmt: skip
    return found


if __name__ == "__main__":
    confine()
    run(Path(sys.argv[1]))
