"""Can what the configuration names be reached and used? Every target, receiver, file, address and secret, tried once.

Everything is tried at the same time, within one deadline. Only addresses that stand in the configuration are asked,
with a GET where one tells enough; nothing is stored, and no answer or secret is repeated.

Source: our own. This is what `observe check --live` prints.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Final

from alerts import assistant
from alerts.notices import Receiver
from observe.app.reaching_look import EACH_S, Found, Try, answers
from observe.app.reaching_own import server, store
from observe.app.reaching_sources import collectors
from observe.errors import ObserveError
from observe.registry import plugin
from observe.spec.acting import Target, target_of

if TYPE_CHECKING:
    from observe.spec import Config

DEADLINE_S: Final = 10.0  # for all of it
_AT_ONCE: Final = 32


@dataclass(frozen=True, slots=True)
class Look:
    """What was tried and what came of it; `ok` is None when it works but deserves a second look."""

    what: str  # where it stands in the configuration: collectors.gpus, server.listen, ...
    target: str
    ok: bool | None
    detail: str


def looks(config: Config, now: datetime, deadline_s: float = DEADLINE_S) -> list[Look]:
    """Everything the configuration names, tried; in the order of the configuration.

    Args:
        config: what is named.
        now: the present, for the ends of certificates and the age of files.
        deadline_s: for all of it together, s; what has not answered by then is said not to.
    """
    tries = [*collectors(config, now), *_receivers(config), *_targets(config), *_assistant(config)]
    tries += [*server(config, now), *store(config), *_probes(config)]
    found = _all_at_once([work for _, _, work in tries], deadline_s)
    late: Found = (False, f"no answer within {deadline_s:g} s")
    every = [(what, target, *found.get(i, late)) for i, (what, target, _) in enumerate(tries)]
    return [Look(what, target, ok, detail.removeprefix(f"{target}: ")) for what, target, ok, detail in every]


def _all_at_once(tries: Sequence[Try], deadline_s: float) -> dict[int, Found]:
    """What each came to; threads that hang are left behind, they end with the process."""
    waiting: SimpleQueue[int] = SimpleQueue()
    done: SimpleQueue[tuple[int, Found]] = SimpleQueue()
    for i in range(len(tries)):
        waiting.put(i)

    def work() -> None:
        while True:
            try:
                i = waiting.get_nowait()
            except Empty:
                return
            done.put((i, _tried(tries[i])))

    for _ in range(min(_AT_ONCE, len(tries))):
        threading.Thread(target=work, name="look", daemon=True).start()
    found: dict[int, Found] = {}
    end = monotonic() + deadline_s
    while len(found) < len(tries):
        try:
            i, seen = done.get(timeout=max(0.0, end - monotonic()))
        except Empty:
            break
        found[i] = seen
    return found


def _tried(work: Try) -> Found:
    try:
        return work()
    except (ObserveError, OSError) as error:
        return False, " ".join(str(error).split())


def _receivers(config: Config) -> Iterator[tuple[str, str, Try]]:
    alerts = config.site.alerts
    for address in alerts.alertmanager if alerts.mode == "push" else ():
        yield "alerts.alertmanager", address, partial(answers, f"{address.rstrip('/')}/-/ready", "ready")
    for name, spec in alerts.receivers.items():
        receiver, channel = Receiver(name, spec), plugin("observe.receivers", spec.type)
        yield (
            f"alerts.receivers.{name}",
            str(spec.url or spec.smtp or spec.type),
            partial(channel.probe, receiver, EACH_S),
        )


def _targets(config: Config) -> Iterator[tuple[str, str, Try]]:
    """Whoever may be asked to act, as the rules ask: what stands after the colon may be what is missing there."""
    asked = {r.target for m in config.models.values() if m.monitoring for r in m.monitoring.actions}
    found = [t for t in (target_of(config.site, written) for written in sorted(asked)) if t is not None]
    used = {target.name for target in found}
    found += [Target(name, "", spec) for name, spec in config.site.targets.items() if name not in used]
    for target in found:
        sink = plugin("observe.actions", target.spec.type)
        yield (
            f"targets.{target.name}",
            str(target.spec.url or target.what or target.spec.type),
            partial(sink.check, target),
        )


def _assistant(config: Config) -> Iterator[tuple[str, str, Try]]:
    """Who puts incidents into other words; it is asked which models it serves, and told nothing."""
    spec = config.site.assistant
    if spec is not None:
        yield "assistant", str(spec.url), partial(assistant.probe, spec, EACH_S / 2)


def _probes(config: Config) -> Iterator[tuple[str, str, Try]]:
    for name, model in config.models.items():
        serving = model.spec.serving if model.spec else None
        for probe in ("readiness_probe", "liveness_probe"):
            written = getattr(serving, probe, None)
            if written is not None and str(written.path).startswith(("http://", "https://")):
                yield f"models.{name}.{probe}", str(written.path), partial(answers, str(written.path), "answers")
