"""Whether the collectors' targets, files, GPUs and credentials can be used, and what they would feed.

Source: our own.
"""

from __future__ import annotations

import glob
import os
import socket
import stat
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from collectors import exposition, mapping, promql, pull
from collectors.nvml import Nvml
from observe.app import querying
from observe.app.pull_plan import credentials, trust
from observe.app.reaching_look import EACH_S, FIRST, Found, Try, certificate, secret
from observe.app.spending import Gateway
from observe.spec.quantity import write_duration
from observe.spec.second_looks import secrets

if TYPE_CHECKING:
    from observe.schema import Parsed
    from observe.spec import CollectorSpec, Config

_MOST_FILES: Final = 100_000  # of one glob that are counted


def collectors(config: Config, now: datetime) -> Iterator[tuple[str, str, Try]]:
    """Every target, file, secret and certificate of a collector."""
    for name, spec in config.site.collectors.items():
        what = f"collectors.{name}"
        asked = tuple(q for asker, q in querying.questions(config.models) if asker == name)
        for target in spec.targets:
            is_asked = spec.type == querying.TYPE
            look = partial(_asked, spec, target, now, asked) if is_asked else partial(_target, spec, target, now)
            yield what, target, look
        if spec.type == "nvml":
            yield what, "this machine", partial(_gpus, spec, now)
        if spec.path:
            yield what, spec.path, partial(_files, spec.path, now)
        yield from ((what, str(s), partial(secret, s.resolve)) for s in secrets(spec.auth))
        if spec.tls:
            files = (spec.tls.ca, spec.tls.cert)
            yield from ((what, str(f), partial(certificate, f, now)) for f in files if f)


def _target(spec: CollectorSpec, target: str, now: datetime) -> Found:
    timeout_s = min(spec.timeout_s, EACH_S)
    if spec.type == "spendlogs":
        return _spend(spec, target, now, timeout_s)
    body = pull.get(target, timeout_s, FIRST, credentials(spec.auth), trust(spec.tls), cut=True)
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


def _asked(spec: CollectorSpec, target: str, now: datetime, questions: Sequence[querying.Question]) -> Found:
    """A Prometheus is asked what SLOs would ask it, about the last hour."""
    timeout_s, keys = min(spec.timeout_s, EACH_S), (credentials(spec.auth), trust(spec.tls))

    def get(url: str) -> bytes:
        return pull.get(url, timeout_s, credentials=keys[0], trust=keys[1])

    promql.parse(get(promql.url(target, "vector(1)", now - timedelta(minutes=2), now)), now, {})
    seen = {q.slo_id: querying.minutes(q, get, target, now) for q in questions}
    told = "; ".join(f"{slo_id}: {n} of the last 60 minutes have counts" for slo_id, n in seen.items())
    return (None if 0 in seen.values() else True), f"answers queries; {told or 'no SLO asks it'}"


def _gpus(spec: CollectorSpec, now: datetime) -> Found:
    """The GPUs of this machine, asked once."""
    asked = Nvml(spec.labels.get("node") or socket.gethostname())
    try:
        return _page(asked.page(now), spec.labels, now)
    finally:
        asked.close()


def _page(body: bytes, labels: Mapping[str, str], now: datetime) -> Found:
    """What a page in the Prometheus text format feeds; of a large one its first part was read."""
    is_cut = len(body) == FIRST
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
    found = ((path, regular(Path(path))) for path in islice(glob.iglob(pattern, recursive=True), _MOST_FILES))
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


def regular(path: Path) -> os.stat_result | None:
    """What is known of a file; None when it is something else, or has gone since it was listed."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None
