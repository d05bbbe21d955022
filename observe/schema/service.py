"""The nouns in which the service tells of itself: what its collectors read, and each of its minutes.

Source: our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from observe.schema.table import Json, Noun


@dataclass(frozen=True, slots=True)
class CollectorRun(Noun):
    """One pull of one target, or one accepted body: how many rows came, and why others did not."""

    table_name = "collector_run"
    ts: Annotated[datetime, "when"]
    collector: Annotated[str, "name in the site config, or the intake path"]
    target: Annotated[
        str, "address or path; push for what is sent to us, push/<cluster>/<node> for one agent's part of it"
    ]
    ok: Annotated[bool, "whether it was read"]
    offered: Annotated[int, "items in the body"]
    stored: Annotated[int, "rows stored"]
    rejected: Annotated[Json, "items not stored, by reason"]
    lag_s: Annotated[float | None, "age of the newest row when stored, s"]
    error: Annotated[str | None, "why it was not read"]


@dataclass(frozen=True, slots=True)
class ServiceSample(Noun):
    """One minute of the service itself: how full, how far behind, how much went wrong since it started."""

    table_name = "service_sample"
    ts: Annotated[datetime, "when"]
    rss_bytes: Annotated[int | None, "memory of the core's process; its children are not in it"]
    queue_bytes: Annotated[int, "rows that wait for the committer, bytes"]
    queue_ratio: Annotated[float, "of what the queue holds, 0-1; from 0.7 on senders are told to wait"]
    hot_rows: Annotated[int, "rows that are not sealed yet"]
    lake_bytes: Annotated[int, "sealed files, bytes"]
    database_bytes: Annotated[int, "the database and its log, bytes"]
    disk_free_bytes: Annotated[int, "of the disk the data lies on"]
    last_commit_at: Annotated[datetime | None, "when rows were last made durable"]
    last_seal_at: Annotated[datetime | None, "when rows were last sealed to a file"]
    summarised_until: Annotated[datetime | None, "event time up to which the source furthest behind is summarised"]
    judged_until: Annotated[datetime | None, "event time up to which the quick detector furthest behind has judged"]
    loop_lag_max_s: Annotated[float, "how late intake's event loop was at worst in this minute, upper bound, s"]
    stage_errors_total: Annotated[int, "stages that failed and were tried again, since the start"]
    child_restarts_total: Annotated[int, "restarts of child processes, since the start"]
    open_alerts: Annotated[int, "alerts that fire"]
    deliveries_waiting: Annotated[int, "messages that no receiver has taken yet"]
    requests_waiting: Annotated[int | None, "requests to model servers whose response has not come"] = None
    responses_waiting: Annotated[int | None, "responses of model servers whose request has not come"] = None
    halves_oldest_s: Annotated[
        float | None, "how long the oldest of both has waited, s; at 60 s it is stored as it is"
    ] = None
    raw_kept_s: Annotated[
        float | None,
        "how long the raw rows were here that left soonest for store.size in the last day, s; null when none did",
    ] = None
