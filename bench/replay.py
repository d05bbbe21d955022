"""The Azure code trace replayed as gateway traffic through intake, store, summaries, detectors and policy: no page.

    python -m bench.replay FOLDER/AzureLLMInferenceTrace_code.csv

Requests are imported as LiteLLM payloads and replayed in event time; one in a thousand fails by
chance, in a second run three in a row do. The objective is 99.9 %; a page or ticket is a failure.

Source: Azure Public Dataset, LLM inference traces 2023 (CC-BY-4.0; Splitwise, ISCA 2024).
"""

import argparse
import json
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from observe.app.files import bodies, fingerprint
from observe.app.importing import Importing, Told
from observe.app.intake import Intake
from observe.app.replaying import STEP, Replaying
from observe.clock import EventClock, WallClock
from observe.schema import Window
from observe.spec import load
from observe.store import Store
from observe.telemetry import Telemetry

SITE = "apiVersion: observe/v1\nkind: Site\nstore: {path: ./data}\n"
MODEL = """\
apiVersion: observe/v1
kind: Monitoring
metadata: {name: code}
slos: [{name: availability, good: status = ok, objective: 99.9%, window: 30d}]
"""


def payloads(path: Path, burst: int, seed: int) -> list[tuple[datetime, dict[str, object]]]:
    """LiteLLM rows in order of time; a thousandth fails, `burst` in a row."""
    frame = pl.read_csv(path).with_columns(
        pl.col("TIMESTAMP").str.head(26).str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_zone="UTC")
    )
    failing = np.zeros(frame.height, dtype=bool)
    for start in np.flatnonzero(np.random.default_rng(seed).random(frame.height) < 0.001 / burst):
        failing[start : start + burst] = True
    rows = []
    for i, (at, tokens_in, tokens_out) in enumerate(frame.iter_rows()):
        took = 0.05 + 0.02 * tokens_out
        rows.append((at + timedelta(seconds=took), {
            "id": f"r{i}", "trace_id": f"r{i}", "call_type": "acompletion", "stream": False, "model": "code", "model_group": "code",
            "status": "failure" if failing[i] else "success", "startTime": at.timestamp(), "endTime": at.timestamp() + took,
            "prompt_tokens": tokens_in, "completion_tokens": 0 if failing[i] else tokens_out,
        }))  # fmt: skip
    return sorted(rows, key=lambda row: row[0])


def replay(folder: Path, rows: list[tuple[datetime, dict[str, object]]]) -> dict[str, int]:
    """Import the trace and live through it; returns counts of requests, errors, findings and alerts."""
    (folder / "models").mkdir()
    (folder / "observe.yaml").write_text(SITE)
    (folder / "models" / "code.yaml").write_text(MODEL)
    config, told, trace = load(folder / "observe.yaml"), Told("attempts", source="litellm"), folder / "trace.ndjson"
    trace.write_text("".join(json.dumps(row) + "\n" for _, row in rows))
    past = Store.open(folder / "data", WallClock())
    clock = EventClock(rows[0][0])
    scratch = Store.open(folder / "scratch", clock)
    try:
        importing = Importing(past, Intake(past, WallClock(), Telemetry(), config), WallClock())
        for body in bodies(trace):
            importing.take(told, body, fingerprint(trace))
        Replaying(config, past, scratch, clock).run(Window(rows[0][0], rows[-1][0] + STEP))
        counted = scratch.read(
            "select (select count(*) from request) as requests, (select count(*) from request where status = 'error') as errors,"
            " (select count(*) from finding where detector = 'burn') as findings,"
            " (select count(*) from alert where severity = 'page') as pages, (select count(*) from alert where kind = 'slo') as alerts"
        )
        return dict(counted.row(0, named=True))
    finally:
        past.close()
        scratch.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trace", type=Path)
    parser.add_argument("--seed", type=int, default=20261120)
    given = parser.parse_args()
    failed = 0
    for burst in (1, 3):
        with tempfile.TemporaryDirectory() as folder:
            counted = replay(Path(folder), payloads(given.trace, burst, given.seed))
        failed += (
            counted["pages"] + (counted["requests"] < 8000) + (counted["findings"] == 0) + (counted["errors"] == 0)
        )
        print(
            json.dumps(
                {
                    "name": f"Azure code trace as gateway traffic, errors in bursts of {burst}",
                    "seed": given.seed,
                    **counted,
                    "at": datetime.now(UTC).isoformat()[:16],
                }
            )
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
