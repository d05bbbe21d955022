"""Configuration that changes while we run: read anew, taken whole or refused whole, and written down.

The site file and the files of its `models` are looked at every second; a change is read once it has stood still
for a second, at SIGHUP, or when an operator says `reload`. What is wrong leaves the old configuration in force. What
is right is handed over as one frozen object; everybody who goes by it takes it at their next turn. All that can
fail is done before it is written down: a fault of ours leaves the old configuration in force, is told, and is not
tried again before the files change or somebody asks. Errors are told without lines of the files. Addresses, tokens
and certificates of the server and the store's path stay as they are until the next start.

Source: our own; Prometheus' reload (whole or not at all, two metrics) for the habit.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import Gauge

from observe.access import Principal
from observe.app.comparing import SITE, Changes, Values, differences, effective, fingerprint, line, parameters
from observe.app.declaring import declared
from observe.app.people import written
from observe.app.stamps import Stamps, digest, stamped
from observe.clock import Clock
from observe.errors import ConfigError, UsageError
from observe.schema import ChangeEvent, Command
from observe.spec.explain import as_json
from observe.spec.load import load
from observe.spec.refusal import without_excerpts
from observe.store import Store
from observe.telemetry import Telemetry

if TYPE_CHECKING:
    from observe.spec import Config

_LOG = logging.getLogger("observe.reloading")
EVERY_S: Final = 1.0
_RETRY_S: Final = 5.0  # after a fault of ours or of the store
_FILE, _SIGNAL = Principal("file", "admin"), Principal("signal", "admin")  # whoever may write the files may do anything
_OBJECT: Final = 200  # characters of a command's object
_REASON: Final = 2000  # characters of a command's reason, and of why a reload was refused

_FAULT_HINT: Final = "the old configuration stays in force; the service's log has the rest"


@dataclass(frozen=True, slots=True)
class _Asked:
    """Who asked for the files to be read, why, and which have changed."""

    who: Principal
    reason: str | None
    files: str


@dataclass(frozen=True, slots=True)
class _Taking:
    """A configuration about to be taken."""

    config: Config
    values: Mapping[str, Values]
    changed: Mapping[str, Changes]
    settings: Mapping[str, Any]
    take: Callable[[], None]


class Reloading:
    """Watches the files of a site and hands each new valid configuration to `adopt`.

    Args:
        site: the file `config` was read from; None: nothing is watched.
        config: what is in force.
        store: where settings, the command and change events are written, in one transaction.
        telemetry: gets `observe_config_valid` and `observe_config_changed_timestamp_seconds`.
        clock: says when.
        prepare: makes what another configuration needs, and gives what takes it once it is written down.
    """

    def __init__(
        self,
        site: Path | None,
        config: Config,
        store: Store,
        telemetry: Telemetry,
        clock: Clock,
        prepare: Callable[[Config], Callable[[], None]],
    ) -> None:
        self._site, self._config, self._prepare = site, config, prepare
        self._store, self._clock = store, clock
        self._values = effective(config)
        self._since, self._errors = clock.now(), tuple[str, ...]()
        self._stamps: Stamps = {}  # of what was seen last, and of what was read last
        self._read: Stamps = {}
        self._digests: Mapping[Path, str] = {path: digest(path) for path in self._files()}
        self._lock, self._wake, self._stopped = threading.Lock(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="reloading", daemon=True)
        r = telemetry.registry
        self._valid = Gauge("observe_config_valid", "Whether the files on disk hold a valid configuration", registry=r)
        self._changed = Gauge(
            "observe_config_changed_timestamp_seconds", "Since when the configuration in force is", registry=r
        )
        self._valid.set(1)
        self._changed.set(self._since.timestamp())

    def start(self) -> None:
        """Begin to watch."""
        if self._site is not None:
            self._thread.start()

    def stop(self) -> None:
        """End; a change under way is taken first."""
        self._stopped.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def ask(self) -> None:
        """Read the files now; safe to call from a signal handler."""
        self._wake.set()

    def now(self, who: Principal, reason: str | None) -> Command:
        """Read the files now, because somebody says so; the command is recorded also when nothing changed.

        Raises:
            ConfigError: the files are wrong, or we cannot take them; the old configuration stays in force.
            UsageError: this service was started without a file.
        """
        command = self._take(who, reason[:_REASON] if reason else None)
        assert command is not None  # a person's command is always recorded
        return command

    def told(self) -> dict[str, Any]:
        """What is in force: effective values, their hash, since when, and what is wrong on disk."""
        with self._lock:
            config, since, errors, values = self._config, self._since, self._errors, self._values
        return {
            "hash": fingerprint(values), "since": since.isoformat(), "valid": not errors, "errors": list(errors),
            "file": str(self._site) if self._site else None, "config": as_json(config),
        }  # fmt: skip

    def _run(self) -> None:
        while not self._stopped.is_set():
            asked = self._wake.wait(EVERY_S)
            self._wake.clear()
            if self._stopped.is_set():
                return
            try:
                if asked or self._is_due():
                    self._take(_SIGNAL if asked else _FILE, None)
            except ConfigError:
                continue  # told already
            except Exception:  # noqa: BLE001 - the supervisor loop: told, tried again
                _LOG.exception("event=reload_failed retry_in_s=%s", _RETRY_S)
                self._stopped.wait(_RETRY_S)

    def _is_due(self) -> bool:
        """Whether the files differ from those read last, and have stood still since the last look."""
        stamps = stamped(self._files())
        still, self._stamps = stamps == self._stamps, stamps
        return still and stamps != self._read

    def _files(self) -> Sequence[Path]:
        if self._site is None:
            return []
        return [self._site, *sorted(self._site.parent.glob(self._config.site.models))]

    def _take(self, who: Principal, reason: str | None) -> Command | None:
        """Read the files; the command that was recorded, if one was."""
        if self._site is None:
            raise UsageError("this service was started without a configuration file; there is nothing to read anew")
        with self._lock:
            files = self._files()
            stamps, digests = stamped(files), {path: digest(path) for path in files}
            touched = sorted(p for p in {*digests, *self._digests} if digests.get(p) != self._digests.get(p))
            try:
                taking = self._made()
            except ConfigError as error:
                told = without_excerpts(error)
                self._refuse(told, who, reason, touched)
                self._read, self._digests = stamps, digests
                raise told from None
            command = self._put(taking, _Asked(who, reason, self._names(touched)))
            self._read, self._digests = stamps, digests
            self._hand_over(taking)
        return command

    def _made(self) -> _Taking:
        """What the files hold, with all that can fail about taking it already done.

        Raises:
            ConfigError: the files are wrong, or we are.
        """
        assert self._site is not None
        try:
            fresh = self._pinned(load(self._site))
            values = effective(fresh)
            changed = differences(self._values, values)
            return _Taking(fresh, values, changed, declared(fresh), self._prepare(fresh))
        except ConfigError:
            raise
        except Exception as error:
            _LOG.exception("event=reload_broke")
            raise ConfigError(_fault(error), hint=_FAULT_HINT) from error

    def _refuse(self, error: ConfigError, who: Principal, reason: str | None, touched: Sequence[Path]) -> None:
        every = getattr(error, "errors", (error,))
        errors = tuple(str(e) for e in every)
        if errors != self._errors:
            for e in every:
                place = f"{e.mark.file}:{e.mark.line}:{e.mark.column}" if e.mark else "-"
                _LOG.error('event=config_refused at=%s error="%s" in_force_since=%s', place, e.message, self._since)
        self._errors = errors
        self._valid.set(0)
        if who is not _FILE:
            said = {"verb": "reload", "object": self._names(touched), "reason": reason}
            with self._store.change() as tx:
                written(tx, self._clock.now(), who, {**said, "parameters": {"refused": "\n".join(errors)[:_REASON]}})

    def _pinned(self, fresh: Config) -> Config:
        """The same, with what only a new start can change as it is, and a warning about it."""
        old, new = self._config.site, fresh.site
        store = new.store.model_copy(update={"path": old.store.path})
        kept = replace(fresh, site=new.model_copy(update={"server": old.server, "store": store}))
        waiting = differences({SITE: effective(kept)[SITE]}, {SITE: effective(fresh)[SITE]}).get(SITE, {})
        told = tuple(
            f"{path}: {a or '–'} → {b or '–'} takes effect at the next start" for path, (a, b) in waiting.items()
        )
        return replace(kept, warnings=(*fresh.warnings, *told))

    def _put(self, taking: _Taking, asked: _Asked) -> Command | None:
        """Write down what changed."""
        command, changed = None, taking.changed
        if changed or asked.who not in (_FILE, _SIGNAL):
            with self._store.change() as tx:
                said = {"verb": "reload", "object": asked.files, "reason": asked.reason}
                command = written(tx, self._clock.now(), asked.who, {**said, "parameters": parameters(changed)})
                for key, value in taking.settings.items():
                    tx.set_setting(key, value)
                owners = [owner for owner in changed if owner != SITE]
                events = [self._event(command, owner, changed[owner], taking.values) for owner in owners]
                if events:
                    tx.insert(events)
        if changed:
            _LOG.info("event=config_taken actor=%s files=%s values=%s", asked.who.name, asked.files, _count(changed))
        return command

    def _hand_over(self, taking: _Taking) -> None:
        """Go by what was written down; a fault here is told until the next start or the next change."""
        for warning in taking.config.warnings:
            if warning not in self._config.warnings:
                _LOG.warning('event=config_warning warning="%s"', warning)
        if taking.changed:
            self._since = self._clock.now()
            self._changed.set(self._since.timestamp())
        self._config, self._values, self._errors = taking.config, taking.values, ()
        self._valid.set(1)
        try:
            taking.take()
        except Exception as error:
            _LOG.exception("event=reload_broke")
            told = ConfigError(f"{_fault(error)}; it is in force in part", hint="start the service anew")
            self._errors = (str(told),)
            self._valid.set(0)
            raise told from error

    def _event(self, command: Command, model: str, changes: Changes, values: Mapping[str, Values]) -> ChangeEvent:
        alone = next(iter(changes.values())) if len(changes) == 1 else (None, None)
        said = line(model, changes, self._values.get(model), values.get(model))
        return ChangeEvent(
            ts=command.ts, event_id=f"{command.command_id}/{model}", kind="config", object_kind="Monitoring",
            object_name=model, namespace=None, cluster=None, node=None, model_id=model, before=alone[0], after=alone[1],
            revision=fingerprint(values)[:12], actor=command.actor, severity="info", message=said, source="observe",
            ingested_at=command.ts,
        )  # fmt: skip

    def _names(self, files: Sequence[Path]) -> str:
        """Files as seen from the site file's folder; the site file itself when none changed."""
        assert self._site is not None
        folder = self._site.parent
        names = [str(p.relative_to(folder) if p.is_relative_to(folder) else p) for p in files] or [self._site.name]
        said = ", ".join(names)
        return said if len(said) <= _OBJECT else f"{len(names)} files"


def _fault(error: Exception) -> str:
    return f"a fault of Observe kept the configuration from being taken: {type(error).__name__}: {error}"[:_OBJECT]


def _count(changed: Mapping[str, Changes]) -> int:
    return sum(len(changes) for changes in changed.values())
