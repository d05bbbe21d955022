"""A store that one writer keeps in mind: states stay in memory, small tables are read once, rows are written together.

For a replay, in which nobody else writes and nobody waits for a commit. Every stop of it asks again
for what seldom changes or what the stop before has written, and writes a few rows in many transactions;
both cost more than what is judged. Whoever reads a table sees all that was written to it: what waits is
written first, unless the question is one of those that are answered from memory.

Source: our own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from observe.app.evidence import SUMMARIES
from observe.app.explaining import SIGNALS
from observe.app.recent import Recent
from observe.app.stages import FRESH
from observe.clock import Clock
from observe.schema import Batch, Json, Noun, Window

if TYPE_CHECKING:
    import polars as pl

    from observe.store import Store

SMALL: Final = frozenset(
    {"alert", "incident", "explanation", "action", "binning", "command", "reference_window", "scaling_decision"}
)  # written rarely
_DECIDED: Final = frozenset({"model_table", "feature_column"})  # written when predictions with new features come
_WORD: Final = re.compile(r"\w+")
_FROM: Final = re.compile(r"\b(?:from|join)\s+([\w.\"]+)", re.IGNORECASE)
_KEPT: Final = 2_000  # answers, at most
_ARRIVED: Final = "ingested_at >= $seen"  # in questions about rows that came since
_NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
_SIGNAL: Final = ("gpu", "queue", "imbalance")  # kinds of findings that are signals


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
        whole = {table: not store.read(f"select count(*) as n from {table}").item() for table in ("summary", "finding")}
        self._summaries = Recent("summary", "ts", whole["summary"])
        self._findings = Recent("finding", "made_at", whole["finding"])
        self._signals = Recent("finding", "window_end", whole["finding"])
        self._by_heart = {SUMMARIES: self._asked, FRESH: self._fresh, SIGNALS: self._signalled}
        self._came: datetime | None = None  # when rows came last

    def read(self, sql: str, params: Mapping[str, Any] | None = None, window: Window | None = None) -> pl.DataFrame:
        """Rows that answer `sql`."""
        known = self._remembered(sql, params or {}, window)
        if known is not None:
            return known
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

    def _remembered(self, sql: str, params: Mapping[str, Any], window: Window | None) -> pl.DataFrame | None:
        """The answer to what is asked at every stop; None where it is not known."""
        if sql in self._by_heart:
            return self._by_heart[sql](params)
        if _ARRIVED not in sql or self._came is None or params["seen"] <= self._came:
            return None
        name = (sql, "nothing came")
        if name not in self._answers:
            self._answers[name] = self._store.read(sql, {**params, "seen": _NEVER}, window)
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
            self._recall(table, frame)
        for key, (value, judged_until) in noted.states.items():
            self._states[key] = value
            self._changed.add(key)
            if judged_until is not None:
                self._judged[key] = judged_until

    def append(self, batch: Batch) -> None:
        """Store `batch`, and before it what waits: so not much does."""
        self._write(set(self._waiting))
        self._store.append(batch)
        self._came = self._clock.now()
        self._forget(*_DECIDED)

    def flush(self) -> None:
        """Write all that waits."""
        self._write(set(self._waiting))
        with self._store.change() as tx:
            for key in sorted(self._changed):
                tx.set_state(key, self._states[key], self._judged.get(key))
        self._changed.clear()

    def _recall(self, table: str, frame: pl.DataFrame) -> None:
        """Keep rows in mind that are asked for at the next stop."""
        import polars as pl

        if table == "summary":
            self._summaries.add(frame)
        elif table == "finding":
            self._findings.add(frame)
            self._signals.add(frame.filter((pl.col("state") == "alarm") & pl.col("kind").is_in(_SIGNAL)))

    def _asked(self, params: Mapping[str, Any]) -> pl.DataFrame | None:
        """The summaries that evidence is made of."""
        import polars as pl

        rows = self._summaries.since(params["from"])
        if rows is None:
            return None
        within = (pl.col("ts") >= params["from"]) & (pl.col("ts") < params["to"]) & ~pl.col("late")
        return rows.filter(pl.col("measure").is_in(params["m"]) & within).sort("measure", "ts", maintain_order=True)

    def _fresh(self, params: Mapping[str, Any]) -> pl.DataFrame | None:
        """Findings that were made since."""
        rows = self._findings.since(params["u"])
        if rows is None:
            return None
        return rows.filter(rows["made_at"] > params["u"]).sort("made_at", "window_end", "finding_id")

    def _signalled(self, params: Mapping[str, Any]) -> pl.DataFrame | None:
        """Alarms of the fleet."""
        rows = self._signals.since(params["since"])
        return None if rows is None else rows.filter(rows["window_end"] > params["since"]).sort("window_end")

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
