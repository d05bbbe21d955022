"""Opens a store and asks for all attempts; dies right before, or after, a damaged file gets its other name."""

import os
import signal
import sys
from pathlib import Path

from observe.clock import WallClock
from observe.store import Store

folder, moment = Path(sys.argv[1]), sys.argv[2]
rename = Path.rename


def dying(self: Path, target: Path) -> Path:
    done = rename(self, target) if moment == "after" else target
    if target.name.endswith(".damaged"):
        os.kill(os.getpid(), signal.SIGKILL)
    return done


Path.rename = dying  # type: ignore[method-assign,assignment]
store = Store.open(folder, WallClock())
store.read("SELECT count(*), max(attempt_id), max(ts), sum(duration_s) FROM attempt")
