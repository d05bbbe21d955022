"""A call that two processes tell, a client and the gateway it asked, is one attempt.

Both export their spans apart, so that no body shows which is the outer one. Two spans tell the same
call when trace, operation and the provider's id of the answer are equal and their times overlap; two
answers from a cache, one after the other, share the id but not the time. The first to come stays. The
second is kept as well when it brings a cost or a team that the first did not know; so cost counts once
whichever comes first. What came is remembered for an hour or two, of the last 50,000 calls at least.

Source: our own; `collectors.spans` does the same inside one body, where the outer span stays.
Assumes: clocks of client and gateway differ by less than the call took.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Literal

import polars as pl

from observe.schema import Parsed

KEPT: Final = timedelta(hours=1)  # at least, and at most twice this
CALLS: Final = 50_000  # likewise; one takes about 300 bytes
# hash of its attempt, start and end, us, and what it knows: 1 cost, 2 team. Python's hashes of text are keyed
# by process, so that nobody outside can make two calls look like one.
_Told = tuple[int, int, int, int]
Mine = Mapping[int, int]  # hashes of calls that a body was the first to tell, and of their attempts


class Twins:
    """Calls told lately; safe to call from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._young: dict[int, _Told] = {}
        self._old: dict[int, _Told] = {}
        self._since: datetime | None = None

    def once(self, parsed: Parsed, now: datetime) -> tuple[Parsed, Mine]:
        """The same without attempts that another span told, which are counted as `told_twice`.

        Args:
            parsed: of OTLP spans.
            now: aware UTC.

        Returns:
            What to store, and what to `forget` if it is not stored.
        """
        rows = parsed.tables.get("attempt")
        if rows is None:
            return parsed, {}
        mine: dict[int, int] = {}
        with self._lock:
            self._turn(now)
            found = {i: self._twin(call, told, mine) for i, call, told in _calls(rows)}
        twins = [i for i, what in found.items() if what == "twin"]
        kept = sum(what == "kept" for what in found.values())
        if not twins and not kept:
            return parsed, mine
        tables = {**parsed.tables, "attempt": rows.filter(~pl.int_range(pl.len()).is_in(twins))}
        rejected = {**parsed.rejected, "told_twice": len(twins)} if twins else parsed.rejected
        notes = {**parsed.notes, "told_twice_kept": kept} if kept else parsed.notes
        return replace(parsed, tables=tables, rejected=rejected, notes=notes), mine

    def _twin(self, call: int, told: _Told, mine: dict[int, int]) -> Literal["first", "twin", "kept"]:
        """Whether a span is the first to tell a call, another that adds nothing, or one that adds something."""
        first = self._young.get(call) or self._old.get(call)
        if first is None or not (first[1] <= told[2] and told[1] <= first[2]):
            self._young[call], mine[call] = told, told[0]
            return "first"
        if first[0] == told[0]:  # the same span, sent again: the store knows
            return "first"
        if not told[3] & ~first[3]:
            return "twin"
        self._young[call] = (told[0], min(first[1], told[1]), max(first[2], told[2]), first[3] | told[3])
        return "kept"

    def forget(self, mine: Mine) -> None:
        """Calls whose rows were not stored: who tells them next is the first."""
        with self._lock:
            for call, attempt in mine.items():
                for told in (self._young, self._old):
                    if call in told and told[call][0] == attempt:
                        del told[call]

    def _turn(self, now: datetime) -> None:
        if self._since is None or now - self._since >= KEPT or len(self._young) >= CALLS:
            self._old = {} if self._since is None or now - self._since >= 2 * KEPT else self._young
            self._young, self._since = {}, now


def _calls(rows: pl.DataFrame) -> Iterator[tuple[int, int, _Told]]:
    """Of each attempt that names trace and answer: its place, the hash of its call, and what it tells.

    In plain Python, as bodies are small and this runs in the event loop: each of Polars' questions to its
    threads costs .1 ms, and waits for a processor when others have them all.
    """
    names = ("trace_id", "response_id", "operation", "attempt_id", "cost_known", "team_id")
    columns = [rows[name].to_list() for name in names]
    times = [rows[name].to_physical().to_list() for name in ("ts_start", "ts")]
    for i, (trace, response, operation, attempt, cost, team, start, end) in enumerate(
        zip(*columns, *times, strict=True)
    ):
        if trace is not None and response is not None:
            knows = (1 if cost else 0) | (2 if team is not None else 0)
            yield i, hash((trace, response, operation)), (hash(attempt), start, end, knows)
