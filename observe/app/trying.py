"""A message that says it is a test, sent to a receiver: does what we say arrive?

Nothing is stored, and where something must be ended (PagerDuty) it is ended at once.

Source: our own. This is what `observe check --test` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from alerts import telling
from alerts.notices import Receiver
from observe.app.reaching import Look
from observe.errors import UsageError
from observe.registry import plugin
from observe.spec.nearest import did_you_mean

if TYPE_CHECKING:
    from observe.clock import Clock
    from observe.schema import Reply
    from observe.spec import Config

EVERY: Final = "all"
_TIMEOUT_S: Final = 10.0
_ENDED: Final = "pagerduty"  # the type at which what is triggered must be resolved


def tried(config: Config, name: str, clock: Clock) -> list[Look]:
    """What became of a test message to the receiver of this name, or to all of them.

    Raises:
        UsageError: there is no such receiver.
    """
    receivers = config.site.alerts.receivers
    if name != EVERY and name not in receivers:
        hint = did_you_mean(name, receivers) or "the site names none under alerts.receivers"
        raise UsageError(f"there is no receiver {name!r}; {hint}")
    chosen = receivers if name == EVERY else {name: receivers[name]}
    return [_look(Receiver(n, spec), config, clock) for n, spec in chosen.items()]


def _look(receiver: Receiver, config: Config, clock: Clock) -> Look:
    test, over = telling.trial(clock.now(), "observe check --test")
    replies: list[Reply] = []
    channel = plugin("observe.receivers", receiver.spec.type)
    for notice in (test, over) if receiver.spec.type == _ENDED else (test,):
        message = channel.compose(notice, receiver, (), config.site.alerts.dashboard_url)
        replies.append(channel.send(message, _TIMEOUT_S, receiver, clock.now()))
    bad = next((r for r in replies if not r.ok), None)
    said = (
        f"not taken: {bad.error}"
        if bad
        else "took a test message" + (f", but {replies[0].error}" if replies[0].error else "")
    )
    ok = False if bad else None if replies[0].error else True
    return Look(f"alerts.receivers.{receiver.name}", receiver.url, ok, said)
