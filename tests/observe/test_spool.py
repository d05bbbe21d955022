"""The spool keeps whole pages in order, within its room, for one process."""

import resource
from contextlib import closing
from pathlib import Path

import pytest

from observe.app.spool import Spool
from observe.errors import UsageError


def waiting(spool: Spool) -> list[bytes]:
    found = []
    while (page := spool.oldest()) is not None:
        found.append(page[1])
        spool.drop(page[0])
    return found


def test_pages_come_back_oldest_first_also_after_a_restart(tmp_path: Path) -> None:
    with closing(Spool(tmp_path / "s")) as first:
        for ms in (1_700_000_000_000, 1_700_000_015_000):
            first.put(ms, str(ms).encode())
    with closing(Spool(tmp_path / "s")) as second:
        second.put(1_700_000_001_000, b"the clock was set back")
        found = (len(second), second.size)

        assert waiting(second) == [b"1700000000000", b"1700000015000", b"the clock was set back"]
    assert (found, second.size) == ((3, 48), 0)


def test_without_room_the_oldest_pages_go_and_are_counted(tmp_path: Path) -> None:
    with closing(Spool(tmp_path / "s", max_bytes=25)) as spool:
        for ms in range(4):
            spool.put(ms, b"0123456789")

    assert (spool.dropped, len(spool), spool.size) == (2, 2, 20)
    assert len(list((tmp_path / "s").glob("*.page.gz"))) == 2


def test_what_a_kill_left_unfinished_is_no_page(tmp_path: Path) -> None:
    (tmp_path / "0000000000000001.page.gz.tmp").write_bytes(b"half")
    with closing(Spool(tmp_path)) as spool:
        assert waiting(spool) == []
    assert list(tmp_path.glob("*.tmp")) == []


def test_a_page_that_somebody_removed_is_passed_over(tmp_path: Path) -> None:
    with closing(Spool(tmp_path)) as spool:
        spool.put(1, b"one")
        spool.put(2, b"two")
        next(tmp_path.glob("*1.page.gz")).unlink()

        assert waiting(spool) == [b"two"]


def test_a_second_agent_is_refused_the_folder(tmp_path: Path) -> None:
    with closing(Spool(tmp_path)), pytest.raises(UsageError, match="another agent uses this spool"):
        Spool(tmp_path)


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match="--spool must be a folder"):
        Spool(tmp_path / "file" / "s")


def test_files_that_are_no_pages_are_left_alone(tmp_path: Path) -> None:
    for name in ("x.page.gz", "1.page.gz", "note.txt"):
        (tmp_path / name).write_bytes(b"mine")
    with closing(Spool(tmp_path)) as spool:
        spool.put(5, b"page")
        assert waiting(spool) == [b"page"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "1.page.gz", "note.txt", "x.page.gz"]


def test_a_page_that_the_disk_does_not_take_leaves_nothing(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with closing(Spool(tmp_path)) as spool:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            for ms in range(3):
                with pytest.raises(OSError, match="too large"):
                    spool.put(ms, b"x" * 10_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert (len(spool), [p.name for p in tmp_path.iterdir()]) == (0, [".lock"])


def test_a_page_that_cannot_be_read_is_counted_and_holds_up_no_other(tmp_path: Path) -> None:
    with closing(Spool(tmp_path)) as spool:
        spool.put(1, b"one")
        spool.put(2, b"two")
        page = next(tmp_path.glob("*1.page.gz"))
        page.unlink()
        page.mkdir()

        assert waiting(spool) == [b"two"]
        assert (spool.dropped, spool.size) == (1, 0)
