"""What the configuration names is tried: targets, receivers, files, addresses, secrets, certificates, room."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic
from urllib.parse import parse_qs, urlsplit

import pytest
from chains import NOW, Authority
from running import free_port

from observe.app.reaching import Look, looks
from observe.app.reaching_own import _room
from observe.cli.check import run as check
from observe.spec import load


class Target(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        if self.path == "/hang":
            server.release.wait(20)  # type: ignore[attr-defined]
        if self.path == "/locked" and self.headers["Authorization"] != "Bearer right":
            self.send_error(401)
            return
        pages = {"/dcgm": server.page, "/large": b'up{i="1"} 1\n' * 20_000, "/html": b"<html>hello</html>\n"}  # type: ignore[attr-defined]
        if self.path.startswith("/spend/logs"):
            self._spend()
            return
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):  # the first bytes were enough
            self.wfile.write(pages.get(self.path, b"OK"))

    def _spend(self) -> None:
        """LiteLLM's spend log: it wants a key, and the bare address does not."""
        if self.headers["Authorization"] != "Bearer right":
            self.send_error(401)
            return
        query = parse_qs(urlsplit(self.path).query)
        page = {"data": [], "total_pages": 7} if query.get("page_size") == ["1"] else []
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(page).encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def target(project: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Target)
    server.page = (project / "tests" / "golden" / "dcgm_h100.prom").read_bytes()  # type: ignore[attr-defined]
    server.release = threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.release.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


def write(folder: Path, collectors: str = "{}", more: str = "", size: str = "1MB", tls: str = "") -> Path:
    site = folder / "observe.yaml"
    ports = [free_port() for _ in range(3)]
    site.write_text(
        f"apiVersion: observe/v1\nkind: Site\nstore: {{path: ./data, size: {size}}}\ncollectors: {collectors}\n{more}\n"
        f'server: {{listen: "127.0.0.1:{ports[0]}", otlp: "127.0.0.1:{ports[1]}", ui: "127.0.0.1:{ports[2]}"{tls}}}\n'
    )
    return site


def tried(site: Path, what: str, seconds: float = 10.0) -> list[Look]:
    return [look for look in looks(load(site), NOW, seconds) if look.what.startswith(what)]


def scraped(folder: Path, *targets: str, more: str = "") -> list[Look]:
    listed = ", ".join(f'"{t}"' for t in targets)
    return tried(write(folder, f"{{a: {{type: prometheus, targets: [{listed}]{more}}}}}"), "collectors.a")


def test_a_page_of_gpus_says_what_it_feeds_and_what_is_switched_off(tmp_path: Path, target: str) -> None:
    (look,) = scraped(tmp_path, f"{target}/dcgm")

    assert look.ok is True
    assert "util_ratio" in look.detail.partition("no series for")[0]
    assert "ecc_dbe_total (DCGM_FI_DEV_ECC_DBE_VOL_TOTAL)" in look.detail.partition("no series for")[2]


def test_of_a_large_page_the_first_part_is_read_and_nothing_is_said_to_be_missing(tmp_path: Path, target: str) -> None:
    (look,) = scraped(tmp_path, f"{target}/large")

    assert "in the first 64 kB" in look.detail
    assert "no series for" not in look.detail


def test_a_page_without_metrics_and_a_target_that_is_away_do_not_pass(tmp_path: Path, target: str) -> None:
    away = f"http://127.0.0.1:{free_port()}/metrics"
    html, gone = scraped(tmp_path, f"{target}/html", away)

    assert (html.ok, gone.ok) == (False, False)
    assert "no sample" in html.detail
    assert "ConnectError" in gone.detail


def test_credentials_are_shown_and_never_told(tmp_path: Path, target: str) -> None:
    secret = tmp_path / "token"
    for text, ok in (("right", True), ("wrong-5f", False), ("", False)):
        secret.write_text(text)
        page, ref = scraped(tmp_path, f"{target}/locked", more=', auth: {bearer: "file:token"}')
        if text == "right":
            assert "401" not in page.detail
        else:
            assert page.ok is ok
        assert ref.ok is bool(text)
        assert "wrong-5f" not in f"{page} {ref}"


@pytest.mark.parametrize("path", ["", "/spend/logs"])
def test_a_spend_log_is_asked_for_rows_so_that_a_wrong_key_does_not_pass(
    tmp_path: Path, target: str, path: str
) -> None:
    site = write(tmp_path, f'{{a: {{type: spendlogs, targets: ["{target}{path}"], auth: {{bearer: "file:token"}}}}}}')
    found = []
    for key in ("right", "wrong"):
        (tmp_path / "token").write_text(key)
        found.append(tried(site, "collectors.a")[0])

    assert [look.ok for look in found] == [True, False]
    assert "spend log" in found[0].detail
    assert "401" in found[1].detail


def test_a_gateway_that_is_none_does_not_pass_as_a_spend_log(tmp_path: Path, target: str) -> None:
    (look,) = tried(write(tmp_path, f'{{a: {{type: spendlogs, targets: ["{target}/html"]}}}}'), "collectors.a")

    assert look.ok is False
    assert "expected JSON" in look.detail


def test_the_gpus_of_this_machine_are_tried_too(tmp_path: Path) -> None:
    (look,) = tried(write(tmp_path, "{a: {type: nvml}}"), "collectors.a")

    assert look.target == "this machine"
    assert ("GPU" in look.detail) if look.ok else ("NVML" in look.detail)


def test_a_store_whose_files_come_and_go_is_measured(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "gone").symlink_to(tmp_path / "nowhere")
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            for i in range(200):
                (tmp_path / "data" / f"{i}.parquet").touch()
            for i in range(200):
                (tmp_path / "data" / f"{i}.parquet").unlink()

    churning = threading.Thread(target=churn)
    churning.start()
    try:
        found = {_room(tmp_path / "data", 1)[0] for _ in range(150)}
    finally:
        stop.set()
        churning.join()

    assert found == {True}


def test_what_hangs_is_given_up_at_the_deadline_and_holds_up_nothing_else(tmp_path: Path, target: str) -> None:
    site = write(tmp_path, f'{{a: {{type: prometheus, targets: ["{target}/hang", "{target}/dcgm"]}}}}')
    begun = monotonic()
    hung, fine = tried(site, "collectors.a", seconds=1.5)

    assert monotonic() - begun < 4
    assert (hung.ok, hung.detail, fine.ok) == (False, "no answer within 1.5 s", True)


def test_alertmanager_is_asked_whether_it_is_ready_and_only_when_we_push(tmp_path: Path, target: str) -> None:
    pushing = write(tmp_path, more=f'alerts: {{alertmanager: ["{target}"]}}')
    assert [(look.ok, look.detail) for look in tried(pushing, "alerts")] == [(True, "ready")]

    assert tried(write(tmp_path, more=f'alerts: {{mode: rules, alertmanager: ["{target}"]}}'), "alerts") == []


def test_the_assistant_is_tried_and_its_token_is_not_told(tmp_path: Path, target: str) -> None:
    (tmp_path / "token").write_text("wrong-5f")
    away = f"http://127.0.0.1:{free_port()}/v1"
    found = []
    for url, token in ((f"{target}/locked", "token"), (away, "token"), (target, "gone")):
        site = write(tmp_path, more=f'assistant: {{url: "{url}", model: tiny, token: "file:{token}"}}')
        found += tried(site, "assistant")

    assert [look.ok for look in found] == [False, False, False]
    assert "no list of models" in found[0].detail
    assert "ConnectError" in found[1].detail
    assert "gone" in found[2].detail
    assert "wrong-5f" not in str(found)


def test_watched_files_are_counted_and_a_missing_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, age in (("a.parquet", 300), ("b.parquet", 120)):
        (tmp_path / "in" / name).touch()
        os.utime(tmp_path / "in" / name, (NOW.timestamp() - age,) * 2)
    found = {}
    for pattern in ("./in/*.parquet", "./in/*.csv", "./out/**/*.csv"):
        site = write(tmp_path, f"{{f: {{type: files, path: {pattern}, model: fraud}}}}")
        (found[pattern],) = tried(site, "collectors.f")

    assert found["./in/*.parquet"].detail == "2 files, newest b.parquet changed 2m ago"
    assert (found["./in/*.csv"].ok, found["./in/*.csv"].detail) == (None, "matches no file yet")
    assert (found["./out/**/*.csv"].ok, found["./out/**/*.csv"].detail) == (False, f"there is no folder {tmp_path}/out")


def test_an_address_is_free_taken_by_another_or_served_by_ourselves(tmp_path: Path) -> None:
    site = write(tmp_path)
    address = load(site).site.server.listen
    free = tried(site, "server.listen")[0]
    with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))):
        taken = tried(site, "server.listen")[0]
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "service.json").write_text(json.dumps({"listen": address, "pid": os.getpid()}))
        ours = tried(site, "server.listen")[0]

    assert (free.ok, free.detail) == (True, "free")
    assert (taken.ok, taken.detail) == (False, "taken by another program")
    assert (ours.ok, ours.detail) == (True, f"served by our own service, pid {os.getpid()}")


@pytest.mark.parametrize(
    ("days", "ok", "said"), [(30.0, True, "holds until"), (5.0, None, "ends in 5 days"), (-1.0, False, "expired on")]
)
def test_a_certificate_is_looked_at_before_it_ends(tmp_path: Path, days: float, ok: bool | None, said: str) -> None:
    Authority(tmp_path).sign("server", "observe.example.com", days=days)
    (look,) = tried(write(tmp_path, tls=", tls: {cert: server.pem, key: server.key}"), "server.tls")

    assert look.ok is ok
    assert said in look.detail


def test_a_disk_smaller_than_the_store_may_become_deserves_a_second_look(tmp_path: Path) -> None:
    (look,) = tried(write(tmp_path, size="9000TB"), "store")

    assert look.ok is None
    assert "the disk is full before that is met" in look.detail


def test_the_command_shows_a_table_or_json_and_exits_with_3(
    tmp_path: Path, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    site = write(
        tmp_path, f'{{a: {{type: prometheus, targets: ["{target}/dcgm", "http://127.0.0.1:{free_port()}/"]}}}}'
    )
    codes = [check([], site, as_json=as_json, quiet=False, live=True) for as_json in (False, True)]
    table, _, rest = capsys.readouterr().out.partition("{")
    said = json.loads("{" + rest)

    assert codes == [3, 3]
    assert [line[0] for line in table.splitlines()] == list("✓✗✓✓✓✓")
    assert [look["ok"] for look in said["live"]] == [True, False, True, True, True, True]
    assert said["site"]["collectors"]["a"]["type"] == "prometheus"
