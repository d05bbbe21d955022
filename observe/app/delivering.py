"""Alerts leave: what is due is sent, what was said is written down, what failed is tried again.

Runs in a thread of its own, so a receiver that hangs holds up nothing. After a restart it goes on
where the store says it was: same ids, same `startsAt`.

Source: our own; Alertmanager API v2.
"""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from alerts import alertmanager, outbox
from observe.clock import Clock
from observe.registry import plugin
from observe.schema import Alert, Delivery, Message
from observe.schema.exchange import nouns
from observe.store import Store
from observe.telemetry import Telemetry

if TYPE_CHECKING:
    from observe.spec import Config

_LOG = logging.getLogger("observe.delivering")
_LOOK_S: Final = 1.0
_TIMEOUT_S: Final = 5.0
_RESOLVED: Final = timedelta(minutes=15)  # how long a resolve is repeated
_RECEIVER = "select * from delivery qualify row_number() over (partition by message_id order by tried_at desc) = 1 and tried_at > $since"


class Delivering:
    """Sends the alerts of a site to its Alertmanagers, when the site pushes."""

    def __init__(self, config: Config, store: Store, clock: Clock, telemetry: Telemetry) -> None:
        self._config, self._store, self._clock, self._telemetry = config, store, clock, telemetry
        self._log: dict[str, Delivery] = {}
        self._told: dict[str, Delivery] = {}  # newest row kept, by receiver
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="delivering", daemon=True)

    def start(self) -> None:
        """Begin where the store says we were; a site without receivers, or that only writes rules, sends nothing."""
        spec = self._config.site.alerts
        if spec.mode != "push" or not spec.alertmanager:
            return
        since = self._clock.now() - outbox.GIVE_UP
        for delivery in nouns(Delivery, self._store.read(_RECEIVER, {"since": since})):
            self._log[delivery.message_id] = delivery
            self._told[delivery.url] = delivery
        self._thread.start()

    def adopt(self, config: Config) -> None:
        """Go by another configuration from the next message on."""
        self._config = config
        if not self._thread.is_alive() and not self._stop.is_set():
            self.start()

    def stop(self) -> None:
        """End after the message under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def once(self) -> None:
        """Send what is due now."""
        now = self._clock.now()
        rows = self._store.read(
            "select * from alert where state = 'firing' or changed_at > $since", {"since": now - _RESOLVED}
        )
        messages = alertmanager.messages(nouns(Alert, rows), self._config, now)
        for message in outbox.due(messages, self._log, now):
            self._send(message)
        self._log = outbox.settled(self._log, now)

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_S):
            try:
                with self._telemetry.stage("deliver"):
                    self.once()
            except Exception:  # noqa: BLE001 - the supervisor loop: told, counted, tried again
                self._telemetry.stage_errors.labels("deliver").inc()
                _LOG.exception("event=stage_failed stage=deliver")

    def _send(self, message: Message) -> None:
        reply = plugin("observe.channels", message.channel).send(message, _TIMEOUT_S)
        delivery = outbox.record(message, reply, self._log.get(message.message_id), self._clock.now())
        self._log[message.message_id] = delivery
        self._telemetry.notified.labels(message.channel, delivery.state).inc()
        if outbox.is_news(delivery, self._told.get(message.url)):
            with self._store.change() as tx:
                tx.insert([delivery])
            self._told[message.url] = delivery
            _LOG.info(
                "event=delivery channel=%s url=%s state=%s tries=%s",
                message.channel,
                message.url,
                delivery.state,
                delivery.tries,
            )
