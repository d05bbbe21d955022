"""What still has to be said, to whom, and when to try again: the state of every message, as a pure function.

A message is known by its id, which says "this, to this receiver": once taken it is never sent again.
A receiver that does not answer is tried after 1 s, 2 s, 4 s ... 5 min, each a little less by chance, so that many
messages do not come back together; after a day the message is a dead letter, kept to be seen. What a receiver
refuses outright is not tried again.

Source: our own; RFC 9110 for which answers may be tried again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from observe.schema import Delivery, Message, Reply

FIRST_S: Final = 1.0
LONGEST_S: Final = 300.0
GIVE_UP: Final = timedelta(hours=24)
JITTER: Final = 0.25  # of a wait, at most
LOOK_BACK: Final = GIVE_UP + timedelta(seconds=2 * LONGEST_S)  # how old what is to be told may be; then it is dead
KEPT: Final = LOOK_BACK + timedelta(seconds=LONGEST_S)  # how long it is known that something was said


def backoff_s(tries: int) -> float:
    """Seconds to wait after so many failed tries (1 or more).

    >>> [backoff_s(n) for n in (1, 2, 3, 9, 10, 1000)]
    [1.0, 2.0, 4.0, 256.0, 300.0, 300.0]
    """
    return min(LONGEST_S, FIRST_S * 2.0 ** min(tries - 1, 20))


def next_try(delivery: Delivery) -> datetime | None:
    """When a message is to be tried again; None when it is settled."""
    if delivery.state == "muted":
        return delivery.tried_at
    if delivery.state != "waiting":
        return None
    if delivery.tries < 1:
        return delivery.tried_at
    chance = sha256(f"{delivery.message_id}\0{delivery.tries}".encode()).digest()[0] / 256
    return delivery.tried_at + timedelta(seconds=backoff_s(delivery.tries) * (1 - JITTER * chance))


def due(messages: Iterable[Message], log: Mapping[str, Delivery], now: datetime) -> tuple[Message, ...]:
    """The messages to send now, in order: never tried, or waiting and their time has come.

    Args:
        messages: what there is to say at this moment.
        log: where each message stands, by message_id.
        now: the present.
    """
    return tuple(
        m for m in messages if (d := log.get(m.message_id)) is None or ((t := next_try(d)) is not None and t <= now)
    )


def record(message: Message, reply: Reply, previous: Delivery | None, now: datetime) -> Delivery:
    """Where a message stands after a try.

    Args:
        message: what was sent.
        reply: what the receiver said.
        previous: where it stood before; None at the first try.
        now: when it was tried.
    """
    first = previous.first_at if previous and previous.tries else now
    state = "partial" if reply.error else "sent"
    if not reply.ok:
        state = "refused" if not reply.retry else "dead" if now - first >= GIVE_UP else "waiting"
    return Delivery(
        message.message_id, message.channel, message.url, state, (previous.tries if previous else 0) + 1,
        reply.status, reply.error, first, now, message.incident_id, message.notice,
    )  # fmt: skip


def held(message: Message, why: str, now: datetime) -> Delivery:
    """Where a message stands that is not sent because what it tells is muted."""
    return Delivery(
        message.message_id, message.channel, message.url, "muted", 0, None, why, now, now, message.incident_id,
        message.notice,
    )  # fmt: skip


def given_up(log: Mapping[str, Delivery], now: datetime) -> list[Delivery]:
    """Messages of receivers that wait for longer than anybody would still try: dead letters."""
    return [
        replace(d, state="dead", tried_at=now)
        for d in log.values()
        if d.state == "waiting" and d.incident_id is not None and now - d.first_at >= LOOK_BACK
    ]


def is_news(delivery: Delivery, last: Delivery | None) -> bool:
    """Whether a row says more than the newest one kept for the same receiver; repetitions are not kept.

    Ids are `<content>@<slot>` where the same content is said again on purpose: the slot is no news.
    """
    if last is None:
        return True
    said = (d.message_id.partition("@")[0] for d in (delivery, last))
    return len(set(said)) > 1 or (delivery.state, delivery.status) != (last.state, last.status)


def settled(log: Mapping[str, Delivery], now: datetime) -> dict[str, Delivery]:
    """The log without what was last tried so long ago that nobody asks for it again."""
    return {k: d for k, d in log.items() if d.tried_at > now - KEPT}
