"""Another configuration at the next turn: alerts nobody asks about end, pulls go on."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from running import until

from observe.app.comparing import SITE, differences, effective, line, parameters
from observe.app.delivering import Delivering
from observe.app.intake import Intake
from observe.app.pull_plan import pulls
from observe.app.pulling import Puller
from observe.app.stages import Stages
from observe.clock import EventClock, WallClock
from observe.schema import Alert, Incident
from observe.spec import Config, load
from observe.store import Store
from observe.telemetry import Telemetry

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
MODEL = """\
apiVersion: observe/v1
kind: Monitoring
metadata: {name: chat}
slos:
  - {name: ttft, latency: ttft_s, below: 800ms, objective: 99%}
"""


def site(folder: Path, collectors: str = "{}") -> Config:
    (folder / "observe.yaml").write_text(
        f"apiVersion: observe/v1\nkind: Site\nstore: {{path: ./data}}\ncollectors: {collectors}\n"
    )
    return load(folder / "observe.yaml")


def firing() -> tuple[Alert, Incident]:
    alert = Alert(
        "alr-1",
        "chat/burn/ttft",
        "inc-1",
        "fnd-1",
        "chat",
        "slo",
        "ttft",
        "page",
        "firing",
        NOW,
        None,
        "burns",
        {"a": "b"},
        {},
        NOW,
    )
    incident = Incident(
        "inc-1",
        "slo",
        "chat",
        "page",
        "open",
        NOW,
        NOW,
        None,
        "burns",
        None,
        None,
        None,
        None,
        None,
        None,
        ("alr-1",),
        None,
        NOW,
    )
    return alert, incident  # fmt: skip


def test_the_alert_of_a_model_that_is_taken_out_ends_although_nothing_new_is_found(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "chat.yaml").write_text(MODEL)
    config = site(tmp_path)
    (tmp_path / "models" / "chat.yaml").unlink()
    clock = EventClock(NOW + timedelta(minutes=5))
    store = Store.open(tmp_path / "data", clock)
    try:
        with store.change() as tx:
            tx.insert(list(firing()))
        stages = Stages(config, store, clock, Telemetry())
        states = []
        for given in (config, site(tmp_path)):
            stages.adopt(given)
            stages.tick((), None, clock.now())  # type: ignore[arg-type]
            states.append(
                store.read(
                    "select a.state as one, i.state as all_ from alert a join incident i using (incident_id)"
                ).row(0)
            )
    finally:
        store.close()

    assert states == [("firing", "open"), ("resolved", "resolved")]


def test_a_receiver_that_is_added_hears_of_what_fires_already(tmp_path: Path) -> None:
    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    heard = list[bytes]()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    clock, old = EventClock(NOW), site(tmp_path)
    alerts = old.site.alerts.model_copy(update={"alertmanager": (f"http://127.0.0.1:{server.server_port}",)})
    store = Store.open(tmp_path / "data", clock)
    delivering = Delivering(old, store, clock, Telemetry())
    try:
        with store.change() as tx:
            tx.insert(list(firing()))
        delivering.start()
        delivering.adopt(replace(old, site=old.site.model_copy(update={"alerts": alerts})))
        until(lambda: heard, 5)
    finally:
        delivering.stop()
        store.close()
        server.shutdown()
        server.server_close()

    assert b"startsAt" in heard[0]


def test_a_plan_that_changes_lets_a_pull_under_way_finish_and_begins_the_new_one_at_once(tmp_path: Path) -> None:
    class Target(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if self.path == "/slow":
                release.wait(20)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    asked, release = list[str](), threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Target)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url, clock = f"http://127.0.0.1:{server.server_port}", WallClock()
    old = site(tmp_path, f'{{a: {{type: prometheus, targets: ["{url}/slow", "{url}/kept"], every: 1h}}}}')
    new = site(tmp_path, f'{{a: {{type: prometheus, targets: ["{url}/kept", "{url}/new"], every: 1h}}}}')
    store = Store.open(tmp_path / "data", clock)
    puller = Puller(pulls(old.site.collectors), Intake(store, clock, Telemetry(), old), store, clock)
    try:
        puller.start()
        until(lambda: {"/slow", "/kept"} <= set(asked), 20)
        puller.replan(pulls(new.site.collectors))
        until(lambda: "/new" in asked, 20)
        release.set()
        runs = "select count(*) as n from collector_run where ok"
        until(lambda: store.read(runs).item() == 3, 20)
    finally:
        release.set()
        puller.stop()
        store.close()
        server.shutdown()
        server.server_close()

    assert sorted(asked) == ["/kept", "/new", "/slow"]  # what stayed in the plan was not pulled again


def test_a_difference_names_values_by_path_and_lists_by_name(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "chat.yaml").write_text(MODEL)
    old = effective(site(tmp_path))
    slower = MODEL.replace("slos:", "slos:\n  - {name: first, latency: ttft_s, below: 1s, objective: 90%}")
    (tmp_path / "models" / "chat.yaml").write_text(slower.replace("800ms", "900ms"))
    new = effective(site(tmp_path))

    changed = differences(old, new)["chat"]

    assert changed["models.chat.slos.ttft.below"] == ("800ms", "900ms")
    assert changed["models.chat.slos.first.objective"] == (None, "90%")
    assert all(".slos.first." in path for path in changed if path != "models.chat.slos.ttft.below")
    assert SITE not in differences(old, new)


def test_a_secret_is_shown_as_a_reference_only(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hunter2")
    old = site(tmp_path)
    new = site(
        tmp_path,
        '{a: {type: prometheus, targets: ["http://127.0.0.1/m"], auth: {bearer: "file:token"}}}',
    )

    said = parameters(differences(effective(old), effective(new)))

    assert said["values"]["site.collectors.a.auth.bearer"] == [None, f"file:{tmp_path / 'token'}"]
    assert "hunter2" not in str(said)


def test_a_long_difference_is_counted_whole_and_kept_in_part() -> None:
    many = {SITE: {f"site.x{i}": (None, "1") for i in range(500)}}

    said = parameters(many)

    assert (said["changed"], len(said["values"])) == (500, 200)


def test_one_line_says_what_became_of_a_model() -> None:
    change = {"models.chat.slos.ttft.below": ("1s", "2s"), "models.chat.share": (None, "10%")}

    assert line("chat", change, {}, {}) == "configuration: slos.ttft.below 1s → 2s (+1 more)"
    assert line("chat", change, None, {}) == "added to the configuration"
    assert line("chat", change, {}, None) == "taken out of the configuration"
