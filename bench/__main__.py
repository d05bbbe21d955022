"""Run the quick benchmarks and print their JSON lines as a table.

Each `bench/<name>.py` prints JSON lines {"name", "command", "figure", "unit", "peer", "ratio"}. The
long statistical runs (`false_alarms`, `slo_gate`) are started by hand; see RESULTS.md.
"""

import json
import subprocess
import sys

QUICK = ("startup", "exposition", "otlp_parse", "summaries", "intake", "page")


def main() -> None:
    print("| what | figure | beside | ratio | command |\n|---|---|---|---|---|")
    for name in QUICK:
        done = subprocess.run([sys.executable, "-m", f"bench.{name}"], capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"| {name} | failed | | | {done.stderr.strip().splitlines()[-1:]} |")
        for line in done.stdout.splitlines():
            if line.startswith("{"):
                row = json.loads(line)
                print(
                    f"| {row['name']} | {row['figure']} {row['unit']} | {row.get('peer', '')} | {row.get('ratio', '')} | `{row['command']}` |"
                )


if __name__ == "__main__":
    main()
