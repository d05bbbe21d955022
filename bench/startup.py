"""How long `observe --help` takes, beside an empty Python: medians of 9 runs each, in turn."""

import json
import statistics
import subprocess
import sys
from pathlib import Path
from time import perf_counter


def seconds(argv: list[str]) -> float:
    began = perf_counter()
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
    return perf_counter() - began


def main() -> None:
    observe = str(Path(sys.executable).parent / "observe")
    pairs = [(seconds([observe, "--help"]), seconds([sys.executable, "-c", "pass"])) for _ in range(9)]
    ours, floor = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(json.dumps({
        "name": "observe --help", "command": "python -m bench.startup", "figure": round(ours, 3), "unit": "s",
        "peer": f"python -c pass {floor:.3f} s", "ratio": round(ours / floor, 1),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
