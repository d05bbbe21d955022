"""The generated Alertmanager configuration before the real one: a GPU fault keeps the pages of its cluster quiet."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty

import httpx
import pytest
import yaml
from running import free_port, until

from alerts import routes

pytestmark = [pytest.mark.servers, pytest.mark.slow]
XID = {"alertname": "GpuXid", "severity": "ticket", "UUID": "GPU-1", "Hostname": "n1", "cluster": "eu"}


def burn(service: str, **more: str) -> dict[str, str]:
    labels = {
        "alertname": "SloBurn",
        "severity": "page",
        "service": service,
        "slo_id": f"{service}.ttft",
        "burn_tier": "page-fast",
    }
    return {**labels, **more}  # fmt: skip


class Site:
    """The generated file with a receiver put into it, and what it was told."""

    def __init__(self, hook, server) -> None:  # type: ignore[no-untyped-def]
        self.hook, self.server = hook, server
        self.told: list[tuple[str, str, str]] = []

    def say(self, *labels: dict[str, str], ended: bool = False) -> None:
        now = datetime.now(UTC)
        ends = now if ended else now + timedelta(hours=1)
        body = [
            {"labels": each, "startsAt": (now - timedelta(minutes=1)).isoformat(), "endsAt": ends.isoformat()} for each in labels
        ]  # fmt: skip
        httpx.post(f"{self.server.url}/api/v2/alerts", json=body, trust_env=False).raise_for_status()

    def heard(self, *wanted: tuple[str, str]) -> set[tuple[str, str]]:
        """Everything delivered since the last look, once what is wanted has come: name and service or node, of what fires."""
        found = set[tuple[str, str]]()
        if wanted:
            until(lambda: found.update(self._come()) or found >= set(wanted), 60)
        time.sleep(1.5)  # many group intervals, for what is not to come
        return found | self._come()

    def _come(self) -> set[tuple[str, str]]:
        found = set()
        while True:
            try:
                body = self.hook.bodies.get_nowait()
            except Empty:
                return found
            for a in body["alerts"]:
                if a["status"] == "firing":
                    found.add((a["labels"]["alertname"], a["labels"].get("service") or a["labels"]["Hostname"]))

    def quiet(self) -> set[tuple[str, str]]:
        """Name and severity of what the server holds and tells nobody."""
        return {(a["labels"]["alertname"], a["labels"]["severity"]) for a in self.server.alerts() if a["status"]["inhibitedBy"]}  # fmt: skip


@pytest.fixture
def site(hook, start: Callable, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:  # type: ignore[no-untyped-def,type-arg]
    config = routes.config()
    for route in (config["route"], *config["route"]["routes"]):
        route |= {"group_wait": "50ms", "group_interval": "100ms"}
    for receiver in config["receivers"]:
        receiver["webhook_configs"] = [{"url": hook.url, "send_resolved": True}]
    monkeypatch.setitem(start.__globals__, "ROUTES", yaml.safe_dump(config).replace("{", "{{").replace("}", "}}"))
    with start(free_port()) as server:
        yield Site(hook, server)


def test_a_gpu_fault_keeps_the_page_of_its_cluster_quiet_until_it_is_over(site: Site) -> None:
    site.say(XID)
    assert site.heard(("GpuXid", "n1")) == {("GpuXid", "n1")}

    site.say(burn("chat", cluster="eu"))
    until(lambda: site.quiet() == {("SloBurn", "page")})
    assert site.heard() == set()

    site.say(XID, ended=True)
    assert site.heard(("SloBurn", "chat")) == {("SloBurn", "chat")}


def test_another_cluster_and_missing_labels_are_told_all_the_same(site: Site) -> None:
    nameless = {k: v for k, v in XID.items() if k != "cluster"}
    site.say(XID, {**nameless, "UUID": "GPU-2", "Hostname": "n2"})
    site.heard(("GpuXid", "n1"), ("GpuXid", "n2"))
    site.say(burn("code", cluster="us"), burn("old"))

    both = {("SloBurn", "code"), ("SloBurn", "old")}
    assert site.heard(*both) == both


def test_a_fault_that_has_become_a_page_is_told_once_more_and_its_ticket_no_longer(site: Site) -> None:
    site.say(XID)
    assert site.heard(("GpuXid", "n1")) == {("GpuXid", "n1")}
    site.say(burn("chat", cluster="eu"), {**XID, "severity": "page"})

    assert site.heard(("GpuXid", "n1")) == {("GpuXid", "n1")}
    told = {(a["labels"]["alertname"], a["labels"]["severity"]) for a in site.server.alerts()} - site.quiet()
    assert told == {("GpuXid", "page")}
    assert site.quiet() == {("GpuXid", "ticket"), ("SloBurn", "page")}


def test_the_file_itself_is_what_was_tried(tmp_path: Path) -> None:
    rules = routes.config()["inhibit_rules"]

    assert all(
        'cluster!=""' in r["source_matchers"] and 'cluster!=""' in r["target_matchers"]
        for r in rules
        if r.get("equal") == ["cluster"]
    )
