"""Our scaling policy beside others on seeded traces of the recorded ones' shape, and on recorded traces that are given.

    python -m bench.scaling [--seeds 20261121,20261122,20261123] [TRACE TIMES MAX TTFT_S]...

Constants were tuned on seeds 2 and 3; seeds from 20261121 on are reported. Of each trace the first half is learnt from.

Source: Azure Public Dataset, LLM inference traces 2023 (Splitwise, ISCA 2024); Mooncake, FAST 2025.
"""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from observe.app.backtest_scaling import Asked, Compared, compare
from observe.app.queueing import Server
from observe.app.traces import Trace, read, synthetic

SMALL = Server(slots=4, decode_s=0.05)  # four to sixteen replicas at half a request a second


def told(found: Compared, started: datetime) -> dict[str, object]:
    return {
        "bench": "scaling",
        "trace": found.trace,
        "reported_requests": found.reported,
        "reported_hours": round(found.hours, 2),
        "carried": f"{found.carried.each:.3g} {found.carried.unit}/s, {found.carried.basis}",
        "outcomes": {
            o.policy: {
                "lost_minutes": o.lost, "of": o.minutes, "late": round(o.bad, 5), "gpu_hours": round(o.gpu_hours, 2),
                "changes": o.changes, "flaps": o.flaps, "largest": o.largest,
            }
            for o in found.outcomes
        },
        "seconds": round((datetime.now(UTC) - started).total_seconds(), 1),
    }  # fmt: skip


def run(trace: Trace, asked: Asked) -> None:
    started = datetime.now(UTC)
    print(json.dumps(told(compare(trace, asked), started)), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="20261121,20261122,20261123")
    parser.add_argument("traces", nargs="*", help="TRACE TIMES MAX TTFT_S, again and again")
    given = parser.parse_args()
    for seed in [int(s) for s in given.seeds.split(",") if s]:
        run(synthetic(seed, days=1.5, per_s=0.5), Asked(server=SMALL, high=16))
    for at in range(0, len(given.traces), 4):
        path, times, high, ttft_s = given.traces[at : at + 4]
        run(read(Path(path)).times(int(times), 1), Asked(high=int(high), ttft_s=float(ttft_s)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
