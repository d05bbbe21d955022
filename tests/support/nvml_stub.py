"""A stub of NVIDIA's library, compiled here, for processes that ask it through the real ctypes path."""

import os
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("nvml_stub.c")
ASK = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from collectors.nvml import Nvml
from observe.errors import SourceError

nvml, at = Nvml("n1"), datetime(2026, 11, 20, 12, tzinfo=UTC)
for turn in sys.argv[2:]:
    minutes, _, lines = turn.partition("|")
    at += timedelta(minutes=float(minutes))
    Path(sys.argv[1]).write_text(lines)
    try:
        print(nvml.page(at).decode(), end="\\f")
    except SourceError as error:
        print(error, end="\\f")
nvml.close()
"""


def built(folder: Path) -> Path:
    """The folder that holds the compiled library."""
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-w", "-O1", "-o", str(folder / "libnvidia-ml.so.1"), str(SOURCE)], check=True
    )
    return folder


def environment(library: Path | None, script: Path) -> dict[str, str]:
    """Of a process that finds the library there, or none at all."""
    return {**os.environ, "LD_LIBRARY_PATH": str(library or ""), "NVML_STUB": str(script)}


def pages(library: Path | None, folder: Path, *turns: str) -> list[str]:
    """What one process says at each turn, `minutes after the last|lines of the stub`: a page, or why there is none."""
    script = folder / "stub.txt"
    said = subprocess.run(
        [sys.executable, "-c", ASK, str(script), *turns],
        env=environment(library, script),
        check=False,
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr
    return said.stdout.split("\f")[:-1]
