"""Can what the configuration names be reached and used? Every target, receiver, file, address and secret, tried once.

Everything is tried at the same time, within one deadline. Only addresses that stand in the configuration are asked,
with a GET; nothing is stored, and no answer or secret is repeated.

Source: our own. This is what `observe check --live` prints.
"""

from __future__ import annotations

import errno
import glob
import os
import shutil
import socket
import stat
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Final

from alerts.notices import Receiver
from collectors import exposition, mapping, pull
from collectors.nvml import Nvml
from observe.app.pulling import credentials, trust
from observe.app.spending import Gateway
from observe.certificates import Served, read
from observe.errors import ObserveError, SourceError
from observe.registry import plugin
from observe.spec.quantity import write_duration, write_size
from observe.spec.second_looks import secrets

if TYPE_CHECKING:
    from observe.schema import Parsed
    from observe.spec import CollectorSpec, Config
    from observe.spec.site import ServerSpec

DEADLINE_S: Final = 10.0  # for all of it
_EACH_S: Final = 8.0  # for one answer
_AT_ONCE: Final = 32
_FIRST: Final = 64 * 1024  # bytes of a page that are looked at
_SOON: Final = timedelta(days=14)  # a certificate that ends within this deserves a second look
_MOST_FILES: Final = 100_000  # of one glob that are counted

Found = tuple[bool | None, str]  # whether it works (None: worth a second look), and what was seen
Try = Callable[[], Found]


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
    tries = [*_collectors(config, now), *_receivers(config), *_server(config, now), *_store(config), *_probes(config)]
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


# --- collectors and receivers -----------------------------------------------------------------------


def _collectors(config: Config, now: datetime) -> Iterator[tuple[str, str, Try]]:
    for name, spec in config.site.collectors.items():
        what = f"collectors.{name}"
        for target in spec.targets:
            yield what, target, partial(_target, spec, target, now)
        if spec.type == "nvml":
            yield what, "this machine", partial(_gpus, spec, now)
        if spec.path:
            yield what, spec.path, partial(_files, spec.path, now)
        yield from ((what, str(s), partial(_secret, s.resolve)) for s in secrets(spec.auth))
        if spec.tls:
            files = (spec.tls.ca, spec.tls.cert)
            yield from ((what, str(f), partial(_certificate, f, now)) for f in files if f)


def _target(spec: CollectorSpec, target: str, now: datetime) -> Found:
    timeout_s = min(spec.timeout_s, _EACH_S)
    if spec.type == "spendlogs":
        return _spend(spec, target, now, timeout_s)
    body = pull.get(target, timeout_s, _FIRST, credentials(spec.auth), trust(spec.tls), cut=True)
    if spec.type != "prometheus":
        return True, f"answers, {len(body)} bytes"
    return _page(body, {**spec.labels, "target": target}, now)


def _spend(spec: CollectorSpec, target: str, now: datetime, timeout_s: float) -> Found:
    """A spend log is asked for rows, as little as it gives: the bare address answers without a key, too."""
    keys = {"credentials": credentials(spec.auth), "trust": trust(spec.tls)}
    gateway = Gateway("", target, {}, lambda url: pull.get(url, timeout_s, **keys))  # type: ignore[arg-type]
    if gateway.days():  # a day that has not come has no rows
        day = now.date() + timedelta(days=2)
        gateway.ask(start_date=day, end_date=day + timedelta(days=1), summarize="false")
        return True, "its spend log answers"
    since, until = (f"{t:%Y-%m-%d %H:%M:%S}" for t in (now - timedelta(hours=1), now))
    page = gateway.ask(page=1, page_size=1, start_date=since, end_date=until)
    return True, f"its spend log answers; {page.pages} calls in the last hour"


def _gpus(spec: CollectorSpec, now: datetime) -> Found:
    """The GPUs of this machine, asked once."""
    asked = Nvml(spec.labels.get("node") or socket.gethostname())
    try:
        return _page(asked.page(now), spec.labels, now)
    finally:
        asked.close()


def _page(body: bytes, labels: Mapping[str, str], now: datetime) -> Found:
    """What a page in the Prometheus text format feeds; of a large one its first part was read."""
    is_cut = len(body) == _FIRST
    page = body[: body.rfind(b"\n") + 1] if is_cut else body
    parsed = exposition.parse(page, now, labels)
    samples, columns = parsed.offered - parsed.rejected.get("syntax", 0), _columns(parsed)
    if not samples:
        return False, "answers, but with no sample in the Prometheus text format"
    said = f"{samples} samples" + (" in the first 64 kB" if is_cut else "")
    if not columns and "metric_sample" not in parsed.tables:
        return None, f"{said}, none that Observe stores"
    feeds = "; ".join(f"{table}: {', '.join(names)}" for table, names in columns.items()) or "metric_sample only"
    missing = () if is_cut or b"DCGM_FI_" not in page else _lacking(columns.get("gpu_sample", ()))
    lacks = f"; no series for {', '.join(missing)}" if missing else ""
    return True, f"{said}; feeds {feeds}{lacks}"


def _columns(parsed: Parsed) -> dict[str, list[str]]:
    """Measured columns of the wide tables that have a value."""
    rules = mapping.load().rules.values()
    fed = {(r.table, c) for r in rules for c in (r.split[1].values() if r.split else (r.column,))}
    found = {}
    for table, frame in parsed.tables.items():
        names = [c for c in frame.columns if (table, c) in fed and frame[c].null_count() < frame.height]
        if names:
            found[table] = names
    return found


def _lacking(columns: Sequence[str]) -> tuple[str, ...]:
    """Columns of a GPU that stay empty, with the metric to switch on in dcgm-exporter; several are off by default."""
    wanted: dict[str, str] = {}
    for rule in mapping.load().rules.values():
        if rule.table == "gpu_sample" and rule.metric.startswith("DCGM_FI_"):
            wanted.setdefault(rule.column, rule.metric)
    return tuple(f"{column} ({metric})" for column, metric in wanted.items() if column not in columns)


def _files(pattern: str, now: datetime) -> Found:
    found = ((path, _file(Path(path))) for path in islice(glob.iglob(pattern, recursive=True), _MOST_FILES))
    stats = [(file.st_mtime, path) for path, file in found if file]
    if stats:
        changed, newest = max(stats)
        if not os.access(newest, os.R_OK):
            return False, f"{newest} cannot be read by this user"
        age = write_duration(max(0, round(now.timestamp() - changed)))
        return True, f"{len(stats)} files, newest {Path(newest).name} changed {age} ago"
    folder = Path(pattern).parent
    while glob.has_magic(str(folder)):
        folder = folder.parent
    return (None, "matches no file yet") if folder.is_dir() else (False, f"there is no folder {folder}")


def _file(path: Path) -> os.stat_result | None:
    """What is known of a file; None when it is something else, or has gone since it was listed."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def _receivers(config: Config) -> Iterator[tuple[str, str, Try]]:
    alerts = config.site.alerts
    for address in alerts.alertmanager if alerts.mode == "push" else ():
        yield "alerts.alertmanager", address, partial(_answers, f"{address.rstrip('/')}/-/ready", "ready")
    for name, spec in alerts.receivers.items():
        receiver, channel = Receiver(name, spec), plugin("observe.receivers", spec.type)
        yield (
            f"alerts.receivers.{name}",
            str(spec.url or spec.smtp or spec.type),
            partial(channel.probe, receiver, _EACH_S),
        )


def _probes(config: Config) -> Iterator[tuple[str, str, Try]]:
    for name, model in config.models.items():
        serving = model.spec.serving if model.spec else None
        for probe in ("readiness_probe", "liveness_probe"):
            written = getattr(serving, probe, None)
            if written is not None and str(written.path).startswith(("http://", "https://")):
                yield f"models.{name}.{probe}", str(written.path), partial(_answers, str(written.path), "answers")


def _answers(url: str, said: str) -> Found:
    pull.get(url, _EACH_S, _FIRST, cut=True)
    return True, said


# --- ourselves --------------------------------------------------------------------------------------


def _server(config: Config, now: datetime) -> Iterator[tuple[str, str, Try]]:
    server = config.site.server
    for name in ("listen", "otlp", "ui"):
        address = getattr(server, name)
        yield f"server.{name}", address, partial(_address, address, config.site.store.path)
    if server.token:
        yield "server.token", str(server.token), partial(_secret, server.token.resolve)
    if server.tls:
        yield "server.tls", str(server.tls.cert), partial(_shown, server, now)
        if server.tls.ca:
            yield "server.tls", str(server.tls.ca), partial(_certificate, server.tls.ca, now)


def _address(address: str, store: Path) -> Found:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, int(port)))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return False, f"cannot be listened on: {error.strerror}"
            pid = _owner(address, store)
            return (True, f"served by our own service, pid {pid}") if pid else (False, "taken by another program")
    return True, "free"


def _owner(address: str, store: Path) -> int | None:
    """The pid of the running service of this data directory, when it listens on `address`."""
    import json

    try:
        said = json.loads((store / "service.json").read_text())
        os.kill(int(said["pid"]), 0)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return int(said["pid"]) if address in said.values() else None


def _secret(resolve: Callable[[], str]) -> Found:
    resolve()
    return True, "is there"


def _shown(server: ServerSpec, now: datetime) -> Found:
    assert server.tls is not None
    Served(server.tls.cert, server.tls.key)
    return _certificate(server.tls.cert, now)


def _certificate(path: Path, now: datetime) -> Found:
    found = read(path)
    ends = f"{found.not_after:%Y-%m-%d}"
    if found.not_after <= now:
        return False, f"expired on {ends}"
    if found.not_before > now:
        return False, f"does not hold before {found.not_before:%Y-%m-%d}"
    left = found.not_after - now
    return (True, f"holds until {ends}") if left > _SOON else (None, f"ends in {left.days} days, on {ends}")


def _store(config: Config) -> Iterator[tuple[str, str, Try]]:
    yield "store", str(config.site.store.path), partial(_room, config.site.store.path, config.site.store.size_bytes)


def _room(path: Path, size: int) -> Found:
    there = path
    while not there.exists():
        there = there.parent
    if not os.access(there, os.W_OK | os.X_OK):
        raise SourceError(f"{there} cannot be written by this user")
    walked = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)  # folders may vanish, too
    used = sum(file.st_size for each in walked if (file := _file(each)))
    free = shutil.disk_usage(there).free
    said = f"{used / 1e9:.1f} GB used, {free / 1e9:.1f} GB free, size {write_size(size)}"
    return (True, said) if used + free >= size else (None, f"{said}: the disk is full before that is met")
