"""The journal remembers what was acknowledged, torn lines and all."""

from datetime import UTC, datetime
from pathlib import Path

from observe.store import journal
from observe.store.journal import Commit, Journal, lost

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


def commit(seq: int) -> Commit:
    return Commit(seq, AT, 2, 20, ("otlp", "a source"))


def opened(folder: Path) -> Journal:
    made = Journal(folder)
    made.restart()
    return made


def test_what_was_noted_is_read(tmp_path: Path) -> None:
    made = opened(tmp_path)
    for seq in (1, 2, 5):
        made.note(commit(seq))
    made.close()

    assert Journal(tmp_path).read() == [commit(1), commit(2), commit(5)]


def test_a_torn_line_is_left_out_and_the_next_is_whole(tmp_path: Path) -> None:
    made = opened(tmp_path)
    made.note(commit(1))
    with (tmp_path / "journal").open("ab") as stream:
        stream.write(b'\n[2, "2026-11')
    made.note(commit(3))
    made.close()

    assert [c.seq for c in Journal(tmp_path).read()] == [1, 3]


def test_it_does_not_grow_without_bound(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(journal, "FILE_BYTES", 1000)
    made = opened(tmp_path)
    for seq in range(200):
        made.note(commit(seq))
    made.close()

    assert sum(p.stat().st_size for p in tmp_path.iterdir()) < 2400
    assert Journal(tmp_path).read()[-1].seq == 199
    assert len(Journal(tmp_path).read()) > 10


def test_lost_is_what_the_ledger_lacks_and_has_not_trimmed() -> None:
    noted = [commit(seq) for seq in (1, 2, 3, 4, 5)]

    assert [c.seq for c in lost(noted, frozenset({2, 4}), 2)] == [3, 5]
    assert [c.seq for c in lost(noted, frozenset(), None)] == [1, 2, 3, 4, 5]
    assert lost(noted, frozenset({1, 2, 3, 4, 5}), 1) == []
