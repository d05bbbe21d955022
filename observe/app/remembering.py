"""A store that one writer keeps in mind: states stay in memory, small tables are read once, rows are written together.

For a replay, in which nobody else writes and nobody waits for a commit. Every stop of it asks again
for what seldom changes, and writes a few rows in many transactions; both cost more than what is
judged. Whoever reads a table sees all that was written to it: what waits is written first.

Source: our own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from observe.clock import Clock
from observe.schema import Batch, Json, Noun, Window

if TYPE_CHECKING:
    import polars as pl

    from observe.store import Store

SMALL: Final = frozenset(
    {"alert", "incident", "explanation", "action", "binning", "command", "reference_window"}
)  # written rarely
_DECIDED: Final = frozenset({"model_table", "feature_column"})  # written when predictions with new features come
_WORD: Final = re.compile(r"\w+")
_FROM: Final = re.compile(r"\b(?:from|join)\s+([\w.\"]+)", re.IGNORECASE)
_KEPT: Final = 2_000  # answers, at most


class Noted:
    """A transaction: what it writes is kept in mind when its block ends."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, pl.DataFrame]] = []
        self.states: dict[str, tuple[Json, datetime | None]] = {}

    def insert(self, nouns: Sequence[Noun]) -> None:
        """Append nouns of any classes."""
        from observe.schema.exchange import nouns_frame

        for table in dict.fromkeys(noun.table_name for noun in nouns):
            self.insert_frame(table, nouns_frame([noun for noun in nouns if noun.table_name == table]))

    def insert_frame(self, table: str, frame: pl.DataFrame) -> None:
        """Append rows of a table."""
        self.rows.append((table, frame))

    def set_state(self, key: str, value: Json, judged_until: datetime | None = None) -> None:
        """Keep `value` as the state of `key`."""
        self.states[key] = (value, judged_until)

    def set_states(self, values: Mapping[str, Json], judged_until: datetime | None = None) -> None:
        """Keep many states at once."""
        self.states |= {key: (value, judged_until) for key, value in values.items()}


class Remembering:
    """The store as stages use it; `flush` writes what waits.

    Args:
        store: written by nobody else.
        clock: of the store.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._states: dict[str, Json] = dict(store.state())
        self._judged = dict(store.judged_until())
        self._changed: set[str] = set()  # states that are not written yet
        self._waiting: dict[str, list[pl.DataFrame]] = {}
        self._answers: dict[tuple[str, str], pl.DataFrame] = {}
        self._empty = {table for table in SMALL if not store.read(f"select count(*) as n from {table}").item()}
        self._at = store.watermark()

    def read(self, sql: str, params: Mapping[str, Any] | None = None, window: Window | None = None) -> pl.DataFrame:
        """Rows that answer `sql`."""
        asked = _tables(sql)
        if not asked or not asked <= SMALL | _DECIDED:
            self._write(set(_WORD.findall(sql)))
            return self._store.read(sql, params, window)
        name = (sql, "" if asked <= self._empty else repr(params))  # tables without rows answer whatever is asked
        if name not in self._answers:
            self._write(asked)
            if len(self._answers) >= _KEPT:
                self._answers.clear()
            self._answers[name] = self._store.read(sql, params, window)
        return self._answers[name]

    def state(self, keys: Sequence[str] | None = None) -> Mapping[str, Json]:
        """What was kept by `set_state`."""
        wanted = self._states if keys is None else keys
        return {key: self._states[key] for key in wanted if key in self._states}

    def judged_until(self) -> Mapping[str, datetime]:
        """Event time up to which each state has judged, of those that say so."""
        return dict(self._judged)

    def watermark(self) -> datetime | None:
        """When the newest row was stored or kept."""
        return max((at for at in (self._at, self._store.watermark()) if at is not None), default=None)

    @contextmanager
    def change(self) -> Iterator[Noted]:
        """One transaction; nothing of it holds when the block raises."""
        noted = Noted()
        yield noted
        self._at = self._clock.now()
        for table, frame in noted.rows:
            self._waiting.setdefault(table, []).append(frame)
            self._forget(table)
        for key, (value, judged_until) in noted.states.items():
            self._states[key] = value
            self._changed.add(key)
            if judged_until is not None:
                self._judged[key] = judged_until

    def append(self, batch: Batch) -> None:
        """Store `batch`."""
        self._store.append(batch)
        self._forget(*_DECIDED)

    def flush(self) -> None:
        """Write all that waits."""
        self._write(set(self._waiting))
        with self._store.change() as tx:
            for key in sorted(self._changed):
                tx.set_state(key, self._states[key], self._judged.get(key))
        self._changed.clear()

    def _forget(self, *tables: str) -> None:
        """Answers about tables that were written to."""
        self._empty -= set(tables)
        self._answers = {name: rows for name, rows in self._answers.items() if _tables(name[0]).isdisjoint(tables)}

    def _write(self, words: Set[str]) -> None:
        """What waits for the tables among `words`."""
        if not words & self._waiting.keys():
            return
        import polars as pl

        with self._store.change() as tx:
            for table, frames in self._waiting.items():
                tx.insert_frame(table, pl.concat(frames, how="diagonal"))
        self._waiting.clear()


@cache
def _tables(sql: str) -> frozenset[str]:
    """The relations that a query names, without their schema."""
    return frozenset(name.rpartition(".")[2] for name in _FROM.findall(sql))
