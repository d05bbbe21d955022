"""Detectors at work in a process of their own: Evidence goes over, findings and state come back.

The core keeps one `Detecting`; the child (`observe.app.detecting` behind `observe.lifeline`) is niced, holds no
database and may fall at any time: the core then tries the same windows again.

Source: our own; ARCHITECTURE section 4.
"""

from __future__ import annotations

import os
from multiprocessing.connection import Connection

from observe.app.calling import Calling
from observe.errors import SourceError
from observe.schema import Detected, Evidence


class Detecting(Calling):
    """The core's end: `detect(name, evidence)` is answered by the child, one call at a time."""

    def __init__(self, patience_s: float = 300.0) -> None:
        super().__init__("detect", patience_s)

    def detect(self, name: str, evidence: Evidence) -> Detected:
        """What detector `name` says about `evidence`.

        Raises:
            SourceError: the child fell or the detector failed; nothing was changed, try again.
        """
        with self.line() as line:
            line.say((name, evidence))
            ok, answer = line.hear()
        if not ok:
            raise SourceError(f"detector {name} failed: {answer}")
        return answer  # type: ignore[no-any-return]


def serve(connection: Connection) -> None:
    """Answer calls until the core goes away."""
    from observe.registry import plugin

    while True:
        try:
            name, evidence = connection.recv()
        except (OSError, EOFError):
            return
        try:
            answer = (True, plugin("observe.detectors", name).detect(evidence))
        except Exception as error:  # noqa: BLE001 - the boundary of a child: told to the core, never fatal
            answer = (False, f"{type(error).__name__}: {error}")
        connection.send(answer)


if __name__ == "__main__":
    serve(Connection(int(os.environ["OBSERVE_FD"])))
