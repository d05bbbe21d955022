"""Outgoing reads: one deadline, one cap, no other host; watched files give what is new."""

from __future__ import annotations

import gzip
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from collectors import pull
from observe.errors import PayloadTooLarge, SourceError

PAGE = b"up 1\n" * 1000


class Target(BaseHTTPRequestHandler):
    """A target with good and bad habits, by path."""

    stop = threading.Event()

    def do_GET(self) -> None:
        getattr(self, self.path.strip("/").replace("-", "_"))()

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def plain(self) -> None:
        self.answer(PAGE)

    def zipped(self) -> None:
        self.answer(gzip.compress(PAGE), content_encoding="gzip")

    def bomb(self) -> None:
        self.answer(gzip.compress(bytes(8 * 2**20)), content_encoding="gzip")

    def torn(self) -> None:
        self.answer(gzip.compress(PAGE)[:-9], content_encoding="gzip")

    def odd(self) -> None:
        self.answer(b"x", content_encoding="br")

    def missing(self) -> None:
        self.answer(b"", 404)

    def moved(self) -> None:
        self.answer(b"", 302, location="/plain")

    def round_and_round(self) -> None:
        self.answer(b"", 302, location="/round-and-round")

    def elsewhere(self) -> None:
        self.answer(b"", 302, location="http://192.0.2.1/metrics")

    def endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.stop.is_set():
            try:
                self.wfile.write(PAGE)
            except OSError:
                return

    def slow(self) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.stop.wait(0.05):
            try:
                self.wfile.write(b"#")
                self.wfile.flush()
            except OSError:
                return

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def served() -> Iterator[str]:
    Target.stop.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Target)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        Target.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with served() as address:
        yield address


@pytest.mark.parametrize("path", ["plain", "zipped", "moved"])
def test_a_page_is_read_plain_compressed_or_moved_on_the_same_host(target: str, path: str) -> None:
    assert pull.get(f"{target}/{path}") == PAGE


@pytest.mark.parametrize("path", ["endless", "bomb"])
def test_a_body_larger_than_the_cap_is_refused(target: str, path: str) -> None:
    with pytest.raises(PayloadTooLarge, match="65536 bytes"):
        pull.get(f"{target}/{path}", max_bytes=65_536)


def test_a_body_of_exactly_the_cap_is_taken(target: str) -> None:
    assert len(pull.get(f"{target}/zipped", max_bytes=len(PAGE))) == len(PAGE)


def test_a_target_that_dribbles_is_cut_at_the_deadline(target: str) -> None:
    with pytest.raises(SourceError, match=r"no complete answer within 0\.4 s"):
        pull.get(f"{target}/slow", deadline_s=0.4)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("missing", "404"),
        ("elsewhere", "another host"),
        ("round-and-round", "redirects"),
        ("torn", "too early"),
        ("odd", "encoding 'br'"),
    ],
)
def test_an_answer_that_is_no_page_says_what_it_is(target: str, path: str, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        pull.get(f"{target}/{path}")


@pytest.mark.parametrize("url", ["file:///etc/hostname", "http://127.0.0.1:1/metrics", "http://[::bad/"])
def test_an_address_that_cannot_be_read_is_a_source_error(url: str) -> None:
    with pytest.raises(SourceError):
        pull.get(url)


def read_new(folder: Path, seen: dict[str, str]) -> list[tuple[str, bytes]]:
    """What a caller does: read, store, remember."""
    found = []
    for file in pull.tail(str(folder / "**/*"), seen):
        found.append((Path(file.path).name, file.read()))
        seen[file.path] = file.fingerprint
    return found


def test_a_file_is_new_once_and_again_when_it_changes(tmp_path: Path) -> None:
    seen: dict[str, str] = {}
    file = tmp_path / "day.parquet"
    file.write_bytes(b"one")
    first, quiet = read_new(tmp_path, seen), read_new(tmp_path, seen)
    file.write_bytes(b"three")

    assert (first, quiet, read_new(tmp_path, seen)) == ([("day.parquet", b"one")], [], [("day.parquet", b"three")])


def test_lines_added_to_a_file_are_read_once_and_whole(tmp_path: Path) -> None:
    seen: dict[str, str] = {}
    file = tmp_path / "log.ndjson"
    read = []
    for more in (b'{"a": 1}\n', b'{"a": 2}\n{"a"', b": 3}\n", b'{"a": 4}'):
        with file.open("ab") as log:
            log.write(more)
        read += [data for _, data in read_new(tmp_path, seen)]

    assert read == [b'{"a": 1}\n', b'{"a": 2}\n', b'{"a": 3}\n', b'{"a": 4}']


def test_a_file_of_lines_written_anew_is_read_from_its_start(tmp_path: Path) -> None:
    seen: dict[str, str] = {}
    file = tmp_path / "log.ndjson"
    file.write_bytes(b'{"a": 1}\n')
    read_new(tmp_path, seen)
    file.write_bytes(b'{"b": 1}\n{"b": 2}\n')

    assert read_new(tmp_path, seen) == [("log.ndjson", b'{"b": 1}\n{"b": 2}\n')]


def test_unfinished_hidden_and_empty_files_wait(tmp_path: Path) -> None:
    for name in ("a.parquet.tmp", ".b.parquet", "c.part"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "empty.parquet").touch()

    assert read_new(tmp_path, {}) == []


def test_files_come_oldest_change_first_with_type_and_repeatable_id(tmp_path: Path) -> None:
    for name, age in (("a.csv", 10), ("sub/b.parquet", 30), ("c.ndjson", 20)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x\n")
        os.utime(path, (1_700_000_000 - age,) * 2)
    first, again = (list(pull.tail(str(tmp_path / "**/*"), {})) for _ in range(2))

    assert [f.content_type for f in first] == ["application/vnd.apache.parquet", "application/x-ndjson", "text/csv"]
    assert [f.batch_id for f in first] == [f.batch_id for f in again]


def test_a_file_cut_short_between_finding_and_reading_says_so(tmp_path: Path) -> None:
    file = tmp_path / "day.parquet"
    file.write_bytes(b"12345")
    (found,) = pull.tail(str(file), {})
    file.write_bytes(b"1")

    with pytest.raises(SourceError, match="changed while being read"):
        found.read()
