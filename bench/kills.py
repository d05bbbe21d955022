"""Killed at any moment, the store keeps every acknowledged batch whole and once.

    python -m bench.kills [--kills 100] [--seed 7]

A client keeps twelve numbered batches on their way to a process that appends, spills, seals, merges, lets
rows leave and keeps samples of them; the process is killed with SIGKILL at a random moment, the
directory is opened and compared with the client's ledger, and the next process goes on. Every tenth
kill hits a process that migrates the data directory of an older release.

Source: TRUST section 4.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.killed import RESERVOIR, ROWS
from observe.clock import WallClock
from observe.store import Store

OUTSTANDING = 12
FORMATS = Path(__file__).parents[1] / "tests" / "golden" / "formats"
OPEN = (
    "import sys; from pathlib import Path; from observe.clock import WallClock; from observe.store import Store\n"
    "sys.stdin.readline(); print('ready', flush=True); Store.open(Path(sys.argv[1]), WallClock()).close()"
)


@dataclass
class Tally:
    """What the kills came to."""

    kills: int = 0
    acknowledged: int = 0
    spilled: int = 0  # kills that left batches in the spill
    lost: int = 0  # acknowledged batches that are not stored whole
    doubled: int = 0  # batches of which a row is there twice
    findings: int = 0  # of verify
    migrations: int = 0  # kills of these, and
    unmigrated: int = 0  # tables with other rows afterwards


class Client:
    """Sends numbered batches to one writer after another; its ledger outlives them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.acknowledged, self.sent, self.unsure = folder, set[int](), 0, list[int]()
        self.next = self._start()

    def _start(self) -> subprocess.Popen[str]:
        return started("-m", "bench.killed", self.folder)

    def load(self, process: subprocess.Popen[str], free: threading.Semaphore, alive: threading.Event) -> None:
        """Keep OUTSTANDING batches on their way until the writer is gone; first those of unknown fate."""
        assert process.stdin
        again, self.unsure = self.unsure, []
        try:
            while alive.is_set():
                if not free.acquire(timeout=0.1):
                    continue
                number = again.pop() if again else self.sent
                self.sent += number == self.sent
                self.unsure.append(number)
                process.stdin.write(f"{number}\n")
                process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass
        self.unsure += again

    def run_until_killed(self, after_s: float) -> None:
        """Let a writer work for a while, then kill it."""
        process, self.next = self.next, self._start()  # the next one imports while this one works
        opened(process)
        assert process.stdout
        free, alive = threading.Semaphore(OUTSTANDING), threading.Event()
        alive.set()
        sender = threading.Thread(target=self.load, args=[process, free, alive])
        sender.start()
        killer = threading.Timer(after_s, os.kill, (process.pid, signal.SIGKILL))
        killer.start()
        for line in process.stdout:
            if line.endswith("\n"):  # a torn line was not received
                self.acknowledged.add(int(line))
                free.release()
        alive.clear()
        sender.join()
        killer.join()
        forget(process)
        self.unsure = [n for n in self.unsure if n not in self.acknowledged]

    def close(self) -> None:
        self.next.kill()
        forget(self.next)


def started(*argv: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *map(str, argv)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def opened(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    assert process.stdout
    process.stdin.write("open\n")
    process.stdin.flush()
    assert process.stdout.readline() == "ready\n"


def forget(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    assert process.stdout
    with suppress(BrokenPipeError):
        process.stdin.close()
    process.stdout.close()
    process.wait()


def compare(client: Client, tally: Tally) -> None:
    """What the directory holds after a restart, against the client's ledger."""
    tally.spilled += any(client.folder.glob("spill/[0-9]*"))
    store = Store.open(client.folder, WallClock())
    try:
        rows = store.read("SELECT tokens_in, count(*), count(DISTINCT attempt_id) FROM attempt GROUP BY 1").rows()
        kept = dict(store.read("SELECT prediction_id, count(*) FROM predictions.m GROUP BY 1").rows()) if rows else {}
        sample = store.read("SELECT prediction_id, count(*) FROM predictions.old GROUP BY 1").rows() if rows else []
        tally.findings += len(store.verify().damages)
    finally:
        store.close()
    whole = {n for n, count, ids in rows if (count, ids) == (ROWS, ROWS) and kept.get(str(n)) == 1}
    strangers = {n for n, *_ in rows} - set(range(client.sent))
    tally.acknowledged = len(client.acknowledged)
    tally.lost += len(client.acknowledged - whole)
    tally.doubled += sum(count > ids for _, count, ids in rows) + sum(n > 1 for n in kept.values())
    tally.doubled += sum(n > 1 for _, n in sample) + len(strangers)
    if client.acknowledged and not sample:
        tally.lost += RESERVOIR


def migrate(folder: Path, after_s: float, tally: Tally) -> None:
    """Kill a migration of the oldest format and compare its rows."""
    release = min(FORMATS.glob("*.tar.gz"))
    with tarfile.open(release) as tar:
        tar.extractall(folder, filter="data")
    process = started("-c", OPEN, folder / "data")
    opened(process)
    time.sleep(after_s)
    process.kill()
    forget(process)
    store = Store.open(folder / "data", WallClock())
    for name, rows in json.loads((folder / "rows.json").read_text()).items():
        schema, _, table = name.partition(".")
        columns = ", ".join(f'"{c}"' for c in rows[0])
        found = json.loads(json.dumps(store.read(f'SELECT {columns} FROM {schema}."{table}"').to_dicts(), default=str))
        tally.unmigrated += sorted(found, key=str) != sorted(rows, key=str)
    store.close()
    tally.migrations += 1


def run(folder: Path, kills: int, seed: int) -> Tally:
    """Kill so often; every tenth time a migration."""
    moments, tally, client = random.Random(seed), Tally(), Client(folder / "data")
    try:
        for number in range(kills):
            if number % 10 == 4:
                migrate(folder / f"format{number}", moments.uniform(0.0, 0.6), tally)
            else:
                client.run_until_killed(moments.uniform(0.05, 1.8))
                compare(client, tally)
            tally.kills += 1
    finally:
        client.close()
    return tally


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--kills", type=int, default=100)
    asked.add_argument("--seed", type=int, default=7)
    given = asked.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        tally = run(Path(folder), given.kills, given.seed)
    told = f"{tally.kills} kills ({tally.migrations} of migrations), {tally.acknowledged} batches acknowledged, {tally.spilled} left a spill"
    print(json.dumps({
        "name": "kill -9: batches lost or doubled", "command": "python -m bench.kills", "unit": "batches",
        "figure": tally.lost + tally.doubled + tally.unmigrated, "peer": f"{told}, {tally.findings} findings of verify",
        "ratio": "", "seconds": round(time.perf_counter() - began),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
