"""Summaries made in a process of their own: rows go over as Arrow, whole small transactions come back.

The child (`observe.app.summarising` behind `observe.lifeline`) runs `observe.summaries.close` on the core's
store from afar. It is niced and holds no database, so that catching up with a month costs intake
neither processor nor the interpreter; it may fall at any time: what was not committed is made again.

Source: our own; ARCHITECTURE section 4. In the core's own threads a catch-up of a month held the
writer lock for up to 5.6 s and the event loop for 0.5 s (`bench.isolation`).
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import polars as pl

from observe.app.calling import Calling
from observe.errors import ObserveError, SourceError
from observe.schema import Json, Noun, Window
from observe.summaries import GENTLE, Closed, close

if TYPE_CHECKING:
    from observe.spec import Config
    from observe.store import Store


class Summarising(Calling):
    """The core's end: `close` is done by the child, whose questions are answered from `store` meanwhile."""

    def __init__(self, store: Store, patience_s: float = 300.0) -> None:
        super().__init__("summarise", patience_s)
        self._store = store
        self._told: Config | None = None  # the configuration that the child of now has

    def channel(self) -> tuple[int, ...]:
        """A new channel for a (re)started child; returns the descriptor the child inherits."""
        self._told = None
        return super().channel()

    def close(self, config: Config, now: datetime) -> Closed:
        """Summarise some of the windows that have closed by `now`, gently; see `observe.summaries.close`.

        Raises:
            SourceError: the child fell; what it had committed stays, the rest is made the next time.
        """
        with self.line() as line:
            line.say((None if config is self._told else config, now))
            while True:
                verb, *asked = line.hear()
                if verb == "closed":
                    self._told = config
                    return asked[0]  # type: ignore[no-any-return]
                if verb == "failed":
                    raise SourceError(f"summaries failed: {asked[0]}")
                line.say(self._answer(verb, asked))

    def _answer(self, verb: str, asked: Sequence[Any]) -> tuple[bool, Any]:
        try:
            if verb == "change":
                self._write(asked[0])
                return True, None
            answers: Mapping[str, Callable[..., Any]] = {
                "read": self._store.read_ipc, "state": self._store.state, "watermark": self._store.watermark,
            }  # fmt: skip
            return True, answers[verb](*asked)
        except ObserveError as error:
            return False, error

    def _write(self, steps: Sequence[tuple[str, tuple[Any, ...]]]) -> None:
        with self._store.change() as tx:
            writes: Mapping[str, Callable[..., object]] = {
                "insert": tx.insert, "state": tx.set_state,
                "frame": lambda table, ipc: tx.insert_frame(table, pl.read_ipc_stream(io.BytesIO(ipc))),
            }  # fmt: skip
            for kind, content in steps:
                writes[kind](*content)


class _Steps:
    """A transaction as it is written down in the child."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, tuple[Any, ...]]] = []

    def insert(self, nouns: Sequence[Noun]) -> None:
        """Append nouns of one class."""
        self.steps.append(("insert", (list(nouns),)))

    def insert_frame(self, table: str, frame: pl.DataFrame) -> None:
        """Append rows of a table."""
        stream = io.BytesIO()
        frame.write_ipc_stream(stream)
        self.steps.append(("frame", (table, stream.getvalue())))

    def set_state(self, key: str, value: Json, judged_until: datetime | None = None) -> None:
        """Keep how far a stage came."""
        self.steps.append(("state", (key, value, judged_until)))


class FarStore:
    """The core's store as the child sees it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _ask(self, *request: object) -> Any:
        self._connection.send(request)
        ok, answer = self._connection.recv()
        if not ok:
            raise answer
        return answer

    def read(self, sql: str, params: Mapping[str, Any] | None = None, window: Window | None = None) -> pl.DataFrame:
        """Rows that answer `sql`."""
        return pl.read_ipc_stream(io.BytesIO(self._ask("read", sql, params, window)))

    def state(self, keys: Sequence[str] | None = None) -> Mapping[str, Json]:
        """What was kept by `set_state`."""
        return self._ask("state", keys)  # type: ignore[no-any-return]

    def watermark(self) -> datetime | None:
        """When the newest row was stored."""
        return self._ask("watermark")  # type: ignore[no-any-return]

    @contextmanager
    def change(self) -> Iterator[_Steps]:
        """One writing transaction, committed by the core when the block ends."""
        written = _Steps()
        yield written
        self._ask("change", written.steps)


def serve(connection: Connection) -> None:
    """Answer calls until the core goes away."""
    config: Config | None = None
    store = FarStore(connection)
    while True:
        try:
            given, now = connection.recv()
        except (OSError, EOFError):
            return
        config = given or config
        try:
            assert config is not None
            answer: tuple[str, Any] = ("closed", close(store, config, now, GENTLE))
        except Exception as error:  # noqa: BLE001 - the boundary of a child: told to the core, never fatal
            answer = ("failed", f"{type(error).__name__}: {error}")
        connection.send(answer)


if __name__ == "__main__":
    serve(Connection(int(os.environ["OBSERVE_FD"])))
