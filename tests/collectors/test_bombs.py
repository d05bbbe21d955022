"""Bodies made to fill memory do not: what a process grows by is measured in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bombs import BOMBS

SUPPORT = Path(__file__).parents[1] / "support"
REFUSED_MIB, TAKEN_MIB = 80, 128  # TRUST section 4; a body that just keeps to the caps is no bomb, but bounded too
QUICK = ("deep array", "deep otlp", "objects in one line", "nested protobuf", "empty attributes", "arrow of one number")


def grown(names: tuple[str, ...]) -> dict[str, tuple[int, object]]:
    argv = [sys.executable, str(SUPPORT / "bombs.py"), *names]
    done = subprocess.run(argv, cwd=SUPPORT.parents[1], capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stderr[-2000:]
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return {name: (t["grown_mib"], t["answer"]) for name, t in zip(names, told, strict=True)}


@pytest.mark.slow
def test_a_bomb_of_each_kind_is_refused_in_little_memory() -> None:
    assert {name: t for name, t in grown(QUICK).items() if t[0] > REFUSED_MIB} == {}


@pytest.mark.slow
def test_every_bomb_we_know_is_taken_or_refused_in_bounded_memory() -> None:
    for name, (mib, answer) in grown(tuple(BOMBS)).items():
        assert mib <= (TAKEN_MIB if "below" in name else REFUSED_MIB), (name, mib, answer)
