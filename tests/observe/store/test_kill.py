"""Killed at any moment, the store keeps every acknowledged batch whole and once."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from observe.clock import WallClock
from observe.store import Store

KILLS, OUTSTANDING, ROWS = 20, 12, 7
WRITING = Path(__file__).with_name("writing.py")


class Client:
    """Sends numbered batches to one writer after another; its ledger outlives them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.acknowledged, self.sent, self.unsure = folder, set[int](), 0, list[int]()
        self.next = self._start()

    def _start(self) -> subprocess.Popen[str]:
        argv = [sys.executable, str(WRITING), str(self.folder)]
        return subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

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
        process, self.next = self.next, self._start()  # the next one imports while this one works
        assert process.stdin
        assert process.stdout
        process.stdin.write("open\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
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
        self._forget(process)
        self.unsure = [n for n in self.unsure if n not in self.acknowledged]

    def close(self) -> None:
        self.next.kill()
        self._forget(self.next)

    def _forget(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin
        assert process.stdout
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()
        process.wait()


def stored(folder: Path) -> dict[int, int]:
    """Rows by batch, as the directory holds them after a restart."""
    store = Store.open(folder, WallClock())
    rows = store.read("SELECT tokens_in, count(*), count(DISTINCT attempt_id) FROM attempt GROUP BY 1").rows()
    features = store.read("SELECT prediction_id, count(*) FROM prediction GROUP BY 1").rows()
    store.close()
    assert [r for r in rows if r[1] != r[2]] == []
    assert {int(i): n for i, n in features} == {number: 1 for number, *_ in rows}
    return {number: n for number, n, _ in rows}


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_doubled_or_torn_by_twenty_kills(tmp_path: Path) -> None:
    moments, client, began = random.Random(7), Client(tmp_path / "data"), time.monotonic()
    try:
        for _ in range(KILLS):
            client.run_until_killed(moments.uniform(0.05, 1.2))
            found = stored(client.folder)

            assert client.acknowledged - found.keys() == set()
            assert set(found.values()) <= {ROWS}
            assert found.keys() <= set(range(client.sent))
    finally:
        client.close()
    print(f"{len(client.acknowledged)} batches acknowledged in {time.monotonic() - began:.0f} s")
    assert len(client.acknowledged) > KILLS
