"""A backup is one moment of the store, made while it works; a restore checks every byte first."""

import json
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from observe.errors import StoreError, UsageError
from observe.schema import KeptReport
from observe.store import Store
from observe.store.checksums import checksum
from observe.store.restoring import restore


@pytest.fixture
def sealed(store, attempts, noon) -> Store:
    store.append(attempts("old", ago=timedelta(hours=3)))
    store.seal(noon)
    store.append(attempts("hot"))
    return store


def ids(store: Store) -> list[str]:
    return store.read("SELECT attempt_id AS id FROM attempt ORDER BY 1")["id"].to_list()


def test_a_restored_backup_is_the_store_of_that_moment(sealed, tmp_path, clock, attempts) -> None:
    made = sealed.backup(tmp_path / "b")
    before = ids(sealed)
    sealed.append(attempts("later"))

    restore(tmp_path / "b", tmp_path / "r")
    again = Store.open(tmp_path / "r", clock)

    assert ids(again) == before
    assert made.rows["attempt"] == 6
    assert again.verify().damages == []
    assert again.append(attempts("hot")).duplicate
    again.close()


@pytest.mark.slow
def test_the_service_goes_on_and_seals_while_it_is_copied(sealed, tmp_path, clock, attempts, noon) -> None:
    stop, sent = threading.Event(), []

    def work() -> None:
        while not stop.is_set():
            sealed.append(attempts(f"n{len(sent)}", ago=timedelta(hours=1)))
            sent.append(len(sent))
            sealed.seal(noon)

    beside = threading.Thread(target=work)
    beside.start()
    try:
        for number in range(5):
            acknowledged = len(sent)
            sealed.backup(tmp_path / f"b{number}")
            restore(tmp_path / f"b{number}", tmp_path / f"r{number}")
            again = Store.open(tmp_path / f"r{number}", clock)
            found = ids(again)
            assert {f"n{n}-0" for n in range(acknowledged)} <= set(found)
            assert len(found) == len(set(found))
            assert again.verify().damages == []
            again.close()
    finally:
        stop.set()
        beside.join()


def test_another_disk_gets_copies(sealed, tmp_path, clock, monkeypatch) -> None:
    monkeypatch.setattr("observe.store.backup._links", lambda *_: False)

    sealed.backup(tmp_path / "b")

    copies = list((tmp_path / "b" / "lake").rglob("*.parquet"))
    assert copies
    assert {p.stat().st_nlink for p in copies} == {1}
    assert list((sealed.path / "tmp").glob("backup-*")) == []


def test_an_occupied_folder_and_one_inside_are_refused(sealed, tmp_path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a").touch()

    with pytest.raises(UsageError, match="mine is not empty"):
        sealed.backup(tmp_path / "mine")
    with pytest.raises(UsageError, match="lies in the data directory"):
        sealed.backup(sealed.path / "backup")


def test_a_folder_that_cannot_be_made_is_told_as_one_and_a_new_disk_is_empty(sealed, tmp_path, clock) -> None:
    with pytest.raises(UsageError, match=r"/proc/nowhere cannot be made: .*; give a folder that this user may write"):
        sealed.backup(Path("/proc/nowhere"))
    for disk in ("copy", "data2"):
        (tmp_path / disk / "lost+found").mkdir(parents=True)
    sealed.backup(tmp_path / "copy")
    restore(tmp_path / "copy", tmp_path / "data2")

    with closing(Store.open(tmp_path / "data2", clock, must_exist=True)) as opened:
        assert opened.read("select count(*) as n from attempt").item() > 0
    assert all((tmp_path / disk / "lost+found").is_dir() for disk in ("copy", "data2"))


def test_a_backup_that_fails_leaves_nothing(sealed, tmp_path) -> None:
    next((sealed.path / "lake" / "attempt").rglob("*.parquet")).unlink()

    with pytest.raises(StoreError, match="no backup was made"):
        sealed.backup(tmp_path / "b")

    assert list((tmp_path / "b").iterdir()) == []
    assert sealed.read("SELECT database_name AS n FROM duckdb_databases() WHERE path IS NOT NULL")["n"].to_list() == [
        "observe"
    ]


def test_a_changed_byte_of_a_backup_is_refused_before_anything_is_written(sealed, tmp_path) -> None:
    sealed.backup(tmp_path / "b")
    for file in (p for p in (tmp_path / "b").rglob("*") if p.is_file() and p.name != "backup.json"):
        whole = file.read_bytes()
        file.unlink()  # it may be linked to the store's own
        file.write_bytes(whole[:50] + b"x" + whole[51:])

        with pytest.raises(StoreError, match=r"1 of \d+ files are missing or damaged"):
            restore(tmp_path / "b", tmp_path / "r")

        assert not (tmp_path / "r").exists()
        file.write_bytes(whole)
    restore(tmp_path / "b", tmp_path / "r")


@pytest.mark.parametrize("change", [
    {"format": 2}, {"schema_version": 99}, {"files": {"../x": {"sha256": "", "bytes": 0}}}, {"rows": None, "files": 3},
])  # fmt: skip
def test_a_list_that_we_did_not_write_is_refused(sealed, tmp_path: Path, change) -> None:
    sealed.backup(tmp_path / "b")
    listed = tmp_path / "b" / "backup.json"
    listed.write_text(json.dumps(json.loads(listed.read_text()) | change))

    with pytest.raises(UsageError):
        restore(tmp_path / "b", tmp_path / "r")


def test_an_unfinished_backup_and_an_occupied_directory_are_refused(sealed, tmp_path) -> None:
    sealed.backup(tmp_path / "b")
    with pytest.raises(UsageError, match="is not empty"):
        restore(tmp_path / "b", sealed.path)
    (tmp_path / "b" / "backup.json").unlink()

    with pytest.raises(UsageError, match=r"holds no backup\.json"):
        restore(tmp_path / "b", tmp_path / "r")


def test_links_that_a_killed_backup_left_are_forgotten_at_the_next_start(sealed, clock) -> None:
    file = next((sealed.path / "lake").rglob("*.parquet"))
    left = sealed.path / "tmp" / "backup-0123456789ab" / "lake"
    left.mkdir(parents=True)
    (left / file.name).hardlink_to(file)
    sealed.close()

    again = Store.open(sealed.path, clock)

    assert not left.parent.exists()
    assert file.stat().st_nlink == 1
    again.close()


def test_a_second_backup_at_once_is_told_so_and_the_first_is_whole(sealed, tmp_path) -> None:
    first = threading.Thread(target=sealed.backup, args=[tmp_path / "b"])
    with sealed._sealing:  # the first one waits here for its files
        first.start()
        while not sealed._backing.locked():
            first.join(0.01)
        with pytest.raises(StoreError, match="another backup of this data directory is running"):
            sealed.backup(tmp_path / "b")
    first.join()

    restore(tmp_path / "b", tmp_path / "r")


@pytest.fixture
def told(store, noon) -> Store:
    """A store with a report in two files, one that could not be made, and a rest that no row names."""
    folder = store.path / "reports" / "hand-1"
    (store.path / "reports" / "hand-2.making").mkdir(parents=True)
    folder.mkdir()
    (folder / "report.html").write_text("<p>quiet</p>")
    (folder / "report.md").write_text("quiet")
    files = ("report.html", "report.md")
    sums = tuple(checksum(folder / name) for name in files)
    made = KeptReport("hand-1", None, "m", noon - timedelta(days=7), noon, noon, "quiet", "Quiet", files, None, sums)
    failed = KeptReport("hand-0", None, "m", noon - timedelta(days=7), noon, noon, "unknown", "", (), "disk full")
    with store.change() as change:
        change.insert([made, failed])
    return store


def test_the_files_of_reports_are_in_a_backup_and_come_back_with_their_rows(told, tmp_path, clock) -> None:
    made = told.backup(tmp_path / "b")
    restore(tmp_path / "b", tmp_path / "r")
    again = Store.open(tmp_path / "r", clock)

    assert {n for n in made.files if n.startswith("reports")} == {
        "reports/hand-1/report.html",
        "reports/hand-1/report.md",
    }
    assert (tmp_path / "r" / "reports" / "hand-1" / "report.html").read_text() == "<p>quiet</p>"
    assert again.read("SELECT count(*) FROM report").item() == 2
    assert (again.verify().damages, again.verify().checked["reports"]) == ([], 1)
    again.close()


def test_a_report_whose_file_changed_or_is_gone_is_told_by_verify_and_stops_no_backup(told, tmp_path) -> None:
    page, text = (told.path / "reports" / "hand-1" / name for name in ("report.html", "report.md"))
    page.write_text("<p>drift</p>")
    text.unlink()

    damages = told.verify().damages
    told.backup(tmp_path / "b")

    assert [(d.kind, d.subject) for d in damages] == [
        ("report", "reports/hand-1/report.html"),
        ("report", "reports/hand-1/report.md"),
    ]
    assert damages[0].said == "its bytes changed since it was made (sha256)"
    assert damages[1].said == "it cannot be read: No such file or directory"
    assert "observe report MODEL" in damages[0].todo
    assert [p.name for p in (tmp_path / "b" / "reports" / "hand-1").iterdir()] == ["report.html"]


def test_a_report_of_before_there_were_checksums_is_looked_for(told) -> None:
    with told.change() as change:
        change.execute("UPDATE core.report SET sha256 = NULL")
    (told.path / "reports" / "hand-1" / "report.html").write_text("who knows")

    report = told.verify()

    assert report.damages == []
    assert "1 reports were made before checksums were kept" in report.notes[0]
