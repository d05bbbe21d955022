"""Pictures of docs/detectors about sources and devices: `silence`, `imbalance` and `straggler` at work. See `bench.pictures`."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bench import straggler as fleets
from bench.drawing import BLUE, RED, Panel, svg
from detectors import imbalance, silence
from observe.schema import Evidence, Json, Monitor, Window

Floats = NDArray[np.float64]

START = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def silent() -> str:
    """Nine hours of a source that pauses for minutes now and then, and falls silent."""
    minutes, gone = 9 * 60, 8 * 60 + 40
    rng, heard = np.random.default_rng(7), [0.0]
    while heard[-1] < 60 * gone:
        heard.append(heard[-1] + (60.0 if rng.random() < 0.9 else float(rng.uniform(60, 165))))
    last = np.array(heard[:-1])
    monitor = Monitor("site/silence/gate", "site", "silence", "", "gate", "silence", 60, "ticket", 0.0, 0.1)
    state: dict[str, Json] = {}
    age, allowed, raised = np.zeros(minutes), np.full(minutes, np.nan), 0
    for i in range(minutes):
        now = START + (i + 1) * MINUTE
        newest = START + timedelta(seconds=float(last[last <= 60 * (i + 1)][-1]))
        seen = pl.DataFrame(
            [("gate", "", 60.0, newest, now)], ["collector", "target", "every_s", "last_ts", "now"], orient="row"
        )
        found = silence.detect(Evidence((monitor,), Window(now - MINUTE, now), _none(), {}, state, {"last_seen": seen}))
        state, age[i] = dict(found.state), (now - newest).total_seconds()
        for f in found.findings:
            allowed[i:] = f.details["allowed_s"]
            raised = raised or (i if f.state == "alarm" else 0)
    panel = Panel(
        "seconds since something was heard, how long that may be, and when it was told", 0.0, 600.0, ("0 s", "600 s"),
        age, [(allowed, BLUE)],
    )  # fmt: skip
    return svg([panel], [raised])


def uneven() -> str:
    """Eight hours of two clusters: one is full, the other idles for ten minutes, and later for good."""
    windows, passing, begun = 96, 20, 52
    rng = np.random.default_rng(7)
    share = np.clip(0.1 + 0.03 * rng.standard_normal(windows), 0, 1)
    share[passing : passing + 2], share[begun:] = 0.8, 0.85
    rows: list[dict[str, Any]] = []
    for i in range(windows):
        idle = round(64 * share[i])
        for cluster, util, quiet, full in (("eu-west", 0.97, 0, 62), ("us-east", 0.75 * (1 - share[i]), idle, 0)):
            rows.append({
                "ts": START + i * 5 * MINUTE, "cluster": cluster, "sku": "H100", "devices": 64,
                "util_mean": util, "idle_devices": quiet, "saturated_devices": full,
            })  # fmt: skip
    monitor = Monitor("site/imbalance/gpu", "site", "imbalance", "", "gpu", "imbalance", 300, "ticket", 0.0, 0.1)
    span = Window(START, START + windows * 5 * MINUTE)
    found = imbalance.detect(Evidence((monitor,), span, _none(), {}, {}, {"gpu_5m": pl.DataFrame(rows)})).findings
    alarms = [i for i, f in enumerate(found) if f.state == "alarm"]
    idle_share = 100 * np.round(64 * share) / 64
    panel = Panel(
        "us-east: share of its devices that idle, while eu-west is saturated; and when it was told", 0.0, 100.0,
        ("0 %", "100 %"), idle_share, [], (50.0, "50 %"),
    )  # fmt: skip
    return svg([panel], alarms[:1])


def behind() -> str:
    """Four days of a training job on eight GPUs, of which one becomes a tenth slower."""
    days, drop = 4, 3 * fleets.PER_DAY + 60
    rows = fleets.fleet(7, "training", days, 1, 8, (drop, 0.1))
    clock = rows.sort("ts", "device_id")["sm_clock"].to_numpy().reshape(-1, 8)
    peers = np.median(clock[:, 1:], axis=1)
    blocks = clock.shape[0] // 3
    gap = (100 * (clock / peers[:, None] - 1))[: 3 * blocks].reshape(blocks, 3, 8).mean(axis=1)
    told = [
        round((at - fleets.T0) / timedelta(minutes=15)) - 1
        for at, devices in fleets.judged(rows, days)
        if "GPU-000-000" in devices
    ]
    shown = slice(2 * 96, None)
    panel = Panel(
        "SM clock beside the median of the peers: one peer (dots), the slow one (line); and when it was named",
        -12.0, 4.0, ("-12 %", "+4 %"), gap[shown, 1], [(gap[shown, 0], RED)],
    )  # fmt: skip
    return svg([panel], [told[0] - 2 * 96] if told else [])


def _none() -> pl.DataFrame:
    return pl.DataFrame()
