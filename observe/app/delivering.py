"""What is found leaves: what is due is sent, what was said is written down, what failed is tried again.

One thread decides what is due; each receiver has a lane of its own, so one that hangs holds up no other. After a
restart it goes on where the store says it was: same ids, same `startsAt`.

Source: our own; docs/delivery.md.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from alerts import alertmanager, outbox, routing, silences
from alerts.notices import Receiver
from observe.app.lanes import Lanes
from observe.app.standing import Reading, Standing
from observe.clock import Clock
from observe.registry import plugin
from observe.schema import Delivery, Message, Reply
from observe.schema.exchange import nouns
from observe.store import Store
from observe.telemetry import Telemetry

if TYPE_CHECKING:
    from observe.spec import Config

_LOG = logging.getLogger("observe.delivering")
_TIMEOUT_S: Final = 5.0
_LANES: Final = 16  # receivers that are spoken to at the same time
_AGREED_FOR: Final = timedelta(minutes=10)  # an Alertmanager may forget its silences
_AGREE_AGAIN: Final = timedelta(seconds=10)  # after one that could not be told
_SITE: Final = "site"  # state: a name of this store that no other has
_KNOWN: Final = "receivers"  # state: since when each receiver is in the file
_NEWEST: Final = """
select * from delivery qualify row_number() over (partition by message_id order by tried_at desc) = 1
and (tried_at > $since or state = 'waiting') order by tried_at"""


class Delivering:
    """Tells the Alertmanagers and receivers of a site, when the site pushes."""

    def __init__(self, config: Config, store: Store, clock: Clock, telemetry: Telemetry) -> None:
        self._config, self._store, self._clock, self._telemetry = config, store, clock, telemetry
        self._reading = Reading(store)
        self._log: dict[str, Delivery] = {}  # by message id
        self._told: dict[str, Delivery] = {}  # newest row kept, by receiver
        self._reached: dict[str, datetime] = {}  # when each last took something
        self._since: dict[str, datetime] = {}  # when each receiver came into the file
        self._agreed: dict[
            str, tuple[frozenset[str] | None, datetime]
        ] = {}  # silences an Alertmanager has, asked again then
        self._guard = threading.Lock()  # over all of these
        self._lanes = Lanes("deliver", _LANES, self._pass, telemetry)

    def start(self) -> None:
        """Begin where the store says we were; a site that tells nobody, or only writes rules, sends nothing."""
        spec = self._config.site.alerts
        if spec.mode != "push" or not (spec.alertmanager or spec.receivers):
            return
        self.recall()
        self._lanes.start()

    def recall(self) -> None:
        """Know again what was said before."""
        since = self._clock.now() - outbox.KEPT
        for delivery in nouns(Delivery, self._store.read(_NEWEST, {"since": since})):
            self._note(delivery)
            self._told[delivery.url] = delivery
        known = self._store.state([_KNOWN]).get(_KNOWN, {})
        self._since = {name: datetime.fromisoformat(at) for name, at in known.items()}

    def adopt(self, config: Config) -> None:
        """Go by another configuration from the next message on."""
        self._config = config
        if not self._lanes.begun:
            self.start()

    def stop(self) -> None:
        """End after the messages under way."""
        self._lanes.stop()

    def once(self) -> None:
        """Send what is due now, and wait until it is said."""
        wait(self._pass())

    # --- what is due, by lane -------------------------------------------------------------------

    def _pass(self) -> list[Future[None]]:
        """Hand every receiver that is not busy what it is to hear now."""
        config, now = self._config, self._clock.now()
        known = self._reading.standing(config, now)
        jobs: dict[str, Callable[[], None]] = {}
        if config.site.alerts.mode == "push":
            self._meet(config, now)
            for address in config.site.alerts.alertmanager:
                jobs[address] = partial(self._alertmanager, address, config, known, now)
            for name, spec in config.site.alerts.receivers.items():
                receiver = Receiver(name, spec)
                if not self._lanes.is_busy(receiver.url) and (due := self._due(receiver, config, known, now)):
                    jobs[receiver.url] = partial(self._receiver, receiver, due)
        with self._guard:
            for dead in outbox.given_up(self._log, now):
                self._write(dead)
            self._log = outbox.settled(self._log, now)
        return [self._lanes.submit(lane, job) for lane, job in jobs.items() if not self._lanes.is_busy(lane)]

    def _meet(self, config: Config, now: datetime) -> None:
        """Know since when each receiver is in the file: it does not hear of what was over before."""
        names = config.site.alerts.receivers
        if names.keys() == self._since.keys():
            return
        self._since = {name: self._since.get(name, now) for name in names}
        with self._store.change() as tx:
            tx.set_state(_KNOWN, {name: at.isoformat() for name, at in self._since.items()})

    def _due(self, receiver: Receiver, config: Config, known: Standing, now: datetime) -> list[Message]:
        """What a receiver is to hear now, the oldest first; what is muted is written down."""
        channel = plugin("observe.receivers", receiver.spec.type)
        with self._guard:
            look = routing.Standing(self._log, known.of_incidents, known.quiet, now)
            found = [routing.upcoming(told, receiver, self._since[receiver.name], look) for told in known.told.values()]
            messages: list[Message] = []
            for step in sorted((f for f in found if f), key=lambda f: f.notice.at):
                alerts = [known.of_incidents[i] for i in step.notice.incident.alerts if i in known.of_incidents]
                try:
                    message = channel.compose(step.notice, receiver, alerts, config.site.alerts.dashboard_url)
                except (ValueError, UnicodeError):  # one that cannot be put into words must not silence the others
                    self._lanes.failed()
                    continue
                if step.muted:
                    self._hold(message, step.muted, now)
                else:
                    messages.append(message)
            return list(outbox.due(messages, self._log, now))

    def _hold(self, message: Message, why: str, now: datetime) -> None:
        before = self._log.get(message.message_id)
        if before is None or (before.state, before.error) != ("muted", why):
            self._write(outbox.held(message, why, now))

    # --- lanes: no lock is held while somebody is spoken to ----------------------------------------

    def _receiver(self, receiver: Receiver, messages: Sequence[Message]) -> None:
        channel = plugin("observe.receivers", receiver.spec.type)
        for message in messages:
            if self._lanes.stopping:
                return
            reply = channel.send(message, _TIMEOUT_S, receiver, self._clock.now())
            self._record(message, reply)
            if not reply.ok and reply.retry:
                return  # it is away: the others need not find out one by one

    def _alertmanager(self, address: str, config: Config, known: Standing, now: datetime) -> None:
        wanted = silences.wanted(known.alerts, known.quiet, now) if known.is_quieted else ()
        alerts = known.alerts
        if not self._is_agreed(address, wanted, known, now):
            muted = {s.alert.alert_id for s in wanted}
            alerts = [a for a in alerts if a.alert_id not in muted]  # rather not told than told to people
        with self._guard:
            reached: Mapping[str, datetime] = dict(self._reached)
            messages = alertmanager.messages(alerts, config, now, reached)
            due = outbox.due([m for m in messages if m.url == alertmanager.where(address)], self._log, now)
        for message in due:
            reply = plugin("observe.channels", message.channel).send(message, _TIMEOUT_S)
            self._record(message, reply)
            if not reply.ok and reply.retry:
                return

    def _is_agreed(self, address: str, wanted: Sequence[silences.Silence], known: Standing, now: datetime) -> bool:
        """Whether an Alertmanager has exactly these silences of ours; it is brought to them when it does not."""
        comments = frozenset(s.comment for s in wanted)
        have, again = self._agreed.get(address, (None if known.is_quieted else frozenset(), now))
        if have == comments and (not known.is_quieted or now < again):
            return True  # asked again even when nothing is muted: a replica may hear late of a silence that another was told
        if have is None and now < again:
            return not wanted
        url = f"{address.rstrip('/')}/api/v2/silences"
        said = sha256("\0".join(sorted(comments)).encode()).hexdigest()[:16]
        reply: Reply = silences.agree(address, wanted, now, _TIMEOUT_S, self._author())
        self._record(Message(f"quiet-{said}@{int(now.timestamp())}", alertmanager.CHANNEL, url, b""), reply)
        self._agreed[address] = (comments, now + _AGREED_FOR) if reply.ok else (None, now + _AGREE_AGAIN)
        return reply.ok

    def _author(self) -> str:
        """Our name at Alertmanagers: of this store, so that two sites do not take back each other's silences."""
        with self._guard:
            known = self._store.state([_SITE]).get(_SITE)
            if known is None:
                known = {"name": secrets.token_hex(4)}
                with self._store.change() as tx:
                    tx.set_state(_SITE, known)
        return silences.author(str(known["name"]))

    # --- what was said ----------------------------------------------------------------------------

    def _record(self, message: Message, reply: Reply) -> None:
        with self._guard:
            delivery = outbox.record(message, reply, self._log.get(message.message_id), self._clock.now())
            self._telemetry.notified.labels(message.channel, delivery.state).inc()
            if outbox.is_news(delivery, self._told.get(message.url)):
                self._write(delivery)
            else:
                self._note(delivery)

    def _write(self, delivery: Delivery) -> None:
        self._note(delivery)  # first: what was taken must not be sent again because it could not be written
        with self._store.change() as tx:
            tx.insert([delivery])
        self._told[delivery.url] = delivery
        said = "event=delivery channel=%s url=%s message=%s state=%s tries=%s"
        _LOG.info(said, delivery.channel, delivery.url, delivery.message_id, delivery.state, delivery.tries)

    def _note(self, delivery: Delivery) -> None:
        self._log[delivery.message_id] = delivery
        if delivery.state in ("sent", "partial"):
            self._reached[delivery.url] = delivery.tried_at
