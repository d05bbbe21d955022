"""Who is told what now: the notices of an incident that one receiver has still to hear of, in order.

Who was told that something opened is told that it ended, muted or not. What opens while it is muted waits until
it is not; when it ends before that, nobody hears of it. A notice is behind the earlier ones of its incident until
those are settled.

Source: our own; docs/delivery.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from alerts.muting import Quiet, parts
from alerts.notices import ENDING, OPENING, Notice, Receiver
from alerts.outbox import LOOK_BACK
from observe.schema import Alert, Delivery

_SETTLED: Final = frozenset({"sent", "partial", "refused", "dead"})


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known while it is decided who is told."""

    log: Mapping[str, Delivery]  # by message id
    alerts: Mapping[str, Alert]  # by alert id
    quiet: Quiet
    now: datetime

    def is_settled(self, message_id: str) -> bool:
        """Whether a message needs no further try."""
        found = self.log.get(message_id)
        return found is not None and found.state in _SETTLED


@dataclass(frozen=True, slots=True)
class Next:
    """The notice a receiver is to hear of next about one incident; `muted` says why it waits, "" when it does not."""

    notice: Notice
    muted: str = ""


def upcoming(told: Sequence[Notice], receiver: Receiver, since: datetime, known: Standing) -> Next | None:
    """What a receiver is to hear of next about one incident; None when it has heard everything.

    Args:
        told: every notice of the incident, in order of time.
        receiver: who is told.
        since: when this receiver was first in the site's file; of what ended before that it does not hear.
        known: everything else.
    """
    for notice, free, why in _open(told, receiver, since, known):
        message_id = receiver.message_id(notice)
        if known.is_settled(message_id) or (free <= known.now - LOOK_BACK and message_id not in known.log):
            continue
        return Next(notice, why)
    return None


def _open(
    told: Sequence[Notice], receiver: Receiver, since: datetime, known: Standing
) -> Iterator[tuple[Notice, datetime, str]]:
    """The notices that are for this receiver, from when on it may hear of them, and why not yet; that one is the last."""
    began = False
    for notice in _from(told, since):
        if not receiver.hears(notice):
            continue
        if notice.kind in OPENING:
            tried = known.log.get(receiver.message_id(notice))
            was_told = tried is not None and tried.state != "muted"
            free = notice.at if was_told else known.quiet.free(parts(notice.incident, known.alerts), notice.at)
            if notice.until is not None and free >= notice.until:
                continue  # it came and went while it was muted
            if free > known.now:
                yield notice, free, known.quiet.why(parts(notice.incident, known.alerts), known.now)
                return
            began = True
            yield notice, free, ""
        elif began:
            yield notice, notice.at, ""
        began = began and notice.kind not in ENDING


def _from(told: Sequence[Notice], since: datetime) -> Sequence[Notice]:
    """Without what was over when the receiver came; of what was open then, only how it stood."""
    lasting = [n for n in told if n.until is None or n.until > since or n.at > since]
    early = [n for n in lasting if n.at <= since and n.kind in OPENING]
    return [n for n in lasting if n.at > since or n in early[-1:]]
