"""Coverage-guided fuzzing of one collector with atheris, which is no dependency of ours.

    python3 -m venv /tmp/guided && /tmp/guided/bin/pip install atheris
    PYTHONPATH=.venv/lib/python3.11/site-packages:. /tmp/guided/bin/python -m bench.fuzz_guided predictions -max_total_time=60

Everything after the collector's name goes to libFuzzer. The first byte of an input chooses the labels. It
ends with a crash file at the first failure `bench.fuzz` would count, so `crash-*` is a case to keep.

Source: https://github.com/google/atheris; seeds and checks are those of `bench.fuzz`.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["collectors"]):
    from bench import fuzz
    from bench.fuzz_seeds import seeds
    from observe.registry import plugin


def main(collector: str) -> None:
    """Fuzz until libFuzzer ends."""
    given = [s for s in seeds(fuzz.AT) if s.collector == collector]
    if not given:
        raise SystemExit(f"no payloads of {collector!r}; there are: {sorted({s.collector for s in seeds(fuzz.AT)})}")
    plugin("observe.collectors", collector)

    def once(data: bytes) -> None:
        if data:
            told = fuzz.Told()
            fuzz.parse_once(replace(given[data[0] % len(given)], payload=b""), data[1:], told)
            if told.failures:
                raise AssertionError(str(told.examples))

    with tempfile.TemporaryDirectory() as corpus:
        for i, seed in enumerate(given):
            (Path(corpus) / f"seed{i}").write_bytes(bytes([i]) + seed.payload)
        atheris.Setup([sys.argv[0], corpus, *sys.argv[2:]], once)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
