"""The core of the running service: store, intake, pulls, stages, delivery, and its children.

Source: our own; ARCHITECTURE section 4.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

from observe.access import Access
from observe.app.acting import Acting
from observe.app.bundling import Bundling
from observe.app.children import Child, Supervisor
from observe.app.declaring import declared
from observe.app.delivering import Delivering
from observe.app.detecting import Detecting
from observe.app.evidence import SLOW
from observe.app.importing import Importing
from observe.app.intake import Intake
from observe.app.loads import EVERY_S as LOADS_S
from observe.app.loads import Loads
from observe.app.making import Making
from observe.app.narrating import LOOK_S, Narrating
from observe.app.pages import Pages
from observe.app.people import People
from observe.app.publishing import published
from observe.app.pull_plan import pulls
from observe.app.pulling import Puller
from observe.app.reloading import Reloading
from observe.app.reports import Reports
from observe.app.retaining import retain
from observe.app.returning import EVERY_S as RETURNING_S
from observe.app.returning import Returning
from observe.app.stages import QUICK, Stages
from observe.app.summarising import Summarising
from observe.app.tokens import FILE, StoredTokens, Tokens
from observe.app.vitals import EVERY_S, Vitals
from observe.app.warming import warm
from observe.clock import Clock, RisingClock, WallClock
from observe.registry import check_wings
from observe.sqlworker import SqlWorker
from observe.store import Store
from observe.telemetry import Telemetry

if TYPE_CHECKING:
    from observe.spec import Config

_LOG = logging.getLogger("observe.core")
TICK_S: Final = 2.0
SEAL_S: Final = 300.0
REPORTS_S: Final = 30.0  # how often it is looked whether a report is due
QUICK_PATIENCE_S: Final = 60.0  # how long a detector may take before its process is given up
SLOW_PATIENCE_S: Final = 600.0  # a day's refit of many models


class Core:
    """Everything but the HTTP listeners; `start` and `stop` bracket its life."""

    def __init__(
        self, config: Config, clock: Clock | None = None, *, face: bool = True, site: Path | None = None
    ) -> None:
        check_wings()
        self.config = config
        self.clock = clock or WallClock()
        self.telemetry = Telemetry()
        self.store = Store.open(config.site.store.path, RisingClock(self.clock))
        for key, value in declared(config).items():
            self.store.set_setting(key, value)
        self._access = access = Access(StoredTokens(self.store), config.site.server.auth)
        self.tokens = Tokens(self.store, access, self.clock)
        self.face_key = secrets.token_urlsafe(32)
        self.intake = Intake(self.store, self.clock, self.telemetry, config)
        self.importing = Importing(self.store, self.intake, self.clock)
        self.pages = Pages(self.intake, self.store)
        self._summarising = Summarising(self.store, QUICK_PATIENCE_S)
        self.stages = Stages(config, self.store, self.clock, self.telemetry, self._summarising.close)
        self._quick, self._slow = Detecting(QUICK_PATIENCE_S), Detecting(SLOW_PATIENCE_S)
        self.delivering = Delivering(config, self.store, self.clock, self.telemetry)
        self.acting = Acting(config, self.store, self.clock, self.telemetry)
        self.puller = Puller(
            pulls(config.site.collectors, config.models), self.intake, self.store, self.clock, self.pages
        )
        self.vitals = Vitals(config, self.store, self.clock, self.telemetry, self.intake)
        self.loads = Loads(config, self.store, self.clock, self.telemetry)
        self._making = Making(self.store)
        self.bundling = Bundling(self.store)
        self.reports = Reports(config, self.store, self.clock, self._making)
        self.narrating = Narrating(config, self.store, self.clock)
        path = config.site.store.path
        self.sql = SqlWorker([path / "lake", path / "snapshot"])
        self.people = People(self.store, access, self.sql, self.clock)
        self.people.adopt(config)
        self.new_admin_token = access.first_admin(path / FILE, self.clock.now(), self._given_token())
        self.reloading = Reloading(site, config, self.store, self.telemetry, self.clock, self._prepare)
        self.supervisor = Supervisor(self._children(face), lambda name: self.telemetry.children.labels(name).inc())
        self.ready = threading.Event()
        self._stop = threading.Event()
        self.returning = Returning(self.store, self.clock)
        beats: tuple[tuple[str, float, Callable[[], None]], ...] = (
            ("stages", TICK_S, self._tick),
            ("stages-slow", TICK_S, self._tick_slow),
            ("seal", SEAL_S, self._housekeeping),
            ("returning", RETURNING_S, lambda: self.returning.tick(self.config)),
            ("vitals", EVERY_S, self.vitals.take),
            ("reports", REPORTS_S, self.reports.tick),
            ("narrating", LOOK_S, self.narrating.tick),
            ("scaling", LOADS_S, self.loads.tick),
        )
        self._threads = [threading.Thread(target=self._beat, args=b, name=b[0], daemon=True) for b in beats]

    def _children(self, face: bool) -> list[Child]:
        """The processes of this service; all give way to intake."""
        called = (
            ("summarise", "observe.app.summarising", 10, self._summarising),
            ("detect", "observe.app.detecting", 10, self._quick),
            ("detect-slow", "observe.app.detecting", 12, self._slow),
        )
        children = [
            Child(name, [module], nice=nice, pass_fds=end.channel, stuck=lambda end=end: end.stuck)  # type: ignore[misc]
            for name, module, nice, end in called
        ]
        return [*children, self._face()] if face else children

    def _given_token(self) -> str | None:
        """The site's own admin token, as it lies where the site says now.

        Raises:
            ConfigError: it lies there no more.
        """
        given = self.config.site.server.token
        return given.resolve() if given else None

    def seen_since(self) -> datetime:
        """From when on traffic counts as seen: the last seven days."""
        return self.clock.now() - timedelta(days=7)

    def exposition(self) -> bytes:
        """Observe's own metrics, SLOs and findings in the Prometheus text format."""
        self.telemetry.tell_halves(self.intake.pairing.waiting())
        return self.telemetry.exposition() + published(self.store) + self.loads.exposition()

    def _prepare(self, config: Config) -> Callable[[], None]:
        """What hands the whole of another configuration to everybody who goes by it; what can fail is done here."""
        plan, given = pulls(config.site.collectors, config.models), self._given_token()

        def adopt() -> None:
            self.config = config
            if given is not None and self._access.give(given, self.clock.now()):
                _LOG.info("event=admin_token_changed by=site")
            self.intake.adopt(config)
            self.stages.adopt(config)
            self.puller.replan(plan)
            self.delivering.adopt(config)
            self.acting.adopt(config)
            self.people.adopt(config)
            self.vitals.adopt(config)
            self.loads.adopt(config)
            self.reports.adopt(config)
            self.narrating.adopt(config)

        return adopt

    def _face(self) -> Child:
        server = self.config.site.server
        argv = ["dashboards.face", "--core", f"{server.scheme}://{server.listen}", "--listen", server.ui]
        if server.tls:
            argv += ["--cert", str(server.tls.cert), "--key", str(server.tls.key)]
            argv += ["--ca", str(server.tls.ca)] if server.tls.ca else []
        return Child("face", argv, {"OBSERVE_FACE_KEY": self.face_key}, nice=3)

    def start(self) -> None:
        """Start children, pulls, stages and delivery."""
        self.sql.start()
        self.supervisor.start()
        warm(self.clock.now())
        self.intake.pairing.recall(self.store)
        self.puller.start()
        self.delivering.start()
        self.acting.start()
        for thread in self._threads:
            thread.start()
        self.reloading.start()
        self._announce()
        self.ready.set()
        _LOG.info(
            "event=ready listen=%s ui=%s pid=%s",
            self.config.site.server.listen,
            self.config.site.server.ui,
            os.getpid(),
        )

    def _announce(self) -> None:
        """Say where the API is and how to know it, for `observe sql` on this directory."""
        server = self.config.site.server
        said = {
            "listen": server.listen, "otlp": server.otlp, "ui": server.ui, "pid": os.getpid(), "scheme": server.scheme,
            "cert": str(server.tls.cert) if server.tls else None,
            "ca": str(server.tls.ca) if server.tls and server.tls.ca else None,
        }  # fmt: skip
        (self.config.site.store.path / "service.json").write_text(json.dumps(said))

    def stop(self) -> None:
        """Stop children first, so that nothing waits for them, then in the order of the data: pulls, stages, delivery, store."""
        self._stop.set()
        self.reports.stop()
        self._making.stop()
        self.bundling.stop()
        self.reloading.stop()
        for called in (self._summarising, self._quick, self._slow):
            called.end()
        self.supervisor.stop()  # a detector under way is asked again after the next start
        self.puller.stop()
        self.pages.stop()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=20)
        self.delivering.stop()
        self.acting.stop()
        self.sql.stop()
        (self.config.site.store.path / "service.json").unlink(missing_ok=True)
        self.store.close()
        self.telemetry.close()

    def _beat(self, name: str, every_s: float, run: Callable[[], None]) -> None:
        """Run something again and again; whatever goes wrong is told, counted, and tried again."""
        pause = 0.0 if name != "seal" else every_s
        while not self._stop.wait(pause):
            started = monotonic()
            try:
                run()
            except Exception:  # noqa: BLE001 - the supervisor loop: told, counted, tried again
                self.telemetry.stage_errors.labels(name).inc()
                _LOG.exception("event=stage_failed stage=%s", name)
            pause = max(0.1, every_s - (monotonic() - started))

    def _tick(self) -> None:
        self.intake.pairing.sweep()
        self.stages.tick(QUICK, self._quick, self.clock.now())

    def _tick_slow(self) -> None:
        self.stages.detect(SLOW, self._slow, self.clock.now())

    def _housekeeping(self) -> None:
        with self.telemetry.stage("seal"):
            self.store.seal(self.clock.now())
        with self.telemetry.stage("retain"):
            retain(self.store, self.config, self.clock)
            self.reports.trim(self.clock.now())
