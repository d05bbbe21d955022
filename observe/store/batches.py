"""A group of batches becomes one transaction: rows, ledger lines, receipts.

Source: our own; ARCHITECTURE section 3.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

import duckdb

from observe.clock import Clock
from observe.schema import Receipt
from observe.store.database import Database
from observe.store.entry import Entry
from observe.store.journal import Commit, Journal
from observe.store.ledger import WHOLE, BatchKey, Ledger, Line
from observe.store.rows import Part
from observe.store.writer import Outcome, Writer


class Batches:
    """Stores groups of batches; used by the committer's thread only."""

    def __init__(self, database: Database, writer: Writer, ledger: Ledger, journal: Journal, clock: Clock) -> None:
        self._database, self._writer, self._clock = database, writer, clock
        self._ledger, self._journal = ledger, journal

    def store(self, entries: Sequence[Entry], doubt: bool) -> list[Receipt]:
        """Receipts of `entries`, stored in one transaction; those in the ledger are not stored again.

        Args:
            entries: at least one.
            doubt: an earlier try may have stored them; then the receipt is the one they got there.
        """
        now = self._clock.now()
        with self._database.change() as cursor:
            seq = self._database.seq
            known = self._ledger.recall(cursor, list({(e.source, e.batch_id) for e in entries}), doubt=doubt)
            told = {key for key in known if self._ledger.remembers(key)}  # duplicates, whatever went wrong since
            new: dict[BatchKey, Entry] = {}
            for entry in entries:
                if (entry.source, entry.batch_id) not in known:
                    new.setdefault((entry.source, entry.batch_id), entry)
            outcomes = self._write(cursor, list(new.values()), seq, now)
            if new:
                self._ledger.record(cursor, [x for e in new.values() for x in _lines(e, outcomes)], seq, now)
                rows, sources = sum(o.stored for o in outcomes.values()), tuple(sorted({s for s, _ in new}))
                self._writer.learn(lambda at: self._journal.note(Commit(seq, now, len(new), rows, sources)))
            self._writer.learn(lambda at: self._ledger.remember(list(new), at))
        receipts = []
        for entry in entries:
            key = (entry.source, entry.batch_id)
            if new.get(key) is entry:
                receipts.append(_receipt(entry, outcomes, seq))
            elif doubt and key in known and key not in told:
                receipts.append(known[key])
            else:
                receipts.append(_repeated(entry, known[key].seq if key in known else seq))
        return receipts

    def _write(
        self, cursor: duckdb.DuckDBPyConnection, entries: Sequence[Entry], seq: int, now: datetime
    ) -> dict[int, Outcome]:
        """What became of every part, by `id` of the part."""
        by_key: dict[str, list[Part]] = defaultdict(list)
        for entry in entries:
            for part in entry.parts:
                by_key[part.key].append(part)
        outcomes: dict[int, Outcome] = {}
        for parts in by_key.values():
            found = self._writer.write(cursor, parts, seq, now)
            outcomes.update((id(p), o) for p, o in zip(parts, found, strict=True))
        return outcomes


def _lines(entry: Entry, outcomes: dict[int, Outcome]) -> list[Line]:
    batch = (entry.source, entry.batch_id)
    lines = [Line(batch, p.key, (o := outcomes[id(p)]).stored, o.checksum, o.rejected) for p in entry.parts]
    if entry.rejected or not lines:
        lines.append(Line(batch, WHOLE, 0, "", entry.rejected))
    return lines


def _receipt(entry: Entry, outcomes: dict[int, Outcome], seq: int) -> Receipt:
    rejected: dict[str, int] = defaultdict(int)
    notes: dict[str, int] = defaultdict(int)
    examples: dict[str, str] = {}
    for part in entry.parts:
        outcome = outcomes[id(part)]
        for reason, count in outcome.rejected.items():
            rejected[reason] += count
        for reason, count in outcome.notes.items():
            notes[reason] += count
        examples.update(outcome.examples)
    stored = {p.key: outcomes[id(p)].stored for p in entry.parts if outcomes[id(p)].stored}
    return Receipt(entry.batch_id, seq, stored, dict(rejected), notes=dict(notes), examples=examples)


def _repeated(entry: Entry, seq: int) -> Receipt:
    """The receipt of a batch that was stored before: nothing of this copy is."""
    rejected = {"duplicate": entry.rows} if entry.rows else {}
    return Receipt(entry.batch_id, seq, {}, rejected, duplicate=True)
