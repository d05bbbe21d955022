"""The rows that a bundle holds as Parquet: what alarmed, what changed, what was counted, a sample of requests.

Bounded in rows; of what is more the first, or a sample chosen by a hash of its id, so the same store gives the same
rows. Nothing that users wrote or were answered is stored by default; here not even what could name a user is read.

Source: our own; docs/incidents-bundle.md; TRUST section 2, "prompts, secrets".
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from dashboards.incident import FAMILY
from observe.schema import TABLES

if TYPE_CHECKING:
    import polars as pl

    from dashboards.dossier import Dossier
    from dashboards.reader import Reader

SUMMED: Final = ("gpus", "queue")  # views that add up floats in parallel, each time in another order
DIGITS: Final = 6  # of their numbers: far fewer than the order of adding changes
LONGEST: Final = timedelta(hours=6)  # of an incident, whose requests are sampled
NAMES_NO_USER: Final = (  # columns of attempt that a bundle may hold
    "ts", "ts_start", "attempt_id", "trace_id", "model_id", "model_requested", "model_served", "provider", "deployment_id", "operation",
    "cluster", "namespace", "duration_s", "ttft_s", "tpot_s", "stream", "status", "error_class", "error_kind", "http_status",
    "finish_reason", "tokens_in", "tokens_out", "tokens_cached_in", "tokens_cache_write_in", "tokens_reasoning", "cost_usd",
    "cost_known", "cache_hit", "attempt_no", "team_id", "prompt_version", "quality", "source",
)  # fmt: skip
LEFT_OUT: Final = (  # the others: they name a user or a conversation, or hold what a client may write
    "parent_span_id", "response_id", "session_id", "api_key_hash", "end_user_hash", "tags", "ingested_at",
)  # fmt: skip
_ATTEMPTS: Final = ", ".join(NAMES_NO_USER)
_FINDINGS: Final = ", ".join(c.name for c in TABLES["finding"].columns)
_SAMPLED: Final = f"""
select {_ATTEMPTS} from attempt where model_id = $model and ts >= $start::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ and status {{}} 'ok'
order by hash(attempt_id), attempt_id, ts limit $limit
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file of rows: its query, ordered wholly, and how many rows at most."""

    sql: str
    most: int


WANTED: Final[Mapping[str, Wanted]] = {
    "findings": Wanted(f"""
select {_FINDINGS} from finding where monitor_id in (select key from alert where incident_id in {FAMILY})
and window_end > $start::TIMESTAMPTZ and window_start <= $end::TIMESTAMPTZ order by window_end, monitor_id, finding_id limit $limit""", 5000),
    "alerts": Wanted(f"select * from core.alert where incident_id in {FAMILY} order by changed_at, alert_id limit $limit", 1000),
    "changes": Wanted("""
select * from change_event where ts >= $start::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ and (model_id is null or model_id = $model)
order by ts, source, event_id limit $limit""", 2000),
    "summaries": Wanted(f"""
select * from summary where measure in (
  select distinct model || '/' || source || '/' || subject from alert, (values ('slo'), ('attempts'), ('predictions')) as s(source) where incident_id in {FAMILY}
) and ts >= $start::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ order by ts, measure, window_s, binning_id, ingested_at, n limit $limit""", 20_000),
    "failed_attempts": Wanted(_SAMPLED.format("<>"), 2500),
    "good_attempts": Wanted(_SAMPLED.format("="), 2500),
    "slowest_attempts": Wanted(
        f"""
select {_ATTEMPTS} from attempt where model_id = $model and ts >= $start::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ
order by coalesce(ttft_s, duration_s) desc, attempt_id, ts limit $limit""",
        1000,
    ),
    "gpus": Wanted("""
select * from gpu_5m where ts >= $start::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ and ($model = 'site' or cluster in (
  select cluster from traffic_1m where model_id = $model and ts >= $start::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ))
order by ts, cluster, sku limit $limit""", 5000),
    "queue": Wanted("""
select * from queue_5m where ($model = 'site' or model_id = $model) and ts >= $start::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ
order by ts, model_id, cluster limit $limit""", 5000),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rows:
    """One file of rows, and whether there were more than it may hold."""

    name: str
    frame: pl.DataFrame
    is_cut: bool

    def halved(self) -> Rows:
        """The first half of them."""
        return Rows(self.name, self.frame.head(self.frame.height // 2), True)

    def parquet(self) -> bytes:
        """As a file; the same rows give the same bytes."""
        sink = io.BytesIO()
        self.frame.write_parquet(sink, compression="zstd", compression_level=6)
        return sink.getvalue()


def rows(read: Reader, held: Dossier, *, with_requests: bool = True) -> list[Rows]:
    """Every file of rows that has any; those of requests for who may read such rows."""
    import polars.selectors as cs

    story = held.story
    params: dict[str, Any] = {
        "id": held.incident_id,
        "model": held.row["model"],
        "start": story.start,
        "end": story.end,
    }
    made = []
    for name, wanted in WANTED.items():
        asked = {**params, "limit": wanted.most + 1}
        if name.endswith("_attempts"):
            if not with_requests:
                continue
            asked["end"] = min(story.end, story.start + LONGEST)
        frame = read(wanted.sql, asked)
        if name in SUMMED:
            frame = frame.with_columns(cs.float().round_sig_figs(DIGITS))
        if frame.height:
            made.append(Rows(name, frame.head(wanted.most), frame.height > wanted.most))
    return made
