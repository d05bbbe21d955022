"""What the service says of itself once a minute, and what was pushed to it in that minute.

One row of `service_sample`, and one of `collector_run` for every source that sent something: pushed
sources then tell the same as pulled ones. What was refused whole (a bad token, a body that is no
body) is a run that failed.

Source: our own; the counters are those of `/metrics`.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from collectors import cloudevents
from observe import summaries
from observe.app.declaring import is_pulled
from observe.app.hearing import PUSHED
from observe.app.refused import SETTING
from observe.app.senders import PUSH, Heard, Sender, runs
from observe.clock import Clock
from observe.schema import CollectorRun, ServiceSample
from observe.store import Store
from observe.store.store import QUEUE_BYTES
from observe.telemetry import Telemetry

if TYPE_CHECKING:
    from observe.app.intake import Intake
    from observe.spec import Config

EVERY_S: Final = 60.0
_DAY: Final = timedelta(days=1)
_QUICK: Final = ("burn", "silence", "imbalance", "gauge", "canary")  # detectors that judge every few minutes
_IMPORT: Final = "import/"  # files of the past are no source
_COUNTS: Final = """
select (select max(committed_at) from core.batch) as committed, (select max(sealed_at) from core.manifest) as sealed,
  (select count(*) from alert where state = 'firing') as alerts,
  (select count(*) from undelivered) as waiting,
  (select min(epoch(left_at) - epoch(ingested_to)) from core.departure where reason = 'size' and left_at > $since) as kept_s
"""


class Vitals:
    """Writes one minute at a time; what a failed write did not tell, the next one does."""

    def __init__(
        self, config: Config, store: Store, clock: Clock, telemetry: Telemetry, intake: Intake | None = None
    ) -> None:
        self._config, self._store, self._clock, self._telemetry = config, store, clock, telemetry
        self._intake = intake
        self._told: Mapping[tuple[str, ...], float] = {}
        self._senders: Mapping[Sender, Heard] = {}
        self._refused: Mapping[str, Any] = {}
        self._lags: Mapping[str, float] = {}

    def adopt(self, config: Config) -> None:
        """Go by another configuration from the next minute on."""
        self._config = config

    def take(self) -> None:
        """Write down this minute."""
        now = self._clock.now()
        counts, lags = self._counters(), _by_bucket(self._telemetry.loop_lag)
        worst = max((float(le) for le, n in lags.items() if n > self._lags.get(le, 0.0)), default=0.0)
        grown = {key: int(n - self._told.get(key, 0.0)) for key, n in counts.items()}
        senders = self._intake.senders.told() if self._intake else {}
        refused = self._intake.refused.told(now) if self._intake else {}
        made = [*self._pushed(grown, now), *_refused(grown, now), *runs(self._senders, senders)]
        with self._store.change() as tx:
            tx.insert([self._sample(now, counts, worst), *made])
            if refused != self._refused:
                tx.set_setting(SETTING, refused)
            if senders and not self._senders:
                tx.set_state(PUSHED, {source: True for source, _ in sorted(senders)})
        self._told, self._lags, self._senders, self._refused = counts, lags, senders, refused

    def _counters(self) -> dict[tuple[str, ...], float]:
        """What the counters of intake stand at, by name and labels."""
        t = self._telemetry
        every = {"offered": t.accepted, "stored": t.stored, "rejected": t.rejected, "refused": t.refused}
        every |= {"errors": t.stage_errors, "restarts": t.children}
        return {(name, *labels): n for name, counter in every.items() for labels, n in _by_labels(counter)}

    def _pushed(self, grown: Mapping[tuple[str, ...], int], now: datetime) -> Iterator[CollectorRun]:
        pulled = {name for name, spec in self._config.site.collectors.items() if is_pulled(spec)}
        lags = {labels[0]: lag for labels, lag in _by_labels(self._telemetry.lag)}
        sources = sorted({key[1] for key, n in grown.items() if key[0] in ("offered", "rejected") and n})
        for source in sources:
            if source not in pulled and not source.startswith(_IMPORT):
                reasons = {k[2]: n for k, n in grown.items() if k[:2] == ("rejected", source) and n}
                offered, stored = (grown.get((name, source), 0) for name in ("offered", "stored"))
                yield CollectorRun(now, source, PUSH, True, offered, stored, reasons, lags.get(source), None)

    def _sample(self, now: datetime, counts: Mapping[tuple[str, ...], float], lag_s: float) -> ServiceSample:
        stats = self._store.stats()
        row = self._store.read(_COUNTS, {"since": now - _DAY}).row(0, named=True)
        halves = self._intake.pairing.waiting() if self._intake else {}
        return ServiceSample(
            ts=now, rss_bytes=_resident(), queue_bytes=stats["queue_bytes"], queue_ratio=stats["queue_bytes"] / QUEUE_BYTES,
            hot_rows=sum(stats["hot_rows"].values()), lake_bytes=stats["lake_bytes"], database_bytes=stats["database_bytes"],
            disk_free_bytes=shutil.disk_usage(self._store.path).free, last_commit_at=row["committed"],
            last_seal_at=row["sealed"], summarised_until=self._summarised(), judged_until=self._judged(), loop_lag_max_s=lag_s,
            stage_errors_total=int(sum(n for k, n in counts.items() if k[0] == "errors")),
            child_restarts_total=int(sum(n for k, n in counts.items() if k[0] == "restarts")),
            open_alerts=row["alerts"], deliveries_waiting=row["waiting"],
            requests_waiting=halves[cloudevents.REQUEST][0] if halves else None,
            responses_waiting=halves[cloudevents.RESPONSE][0] if halves else None,
            halves_oldest_s=max((age for _, age in halves.values()), default=None),
            raw_kept_s=row["kept_s"],
        )  # fmt: skip

    def _summarised(self) -> datetime | None:
        every = summaries.closed_until(self._store)
        return min(
            (at for source, at in every.items() if source.partition("/")[0] in self._config.models), default=None
        )

    def _judged(self) -> datetime | None:
        """Of each quick detector the monitor that is furthest, of these the one furthest behind."""
        newest: dict[str, datetime] = {}
        for monitor, at in self._store.judged_until().items():
            detector = monitor.split("/")[1:2]
            if detector and detector[0] in _QUICK:
                newest[detector[0]] = max(at, newest.get(detector[0], at))
        return min(newest.values(), default=None)


def _refused(grown: Mapping[tuple[str, ...], int], now: datetime) -> Iterator[CollectorRun]:
    """A run that failed for every way in where bodies were refused whole."""
    said: dict[str, Counter[str]] = {}
    for key, n in grown.items():
        source = _source(key[1]) if key[0] == "refused" else None
        if source and n:
            said.setdefault(source, Counter())[key[2]] += n
    for source, statuses in sorted(said.items()):
        words = ", ".join(f"{n} with {status}" for status, n in sorted(statuses.items()))
        error = f"bodies refused whole: {words}; the sender was told why"
        yield CollectorRun(now, source, PUSH, False, 0, 0, {}, None, error)


def _source(path: str) -> str | None:
    """The source whose bodies come in at `path`, None when it takes none.

    >>> _source("/v1/traces"), _source("/ingest/predictions/{model}"), _source("/api/v1/sql")
    ('otlp', 'predictions', None)
    """
    if path.startswith("/v1/"):
        return "otlp"
    return path.split("/")[2] if path.startswith("/ingest/") else None


def _by_labels(metric: Any) -> Iterator[tuple[tuple[str, ...], float]]:
    """Values of a counter or gauge of ours by the values of its labels."""
    for family in metric.collect():
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                yield tuple(sample.labels.values()), sample.value


def _by_bucket(histogram: Any) -> dict[str, float]:
    """How many observations each bucket of a histogram of ours holds by itself, by its upper bound."""
    [family] = histogram.collect()
    found, below = {}, 0.0
    for sample in family.samples:
        if sample.name.endswith("_bucket"):
            found[sample.labels["le"]], below = sample.value - below, sample.value
    return found


def _resident() -> int | None:
    """Memory of this process, bytes; None where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
